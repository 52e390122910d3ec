# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip audit``: what an agent's defences decided, and whether that was changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError
from .output import say, show

if TYPE_CHECKING:
    from ..gossip.defence.audit import Head


@click.group("audit")
def audit() -> None:
    """The log of what an agent with --defend decided: refusals, bans, admissions."""


@audit.command("verify")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--head", metavar="NUMBER:HASH",
              help="where the log has to end, as an earlier run of this command said; it shows an end that was cut off")
def verify(file: Path, head: str | None) -> int:
    """Is each record of FILE the one that was written, and none missing?

    Each record holds the hash of the one before. Exit code 1: a record was changed, left out, put in or moved; the line
    is named. Whoever can write the file can also write all of it anew: keep what this command prints elsewhere, and
    give it as --head later.
    """
    from ..gossip.defence.audit import head_of
    from ..gossip.defence.audit import verify as broken_in

    try:
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    wanted = None if head is None else _head(head)
    kept = lines if wanted is None else lines[:wanted.number]
    broken = broken_in(lines) or broken_in(kept, wanted)
    if broken is not None:
        say(f"{file}, line {broken.line}: {broken.why}" if broken.line else f"{file}: {broken.why}")
        return 1
    end = head_of(lines)
    show(f"{end.number}:{end.hash}")
    say(f"{end.number} records, as they were written")
    return 0


def _head(text: str) -> Head:
    from ..gossip.defence.audit import Head

    number, colon, digest = text.partition(":")
    if not colon or not number.isascii() or not number.isdigit():
        raise click.UsageError(f"--head {text!r}: NUMBER:HASH is wanted, as this command prints it")
    return Head(int(number), digest)
