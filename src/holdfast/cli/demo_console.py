# SPDX-License-Identifier: Apache-2.0
"""``holdfast demo --console``: the console on what a run of the demo has left, until Ctrl-C.

Its port is taken and its libraries are loaded before the run begins, so that what is missing is not found out at the
end. Somebody signs in with a password that is made for this one run.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from .output import say

if TYPE_CHECKING:
    from ..console import Console
    from ..demo.run import Stage
    from .plan import Address

#: Who signs in.
NAME = "demo"


class Visit:
    """One console, on one run. Raises ConfigurationError (the address), MissingExtra."""

    def __init__(self, bind: Address) -> None:
        from .._base.serving import listen
        from ..console import check_bind, create_app

        check_bind(bind[0], sign_in=True, tls=False, proxy=False)
        self._stage: Stage | None = None
        self._password = secrets.token_urlsafe(12)
        self._console = self._made(bind[0])
        self._app = create_app(self._console)
        self._listening = listen(*bind, option="--bind: ")

    def _made(self, host: str) -> Console:
        from .._base.secret import Secret
        from ..console import Console, ConsoleSettings, user
        from ..console.headers import LOCAL_NAMES

        return Console(self._server, self._desk, users={NAME: user(NAME, "approver", Secret(self._password))},
                       settings=ConsoleSettings(allow_changes=True, hosts=LOCAL_NAMES | {host.lower()}))

    async def _server(self) -> Any:
        from .._redis.open import open_server

        stage = self._standing()
        return await open_server(stage.url, data_dir=stage.data_dir)

    async def _desk(self) -> Any:
        from ..deadletters.desk import Desk

        return await Desk(self._standing().desk).open()

    def _standing(self) -> Stage:
        from ..errors import HoldfastError

        if self._stage is None:
            raise HoldfastError("the demo is not done yet")
        return self._stage

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    async def to_end(self, stage: Stage) -> None:
        """Serves the console on this stage until Ctrl-C or SIGTERM."""
        from .._base.serving import address_of
        from ..console.serving import serve

        self._stage = stage
        stop = asyncio.Event()

        def welcome() -> None:
            say(f"the console is at {address_of(self._listening, tls=False)}: sign in as {NAME} with the password "
                f"{self._password}")
            say("what died can be looked at, edited, and sent back to a worker; Ctrl-C ends it, and nothing stays")

        def ended() -> None:
            self._console.stopping.set()
            stop.set()

        with _signals(ended):
            try:
                await serve(self._app, self._listening, stop, started=welcome)
            finally:
                await self._console.close()
        say("taking everything down")


@contextmanager
def _signals(ended: Any) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM is an orderly end; what comes after that is dealt with as before."""
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def first() -> None:
        back()
        ended()

    def back() -> None:
        for number in numbers:
            if loop.remove_signal_handler(number):
                signal.signal(number, before[number])

    for number in numbers:
        loop.add_signal_handler(number, first)
    try:
        yield
    finally:
        back()
