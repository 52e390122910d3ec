# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets``: what opens a vault, shares, who may what, and the audit."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError, SecretsSealed
from ..secrets.own import AUDIT_KEY
from .output import json_option, print_json, print_table, say, show
from .secrets import audit_key, guarded, passphrase_in, passphrase_said, seal_of, vault, wanted
from .secrets_server import seal_servers, server_options, unseal_servers

if TYPE_CHECKING:
    from ..secrets.shares import Share
    from ..secrets.vault import Seal
    from ..secrets.vault.seals import Shares

_file = click.Path(dir_okay=False, path_type=Path)


def _lines(path: Path) -> list[str]:
    """Not empty, of a file or of standard input."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"shares cannot be read from {path}: "
                                 f"{getattr(error, 'strerror', None) or 'not in UTF-8'}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _shares(path: Path) -> list[Share]:
    from ..secrets.shares import Share

    return [Share.from_text(line) for line in _lines(path)]


def shares_in(path: Path) -> Shares:
    """What opens a vault with the shares in that file."""
    from ..secrets.shares import restore
    from ..secrets.vault.seals import Shares

    given = _shares(path)
    return Shares(lambda: restore(given))


# -- seals ------------------------------------------------------------------------------------------------------------

@click.group("seal", invoke_without_command=True)
@server_options()
@click.pass_context
def seal(ctx: click.Context, /) -> None:
    """What opens the vault: each of its seals does, for itself.

    Without a command, and with --server: have the servers drop all keys. Who may policy holdfast/seal may do that.
    """
    if ctx.invoked_subcommand is None:
        if not wanted().place == "server":
            raise click.UsageError("say ls, add or remove; or --server URL, to seal a server")
        seal_servers()


@seal.command("ls")
@json_option
def seal_ls(*, as_json: bool) -> None:
    """List the seals: their ids and kinds."""
    from .._base.letter_text import iso

    with vault() as opened:
        rows = [{"id": one.id, "kind": one.kind, "made": iso(one.made)} for one in opened.seals]
    if as_json:
        return print_json(rows)
    return print_table(("id", "kind", "made"), [tuple(row.values()) for row in rows])


@seal.command("add")
@click.option("--passphrase", "passphrase_file", type=_file, metavar="FILE", help="the first line of a file")
@click.option("--key", "key_file", type=_file, metavar="FILE", help="32 random bytes or more in a file")
@click.option("--in-keyring", metavar="ACCOUNT", help="a key in the operating system's keyring, made if need be")
@click.option("--shares", "shares", type=(click.IntRange(1), click.IntRange(1)), metavar="K N",
              help="N shares, of which any K open it; they are printed, a line each, and kept nowhere")
def seal_add(*, passphrase_file: Path | None, key_file: Path | None, in_keyring: str | None,
             shares: tuple[int, int] | None) -> None:
    """Add one more way to open the vault."""
    given = sum(one is not None for one in (passphrase_file, key_file, in_keyring, shares))
    if given != 1:
        raise click.UsageError("say one of --passphrase, --key, --in-keyring and --shares")
    with vault() as opened:
        if shares is not None:
            new, texts = _in_shares(*shares)
            made = opened.add_seal(new)
            try:
                show("\n".join(texts))
                sys.stdout.flush()
            except BaseException:
                opened.remove_seal(made.id)  # guard: no seal is left that nobody has
                raise
            return say(f"{shares[1]} shares, any {shares[0]} of which open the vault: give each to somebody else")
        added = opened.add_seal(seal_of(replace(wanted(), passphrase_file=passphrase_file, key_file=key_file,
                                                keyring=in_keyring, shares_file=None)))
        return show(added.id)


def _in_shares(k: int, n: int) -> tuple[Seal, list[str]]:
    from .._base.secret import Secret
    from ..secrets.shares import split
    from ..secrets.vault.seals import Shares

    key = Secret(os.urandom(32))
    made, _ = split(key, k, n, os.urandom)
    return Shares(lambda: key), [share.to_text().reveal() for share in made]


@seal.command("remove")
@click.argument("id_", metavar="ID")
def seal_remove(id_: str) -> None:
    """Take one way to open the vault away. Older copies of the file still open that way: `rekey` then."""
    with vault() as opened:
        opened.remove_seal(id_)


@click.command("unseal")
@click.option("--new-passphrase-file", type=_file, metavar="FILE", help="add a seal: the first line of this file")
@server_options()
def unseal(new_passphrase_file: Path | None) -> int:
    """Try what opens the vault, and read all of it: is every byte what it was?

    With --shares-file this is the drill for the day when a passphrase is lost; --new-passphrase-file ends that day.

    With --server: unseal servers, by a passphrase (--passphrase-file, the environment, or the first line of standard
    input) or by shares, which may come from several people, one after another. Exit code 1: more shares are wanted.
    """
    from ..secrets.vault import Passphrase

    asked = wanted()
    if asked.place == "server":
        if asked.key_file or asked.keyring or new_passphrase_file:
            raise click.UsageError("a server is unsealed by a passphrase, or by --shares-file: keys of the server's "
                                   "machine open it there, as it starts")
        if asked.shares_file is not None:
            return unseal_servers(None, _lines(asked.shares_file))
        return unseal_servers(passphrase_said())
    with vault() as opened:
        found = opened.verify()
        if new_passphrase_file is not None:
            opened.add_seal(Passphrase(passphrase_in(new_passphrase_file)))
    say(f"it opens, and holds: {found.secrets} secrets, {found.versions} versions, generation {found.generation}")
    return 0


@click.command("rekey")
@click.option("--values", is_flag=True, help="encrypt each value again, too: where keys of values may be known")
def rekey(*, values: bool) -> None:
    """Seal the vault under new keys. What opens it stays as it is."""
    with vault() as opened:
        opened.rekey(values=values)
        say(f"epoch {opened.epoch}")


# -- backups ----------------------------------------------------------------------------------------------------------

@click.command("backup")
@click.argument("file", type=_file)
def backup(file: Path) -> None:
    """Copy the vault into FILE, sealed as it is, and FILE.pin, which says where it stands; both are read back.

    Keep both elsewhere, and neither beside what opens them. Older copies open by what opened the vault then.
    """
    if os.path.lexists(file):  # guard: no backup is written over
        raise ConfigurationError(f"there is something at {file} already: give each backup a name of its own")
    with vault() as opened:
        head = opened.backup(file)
    say(f"{file} is the vault at generation {head.generation}")


@click.command("restore")
@click.argument("file", type=_file)
@click.option("--adopt", is_flag=True, help="also where the vault had come further on this machine: that is lost")
def restore(file: Path, *, adopt: bool) -> None:
    """Put the backup FILE in the vault's place, once all of it was read and its pin fits. Stop a server of it first.

    What opens the backup is what opened the vault when it was made.
    """
    from ..secrets.serve.terms import only_one
    from ..secrets.vault import Vault

    asked = wanted()
    with only_one(asked.term), Vault.restore(file, asked.path, seal_of(asked), adopt=adopt, pin=asked.pin) as found:
        say(f"{asked.path} is at generation {found.generation}, with {len(found.names())} names")


# -- shares -----------------------------------------------------------------------------------------------------------

@click.group("shares")
def shares() -> None:
    """Keep anything secret in n shares, of which any k give it back and fewer say nothing."""


@shares.command("split")
@click.option("-k", "k", required=True, type=click.IntRange(1, 255), help="how many give it back")
@click.option("-n", "n", required=True, type=click.IntRange(1, 255), help="how many there are")
@click.option("--from-file", type=_file, metavar="FILE", help="all bytes of a file; without it, standard input")
def shares_split(*, k: int, n: int, from_file: Path | None) -> None:
    """Print n shares, a line each."""
    from .._base.secret import Secret
    from ..secrets.shares import split

    try:
        data = sys.stdin.buffer.read() if from_file is None else from_file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{from_file} cannot be read: {error.strerror}") from None
    made, _ = split(Secret(data), k, n, os.urandom)
    show("\n".join(share.to_text().reveal() for share in made))


@shares.command("join")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), default="-")
def shares_join(file: Path) -> None:
    """Print what the shares in FILE (`-`: standard input), a line each, give back: its bytes and nothing else."""
    from ..secrets.shares import restore

    sys.stdout.buffer.write(restore(_shares(file)).reveal())
    sys.stdout.buffer.flush()


# -- policy, audit ----------------------------------------------------------------------------------------------------

@click.group("policy")
def policy() -> None:
    """Who may do what: policies in JSON, TOML or YAML, as a secret server goes by them."""


def _policy(path: Path) -> Any:
    from ..secrets.access import read

    form = {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}.get(path.suffix.lower())
    if form is None:
        raise ConfigurationError(f"{path} is no policy by its name: call it .json, .toml, .yaml or .yml")
    try:
        return read(path.read_text("utf-8"), form, path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not in UTF-8'}"
                                 ) from None


@policy.command("test")
@click.argument("file", type=_file)
@click.option("--role", "roles", multiple=True, required=True, help="of whoever asks; several count together")
@click.option("--action", required=True, help="read, list, write, …")
@click.argument("name")
def policy_test(*, file: Path, roles: Sequence[str], action: str, name: str) -> int:
    """May these roles do ACTION to NAME, by the policy in FILE, now? Exit code 1: they may not. Says which rule."""
    from .._base.clock import SystemClock
    from ..secrets.access import Action, Asked
    from ..secrets.names import check_name

    try:
        wanted_action = Action(action)
    except ValueError:
        raise click.UsageError(f"--action is one of {', '.join(one.value for one in Action)}") from None
    said = _policy(file).judge(Asked("", frozenset(roles), wanted_action, check_name(name)), SystemClock().wall_ms())
    show(f"{'allowed' if said.allowed else 'denied'}: {said.why}")
    return 0 if said.allowed else 1


@policy.command("matrix")
@click.argument("file", type=_file)
@click.argument("names", nargs=-1, required=True)
@json_option
def policy_matrix(*, file: Path, names: Sequence[str], as_json: bool) -> None:
    """Print what each role alone may do to each of NAMES, by the policy in FILE."""
    from .._base.clock import SystemClock
    from ..secrets.access import matrix
    from ..secrets.names import check_name

    found = matrix(_policy(file), map(check_name, names), SystemClock().wall_ms())
    rows = [{"role": role, "name": name, "may": [one.value for (who, one, what), verdict in found.items()
                                                 if (who, what) == (role, name) and verdict.allowed]}
            for role, name in dict.fromkeys((role, name) for role, _, name in found)]
    if as_json:
        return print_json(rows)
    return print_table(("role", "name", "may"), [(row["role"], row["name"], " ".join(row["may"])) for row in rows])


@click.group("audit")
def audit() -> None:
    """The log of who asked the vault for what."""


_audit_folder = click.option("--audit", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
                             metavar="FOLDER", help="of a standby of this vault, which has its own: COPIES/audit  "
                                                    "[default: STORE.audit]")


@audit.command("verify")
@_audit_folder
def audit_verify(*, folder: Path | None) -> int:
    """Is each entry the one that was written, and none missing? Prints where the log ends: keep that elsewhere.

    Exit code 1: an entry was changed, removed or moved, or the end was cut off; file and line are named.
    """
    from ..errors import SecretsDamaged
    from ..secrets.access import verify

    path = folder or wanted().audit
    with vault() as opened:
        key = audit_key(opened)
    try:
        found = verify(path, key)
    except SecretsDamaged as error:
        say(str(error))
        return 1
    except OSError as error:
        raise SecretsSealed(f"the audit {path} cannot be read: {error.strerror}") from None
    if found.broken is not None:
        where = f"{path / found.file}, line {found.broken.line}" if found.file else str(path)
        say(f"{where}: {found.broken.why}")
        return 1
    show(f"{found.head.number}:{found.head.hash}")
    say(f"{found.entries} entries, as they were written")
    return 0


@audit.command("ls")
@click.option("--name", help="of a secret")
@_audit_folder
@json_option
def audit_ls(*, name: str | None, folder: Path | None, as_json: bool) -> None:
    """List the entries: when, who, what, which secret, what came of it. No values."""
    from .._base.letter_text import iso
    from ..secrets.access import entries_in

    with vault() as opened, guarded(opened):
        rows = [{"at": iso(one.at), "who": one.who, "action": one.action, "name": one.name, "version": one.version,
                 "outcome": one.outcome} for one in entries_in(folder or wanted().audit)
                if name in (None, one.name) and one.name != AUDIT_KEY]
    if as_json:
        return print_json(rows)
    return print_table(("at", "who", "action", "name", "version", "outcome"), [tuple(row.values()) for row in rows])


COMMANDS: dict[str, click.Command] = {"seal": seal, "unseal": unseal, "rekey": rekey, "backup": backup,
                                      "restore": restore, "shares": shares, "policy": policy, "audit": audit}
