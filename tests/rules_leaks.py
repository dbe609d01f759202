"""The search for bytes that reach somebody who may not read them.

A session of a user under random rules: an owner writes canaries everywhere, rules change, the user
subscribes, writes, guesses, lies about where they stand, loses connections. Every byte that reaches
the user's device is kept, bodies decompressed, and searched for canaries.

A canary may be found if, at some time, the user might read what it was written to: the present
value of a plain field, and what was written to it while they might read it, even if that lost;
anything that was ever put into a collection, whose state remembers what was removed; the key of an
object.

Every other seed has a schema, and objects that link to one another: there the user asks for what
others decide, by conditions behind links, windows, FOLLOW. Whatever they hold in the end has to be
what their set finds among all that they may read: anything else would tell of what they may not.

    python tests/rules_leaks.py FIRST COUNT       the campaign: one line for each seed that leaks
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from members_oracle import brought, restricted
from replicas import Edit
from server_devices import Device, World
from test_rules_roles import role

from replication.crdt import object as obj
from replication.crdt.container import property_container
from replication.crdt.edit import Scope
from replication.crdt.object import absent, is_alive
from replication.crdt.view import object_view, queryable
from replication.model.property import Property
from replication.model.schema import ClassSchema, Schema
from replication.model.values import Link
from replication.protocol.body import decompressed
from replication.protocol.messages import Download, Message
from replication.protocol.messages import encode as encoded
from replication.query import parse
from replication.rules.read import read_rules
from replication.rules.roles import Granted, Rules
from replication.server.policy import described
from replication.server.users import User
from replication.server.view import hidden

CANARY = re.compile(rb"canary-\d+-")
LINKS = ("ref", "vault")
#: Fields of an embedded object, and of those in a list; `w` says whose it is.
INNER = ("r", "t", "m", "w")
PLAIN = ("owner", "r", "n", *LINKS, "e.r", "e.t")
COLLECTIONS = ("s", "d", "l", "e.m", "o.r", "o.t", "o.m")
PLACES = (*PLAIN, *COLLECTIONS)
#: What is written to, and read, in a world without links or embedded objects; and with either.
BASE = ("owner", "r", "n", "s", "d", "l")
FIELDS = (*BASE, *LINKS)
NESTED = (*BASE, "e.r", "e.t", "e.m", "o.r", "o.t", "o.m")
CLASSES = ("Book", "Vault")
TYPES = {"owner": "string?", "r": "string?", "n": "int?", "s": "set<string>", "d": "dict<string>",
         "l": "list<string>", "ref": "link:Book", "vault": "link:Vault"}  # fmt: skip
EMBEDDED = [Property.of("e", "embedded:Inner"), Property.of("o", "list<embedded:Inner>")]
SCHEMA = Schema(
    [
        *(
            ClassSchema(
                name,
                [
                    *(Property.of(f, kind, queryable=f != "d") for f, kind in TYPES.items()),
                    *EMBEDDED,
                ],
                key="string",
            )
            for name in CLASSES
        ),
        ClassSchema("Inner", [Property.of(f, "mixed" if f == "m" else "string?") for f in INNER]),
    ]
)
#: Found where a user holds what what they may read does not bring.
PROBED = b"something that may not be read decides what is held"


#: What is asked of other objects, too.
BEYOND = [
    "vault.r BEGINSWITH 'canary'", "vault.n > 1 OR ref.n == 0", "ref.vault.n > 0",
    "TRUEPREDICATE FOLLOW(vault)", "n != 0 FOLLOW(*)", "TRUEPREDICATE FOLLOW(ref.vault)",
    "TRUEPREDICATE SORT(n DESC) LIMIT(1)", "TRUEPREDICATE SORT(vault.r DESC) LIMIT(1) FOLLOW(*)",
    "TRUEPREDICATE DISTINCT(owner)", "TRUEPREDICATE DISTINCT(vault.owner)",
    "ref.owner == 'ann' UNION n > 1 LIMIT(1) FOLLOW(ref, 2)", "vault.s.@count > 0",
]  # fmt: skip


class Listener(Device):
    """A device that keeps every byte that reaches it."""

    def __init__(self, world: World, user: str) -> None:
        self.heard = bytearray()
        super().__init__(world, user)

    def hear(self, message: Message) -> None:
        self.heard += encoded(message)
        if isinstance(message, Download):
            self.heard += decompressed(message.size, message.body)

    def step(self) -> bool:
        if not self.inbox and self.pump is not None:
            self.inbox += self.pump.poll(1)
        if self.inbox:
            self.hear(self.inbox[0])
        return super().step()


class Search:
    """One world. `leaks` are the canaries that were found and should not have been."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        #: Links and queries that follow them; embedded objects and filters that look into them.
        self.linked, self.nested = seed % 3 == 1, seed % 3 == 2
        self.places = FIELDS if self.linked else NESTED if self.nested else BASE
        self.count = 0
        self.rules = self.some_rules()
        self.world = World(
            schema=SCHEMA if self.linked or self.nested else None,
            development=self.nested,  # there any field may be asked for
            rules=lambda _name: self.rules,
            bytes_target=rng.choice([1, 10**6, 10**6]),
            entries_max=rng.choice([3, 1000, 1000]),
        )
        #: What was put where, and what may be found.
        self.put: dict[tuple[str, Any, str], set[bytes]] = {}
        #: What was put there since the last look, and what might be read at that.
        self.fresh: dict[tuple[str, Any, str], set[bytes]] = {}
        self.readable: set[tuple[str, Any, str]] = set()
        self.allowed: set[bytes] = set()
        self.owner = Device(self.world, "owner")
        self.owner.subscribe(Book="TRUEPREDICATE", Vault="TRUEPREDICATE")
        self.owner.run()
        self.keys = [(name, self.canary()) for name in ("Book", "Book", "Vault")]
        if self.linked:
            self.keys += [(name, self.canary()) for name in CLASSES]
        self.ann = Listener(self.world, "ann")
        self.subscribe()

    @property
    def leaks(self) -> set[bytes]:
        return set(CANARY.findall(bytes(self.ann.heard))) - self.allowed

    def canary(self) -> str:
        self.count += 1
        return f"canary-{self.count}-" + "x" * self.rng.choice([0, 0, 300])

    # -- rules -----------------------------------------------------------------------------------
    def some_rules(self) -> Rules:
        rng = self.rng
        mine = {"owner": "%%user.id"}
        filters: list[Any] = [True, mine, mine, {"n": {"$gt": 1}}, {"owner": {"$ne": "bob"}}]
        filters.append({"owner": {"$exists": False}})
        if self.nested:
            filters += [{"e.w": "%%user.id"}, {"o.w": {"$ne": "bob"}}]
        everything = role("owner", {"%%user.id": "owner"})

        def some(name: str) -> dict[str, Any]:
            more: dict[str, Any] = {}
            if rng.random() < 0.7:
                tops = [*dict.fromkeys(name.partition(".")[0] for name in self.places)]
                shown = rng.sample(tops, 5 if self.linked else 3)
                more["fields"] = {f: self.some_access(f) for f in shown}
            both = {"read": rng.choice(filters), "write": rng.choice(filters)}
            return role(name, True, document_filters=both, **more)

        vault = (
            [everything]
            if rng.random() < (0.4 if self.linked else 0.8)
            else [everything, some("visitor")]
        )
        content = {"default_roles": [everything, some("reader")], "rules": {"Vault": vault}}
        return read_rules(json.dumps(content))

    def some_access(self, name: str) -> dict[str, Any]:
        rng = self.rng
        if name in ("e", "o") and rng.random() < 0.7:
            shown = rng.sample(INNER, rng.randint(1, 2))
            return {"fields": {f: {"read": True, "write": rng.random() < 0.4} for f in shown}}
        return {"read": True, "write": rng.random() < 0.4}

    def note(self) -> None:
        """What the user may read now may be found."""
        roles = self.rules.bind(described(User("ann")))
        before, self.readable = self.readable, set()
        fresh, self.fresh = self.fresh, {}
        for (class_name, key), state in self.world.states().items():
            granted = roles.of(class_name)
            if not isinstance(granted, Granted) or not is_alive(state):
                continue
            fields = queryable(state)
            if not granted.read.matches(fields.get):
                continue
            self.allowed |= set(CANARY.findall(str(key).encode()))
            view = object_view(state) or {}
            for name in PLACES:
                if not granted.readable.has(name.split(".")):
                    continue
                place = (class_name, key, name)
                self.readable.add(place)
                if place in before:
                    self.allowed |= fresh.get(place, set())
                if name in COLLECTIONS:
                    self.allowed |= self.put.get(place, set())
                self.allowed |= set(CANARY.findall(repr(_shown(view, name)).encode()))

    # -- what happens ----------------------------------------------------------------------------
    def fill(self, device: Device, name: tuple[str, Any]) -> None:
        rng = self.rng
        names = rng.sample(self.places, rng.randint(1, 3))
        names += [rng.choice(LINKS)] if self.linked else []
        drawn = {f: self.canary() for f in sorted({*names, rng.choice(["owner", "r"])})}
        for field, text in drawn.items():
            for held in (self.put, self.fresh):
                held.setdefault((*name, field), set()).update(CANARY.findall(text.encode()))

        def act(edit: Edit) -> None:
            if not is_alive(edit.view):
                edit.create()
            elif rng.random() < 0.05:
                edit.delete()
                return
            scope = edit.scope()
            for field, text in drawn.items():
                if field == "owner":
                    scope.set("owner", rng.choice(["ann", "bob"]))
                elif field in LINKS:
                    wanted = "Book" if field == "ref" else "Vault"
                    keys = [key for name, key in self.keys if name == wanted]
                    scope.set(field, Link(wanted, rng.choice(keys)))
                elif field == "n":
                    scope.set("n", rng.randint(0, 3))
                elif field == "r":
                    scope.set("r", text)
                elif field == "s":
                    scope.set_member("s", text, present=True)
                    for member in (edit.view[3].get(2, {}).get("s") or [0, []])[1][:1]:
                        scope.set_member("s", text, present=rng.random() < 0.7 or not member)
                elif field == "d":
                    scope.put_item("d", text, text)
                elif field == "l":
                    scope.list_insert("l", edit.editor(scope, "l"), 0, [text])
                else:
                    self.inside(edit, field, text)

        device.write(act, name)

    def inside(self, edit: Edit, place: str, text: str) -> None:
        """Write into the embedded object, or into one in the list."""
        inner, field = self.inner(edit, place[0]), place[2]
        inner.set("w", self.rng.choice(["ann", "bob"]))
        held = property_container(inner.view, "m")
        if field != "m":
            inner.set(field, text)
        elif held is None or self.rng.random() < 0.3:
            edit.nested(inner).set("m", [text])
        else:
            inner.list_insert(held, edit.editor(inner, held), 0, [text])

    def inner(self, edit: Edit, name: str) -> Scope:
        scope, rng = edit.scope(), self.rng
        if name == "e":
            held = edit.view[3].get(obj.EMBEDDED, {}).get("e", absent())
            if not is_alive(held) or rng.random() < 0.1:
                return scope.create_embedded("e", edit.start_of((obj.EMBEDDED, "e"), held[0]))
            return scope.embedded("e")
        editor = edit.editor(scope, "o")
        if not len(editor) or rng.random() < 0.4:
            (here,) = scope.list_insert("o", editor, 0, [None])
        else:
            here = editor.id_at(rng.randrange(len(editor)))
        return scope.element("o", editor, here)

    def subscribe(self) -> None:
        pool = ["TRUEPREDICATE"] * 4
        pool += ["n > 0", "r != 'x'", "owner == 'ann'", "n == 2 OR s.@count > 0"]
        pool += ["e.w == 'ann'"] if self.nested else []
        pool = BEYOND if self.linked and self.rng.random() < 0.8 else pool
        queries = {"Book": self.rng.choice(pool)}
        if self.rng.random() < 0.3:  # refused, where there is no role for it
            queries["Vault"] = "TRUEPREDICATE"
        self.ann.subscribe(**queries)
        self.ann.run()

    def guess(self) -> None:
        """The user writes to what they may not even know of; it is no leak to be told its key."""
        name = self.rng.choice(self.keys)
        self.allowed |= set(CANARY.findall(name[1].encode()))
        before = dict(self.put)
        self.fill(self.ann, name)
        self.put = before
        for number in self.ann.pending:
            self.allowed |= set(CANARY.findall(self.ann.pending[number]))
        self.ann.run()

    def lie(self) -> None:
        """They say they stand further back than they do."""
        self.ann.cut()
        self.ann.cursor = self.ann.cursor_salt = 0
        self.ann.synced.clear()
        self.ann.versions.clear()
        self.ann.connect()
        self.ann.run()

    def turn(self) -> None:
        choice = self.rng.random()
        if choice < 0.5:
            name = self.rng.choice(self.keys)
            for _ in range(self.rng.choice([1, 1, 2, 4, 6])):
                self.fill(self.owner, name)
                self.owner.run()
                self.note()
        elif choice < 0.57:
            self.rules = self.some_rules()
            self.world.host.rules_changed()
        elif choice < 0.7:
            self.guess()
        elif choice < 0.76:
            self.subscribe()
        elif choice < 0.8:
            self.ann.cut()
        elif choice < 0.83:
            self.lie()
        elif choice < 0.9:
            self.ann.step()
        else:
            if self.ann.session is None:
                self.ann.connect()
            self.ann.run()

    def run(self, turns: int = 30) -> set[bytes]:
        """The canaries that leaked."""
        for _ in range(turns):
            self.note()
            self.turn()
        self.note()
        if self.ann.session is None:
            self.ann.connect()
        self.ann.run()
        return self.leaks | self.probed()

    def probed(self) -> set[bytes]:
        """Whether the user holds anything else than what they may read brings."""
        if not self.linked or self.ann.session is None:
            return set()
        roles = self.rules.bind(described(User("ann")))
        held, states = restricted(self.world.states(), roles)
        texts = {}
        for name, text in self.ann.active.items():
            granted = roles.of(name)
            if isinstance(granted, Granted) and not hidden(parse(text), granted.readable):
                texts[name] = text
        wanted = brought(held, texts, SCHEMA)
        return set() if self.ann.holds() == {name: states[name] for name in wanted} else {PROBED}


def _shown(view: dict[str, Any], name: str) -> Any:
    """What is at a place."""
    first, _, inner = name.partition(".")
    found = view.get(first)
    if not inner or not found:
        return found
    return found.get(inner) if type(found) is dict else [each.get(inner) for each in found]


def main(first: int, count: int) -> None:
    """The campaign."""
    found = heard = 0
    for seed in range(first, first + count):
        search = Search(seed)
        leaks = search.run()
        heard += len(search.ann.heard)
        if leaks:
            found += 1
            print(f"seed {seed}: {sorted(leaks)}; python tests/rules_leaks.py {seed} 1")
    print(f"{count} sessions, {heard} bytes searched, {found} leak")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
