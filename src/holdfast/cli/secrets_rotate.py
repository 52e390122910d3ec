# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets rotate``: a new value, in force everywhere before the old one ends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .output import json_option, print_fields, print_json
from .params import DURATION
from .secrets import name_argument, vault, wanted

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..secrets import Found
    from ..secrets.rotation import Report, Rotator


class _Alone:
    """A secret that no service has to be told of: whoever uses it reads it."""

    def create(self, current: Secret[bytes] | None) -> Secret[bytes]:
        from ..secrets.rotation import password

        return password(os.urandom)

    def set(self, found: Found) -> None:
        """Nobody is told."""

    def test(self, found: Found) -> None:
        """There is nowhere to log in."""

    def disable(self, found: Found) -> None:
        """Nobody took it."""


@click.command("rotate")
@name_argument
@click.option("--redis", "redis_urls", multiple=True, metavar="URL", help="every server that has the user, each once; "
              "with the name and password of who may change users")
@click.option("--user", help="of Redis or Valkey, whose password NAME is")
@click.option("--postgres", metavar="URL", help="the database, with a user that may change roles")
@click.option("--users", type=(str, str), metavar="A B", help="two roles of PostgreSQL that take turns")
@click.option("--wait", "wait_s", type=DURATION, default="60s", show_default=True,
              help="for processes that use the secret to acknowledge the new one")
@click.option("--resume", is_flag=True, help="go on with a rotation whose rotator ended")
@click.option("--abort", is_flag=True, help="go back: the old value is in force again")
@json_option
def rotate(*, name: str, redis_urls: Sequence[str], user: str | None, postgres: str | None,
           users: tuple[str, str] | None, wait_s: float, resume: bool, abort: bool, as_json: bool) -> int:
    """Rotate NAME: make a new value, set it at the service, test it, bring it into force, wait for acknowledgements,
    and end the old one. Without a service it is a new random value.

    Exit code 1: it waits for processes that have not acknowledged, which are named; the old value works. Resume it, or
    abort it.
    """
    from ..secrets.rotation import FolderRegistry, Rotation

    if resume and abort:
        raise click.UsageError("say --resume or --abort, not both")
    rotator = _rotator(redis_urls, user, postgres, users)
    with vault() as opened:
        if not resume and not abort:
            opened.history(name)  # what is not there is not rotated
        rotation = Rotation(opened, rotator, FolderRegistry(wanted().users), wait_s=wait_s)
        report = rotation.abort(name) if abort else rotation.resume(name) if resume else rotation.rotate(name)
    if report is None:
        print_json(None) if as_json else print_fields([(name, "no rotation is under way")])
        return 0
    _print(report, as_json=as_json)
    return 0 if report.finished or abort else 1


def _print(report: Report, *, as_json: bool) -> None:
    said: dict[str, Any] = {"name": report.name, "stage": report.stage.value, "before": report.before,
                            "after": report.after, "stragglers": list(report.stragglers), "why": report.why}
    if as_json:
        return print_json(said)
    return print_fields([(key, " ".join(value) if isinstance(value, list) else str(value))
                         for key, value in said.items() if value not in ("", [])])


def _rotator(redis_urls: Sequence[str], user: str | None, postgres: str | None,
             users: tuple[str, str] | None) -> Rotator:
    if bool(redis_urls) != (user is not None) or (postgres is None) != (users is None) or (redis_urls and postgres):
        raise click.UsageError("say --redis with --user, or --postgres with --users, or neither")
    if redis_urls and user is not None:
        from ..secrets.rotation.redis_user import RedisUser

        return RedisUser(user, redis_urls)
    if postgres is not None and users is not None:
        from ..secrets.rotation.sql_user import PostgresUsers

        return PostgresUsers(postgres, users)
    return _Alone()


COMMANDS: dict[str, click.Command] = {"rotate": rotate}
