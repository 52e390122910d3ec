# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets``: a vault in a file, one that is served, or shares on nodes. What opens it and who may what is in
``secrets_keys``; what goes out of it, and looks for what got out, in ``secrets_out``; rotation in ``secrets_rotate``;
serving it in ``secrets_serve``, and who asks a server in ``secrets_server``; nodes in ``secrets_nodes``."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from ..errors import ConfigurationError, SecretsSealed
from ..secrets.own import AUDIT_KEY, OWN, own_key
from .context import environment
from .grouped import InFiles
from .output import json_option, print_json, print_table, say, show
from .secrets_server import first_line, server, server_options

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..secrets import SecretStore, Version
    from ..secrets.access import Guarded
    from ..secrets.access.policy import Asked, Verdict
    from ..secrets.vault import FilePin, Seal, Vault

_WANTED: Final = "holdfast.secrets"
PASSPHRASE_VARIABLE: Final = "HOLDFAST_SECRETS_PASSPHRASE"  # noqa: S105 - the name of it


@dataclass(frozen=True)
class Wanted:
    """What the options of the group said."""

    store: Path | None
    passphrase_file: Path | None
    key_file: Path | None
    shares_file: Path | None
    keyring: str | None
    pins: Path | None
    nodes: Path | None
    root_on: Path | None
    caller: str | None
    identity: Path | None
    typed: frozenset[str]

    @property
    def place(self) -> str:
        """Where secrets are looked for: ``store``, ``server``, ``nodes``; empty: nowhere. What was typed counts before
        the environment. Raises UsageError for several."""
        said = server()
        given = {name for name, value in (("store", self.store), ("server", said.addresses), ("nodes", self.nodes))
                 if value}
        typed = given & (self.typed | ({"server"} if said.typed else set()))
        if len(typed or given) > 1:
            raise click.UsageError("say one of --store FILE, --server URL and --nodes CIRCLE, not several")
        return next(iter(typed or given), "")

    @property
    def path(self) -> Path:
        """The vault's file. Raises UsageError."""
        place = self.place
        if place in {"server", "nodes"}:
            raise click.UsageError("this works on the vault itself: say --store FILE, before the command, and no "
                                   f"--{place}")
        if self.store is None:
            raise click.UsageError("say which vault with --store FILE, before the command")
        return self.store

    @property
    def pin(self) -> FilePin | None:
        """Where it is kept how far the vault had come; None for the user's."""
        from ..secrets.vault import FilePin

        return None if self.pins is None else FilePin(self.pins)

    @property
    def audit(self) -> Path:
        """The folder of its audit."""
        return beside(self.path, ".audit")

    @property
    def users(self) -> Path:
        """The folder in which processes say that they use a secret."""
        return beside(self.path, ".users")

    @property
    def term(self) -> Path:
        """What its server is: primary, and of which term."""
        return beside(self.path, ".term")

    @property
    def tokens(self) -> Path:
        """Who may ask its server."""
        return beside(self.path, ".tokens")


def beside(path: Path, ending: str) -> Path:
    """Beside the file itself, whatever links lead to it."""
    real = Path(os.path.realpath(path))
    return real.with_name(real.name + ending)


class _Everything:
    """Whoever opens the vault may do all; what is done is recorded."""

    def judge(self, asked: Asked, now: object) -> Verdict:
        from ..secrets.access.policy import Verdict

        return Verdict(True, "who opens the vault may")


