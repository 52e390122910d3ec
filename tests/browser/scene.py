# SPDX-License-Identifier: Apache-2.0
"""What the browser looks at: a server, a shop whose orders died, and a console with people. No dead-letter service: the
console takes letters in, and sends them back, by itself.

All of it real processes on loopback, in a folder of their own. The passwords are this file's.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx2

from holdfast import Holdfast
from holdfast._base.secret import Secret
from holdfast.console import user
from holdfast.testing.process import Hurtable
from holdfast.testing.processes import Worker
from holdfast.testing.servers import Single
from holdfast.testing.waiting import wait_until
from tests.browser.shop import LONG_STREAM, SCRIPT, STREAM
from tests.cli.conftest import COMMAND, environment

#: Who may sign in. bea asks for what ana approves; vic looks.
PEOPLE = {"vic": "viewer", "bea": "operator", "ana": "approver"}
TOKEN = "t" * 32
#: A replay of more letters takes a second person.
APPROVE_ABOVE = 3
#: Two cores that eight others use need a while.
START_S = 90.0
#: Almost as long as a message may be.
HUGE = 990_000
LONG = "k" * 250


def password(name: str) -> str:
    """Of one of them."""
    return f"the password of {name}"


class Order(NamedTuple):
    """What the shop cannot use. Each kind dies of something of its own."""

    body: dict[str, Any]
    key: str | None = None
    stream: str = STREAM


def order(n: int = 0, *, kind: str = "order") -> Order:
    """One with an id of its own."""
    body = {"kind": kind, "id": f"{kind}-{secrets.token_hex(4)}", "amount": 10 + n}
    return Order(body | {"customer": {"email": "ada@example.org"}} if kind == "order" else body, f"customer-{n % 3}")


#: There from the beginning, for whoever only looks; what a test deals with it orders itself.
STANDING = (*map(order, range(6)), *(order(kind="credit") for _ in range(3)),
            Order({"kind": "order", "id": "plain", "amount": 1}),
            Order({"kind": "script", "id": "script", "say": SCRIPT}, SCRIPT[:60]),
            Order({"kind": "huge", "id": "huge", "note": "n" * HUGE}),
            Order({"kind": "long", "id": LONG}, LONG, LONG_STREAM))


class Scene:
    """All of it, from ``with`` to its end. letters: ids of letters by the ids of their orders."""

    def __init__(self, standing: Sequence[Order] = STANDING) -> None:
        self._standing = standing
        self.letters: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-browser-")))
            self.server = stack.enter_context(Single(config={"appendonly": "yes"}))
            self.shop = stack.enter_context(Worker.module("tests.browser.shop", self.server.url,
                                                          str(self.folder / "mended"), env=environment()))
            self.console = self._console(stack)
            self.url = self._address()
            self.dead(*self._standing)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- what it is made of

    def _console(self, stack: ExitStack) -> Hurtable:
        users, tokens = self.folder / "users", self.folder / "tokens"
        users.write_text("".join(f"{user(name, role, Secret(password(name))).line()}\n"
                                 for name, role in PEOPLE.items()))
        tokens.write_text(f"viewer.tests:{TOKEN}\n")
        said = stack.enter_context((self.folder / "console.log").open("wb"))
        console = Hurtable(
            [*COMMAND, "console", "--bind", "127.0.0.1:0", "--users", str(users), "--token-file", str(tokens),
             "--allow-changes", "--approve-above", str(APPROVE_ABOVE), "--url", self.server.url,
             "--desk", f"sqlite:///{self.folder}/desk.db"],
            cwd=self.folder, stdout=said, stderr=said, env=environment())
        stack.callback(console.kill)
        return console

    def _address(self) -> str:
        def found() -> str:
            if not self.console.alive:
                raise AssertionError(f"the console ended: {self.said}")
            address = re.search(r"the console is at (http://\S+);", self.said)
            return address[1] if address else ""

        return wait_until(found, START_S, "the console says where it is", poll_s=0.1)

    @property
    def said(self) -> str:
        """What the console wrote."""
        return (self.folder / "console.log").read_text(errors="replace")

    # -- what becomes of it

    def dead(self, *orders: Order) -> list[str]:
        """Orders these, and waits until the console has their letters; gives the letters' ids."""
        self.order(*orders)
        wanted = {one.body["id"] for one in orders}
        with httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False,
                           timeout=START_S) as client:
            def found() -> bool:
                cases = client.get("/api/letters", params={"limit": 1_000}).raise_for_status().json()
                self.letters |= {case["message_id"]: case["letter_id"] for case in cases}
                return wanted <= self.letters.keys()

            wait_until(found, START_S, f"{len(orders)} letters are there", poll_s=0.2)
        return [self.letters[one.body["id"]] for one in orders]

    def order(self, *orders: Order) -> None:
        """Orders these."""
        async def publish() -> None:
            async with Holdfast(self.server.url) as hf:
                for one in orders:
                    await hf.publish(one.stream, one.body, key=one.key, id=one.body["id"])

        asyncio.run(publish())

    def mend(self, *, whole: bool = True) -> None:
        """From now on the shop can use orders of kind ``stock``, or cannot."""
        (self.folder / "mended").unlink(missing_ok=True)
        if whole:
            (self.folder / "mended").touch()

    def applied(self, order: str, deadline_s: float = 20.0) -> dict[str, Any]:
        """The body that the shop used for this order, as soon as it has."""
        line = self.shop.wait_line(lambda said: said["applied"] == order, deadline_s)
        body: dict[str, Any] = line["body"]
        return body
