# SPDX-License-Identifier: Apache-2.0
"""Which server, which keys, which database: the only place that reads the environment.

The options stand before or after the command's name; after wins. The environment is asked once, at the root, so that an
option always wins over it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from .output import say

if TYPE_CHECKING:
    from .._base.secret import Resolver
    from .._redis.server import Server

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


@dataclass(slots=True)
class Settings:
    """What the options and the environment say. ``None``: not said."""

    url: str | None = None
    prefix: str | None = None
    data_dir: Path | None = None
    sql: str | None = None
    desk: str | None = None
    letter_prefix: str | None = None
    etcd: str | None = None
    zookeeper: str | None = None
    token_file: Path | None = None
    secrets: Path | None = None
    records: str | None = None
    debug: bool = False
    #: Names that the command line gave; the others come from the environment.
    typed: set[str] = field(default_factory=set)

    @property
    def own_prefix(self) -> str:
        """The prefix of our keys."""
        from .._redis.keys import DEFAULT_PREFIX

        return self.prefix or DEFAULT_PREFIX

    def named(self) -> tuple[dict[str, str], dict[str, str]]:
        """Which servers were named: by the command line, and by the environment."""
        values = {name: getattr(self, name) for name in ("url", "prefix", "data_dir", "records")}
        said = {name: str(value) for name, value in values.items() if value is not None}
        return ({name: value for name, value in said.items() if name in self.typed},
                {name: value for name, value in said.items() if name not in self.typed})


_FOLDER = click.Path(file_okay=False, path_type=Path)


def server_options(*, at_root: bool = False) -> Callable[[F], F]:
    """The options every command that talks to a server takes."""
    def decorate(command: F) -> F:
        for option in (
            _kept("--debug", "show tracebacks", is_flag=True, default=None),
            _named("--data-dir", "folder of the embedded server", asked=at_root, type=_FOLDER),
            _named("--prefix", "what our keys begin with; one a tenant (default hf)", asked=at_root),
            _named("--url", "redis://, rediss://, redis+sentinel:// or unix://", asked=at_root),
        ):
            command = option(command)
        return command

    return decorate


def sql_option(command: F) -> F:
    """``--sql``, for commands that look into the user's database."""
    return sql_option_for('the database behind once="sql"')(command)


def sql_option_for(what: str) -> Callable[[F], F]:
    """``--sql``, for commands that look for something else there."""
    return _named("--sql", f"{what}: postgresql+psycopg://…", asked=True)


def records_option(command: F) -> F:
    """``--records``, for consumers of another broker."""
    return _named("--records", "where effects and locks of amqp:// and kafka:// are recorded: redis://…",
                  asked=True)(command)


def desk_option(command: F) -> F:
    """``--desk``, for commands that work with dead letters in hand."""
    return _named("--desk", "database of the dead letters in hand: sqlite:///desk.db, postgresql+psycopg://…",
                  asked=True)(command)


def coordinator_options(command: F) -> F:
    """``--etcd`` and ``--zookeeper``, for commands whose records may lie there."""
    for option in (_named("--zookeeper", "host:2181,host:2181, with /chroot behind if wanted", asked=True),
                   _named("--etcd", "http://host:2379,http://host:2379", asked=True)):
        command = option(command)
    return command


def token_option(command: F) -> F:
    """``--token-file``, for commands that serve."""
    return _named("--token-file", "whoever asks has to send one of its tokens: a line each, NAME:TOKEN or TOKEN",
                  asked=True, type=click.Path(dir_okay=False, path_type=Path))(command)


def secrets_option(command: F) -> F:
    """``--secrets``, for commands that need addresses and keys."""
    return _named("--secrets", "folder with a file a secret: secret://name is its file `name`", asked=True,
                  type=_FOLDER)(command)


def letter_option(command: F) -> F:
    """``--letter-prefix``, for commands that read dead letters."""
    return _kept("--letter-prefix", "what the metadata fields of letters begin with (default x-dlq-)")(command)


def _named(flag: str, text: str, *, asked: bool, **more: Any) -> Callable[[F], F]:
    """An option that the environment may give as well; ``asked``: here is where it is looked up."""
    variable = f"HOLDFAST_{_name(flag).upper()}"
    return _kept(flag, f"{text}  [{variable}]", envvar=variable if asked else None, **more)


def _kept(flag: str, text: str, **more: Any) -> Callable[[F], F]:
    """An option whose value goes into ``Settings``, if there is one: what stands nearer to the end wins."""
    name = _name(flag)

    def keep(ctx: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            said = ctx.find_root().ensure_object(Settings)
            setattr(said, name, value)
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                said.typed.add(name)

    if not more.get("is_flag"):
        more = {"metavar": name.upper().replace("_", "-"), **more}
    return click.option(flag, name, help=text, expose_value=False, callback=keep, **more)


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def environment() -> Mapping[str, str]:
    """The environment, for what is no option: what a pod's cluster tells it."""
    return os.environ


def settings() -> Settings:
    """What was said, for the command that runs now."""
    return click.get_current_context().find_root().ensure_object(Settings)


def resolver() -> Resolver | None:
    """What resolves ``secret://name``: the folder of ``--secrets``. None: none was said."""
    from .._base.secret import FromFiles

    folder = settings().secrets
    return None if folder is None else FromFiles(folder)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine. Ctrl-C cancels it, so that what it opened is closed, and goes on as an exception."""
    return asyncio.run(work)


@asynccontextmanager
async def opened() -> AsyncIterator[Server]:
    """The server that was asked for; without a URL the embedded one of this folder, which is said on stderr."""
    from .._redis.open import open_server
    from ..errors import ServerUnreachable

    said = settings()
    try:
        server = await open_server(said.url, prefix=said.own_prefix, data_dir=said.data_dir)
    except TimeoutError as error:
        raise ServerUnreachable("the server did not answer in time") from error
    if server.kind == "embedded":
        say(f"no --url: using the embedded server of {_folder(said.data_dir)} ({server.url})")
    try:
        yield server
    finally:
        await server.close()


def _folder(data_dir: Path | None) -> Path:
    from .._redis.embedded import DEFAULT_DIR

    return data_dir or DEFAULT_DIR
