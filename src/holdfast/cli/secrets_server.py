# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets --server``: a store that others serve, in the place of a vault that is here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.core import ParameterSource

from ..errors import ConfigurationError
from .context import environment
from .output import say
from .params import DURATION

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..secrets.serve import ServerStore
    from ..secrets.serve.words import Progress

F = TypeVar("F", bound=Callable[..., Any])

TOKEN_VARIABLE: Final = "HOLDFAST_SECRETS_TOKEN"  # noqa: S105 - the name of it
_SAID: Final = "holdfast.secrets.server"
#: Seconds that unsealing may take: scrypt, and an audit that is read.
UNSEAL_S: Final = 60.0
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Server:
    """Which servers, and who we are there. typed: the command line named them, and not the environment."""

    addresses: tuple[str, ...] = ()
    typed: bool = False
    token_file: Path | None = None
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout_s: float = 5.0

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """Ours, with its key. Raises UsageError for one without the other."""
        if (self.client_certificate is None) != (self.client_key is None):
            raise click.UsageError("--certificate and --key belong together: say both")
        if self.client_certificate is None or self.client_key is None:
            return None
        return self.client_certificate, self.client_key

    @property
    def token(self) -> Secret[str] | None:
        """Ours: of the file, else of the environment, else none."""
        from .._base.secret import Secret

        if self.token_file is not None:
            return first_line(self.token_file, "token file")
        said = environment().get(TOKEN_VARIABLE)
        return Secret(said) if said else None

    def who(self) -> tuple[Secret[str] | None, tuple[Path, Path] | None]:
        """Our token, and our certificate with its key. Raises UsageError when nothing says who we are."""
        token, certificate = self.token, self.certificate
        if token is None and certificate is None:
            raise click.UsageError(f"say who you are at the server with --token-file, or --certificate and --key, or "
                                   f"set {TOKEN_VARIABLE}")
        return token, certificate

    def store(self, addresses: Sequence[str] = (), *, timeout_s: float | None = None) -> ServerStore:
        """A client of these, or of others. Raises UsageError when nothing says who we are."""
        from ..secrets.serve import ServerStore

        token, certificate = self.who()
        return ServerStore(addresses or self.addresses, token=token, certificate=certificate, ca=self.ca,
                           timeout_s=timeout_s or self.timeout_s)


def server_options(*, at_group: bool = False, identity: bool = True) -> Callable[[F], F]:
    """``--server`` and what belongs to it, before or after the command's name; after wins. The environment is asked
    at the group. identity: with --certificate and --key."""
    def decorate(command: F) -> F:
        options = [
            _kept("--timeout", "timeout_s", "for one answer of one server  [default: 5s]", type=DURATION),
            _kept("--ca", "ca", "authorities, PEM, that servers' certificates are checked against  [default: the "
                                "system's]", at_group=at_group, type=_FILE, metavar="FILE"),
            _kept("--token-file", "token_file", f"its first line is the token; without it {TOKEN_VARIABLE}",
                  at_group=at_group, type=_FILE, metavar="FILE")]
        if identity:
            options += [
                _kept("--key", "client_key", "of --certificate", at_group=at_group, variable="KEY", type=_FILE,
                      metavar="FILE"),
                _kept("--certificate", "client_certificate", "who we are at the server, PEM", at_group=at_group,
                      variable="CERTIFICATE", type=_FILE, metavar="FILE"),
                _kept("--server", "addresses", "https://host:port of a server in the vault's place; its standbys "
                      "behind it, each with this option", at_group=at_group, variable="SERVER", multiple=True,
                      metavar="URL")]
        for option in options:
            command = option(command)
        return command

    return decorate


def _kept(flag: str, name: str, text: str, *, at_group: bool = False, variable: str = "", **more: Any
          ) -> Callable[[F], F]:
    called = f"HOLDFAST_SECRETS_{variable or name.upper()}"

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value not in (None, ()):
            typed = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
            said = ctx.meta.setdefault(_SAID, {})
            said[name] = value
            if name == "addresses":
                said["typed"] = typed

    shown = f"{text}  [{called}]" if at_group else text
    return click.option(flag, f"said_{name}", help=shown, expose_value=False, callback=keep,
                        envvar=called if at_group else None, **more)


def server() -> Server:
    """What was said, for the command that runs now."""
    return Server(**click.get_current_context().meta.get(_SAID, {}))


def first_line(path: Path, what: str) -> Secret[str]:
    """Of a file that holds something secret."""
    from .._base.secret import Secret

    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(4096)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not in UTF-8"
        raise ConfigurationError(f"the {what} {path} cannot be read: {why}") from None
    phrase = line.rstrip("\r\n")
    if not phrase:
        raise ConfigurationError(f"the first line of the {what} {path} is empty")
    return Secret(phrase)


def written_once(path: Path, text: Secret[str]) -> None:
    """A new file that only we may read. Raises ConfigurationError where there is something already."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text.reveal() + "\n")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


# -- sealing ----------------------------------------------------------------------------------------------------------

def unseal_servers(passphrase: Secret[str] | None, shares: Sequence[str] = ()) -> int:
    """Each of the servers, one after another: by shares where there is no passphrase. Exit code 1: shares are still
    wanted."""
    code = 0
    for address in server().addresses:
        with _of_one(address) as store:
            found = _by_shares(store, address, shares) if passphrase is None else store.unseal(passphrase=passphrase)
        if found.sealed:
            code = 1
        else:
            say(f"{address} is unsealed")
    return code


def _by_shares(store: ServerStore, address: str, shares: Sequence[str]) -> Progress:
    from .._base.secret import Secret

    found: Progress | None = None
    for share in shares:
        found = store.unseal(share=Secret(share))
        if not found.sealed:
            break
        say(f"{address}: {found.shares} of {found.wanted} shares")
    if found is None:
        raise ConfigurationError("no share was given: write them a line each")
    return found


def seal_servers() -> None:
    """Each of the servers."""
    for address in server().addresses:
        with _of_one(address) as store:
            store.seal()
        say(f"{address} is sealed")


def _of_one(address: str) -> ServerStore:
    return server().store([address], timeout_s=UNSEAL_S)
