# SPDX-License-Identifier: Apache-2.0
"""From a pipeline's file to what it is made of. Secrets are resolved here, and functions of the user's imported."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError
from .context import settings
from .output import one_line, say

if TYPE_CHECKING:
    from .._base.events import Events
    from ..logs.config import Config, Place
    from ..logs.dead_lines import DeadLines
    from ..logs.sink import Sink
    from ..logs.stages import Stages

MISUSE = 2


def config_argument(command: Any) -> Any:
    """CONFIG, a pipeline's file. It arrives read, as ``config``."""
    return click.argument("config", metavar="CONFIG", callback=_read,
                          type=click.Path(exists=True, dir_okay=False, path_type=Path))(command)


def _read(ctx: click.Context, _: click.Parameter, path: Path | None) -> Any:
    from ..logs.config import load

    if path is None or ctx.resilient_parsing:
        return path
    try:
        return load(path)
    except ConfigurationError as error:
        for line in str(error).splitlines():  # a line a mistake
            say(f"error: {one_line(line)}")
        return ctx.exit(MISUSE)


def stages_of(config: Config) -> Stages:
    """Parser and transforms. ConfigurationError for a function that is not there."""
    from ..logs.stages import Stages

    return Stages(config.parser(), [_function(one) if isinstance(one, str) else one for one in config.transforms])


def _function(dotted: str) -> Any:
    from .plan import imported

    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    module_name, _, name = dotted.partition(":")
    found = getattr(imported(module_name, here), name, None)
    if not callable(found):
        raise ConfigurationError(f"transform {dotted!r}: module {module_name!r} has no function {name!r}")
    return found


def sink_of(config: Config, events: Events | None = None) -> Sink:
    """The sink, not open yet. ConfigurationError, MissingExtra, SecretUnavailable."""
    from ..logs.sinks import sink_class

    kind, options = config.sink.kind, _revealed(config.sink)
    if kind in ("elastic", "otlp", "stream"):
        options["secrets"] = _resolver()
    if kind == "stream":
        options = {**_server(), **options}
    if kind in ("queue", "stream") and events is not None:
        options["events"] = events
    if kind == "sql":
        options["source"] = options.pop("url")
    made: Sink = sink_class(kind)(**options)
    return made


def dead_of(config: Config) -> DeadLines:
    """Where dead lines are kept, with its quota, not open yet."""
    from ..logs import dead as dead_kinds
    from ..logs.dead import Limited, Quota

    kinds = {"file": "FileDeadLines", "queue": "BrokerDeadLines", "sql": "SqlDeadLines", "stream": "StreamDeadLines"}
    options = _revealed(config.dead)
    if config.dead.kind == "sql":
        options["source"] = options.pop("url")
    if config.dead.kind == "stream":
        options = {**_server(), **options, "secrets": _resolver()}
    inner: DeadLines = getattr(dead_kinds, kinds[config.dead.kind])(**options)
    return inner if config.quota == Quota() else Limited(inner, config.quota)


@asynccontextmanager
async def opened_dead(config: Config) -> AsyncIterator[DeadLines]:
    """The dead lines for a command's time. What lies in the file of last resort is not among them, and is said."""
    if config.emergency.exists() and (size := config.emergency.stat().st_size):
        say(f"{size} bytes of dead lines lie in {config.emergency} until the pipeline can move them here")
    dead = dead_of(config)
    try:
        await dead.open()
        yield dead
    finally:
        await dead.close()


def _server() -> dict[str, Any]:
    """The server of ``--url``, where the file names none."""
    said = settings()
    return {"url": said.url, "prefix": said.own_prefix}


def _revealed(place: Place) -> dict[str, Any]:
    from .._base.secret import Secret, SecretRef, resolve

    options = dict(place.options)
    url = options.get("url")
    if isinstance(url, Secret | SecretRef):
        known = resolve(url, _resolver())
        options["url"] = known.reveal() if known is not None else None
    return options


def _resolver() -> Any:
    from .context import resolver

    return resolver()
