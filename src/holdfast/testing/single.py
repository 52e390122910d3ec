# SPDX-License-Identifier: Apache-2.0
"""One real server on a free loopback port, in a temporary folder. The other topologies are made of these."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .binaries import Binary, find_faketime, find_server
from .daemon import Daemon
from .ports import HOST
from .waiting import wait_until

#: A setting's value, or several lines of the same setting (``user``, ``save``).
Settings = Mapping[str, str | Sequence[str]]

_EMPTY = '""'


class Single(Daemon):
    """A server of its own, for as long as the ``with`` block lasts.

    flavour: ``valkey``, ``redis62`` or ``redis70``; see ``binaries``.
    config: lines of the configuration file. The default keeps everything in memory, so a restart forgets it; give
        ``{"appendonly": "yes", "appendfsync": "always"}`` for a server that does not.
    env: variables added to the server's environment.
    faketime_offset_s: starts the server with a wall clock that is so many seconds off (libfaketime); ``step_clock``
        changes it while it runs. None: the machine's own clock.

    Raises ``ServerMissing`` when the flavour, or libfaketime, is not installed.
    """

    mode: Sequence[str] = ()

    def __init__(
        self,
        flavour: str = "valkey",
        config: Settings | None = None,
        env: Mapping[str, str] | None = None,
        *,
        faketime_offset_s: float | None = None,
    ) -> None:
        super().__init__()
        self.binary: Binary = find_server(flavour)
        self.config: dict[str, str | Sequence[str]] = {**self._defaults(), **(config or {})}
        self._env = dict(env or {})
        self._faketime = None if faketime_offset_s is None else find_faketime(flavour)
        self._offset_s = faketime_offset_s or 0.0
        self._admin: Any = None

    def _defaults(self) -> dict[str, str | Sequence[str]]:
        return {"bind": HOST, "save": "", "appendonly": "no", "repl-diskless-sync-delay": "0"}

    # -- what it is

    @property
    def flavour(self) -> str:
        """As asked for: ``valkey``, ``redis62``, ``redis70``."""
        return self.binary.flavour

    @property
    def url(self) -> str:
        """``redis://…``, with the password if one is required."""
        password = self.config.get("requirepass")
        return f"redis://{f':{password}@' if password else ''}{HOST}:{self.port}/0"

    @property
    def admin(self) -> Any:
        """A synchronous ``redis.Redis`` of this very server. It never retries, and answers bytes."""
        if self._admin is None:
            self._admin = self._client()
        return self._admin

    # -- what can be done to it

    def step_clock(self, offset_s: float) -> None:
        """From now on the server's wall clock is ``offset_s`` off; returns when its TIME says so.

        Only when started with ``faketime_offset_s``.
        """
        if self._faketime is None:
            raise ValueError("the server runs on the machine's clock: start it with faketime_offset_s=0.0")
        self._offset_s = offset_s
        self._write_offset()
        if self.alive and not self.paused:
            wait_until(self._has_stepped, 5, f"the clock of {self!r} is {offset_s:+} s off")

    def _has_stepped(self) -> bool:
        """Valkey answers TIME from a clock it has read a moment before: a step takes a moment to show."""
        slack_s = 0.05
        earliest = time.time() + self._offset_s - slack_s
        seconds, micros = self.admin.time()
        latest = time.time() + self._offset_s + slack_s
        return bool(earliest <= seconds + micros / 1e6 <= latest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.binary} port {self.port}>"

    # -- how

    def _not_yet(self) -> tuple[type[Exception], ...]:
        return driver_errors()

    def _choose_ports(self) -> None:
        super()._choose_ports()
        self._write_config()

    def _command(self) -> list[str]:
        return [str(self.binary.path), str(self.folder / "server.conf"), *self.mode]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), **self._env, **self._faketime_env()}

    def _answers(self) -> bool:
        """That *something* answers on the port is not enough: the pid tells our server from another's."""
        info: Any = self.admin.info("server")
        return bool(info["process_id"] == self.pid and not self._loading())

    def _loading(self) -> bool:
        info: Any = self.admin.info("persistence")
        return bool(info.get("loading"))

    def _write_config(self) -> None:
        """One line a value. The server rewrites this file itself when a Sentinel or CONFIG REWRITE tells it to."""
        lines = [f"port {self.port}", f"dir {self.folder}"]
        for name, value in self.config.items():
            values = [value] if isinstance(value, str) else value
            lines += [f"{name} {one or _EMPTY}" for one in values]
        (self.folder / "server.conf").write_text("\n".join(lines) + "\n")

    def _faketime_env(self) -> dict[str, str]:
        if self._faketime is None:
            return {}
        self._write_offset()
        # The offset comes from a file, read at every call, so that it can change while the server runs. Elapsed time
        # stays true: a wall clock that is off must not also make the server's timers wrong.
        return {
            "LD_PRELOAD": str(self._faketime),
            "FAKETIME_TIMESTAMP_FILE": str(self.folder / "faketime"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def _write_offset(self) -> None:
        fresh = self.folder / "faketime.new"
        fresh.write_text(f"{self._offset_s:+f}\n")
        fresh.rename(self.folder / "faketime")

    def _client(self) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        password = self.config.get("requirepass")
        return redis.Redis(
            HOST,
            self.port,
            password=password if isinstance(password, str) else None,
            socket_timeout=5,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )

    def _hang_up(self) -> None:
        """A client that outlived its server would greet the next one on a dead connection."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def driver_errors() -> tuple[type[Exception], ...]:
    """What a server that still starts, loads or elects makes the driver raise."""
    import redis

    return (redis.exceptions.RedisError, OSError)
