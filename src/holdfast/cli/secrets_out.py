# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets``: what goes out of a vault or comes into it, and the search for what got out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError
from ..secrets.own import OWN
from .context import environment
from .output import json_option, print_json, print_table, say, show
from .secrets import PASSPHRASE_VARIABLE, beside, guarded, store_of, vault
from .secrets_server import TOKEN_VARIABLE, server, server_options

if TYPE_CHECKING:
    from ..secrets import SecretStore
    from ..secrets.scan import Known


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.option("--to", "places", multiple=True, metavar="VARIABLE=NAME",
              help="the variable is told the path of a file in memory that holds the secret")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@server_options()
def exec_(*, places: Sequence[str], program: Sequence[str]) -> None:
    """Run a program that is handed secrets in files in memory: `exec --to PASSWORD_FILE=db/password -- program args`.

    `{db/password}` in an argument stands for such a path, too. Neither environment nor arguments hold a secret.
    """
    from ..secrets.handing import Handed, replace_process, wanted

    pairs = [place.partition("=") for place in places]
    if any(not mark for _, mark, _ in pairs):
        raise click.UsageError("--to is written VARIABLE=team/service/password")
    told = {variable: name for variable, _, name in pairs}
    names = wanted(told, program)
    with store_of() as store:
        values = {name: store.get(name).value for name in names}
    with Handed(values) as handed:
        base = dict(environment())
        for variable in (PASSPHRASE_VARIABLE, TOKEN_VARIABLE):  # guard: what opens the store is not handed on
            base.pop(variable, None)
        replace_process(handed.arguments(program), handed.environment(told, base), handed)


@click.command("scan")
@click.argument("path", type=click.Path(exists=True, path_type=Path), default=".")
@click.option("--known", is_flag=True, help="look for the values in the vault as well, in every form")
@click.option("--skip", multiple=True, help="a name, or a pattern of paths, that is left out besides the usual ones")
@click.option("--ignore", "ignored_in", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="fingerprints, a line each, of what is known to be none")
@server_options()
@json_option
def scan(*, path: Path, known: bool, skip: Sequence[str], ignored_in: Path | None, as_json: bool) -> int:
    """Look for secrets that lie about at or below PATH. Says where, and never what.

    Exit code 1: some do, or a file could not be looked at.
    """
    from ..secrets.scan import SKIPPED, Unread
    from ..secrets.scan import scan as scanned

    ignored = ignored_in.read_text("utf-8").split() if ignored_in is not None else []
    unread: list[Unread] = []
    found = list(scanned(path, _known() if known else None, skip=(*SKIPPED, *skip), ignored=ignored,
                         unread=unread.append))
    for one in unread:
        say(f"{one.path} was not looked at: {one.why}")
    if as_json:
        print_json(found)
    else:
        for leak in found:
            what = f"{leak.kind} {leak.secret}".strip()
            show(f"{leak.path}:{leak.line}:{leak.column}: {what} ({leak.fingerprint})")
    return 1 if found or unread else 0


def _known() -> Known:
    from ..secrets import State
    from ..secrets.scan import Known

    with store_of() as store:
        return Known({name: [store.get(name, version=one.number).value for one in store.history(name)
                             if one.state is State.LIVE]
                      for name in store.names() if not name.startswith(OWN)})


@click.command("migrate")
@click.argument("source")
@click.argument("names", nargs=-1)
@click.option("--overwrite", is_flag=True, help="also what the vault has another value of: it gets a new version")
@click.option("--dry-run", is_flag=True, help="say what would be done")
@server_options()
@json_option
def migrate(*, source: str, names: Sequence[str], overwrite: bool, dry_run: bool, as_json: bool) -> int:
    """Copy secrets from SOURCE into the vault, to the server or to the nodes that the options before the command say.

    SOURCE is `env:PREFIX`, `dotenv:FILE`, `files:FOLDER`, `aws:PREFIX`, `vault:FILE`, `server:URL[,URL]` or
    `nodes:CIRCLE`; the last three are opened by the same options as a target of their kind. Versions and labels go
    along where both keep them; what does not is said. What was copied is read back and compared; cut short, run it
    again. Variables and .env files cannot be listed: say NAMES, `db/password` for DB_PASSWORD.

    Exit code 1: some differ, or failed.
    """
    from ..secrets.migrating import Outcome
    from ..secrets.migrating import migrate as migrated

    with _source(source) as origin, store_of() as store:
        rows = list(migrated(origin, store, names or None, overwrite=overwrite, dry_run=dry_run))
    if as_json:
        print_json([{"name": one.name, "outcome": one.outcome.value, "versions": one.versions, "why": one.why,
                     "left": one.left} for one in rows])
    else:
        print_table(("name", "outcome", "versions", "why", "left"), [
            (one.name, one.outcome.value, one.versions, one.why, one.left) for one in rows])
    return 1 if any(one.outcome in (Outcome.DIFFERS, Outcome.FAILED) for one in rows) else 0


def _source(text: str) -> AbstractContextManager[SecretStore]:
    from ..secrets.adapters import AwsStore, DotenvStore, EnvironmentStore, MountedStore

    def nodes(where: str) -> AbstractContextManager[SecretStore]:
        from .secrets_nodes import shares_on

        return shares_on(Path(where))

    kind, _, where = text.partition(":")
    makers: dict[str, Callable[[str], AbstractContextManager[SecretStore]]] = {
        "env": lambda prefix: closing(EnvironmentStore(prefix, environment())),
        "aws": lambda prefix: closing(AwsStore(prefix=prefix)), "dotenv": lambda path: closing(DotenvStore(path)),
        "files": lambda folder: closing(MountedStore(folder)), "vault": _of_vault,
        "server": lambda addresses: server().store(addresses.split(",")), "nodes": nodes}
    if kind not in makers or not (where or kind in {"env", "aws"}):
        raise ConfigurationError(f"{text!r} is no place to copy from: write env:PREFIX, dotenv:FILE, files:FOLDER, "
                                 "aws:PREFIX, vault:FILE, server:URL or nodes:CIRCLE")
    return makers[kind](where)


@contextmanager
def _of_vault(where: str) -> Iterator[SecretStore]:
    path = Path(where)
    with vault(path) as opened, guarded(opened, beside(path, ".audit")) as store:
        yield store


COMMANDS: dict[str, click.Command] = {"exec": exec_, "scan": scan, "migrate": migrate}
