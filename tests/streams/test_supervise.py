"""The supervisor: workers stay alive, stop when told, and never outlive it."""

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from streams.ops.supervise import GIVE_UP, Backoff, Child, supervise

QUICK = Backoff(first_s=0.02, limit_s=0.05, healthy_s=5.0, tries=4)


def python(code: str, *, name: str = "worker", **env: str) -> Child:
    return Child(name=name, argv=(sys.executable, "-c", textwrap.dedent(code)), env=env)


SLEEPER = """
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (open(os.environ["NOTE"], "a").write("stopped"), sys.exit(0)))
    open(os.environ["NOTE"], "w").write("up ")
    time.sleep(60)
"""


async def until(happened, *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not happened():
            await asyncio.sleep(0.02)


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_the_pause_between_starts_doubles_up_to_its_limit():
    assert [Backoff().pause(n) for n in (1, 2, 3, 4, 10)] == [0.5, 1.0, 2.0, 4.0, 30.0]


async def test_a_worker_that_crashes_is_started_again(tmp_path):
    lives, stop = tmp_path / "lives", asyncio.Event()
    running = asyncio.create_task(
        supervise(
            [
                python(
                    """
                    import os, sys, time
                    with open(os.environ["LIVES"], "a") as f: f.write("x")
                    if len(open(os.environ["LIVES"]).read()) < 3: sys.exit(1)
                    time.sleep(60)
                    """,
                    LIVES=str(lives),
                )
            ],
            backoff=QUICK,
            stop=stop,
        )
    )
    await until(lambda: text(lives) == "xxx")
    stop.set()

    assert await running == 0


async def test_a_worker_that_never_lives_long_ends_the_whole_with_a_failure():
    assert await supervise([python("import sys; sys.exit(5)")], backoff=QUICK) == 1


async def test_a_worker_with_wrong_settings_is_not_tried_again_and_ends_its_siblings(tmp_path):
    note = tmp_path / "note"
    wrong = python(
        f"import os, sys, time\nwhile not os.path.exists({str(note)!r}): time.sleep(0.02)\nsys.exit({GIVE_UP})", name="wrong"
    )

    status = await supervise([python(SLEEPER, NOTE=str(note)), wrong], backoff=QUICK)

    assert status == GIVE_UP
    assert text(note) == "up stopped"


async def test_sigterm_stops_every_worker_and_is_a_clean_end(tmp_path):
    notes = [tmp_path / "a", tmp_path / "b"]
    running = asyncio.create_task(supervise([python(SLEEPER, NOTE=str(note)) for note in notes], backoff=QUICK))
    await until(lambda: all(text(note) == "up " for note in notes))
    os.kill(os.getpid(), signal.SIGTERM)

    assert await running == 0
    assert [text(note) for note in notes] == ["up stopped", "up stopped"]


async def test_a_worker_that_ignores_sigterm_is_ended_after_the_grace_time(tmp_path):
    note, stop = tmp_path / "note", asyncio.Event()
    deaf = python(
        """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(os.environ["NOTE"], "w").write("up")
        time.sleep(60)
        """,
        NOTE=str(note),
    )
    running = asyncio.create_task(supervise([deaf], grace_s=0.2, backoff=QUICK, stop=stop))
    await until(lambda: text(note) == "up")
    asked = time.monotonic()
    stop.set()

    assert await running == 0
    assert time.monotonic() - asked < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_workers_do_not_outlive_their_supervisor_however_it_ends(tmp_path, number):
    note, pid = tmp_path / "note", tmp_path / "pid"
    worker = textwrap.dedent(SLEEPER).replace(
        "time.sleep(60)",
        f"from streams.ops.supervise import end_with_parent; end_with_parent(); open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)",
    )
    parent = textwrap.dedent(
        f"""
        import asyncio, sys
        from streams.ops.supervise import Child, supervise
        sys.exit(asyncio.run(supervise([Child(name="w", argv=(sys.executable, "-c", {worker!r}), env={{"NOTE": {str(note)!r}}})])))
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, env=env)
    try:
        await until(lambda: text(pid) != "")
    finally:
        process.send_signal(number)
        await process.wait()
    await until(lambda: text(note) == "up stopped")

    assert not alive(int(text(pid)))


def alive(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]:
            return False  # ended; nobody has collected it yet
        time.sleep(0.02)
    return True
