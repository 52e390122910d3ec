# SPDX-License-Identifier: Apache-2.0
"""A server of our own for laptops, tests and demos: one for each data folder, shared by every process that opens it.

::

    .holdfast/
        users.lock     held shared by every user; whoever leaves and gets it alone was the last, and stops the server
        start.lock     held alone while finding or starting the server
        server.lock    held by the server process itself, from its start to its end
        server.json    port and password, readable by the owner only; written before the server starts
        server.log     what the server says
        data/          its append-only file

The append-only file is synced every second: a crash of the machine may lose the last second, a crash of the server
nothing that was answered. Nothing is evicted. ``daemonize`` gives the server a session of its own, so Ctrl-C in a
terminal does not reach it. When all users are killed it goes on, and the next user finds it. When it is killed itself,
the next user starts it under the old port and password, so that links of older users find it again.

A port on 127.0.0.1 with a random password was chosen over a Unix socket: the path of a socket may have 107 bytes, which
folders of tests and CI exceed, so the port would be needed anyway, and any tool can be pointed at it. The password goes
through stdin, never into a process list.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .._base.chance import Chance
from .._base.typed import from_json
from ..errors import ServerError, ServerUnreachable
from .binary import find_binary
from .endpoint import Access, Endpoint
from .filelock import FileLock
from .keys import DEFAULT_PREFIX
from .link import ask
from .route import Fixed, Question
from .server import Server

DEFAULT_DIR = Path(".holdfast")

#: Longest wait for a start (a large append-only file is read meanwhile), a stop, or another process's turn.
PATIENCE_S = 30.0


class Address(msgspec.Struct, frozen=True):
    """What ``server.json`` holds."""

    port: int
    password: str

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    @property
    def access(self) -> Access:
        return Access(options={"password": self.password})


async def open_embedded(
    data_dir: Path | None = None, *, prefix: str = DEFAULT_PREFIX, chance: Chance | None = None
) -> Server:
    """Finds or starts the server of ``data_dir`` (default ``.holdfast`` in the current folder) and counts as its user.

    Closing the returned Server ends the use; the last user stops the server. Raises MissingExtra without a server
    binary, ServerUnreachable with the end of its log when it does not start.
    """
    home = Home((data_dir or DEFAULT_DIR).absolute())
    address = await home.enter()
    route = Fixed(address.access, address.endpoint)
    return Server(
        "embedded", route, f"redis://{address.endpoint}", prefix=prefix, chance=chance, on_close=home.leave
    )


@dataclass
class Home:
    """The data folder of one embedded server, as one user sees it."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / ".gitignore").write_text("*\n")
        self._users = FileLock(self.folder / "users.lock")
        self._state = self.folder / "server.json"

    async def enter(self) -> Address:
        """Becomes a user; the server runs when this returns."""
        await self._users.shared(PATIENCE_S)
        start = FileLock(self.folder / "start.lock")
        try:
            await start.alone(PATIENCE_S)
            return await self._find_or_start()
        except BaseException:
            self._users.release()
            raise
        finally:
            start.release()

    async def leave(self) -> None:
        """Stops being a user. Nobody can enter while the last one stops the server: they wait for ``users.lock``."""
        if not self._users.try_alone():
            return
        try:
            await self._stop()
        finally:
            self._users.release()

    async def _find_or_start(self) -> Address:
        running = FileLock(self.folder / "server.lock")
        address = self._address()
        while True:
            if not running.try_alone():
                started, address = False, self._address()
            else:
                started, address = True, self._start(running, address or Address(_free_port(), secrets.token_hex(16)))
            if address is not None and await self._answers(address):
                return address
            if started and not self._port_was_taken():
                raise ServerUnreachable(f"the embedded server of {self.folder} did not start: " + self._last_words())
            address = None

    def _address(self) -> Address | None:
        """The address written last. There always is one when a server runs: it is written first."""
        try:
            return from_json(self._state.read_bytes(), Address)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _start(self, running: FileLock, address: Address) -> Address:
        """Starts a server that inherits ``running``; our own hold ends here, its hold when it ends."""
        try:
            (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
            self._write(address)
            subprocess.run(  # returns when the server has daemonized itself
                [find_binary(), "-"],
                input=configuration(address, self.folder).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(running.descriptor,),
                timeout=PATIENCE_S,
                check=False,
            )
        finally:
            running.release()
        return address

    def _write(self, address: Address) -> None:
        draft = self._state.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_bytes(msgspec.json.encode(address))
        draft.replace(self._state)

    async def _answers(self, address: Address) -> bool:
        """True when the server answers, False when it has ended. Waits while it reads its data."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            try:
                await ask(Question(address.endpoint, address.access, ("PING",)), 2.0)
            except ServerError as error:
                cause = error
            else:
                return True
            if not self._runs():
                return False
            await asyncio.sleep(0.02)
        raise ServerUnreachable(
            f"the embedded server of {self.folder} runs and does not answer ({cause}); server.log there may say why"
        )

    def _runs(self) -> bool:
        lock = FileLock(self.folder / "server.lock")
        if not lock.try_alone():
            return True
        lock.release()
        return False

    def _port_was_taken(self) -> bool:
        """Somebody had the port, perhaps for long: worth another try with another port."""
        return "already in use" in self._last_words()

    def _last_words(self) -> str:
        log = self.folder / "server.log"
        return " | ".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else "it left no log"

    async def _stop(self) -> None:
        address = self._address()
        if address is None or not self._runs():
            return
        # It hangs up instead of answering. Whether it ended, its lock tells.
        with contextlib.suppress(ServerUnreachable):
            await ask(Question(address.endpoint, address.access, ("SHUTDOWN", "NOSAVE")), PATIENCE_S)
        ended = FileLock(self.folder / "server.lock")
        await ended.alone(PATIENCE_S)
        ended.release()


def configuration(address: Address, folder: Path) -> str:
    """The server's configuration file."""
    lines = {
        "bind": "127.0.0.1",
        "port": address.port,
        "requirepass": address.password,
        "daemonize": "yes",
        "pidfile": _quoted(folder / "server.pid"),
        "logfile": _quoted(folder / "server.log"),
        "dir": _quoted(folder / "data"),
        "save": '""',
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _free_port() -> int:
    """Below the range from which the kernel serves outgoing connections: while the server is down nobody slips in."""
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
