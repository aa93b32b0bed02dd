"""The services that send, on a real broker: nothing early, late or twice, whatever kills them; and everything is reported back."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from examples.fcm_standin import FcmStandIn, Refused, checked
from examples.mail import SIGN
from examples.outbox import Later, Once, Outbox, Unsure
from streams.broker import ensure_topics
from streams.embedded import EmbeddedKafka, free_port
from tests.examples.senders import Mailbox, Sender, directory, publish, ready, records, until


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with EmbeddedKafka() as kafka:
        asyncio.run(ensure_topics(kafka.address, partitions=3))
        yield kafka.address


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        yield box


@pytest.fixture
async def fcm() -> AsyncIterator[tuple[FcmStandIn, str]]:
    cloud, port = FcmStandIn(), free_port()
    runner = web.AppRunner(cloud.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield cloud, f"http://127.0.0.1:{port}"
    await runner.cleanup()


def ends(path: Path, messages: Sequence[Any]) -> dict[str, int]:
    """What became of these messages, as the sender remembers it. The topic is shared: it meets those of other tests, too."""
    outbox = Outbox(path)
    try:
        return Counter(entry.state if (entry := outbox.find(one.idempotency_key)) else "unseen" for one in messages)
    finally:
        outbox.close()


class Post:
    """An e-mail sender of its own group, beside its mailbox."""

    def __init__(self, broker: str, mailbox: Mailbox, folder: Path, known: dict[str, str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        options = ["--kafka", broker, "--smtp", f"127.0.0.1:{mailbox.port}", "--group", folder.name, "--state", str(folder)]
        options += ["--addresses", directory(folder / "addresses.json", known), "--base-url", self.base, "--port", str(self.port)]
        self.sender = Sender("email_sender", folder, *options)
        self.outbox = folder / "email.sqlite"

    def ends(self, *messages: Any) -> dict[str, int]:
        return ends(self.outbox, messages)


@pytest.fixture
def post(broker: str, mailbox: Mailbox, tmp_path: Path) -> Iterator[Post]:
    users = {f"{tmp_path.name}-{n}": f"u{n}@home.example" for n in range(60)}
    one = Post(broker, mailbox, tmp_path, users | {f"{tmp_path.name}-gone": "nobody@home.example"})
    yield one
    one.sender.kill()


async def told(broker: str, event: str, keys: set[str]) -> list[dict[str, object]]:
    """Feedback about these messages."""
    found = await records(broker, "headrace.conversion")
    return [one for one in found if one["event"] == event and one["properties"]["message_id"] in keys]


async def test_a_message_leaves_within_two_seconds_of_its_time_and_never_twice_late_or_without_an_address(
    broker: str, mailbox: Mailbox, post: Post, tmp_path: Path
) -> None:
    user, now = f"{tmp_path.name}-1", time.time()
    soon = ready("email", user, f"{tmp_path.name}-soon", leaves=now + 4.0, base=post.base)
    at_once = ready("email", user, f"{tmp_path.name}-now", leaves=now - 5.0, base=post.base)
    expired = ready("email", user, f"{tmp_path.name}-late", leaves=now - 60.0, by=now - 1.0)
    stranger = ready("email", f"{tmp_path.name}-nobody-knows", f"{tmp_path.name}-stranger", leaves=now)
    bounced = ready("email", f"{tmp_path.name}-gone", f"{tmp_path.name}-bounced", leaves=now)
    mailbox.busy = 1  # the first attempt is put off by the mail server
    await publish(broker, [soon, at_once, at_once, expired, stranger, bounced, soon, at_once])

    post.sender.start()
    await until(lambda: len(mailbox.got) >= 2, "both mails")
    every = (soon, at_once, expired, stranger, bounced)
    await until(lambda: post.ends(*every) == {"sent": 2, "expired": 1, "dropped": 1, "bounced": 1}, "the others to be decided")
    assert post.sender.stop() == 0

    arrived = {str(mail["Message-ID"]).partition("@")[0][1:]: at for at, _, _, mail in mailbox.got}
    assert set(arrived) == {soon.idempotency_key, at_once.idempotency_key}
    assert len(mailbox.got) == 2
    waited_s = arrived[soon.idempotency_key] - (now + 4.0)
    print(f"in the inbox {waited_s * 1000:.0f} ms after its not_before")
    assert 0.0 <= waited_s <= 2.0
    keys = {soon.message_id, at_once.message_id, bounced.message_id}
    assert Counter(one["properties"]["message_id"] for one in await told(broker, "Email Delivered", keys)) == {
        soon.message_id: 1,
        at_once.message_id: 1,
    }
    assert [one["properties"]["reason"] for one in await told(broker, "Email Bounced", keys)] == ["550 no such mailbox"]


def one_line(raw: bytes, name: str) -> bytes:
    """A header as it went over the wire. Fails where it is folded or there twice."""
    lines = raw.split(b"\r\n\r\n")[0].split(b"\r\n")
    at = [i for i, line in enumerate(lines) if line.lower().startswith(name.lower().encode() + b":")]
    assert len(at) == 1, f"{name}: {len(at)} times"
    assert not lines[at[0] + 1 : at[0] + 2] or not lines[at[0] + 1].startswith((b" ", b"\t")), f"{name} is folded"
    return lines[at[0]].partition(b":")[2].strip()


async def test_a_mail_can_be_signed_its_links_are_followed_back_and_one_click_ends_the_next(
    broker: str, mailbox: Mailbox, post: Post, tmp_path: Path
) -> None:
    user = f"{tmp_path.name}-1"
    first = ready("email", user, f"{tmp_path.name}-a", leaves=time.time(), base=post.base)
    await publish(broker, [first])
    post.sender.start()
    _, _, raw, mail = (await until(lambda: mailbox.got, "the first mail"))[0]

    for name in SIGN:
        one_line(raw, name)
    assert one_line(raw, "List-Unsubscribe-Post") == b"List-Unsubscribe=One-Click"
    assert one_line(raw, "List-Unsubscribe").decode() == first.unsubscribe.list_unsubscribe
    assert max(map(len, raw.split(b"\r\n"))) <= 998 and b"\n" not in raw.replace(b"\r\n", b"")
    assert all(byte < 128 for byte in raw)
    body = mail.get_body(("html",))
    assert isinstance(body, EmailMessage)
    page = body.get_content()
    assert "Grüner Tee 绿茶" in page
    ticket = page.partition("/o/")[2].partition(".gif")[0]

    leave = first.unsubscribe.list_unsubscribe.partition(">")[0].lstrip("<")
    async with aiohttp.ClientSession() as web_client:
        async with web_client.get(f"{post.base}/c/{ticket}/0", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://shop.example/p/tea?decision_token=t&link_id=cta")
        async with web_client.get(f"{post.base}/c/{ticket}/7") as answer:
            assert answer.status == 404
        for _ in range(2):
            async with web_client.get(f"{post.base}/o/{ticket}.gif") as answer:
                assert answer.content_type == "image/gif"
        async with web_client.get(leave) as answer:  # as mail scanners do
            assert answer.status == 200 and "<button>" in await answer.text()
        assert await told(broker, "Unsubscribed", {first.message_id}) == []
        async with web_client.post(leave, data={"List-Unsubscribe": "Two-Click"}) as answer:
            assert answer.status == 400
        async with web_client.post(leave.replace("token-of", "forged"), data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 404
        async with web_client.post(leave, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 200

    service = ready("email", user, f"{tmp_path.name}-c", leaves=time.time(), category="transactional")
    second = ready("email", user, f"{tmp_path.name}-b", leaves=time.time())
    await publish(broker, [second, service])
    await until(lambda: post.ends(second, service) == {"sent": 1, "dropped": 1}, "the next two")
    assert len(mailbox.got) == 2
    post.sender.stop()

    assert [one["properties"] for one in await told(broker, "Email Link Clicked", {first.message_id})] == [
        {"message_id": first.message_id, "link_id": "cta"}
    ]
    opened = await told(broker, "Email Opened", {first.message_id})
    assert len({one["messageId"] for one in opened}) == 1  # two loads of the picture are one opening
    assert [one["userId"] for one in await told(broker, "Unsubscribed", {first.message_id})] == [user]


KILLS = 2


async def survive(sender: Sender, taken: Callable[[], int], done: Callable[[], bool], *, rng: Random) -> None:
    """Kill a sender in the middle of its work, twice, and let the third go on to the end."""
    for _ in range(KILLS):
        await asyncio.to_thread(sender.start)
        had = taken()
        await until(lambda had=had: taken() >= had + 5, "some messages")  # type: ignore[misc]
        await asyncio.sleep(rng.random() * 0.3)
        sender.kill()
    await asyncio.to_thread(sender.start)
    await until(done, "every message", seconds=30.0)


async def test_senders_that_are_killed_again_and_again_lose_and_show_nothing_twice(
    broker: str, mailbox: Mailbox, post: Post, fcm: tuple[FcmStandIn, str], tmp_path: Path
) -> None:
    cloud, url = fcm
    cloud.busy = 2  # requests that FCM puts off
    name, now, port = tmp_path.name, time.time() + 1.0, free_port()
    phones = {f"{name}-{n}": f"phone-{n % 40}" for n in range(60)} | {f"{name}-gone": "gone-1"}
    options = ["--kafka", broker, "--fcm", url, "--group", f"{name}-push", "--state", str(tmp_path), "--port", str(port)]
    push = Sender("push_sender", tmp_path, *options, "--tokens", directory(tmp_path / "tokens.json", phones))
    mails = [ready("email", f"{name}-{n}", f"{name}-{n}", leaves=now + n * 0.08) for n in range(60)]
    pushes = [ready("push", f"{name}-{n}", f"{name}-{n}", leaves=now + n * 0.08) for n in range(60)]
    late = ready("push", f"{name}-1", f"{name}-late", leaves=now - 60.0, by=now - 2.0)
    gone = ready("push", f"{name}-gone", f"{name}-gone", leaves=now)
    await publish(broker, [one for pair in zip(mails, pushes, strict=True) for one in pair] + [pushes[0], mails[0], late, gone])
    file = tmp_path / "push.sqlite"
    pushed = {"sent": 60, "expired": 1, "dropped": 1}
    try:
        await asyncio.gather(
            survive(post.sender, lambda: len(mailbox.got), lambda: post.ends(*mails) == {"sent": 60}, rng=Random(7)),
            survive(push, lambda: len(cloud.taken), lambda: ends(file, [*pushes, late, gone]) == pushed, rng=Random(11)),
        )
        _, first = cloud.taken[0]
        async with (
            aiohttp.ClientSession() as app,
            app.post(f"http://127.0.0.1:{port}/push/{first['data']['ticket']}/tapped") as answer,
        ):
            assert answer.status == 204
        assert (post.sender.stop(), push.stop()) == (0, 0)
    finally:
        push.kill()

    keys = {one.idempotency_key for one in mails}
    seen = Counter(message_id.partition("@")[0][1:] for message_id in mailbox.ids())
    assert set(seen) == keys
    assert sorted(tag for phone in cloud.shown.values() for tag in phone) == sorted(keys)  # each once, on one phone
    # The moment between a server's yes and our note of it cannot be closed with SMTP or FCM: a kill in it sends that one again, under
    # its own id, which a mailbox and a phone show once. Two hands, so at most two a kill.
    mails_again, pushes_again = sum(seen.values()) - 60, len(cloud.taken) - 60
    print(f"60 e-mails and 60 pushes, {KILLS} kills each: {mails_again} and {pushes_again} sent again under their own id")
    assert mails_again <= KILLS * 2 and pushes_again <= KILLS * 2
    assert [
        at
        for at, _, _, mail in mailbox.got
        if at < now + 0.08 * int(str(mail["Message-ID"]).partition("@")[0].rpartition("-")[2])
    ] == []
    assert first["android"]["collapse_key"] == "cart_abandonment"
    assert 3500 <= int(first["android"]["ttl"].removesuffix("s")) <= 3600
    for event in ("Email Delivered", "Push Notification Delivered"):
        delivered = await told(broker, event, keys)
        assert {one["properties"]["message_id"] for one in delivered} == keys
        assert len({one["messageId"] for one in delivered}) == 60  # Headrace counts each once, however often it is told
    assert [one["userId"] for one in await told(broker, "Push Notification Tapped", keys)] == [first["data"]["message_id"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"n": 1}}, "must be a string"),
        ({"data": {"from": "x"}}, "not reserved"),
        ({"android": {"ttl": "2419201s"}}, "four weeks"),
        ({"android": {"ttl": 60}}, "seconds with an s"),
        ({"android": {"colapse_key": "x"}}, "unknown name 'colapse_key'"),
        ({"apns": {"headers": {"apns-collapse-id": "x" * 65}}}, "64 bytes"),
        ({"notification": {"body": "x" * 4100}}, "4096 bytes"),
        ({"token": ""}, "token is missing"),
    ],
)
def test_the_stand_in_refuses_what_fcm_refuses(change: dict[str, object], said: str) -> None:
    good = {"token": "t", "notification": {"title": "a"}, "data": {"n": "1"}, "android": {"ttl": "60s", "collapse_key": "x"}}
    assert checked(json.dumps({"message": good})) == good

    with pytest.raises(Refused, match=said):
        checked(json.dumps({"message": good | change}))


def test_a_phone_that_is_off_keeps_four_collapse_keys() -> None:
    cloud = FcmStandIn()
    cloud.off.add("t")
    for n in range(6):
        cloud._take({"token": "t", "android": {"collapse_key": f"k{n % 5}"}})

    assert list(cloud.waiting["t"]) == ["k2", "k3", "k4", "k0"]


def test_a_message_that_was_on_its_way_in_a_crash_is_known_and_an_end_is_final(tmp_path: Path) -> None:
    before = Outbox(tmp_path / "one.sqlite")
    begun = before.begin("k", message_id="m", user_id="ana", group="g", token="t", links=["a", "b"])
    before.close()  # as if killed

    after = Outbox(tmp_path / "one.sqlite")
    again = after.begin("k", message_id="m", user_id="ana", group="g", token="other", links=[])
    assert again == begun
    assert after.find("k").state == "trying"  # type: ignore[union-attr]
    after.end("k", "sent")
    assert [entry.key for entry in after.unreported()] == ["k"]
    after.reported("k")
    assert after.unreported() == []
    after.leave(begun)
    assert after.has_left("ana", "g", published_s=time.time() + 30)  # written before Headrace knew
    assert not after.has_left("ana", "g", published_s=time.time() + 90)  # and after they came back
    after.close()


@pytest.mark.parametrize(("uncertain", "left", "end"), [("repeat", 0, "trying"), ("drop", 1, "dropped")])
async def test_a_message_of_which_nobody_knows_whether_it_was_taken_is_sent_again_or_never(
    tmp_path: Path, uncertain: str, left: int, end: str
) -> None:
    outbox = Outbox(tmp_path / "one.sqlite")
    faults: list[Later] = [Later("busy"), Later("busy"), Unsure("it hung up"), Later("busy")]

    async def send(message: dict[str, Any], published_s: float) -> None:
        outbox.begin(message["idempotency_key"], message_id="m", user_id="ana", group="g", token="", links=[])
        raise faults.pop(0)

    before = Once(outbox, send, uncertain=uncertain)
    for _ in range(3):  # put off twice, which leaves nothing open; then the line breaks
        with pytest.raises(Later):
            await before.deliver({"idempotency_key": "k"}, 0.0)
    assert len(faults) == 1

    after = Once(outbox, send, uncertain=uncertain)  # the process died there
    with suppress(Later):
        await after.deliver({"idempotency_key": "k"}, 0.0)

    assert (len(faults), outbox.find("k").state) == (left, end)  # type: ignore[union-attr]
    outbox.close()