@click.group("secrets", cls=InFiles, files=("secrets_keys", "secrets_out", "secrets_rotate", "secrets_serve",
                                             "secrets_nodes"))
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              envvar="HOLDFAST_SECRETS_STORE", help="the vault")
@click.option("--passphrase-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help=f"its first line opens the vault; without it {PASSPHRASE_VARIABLE}, else it is asked for")
@click.option("--key-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="32 random bytes or more that open the vault")
@click.option("--shares-file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), metavar="FILE",
              help="shares, a line each, that open the vault together; - for standard input")
@click.option("--keyring", metavar="ACCOUNT", help="the key of that name in the operating system's keyring opens it")
@click.option("--pins", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="where it is kept how far vaults had come  [default: in the user's state folder]")
@server_options(at_group=True)
@click.option("--nodes", type=click.Path(dir_okay=False, path_type=Path), metavar="CIRCLE",
              envvar="HOLDFAST_SECRETS_NODES", help="in the vault's place: ask the nodes of this circle")
@click.option("--root-on", type=click.Path(dir_okay=False, path_type=Path), metavar="CIRCLE",
              help="the key that opens the vault is in shares on the nodes of this circle")
@click.option("--caller", metavar="NAME", envvar="HOLDFAST_SECRETS_CALLER", help="with --nodes, --root-on: who asks")
@click.option("--identity", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              envvar="HOLDFAST_SECRETS_IDENTITY", help="with --nodes, --root-on: the keys of who asks")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Secrets in one encrypted file, with versions, an audit and rotation; here, at a server, or in shares on nodes.

    Nothing that is secret is ever taken as an argument or shown but by `get`: values come from files or standard input.
    """
    typed = frozenset(name for name in options if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    ctx.meta[_WANTED] = Wanted(**options, typed=typed)


def wanted() -> Wanted:
    """What was said, for the command that runs now."""
    found: Wanted = click.get_current_context().meta[_WANTED]
    return found


# -- opening ----------------------------------------------------------------------------------------------------------

def passphrase_in(path: Path) -> Secret[str]:
    """The first line of a file."""
    return first_line(path, "passphrase file")


def _passphrase_given(asked: Wanted) -> Secret[str] | None:
    """Of the file, or the environment."""
    from .._base.secret import Secret

    if asked.passphrase_file is not None:
        return passphrase_in(asked.passphrase_file)
    phrase = environment().get(PASSPHRASE_VARIABLE)
    return Secret(phrase) if phrase else None


def passphrase_said() -> Secret[str]:
    """For a server: of the file, the environment, standard input, or whoever sits there."""
    from .._base.secret import Secret

    if (given := _passphrase_given(wanted())) is not None:
        return given
    if sys.stdin.isatty():
        return Secret(click.prompt("passphrase", hide_input=True, err=True))
    phrase = sys.stdin.readline(4096).rstrip("\r\n")
    if not phrase:
        raise SecretsSealed("nothing was said that opens the server: give --passphrase-file or --shares-file, or write "
                            "the passphrase to standard input")
    return Secret(phrase)


def seal_of(asked: Wanted, *, new: bool = False) -> Seal:
    """What opens the vault, as the options say. new: it is to be made, so a passphrase is asked for twice."""
    from .._base.secret import Secret
    from ..secrets.vault import KeyFile, OsKeyring, Passphrase

    given = [asked.passphrase_file, asked.key_file, asked.shares_file, asked.keyring, asked.root_on]
    if sum(one is not None for one in given) > 1:
        raise click.UsageError("say one thing that opens the vault, not several")
    if asked.key_file is not None:
        return KeyFile(asked.key_file)
    if asked.keyring is not None:
        return OsKeyring(asked.keyring, os.urandom)
    if asked.root_on is not None or asked.shares_file is not None:
        return _in_shares(asked, new=new)
    if (phrase := _passphrase_given(asked)) is not None:
        return Passphrase(phrase)
    if not sys.stdin.isatty():
        raise SecretsSealed("nothing was said that opens the vault: give --passphrase-file, --key-file, --shares-file "
                            f"or --keyring, or set {PASSPHRASE_VARIABLE}")
    return Passphrase(Secret(click.prompt("passphrase", hide_input=True, err=True, confirmation_prompt=new)))


def _in_shares(asked: Wanted, *, new: bool) -> Seal:
    """A key that is put together: by people, or by nodes."""
    if asked.root_on is not None:
        from .secrets_nodes import root_on

        return root_on(asked.root_on, new=new)
    from .secrets_keys import shares_in

    assert asked.shares_file is not None  # noqa: S101 - asked by who calls
    return shares_in(asked.shares_file)


@contextmanager
def vault(path: Path | None = None) -> Iterator[Vault]:
    """The vault that was asked for, open; or another one, which the same opens."""
    from ..secrets.vault import Vault

    asked = wanted()
    with Vault.open(path or asked.path, seal_of(asked), pin=asked.pin) as found:
        yield found


def audit_key(opened: Vault) -> Secret[bytes]:
    """Of the vault's audit. It is in the vault."""
    return own_key(opened, AUDIT_KEY, os.urandom)


@contextmanager
def guarded(opened: Vault, folder: Path | None = None) -> Iterator[Guarded]:
    """The vault in the name of whoever runs this, with an audit. folder: of another vault's."""
    from .._base.clock import SystemClock
    from ..secrets.access import AuditLog, Guarded, Holder

    clock = SystemClock()
    with AuditLog(folder or wanted().audit, audit_key(opened), clock.wall_ms) as audit:
        yield Guarded(opened, Holder(_user(), frozenset({"owner"})), _Everything(), audit, clock)


@contextmanager
def store_of() -> Iterator[SecretStore]:
    """What was asked for: the vault with its audit, a server, or nodes."""
    asked = wanted()
    if asked.place == "server":
        with server().store() as found:
            yield found
    elif asked.place == "nodes":
        from .secrets_nodes import shares_on

        with shares_on(asked.nodes) as shares:
            yield shares
    else:
        with vault() as opened, guarded(opened) as store:
            yield store


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return f"uid {os.getuid()}"


# -- commands ---------------------------------------------------------------------------------------------------------

def _not_ours(_: click.Context, __: click.Parameter, name: str) -> str:
    if name.startswith(OWN):  # guard: the audit's key and records of rotations are nobody's to change
        raise click.UsageError(f"names that begin with {OWN} are Holdfast's own: take another one")
    return name


name_argument = click.argument("name", callback=_not_ours)
_version = click.option("--version", type=click.IntRange(1), help="by its number  [default: the one in force]")


@command.command("init")
def init() -> None:
    """Make a new vault, which is opened by what the options before the command say."""
    from ..secrets.vault import Vault

    asked = wanted()
    with Vault.create(asked.path, seal_of(asked, new=True), pin=asked.pin) as made:
        audit_key(made)
    say(f"{asked.path} is made. Whatever opens it is not in it: keep that elsewhere, or all is lost")


@command.command("put")
@name_argument
@click.option("--from-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="all bytes of a file; without it, standard input without the newline at its end")
@click.option("--label", default="current", show_default=True, help="which the new version bears")
@click.option("--expect", type=click.IntRange(0), help="refuse unless the latest version has this number; 0: none")
@server_options()
def put(*, name: str, from_file: Path | None, label: str, expect: int | None) -> None:
    """Write a new version of NAME, which is in force when the command returns. Prints its number."""
    from ..secrets.names import check_name

    check_name(name)
    value = _given(name, from_file)
    with store_of() as store:
        show(str(store.put(name, value, label=label, expect=expect).number))


def _given(name: str, path: Path | None) -> Secret[bytes]:
    from .._base.secret import Secret
    from ..secrets.names import VALUE_MAX, check_value

    if path is None and sys.stdin.isatty():
        return Secret(check_value(click.prompt(f"value of {name}", hide_input=True, err=True).encode()))
    try:
        if path is None:
            value = sys.stdin.buffer.read(VALUE_MAX + 3).removesuffix(b"\n").removesuffix(b"\r")
        else:
            with path.open("rb") as file:
                value = file.read(VALUE_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"the value of {name} cannot be read from {path}: {error.strerror}") from None
    return Secret(check_value(value))


@command.command("get")
@name_argument
@_version
@click.option("--label", default="current", show_default=True, help="of the version, where no number is given")
@server_options()
def get(*, name: str, version: int | None, label: str) -> None:
    """Print the value of NAME: its bytes and nothing else, on a terminal with a newline behind."""
    with store_of() as store:
        found = store.get(name, version=version, label=label)
    sys.stdout.buffer.write(found.value.reveal())
    if sys.stdout.isatty():
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


@command.command("ls")
@click.argument("prefix", default="")
@json_option
@server_options()
def ls(*, prefix: str, as_json: bool) -> None:
    """List secrets, at or below PREFIX: names, versions and labels. No values."""
    with store_of() as store:
        rows = [_row(store, name) for name in store.names(prefix) if not name.startswith(OWN)]
    if as_json:
        return print_json(rows)
    return print_table(("name", "version", "versions", "made"), [
        (row["name"], row["version"], row["versions"], row["made"]) for row in rows])


def _row(store: SecretStore, name: str) -> dict[str, Any]:
    past = store.history(name)
    current = next((one for one in past if "current" in one.labels), past[0])
    return {"name": name, "version": current.number, "versions": len(past), **_said(current)}


def _said(version: Version) -> dict[str, Any]:
    from .._base.letter_text import iso

    return {"made": iso(version.made), "labels": list(version.labels), "state": version.state.value,
            "size": version.size}


@command.command("history")
@name_argument
@json_option
@server_options()
def history(*, name: str, as_json: bool) -> None:
    """List all versions of NAME, the latest first. No values."""
    with store_of() as store:
        rows = [{"version": one.number, **_said(one)} for one in store.history(name)]
    if as_json:
        return print_json(rows)
    return print_table(("version", "made", "labels", "state", "bytes"), [
        (row["version"], row["made"], " ".join(row["labels"]), row["state"], row["size"]) for row in rows])


@command.command("delete")
@name_argument
@_version
@click.option("--for-good", is_flag=True, help="destroy it: its key is gone as well, and it cannot come back")
@click.option("--undo", is_flag=True, help="bring back what was deleted")
@server_options()
def delete(*, name: str, version: int | None, for_good: bool, undo: bool) -> None:
    """Delete NAME, or one version of it. It can come back, unless it is deleted for good."""
    if for_good and undo:
        raise click.UsageError("what is deleted for good is not brought back: say one of the two")
    with store_of() as store:
        (store.destroy if for_good else store.undelete if undo else store.delete)(name, version=version)
