"""Who a stored value belongs to: a live profile, an alias of another shopper, or somebody erased.

A batch loads each person once, follows an anonymous id to the known one, and writes each changed profile once. Keys are salted
hashes; ids stand only inside the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from models.profile import Profile, ProfileError, blank, decode, encode
from models.profile.state import ALIASES_KEPT
from streams.store import ERASED, Blob, ItemChange, Read, Ref, Store, UserWrite, erased_at

ALIAS = b"\x00alias"  # followed by: length of the user id it now belongs to (2 bytes), that id, the frozen profile if any
MAX_HOPS = ALIASES_KEPT + 1  # one person has no more ids than that, however they came together
PROFILE_TTL_S = 180 * 86400.0


@dataclass
class Person:
    """One shopper as read for a batch."""

    ref: Ref
    user_id: str
    version: int
    profile: Profile
    changed: bool = False


@dataclass
class Frozen:
    """An anonymous profile on its way into a known one."""

    ref: Ref
    version: int
    profile: Profile


def alias_bytes(target: str, profile: Profile | None) -> bytes:
    """The stored form of "this id is `target`", with the profile that must still be merged."""
    name = target.encode()
    return ALIAS + len(name).to_bytes(2, "big") + name + (encode(profile) if profile is not None else b"")


def read_alias(data: bytes) -> tuple[str, bytes]:
    """(target id, frozen profile or empty)."""
    start = len(ALIAS) + 2
    end = start + int.from_bytes(data[len(ALIAS) : start], "big")
    return data[start:end].decode(), data[end:]


@dataclass
class People:
    """All shoppers of one batch, by the id that the event carried."""

    store: Store
    dim: int
    by_id: dict[str, Person | None] = field(default_factory=dict)  # None: erased
    aliases: dict[str, str] = field(default_factory=dict)  # id -> id it belongs to
    frozen: dict[str, Frozen] = field(default_factory=dict)  # alias id -> its profile, not merged yet as far as it knows
    erased: dict[str, int] = field(default_factory=dict)  # id -> version of the tombstone
    erased_at: dict[str, float] = field(default_factory=dict)  # id -> event time of its erasure
    versions: dict[str, int] = field(default_factory=dict)  # id -> of its stored value, as read
    fences: dict[tuple[str, int], int] = field(default_factory=dict)
    changes: Sequence[ItemChange] = ()
    corrupt: int = 0
    hashed: dict[str, Ref] = field(default_factory=dict)  # id -> its name in the store, once asked
    gone: set[Ref] = field(default_factory=set)  # erased, of those that were asked for by ref

    def get(self, user_id: str) -> Person | None:
        """The live person behind `user_id`, None when erased."""
        return self.by_id[self.resolve(user_id)]

    def resolve(self, user_id: str) -> str:
        for _ in range(MAX_HOPS):
            if user_id not in self.aliases:
                break
            user_id = self.aliases[user_id]
        return user_id

    def refs(self, user_id: str) -> Ref:
        ref = self.hashed.get(user_id)
        if ref is None:
            ref = self.hashed[user_id] = self.store.ref(user_id)
        return ref

    def freeze(self, user_id: str, target: str, person: Person) -> Frozen:
        """From now on `user_id` is `target`."""
        self.aliases[user_id] = target
        self.by_id.pop(user_id, None)
        frozen = self.frozen[user_id] = Frozen(person.ref, person.version, person.profile)
        self.versions[user_id] = person.version
        return frozen

    def forget(self, user_id: str, *, at: float) -> None:
        """Erased: whatever the batch changed of this person is not written."""
        self.by_id[user_id] = None
        self.aliases.pop(user_id, None)
        self.frozen.pop(user_id, None)
        self.erased[user_id] = self.versions[user_id] = (
            self.versions.get(user_id, 0) + 1
        )  # the tombstone is written before profiles
        self.erased_at[user_id] = max(at, self.erased_at.get(user_id, at))

    def revive(self, user_id: str) -> Person:
        """A new, empty profile where a tombstone was."""
        user_id = self.resolve(user_id)
        person = Person(
            ref=self.refs(user_id), user_id=user_id, version=self.erased.get(user_id, 0), profile=blank(user_id, self.dim)
        )
        self.by_id[user_id] = person
        return person

    def writes(self) -> list[UserWrite]:
        return [
            UserWrite(ref=p.ref, expected=p.version, data=encode(p.profile), ttl_s=PROFILE_TTL_S)
            for p in self.by_id.values()
            if p is not None and p.changed
        ]


async def load(
    store: Store,
    user_ids: Iterable[str],
    *,
    dim: int,
    fences: Sequence[tuple[str, int]] = (),
    catalog_seq: int | None = None,
) -> People:
    """Read everybody in one round trip; one more for each level of aliases, if there are any."""
    people = People(store=store, dim=dim)
    wanted = list(dict.fromkeys(user_ids))
    first = True
    for _ in range(MAX_HOPS):
        if not wanted and not first:
            break
        refs = {user_id: people.refs(user_id) for user_id in wanted}
        read: Read = await store.read(
            list(refs.values()), fences=fences if first else (), catalog_seq=catalog_seq if first else None
        )
        if first:
            people.fences, people.changes = dict(read.fences), read.changes
        first = False
        following: list[str] = []
        for user_id, ref in refs.items():
            blob = read.users.get(ref, Blob(0, b""))
            people.versions[user_id] = blob.version
            if blob.data.startswith(ALIAS):
                target, kept = read_alias(blob.data)
                people.aliases[user_id] = target
                if kept:
                    try:
                        people.frozen[user_id] = Frozen(ref, blob.version, decode(kept))
                    except ProfileError:
                        people.corrupt += 1
                following.append(target)
            else:
                people.by_id[user_id] = _open(people, ref, user_id, blob, dim=dim)
        wanted = [one for one in dict.fromkeys(following) if one not in people.versions]
    for user_id in wanted:  # more hops than one person has ids, which nothing here writes: the last is read as its own person
        people.corrupt += 1
        blob = (await store.read([people.refs(user_id)])).users.get(people.refs(user_id), Blob(0, b""))
        known = None if blob.data.startswith(ALIAS) else _open(people, people.refs(user_id), user_id, blob, dim=dim)
        people.by_id[user_id] = known or Person(people.refs(user_id), user_id, blob.version, blank(user_id, dim))
    _untie(people, dim=dim)
    return people


def _untie(people: People, *, dim: int) -> None:
    """Two workers that made two ids aliases of each other at once: the first of them by name is the person, whoever looks."""
    done: set[str] = set()
    for start in sorted(people.aliases):
        path: list[str] = []
        one = start
        while one in people.aliases and one not in done and one not in path:
            path.append(one)
            one = people.aliases[one]
        if one in path:
            root = min(path[path.index(one) :])
            held = people.frozen.pop(root, None)
            del people.aliases[root]
            profile = held.profile if held is not None else blank(root, dim)
            people.by_id[root] = Person(people.refs(root), root, people.versions[root], profile)
        done |= set(path)


def _open(people: People, ref: Ref, user_id: str, blob: Blob, *, dim: int) -> Person | None:
    if blob.data.startswith(ERASED):
        people.erased[user_id] = blob.version
        people.erased_at[user_id] = erased_at(blob.data) or 0.0
        return None
    if not blob.data:
        return Person(ref=ref, user_id=user_id, version=blob.version, profile=blank(user_id, dim))
    try:
        return Person(ref=ref, user_id=user_id, version=blob.version, profile=decode(blob.data))
    except ProfileError:
        people.corrupt += 1  # a worker never dies of a stored value: start anew, and say so in the metrics
        return Person(ref=ref, user_id=user_id, version=blob.version, profile=blank(user_id, dim))


async def load_refs(store: Store, refs: Sequence[Ref], *, dim: int, catalog_seq: int | None) -> tuple[People, dict[Ref, Person]]:
    """Live people by their stored name, in one round trip; aliases, erased and absent ones are left out."""
    read = await store.read(list(dict.fromkeys(refs)), catalog_seq=catalog_seq)
    people = People(store=store, dim=dim, changes=read.changes)
    by_ref: dict[Ref, Person] = {}
    for ref, blob in read.users.items():
        if not blob.data or blob.data.startswith((ERASED, ALIAS)):
            if blob.data.startswith(ERASED):
                people.gone.add(ref)
            continue
        try:
            profile = decode(blob.data)
        except ProfileError:
            people.corrupt += 1
            continue
        person = Person(ref=ref, user_id=profile.user_id, version=blob.version, profile=profile)
        people.by_id[profile.user_id] = person
        by_ref[ref] = person
    return people, by_ref
