# SPDX-License-Identifier: Apache-2.0
"""One service of the user's, in a process of its own, to be hurt: ``python -m holdfast.testing.service billing:hf``.

As ``holdfast run`` in the least it can be: it finds the Holdfast, arms the named points that the environment asks for
(``points``), says ``{"event": "running"}`` on stdout and works until SIGTERM. Nothing of it is for production: a
variable that kills a process must be read by nobody else.

``--lease-ms`` and ``--sweep-ms`` go over the settings of every consumer, because a test that kills a process would
otherwise wait for a lease of ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from .points import arm_from_env

if TYPE_CHECKING:
    from ..app import Holdfast


def found(app: str) -> Any:
    """The Holdfast called ``module:name``, from the current folder or from what is installed."""
    module, _, name = app.partition(":")
    if not module or not name:
        raise ConfigurationError(f"{app!r} names no Holdfast: write module:name, for example billing:hf")
    hf = getattr(import_module(module), name, None)
    if not hasattr(hf, "consumer"):
        raise ConfigurationError(f"{app} is a {type(hf).__name__}, not a Holdfast: name the object that @….consumer is "
                                 f"taken from")
    return hf


def hasten(hf: Holdfast, lease_ms: int | None = None, sweep_ms: int | None = None) -> None:
    """Puts shorter times over the settings of everything that ``hf`` has declared; None leaves one alone."""
    for declared in hf._declared:  # noqa: SLF001 - the kit may reach where a user must not
        own = declared.settings
        declared.settings = dataclasses.replace(own, lease_ms=lease_ms or own.lease_ms,
                                                sweep_ms=sweep_ms or own.sweep_ms)


async def serve(hf: Holdfast) -> None:
    """Runs it until a signal, and says first that it does."""
    async with hf:
        print(json.dumps({"event": "running", "pid": os.getpid()}), flush=True)  # noqa: T201 - this is how it talks
        await hf.run(signals=True)


def main(argv: Sequence[str]) -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="holdfast.testing.service")
    parser.add_argument("app")
    parser.add_argument("--url")
    parser.add_argument("--lease-ms", type=int)
    parser.add_argument("--sweep-ms", type=int)
    said = parser.parse_args(argv)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a word of sys.path, not a path of ours
    hf = found(said.app)
    hf.place(url=said.url)
    hasten(hf, lease_ms=said.lease_ms, sweep_ms=said.sweep_ms)
    arm_from_env()
    asyncio.run(serve(hf))


if __name__ == "__main__":
    main(sys.argv[1:])
