# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip identity``: who a node is, and the word of an issuer that it belongs to a cluster.

::

    node:    identity new node.id        ─ its request, one line that is no secret ─▶   issuer:  identity certify
    node:    identity accept node.id     ◀─ its certificate, one line that is none ─

Both keys of an identity are made where they stay: only public halves leave the file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..errors import BadPacket, ConfigurationError, MissingExtra, NotTrusted
from .context import environment
from .output import json_option, print_fields, print_json, say, show
from .params import DURATION

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..gossip.keys.sealed import Unlock
    from ..gossip.native import Native
    from ..gossip.trust import Certificate, Credential, Identity

F = TypeVar("F", bound=Callable[..., Any])

REQUEST: Final = "hf-request-1."
CERTIFICATE: Final = "hf-certificate-1."
PASSPHRASE_VARIABLE: Final = "HOLDFAST_GOSSIP_PASSPHRASE"  # noqa: S105 - the name of it
_SUM: Final = 4
#: Bytes that are read of a file of shares: of a key of 32 bytes one has some 120.
_SHARES_MAX: Final = 64 << 10
_ROLES: Final = ("admit", "revoke", "rotate")

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
_label = click.option("--label", required=True, help="the cluster's label")


def unlock_option(command: F) -> F:
    """What opens the file of an identity."""
    return click.option("--seal", type=click.Path(dir_okay=False, path_type=Path), metavar="KEYFILE",
                        help="32 random bytes or more under which the file is sealed, or as many of its shares as are "
                             f"wanted, a line each; without it, the passphrase in {PASSPHRASE_VARIABLE}, or "
                             "secret://name there, of the folder HOLDFAST_SECRETS")(command)


@click.group("identity")
def identity() -> None:
    """Make the identity of a node, and certify that it belongs to a cluster.

    An identity is two key pairs in a sealed file. An issuer is an identity, too: members are told its `issuer key`.
    """


@identity.command("new")
@_file
@click.option("--shares", type=(click.IntRange(1, 255), click.IntRange(1, 255)), metavar="K N",
              help="seal the file under a key that is kept nowhere, and print N shares of it, of which any K open it: "
                   "for an issuer, which nobody has alone then")
@unlock_option
@json_option
def new(*, file: Path, shares: tuple[int, int] | None, seal: Path | None, as_json: bool) -> None:
    """Make a new identity in FILE, and print its request, which an issuer certifies."""
    from ..gossip.trust import Identity
    from ..gossip.trust.kept import write_identity

    if shares is not None and seal is not None:
        raise click.UsageError("the file is sealed by --shares or by --seal")
    unlock, texts = (unlock_of(seal), []) if shares is None else _in_shares(*shares)
    if file.exists():  # guard: an identity is made once. Who loses it is somebody else
        raise ConfigurationError(f"{file} is there already: an identity is not made anew, name another file")
    made = Identity.generate(os.urandom)
    _written(file, lambda: write_identity(file, made, None, unlock, os.urandom))
    try:
        _shown(made, None, as_json=as_json, shares=texts)
        sys.stdout.flush()
    except BaseException:
        file.unlink(missing_ok=True)  # guard: no identity is left that nobody can open
        raise


def _in_shares(k: int, n: int) -> tuple[Unlock, list[str]]:
    """What seals under a new key, and the shares of that."""
    _wanted()
    from .._base.secret import Secret
    from ..gossip.keys import KeyHeld
    from ..secrets.shares import split

    key = Secret(os.urandom(32))
    made, _ = split(key, k, n, os.urandom)
    return KeyHeld(key), [share.to_text().reveal() for share in made]


@identity.command("show")
@_file
@unlock_option
@json_option
def show_(*, file: Path, seal: Path | None, as_json: bool) -> None:
    """Show who FILE is: its id, its public keys, its certificate. Nothing of it is secret."""
    _shown(*_opened(file, seal), as_json=as_json)


@identity.command("certify")
@click.argument("request")
@click.option("--issuer", "file", required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="file of the issuer's identity, or of a member's with the role admit")
@click.option("--name", required=True, help="of the member, which nobody else may have")
@_label
@click.option("--for", "for_s", type=DURATION, default="90d", show_default=True, help="how long it is good")
@click.option("--role", "roles", multiple=True, type=click.Choice(_ROLES),
              help="what the member may do besides: admit others, expel them, change the key; only an issuer gives it")
@click.option("--from-epoch", type=click.IntRange(0), default=0, show_default=True,
              help="the first epoch whose key it may have when that is not in force any more; 0: none")
@unlock_option
@json_option
def certify(*, request: str, file: Path, name: str, label: str, for_s: float, roles: Sequence[str], from_epoch: int,
            seal: Path | None, as_json: bool) -> None:
    """Print the certificate for a REQUEST (`-`: from standard input): this node is NAME, and belongs to the cluster."""
    from ..gossip.trust import Credential, issue
    from ..gossip.trust.admission import ADMIT, SERIAL, Anchor
    from ..gossip.trust.records import encode

    public = _unpacked(_line(request), REQUEST, "a request, which `holdfast gossip identity new` prints")
    if len(public) != 64:
        raise ConfigurationError("the request holds no two public keys")
    issuer, own = _opened(file, seal)
    if own is not None and own.certificate.signer == issuer.signing:
        own = None  # an issuer that is a member, too
    if own is not None:
        certificate = Anchor(label, [own.certificate.signer]).member(own, _now_ms()).certificate
        if ADMIT not in certificate.roles or roles:
            raise NotTrusted(f"{certificate.name!r} may not do that: with the role admit it certifies members, and "
                             "roles are an issuer's to give", why="role")
    now_ms = _now_ms()
    signed = issue(issuer, label.encode(), name, public[:32], public[32:], serial=os.urandom(SERIAL),
                   not_before_ms=now_ms, not_after_ms=type(now_ms)(now_ms + int(for_s * 1000)), roles=roles,
                   from_epoch=from_epoch)
    text = _packed(CERTIFICATE, encode(Credential(signed, own.certificate if own is not None else None)))
    if as_json:
        return print_json({"certificate": text, "issuer_key": base64.b64encode(issuer.signing).decode()})
    return show(text)


@identity.command("accept")
@_file
@click.argument("certificate")
@_label
@click.option("--issuer-key", "issuer_keys", required=True, multiple=True, metavar="BASE64",
              help="of an issuer that the cluster believes, as `show` prints it")
@unlock_option
@json_option
def accept(*, file: Path, certificate: str, label: str, issuer_keys: Sequence[str], seal: Path | None,
           as_json: bool) -> None:
    """Keep a CERTIFICATE (`-`: from standard input) with the identity in FILE, if it is true and for that one."""
    from ..gossip.trust import Anchor
    from ..gossip.trust.admission import Credential
    from ..gossip.trust.kept import write_identity
    from ..gossip.trust.records import decode

    own, _ = _opened(file, seal)
    raw = _unpacked(_line(certificate), CERTIFICATE, "a certificate, which `holdfast gossip identity certify` prints")
    try:
        given: Credential = decode(raw, Credential)
        member = Anchor(label, [_key(text) for text in issuer_keys]).member(given, _now_ms())
    except BadPacket as error:
        raise ConfigurationError(f"the certificate cannot be read: {error}") from None
    if member.certificate.signing != own.signing or member.certificate.sealing != own.sealing:
        raise NotTrusted(f"the certificate is for {member.id}, and {file} is {own.id}", why="identity")
    unlock = unlock_of(seal)
    _written(file, lambda: write_identity(file, own, given, unlock, os.urandom))
    _shown(own, given, as_json=as_json)


def native_of(file: Path, seal: Path | None, issuer_keys: Sequence[str], label: str, state: Path | None, *,
              token: str | None = None) -> Native:
    """What an agent with --native is told. token: an invitation, used where the identity has no certificate yet, which
    it gets then. Which invitations were used is kept beside ``state``. Raises ConfigurationError, KeyringSealed."""
    from ..gossip.native import Native
    from ..gossip.trust import Token
    from ..gossip.trust.kept import open_identity, write_identity

    unlock = unlock_of(seal)
    kept: dict[str, Any] = {"state": state, "unlock": unlock,
                            "redeemed": state.with_name(state.name + ".invited") if state is not None else None}
    if token is not None:
        own, credential = open_identity(file, unlock, os.urandom)
        if credential is None:
            return Native(identity=own, label=label, invite=token, **kept, certified=lambda given: write_identity(
                file, own, given, unlock, os.urandom))
        anchor = Token(token).anchor  # it was used already
        return Native(identity=own, certificate=credential, issuers=[*anchor.issuers], label=anchor.cluster.decode(),
                      **kept)
    own, credential = _opened(file, seal)
    if credential is None:
        raise ConfigurationError(f"the identity in {file} has no certificate yet: `holdfast gossip identity accept` "
                                 "keeps one with it")
    return Native(identity=own, certificate=credential, issuers=[_key(text) for text in issuer_keys], label=label,
                  **kept)


def _opened(file: Path, seal: Path | None) -> tuple[Identity, Credential | None]:
    from ..gossip.trust.kept import read_identity

    try:
        return read_identity(file, unlock_of(seal))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no identity in {file}: `holdfast gossip identity new` makes one") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error


def _written(file: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}") from error


def unlock_of(seal: Path | None) -> Unlock:
    """What opens the file of an identity. Raises UsageError where neither is given."""
    _wanted()
    from .._base.secret import FromFiles, Secret, resolve
    from ..gossip.keys import KeyFile, KeyHeld, Passphrase

    if seal is not None:
        shares = shares_of(seal)
        return KeyFile(seal) if shares is None else KeyHeld(shares)
    phrase = environment().get(PASSPHRASE_VARIABLE, "")
    if not phrase:
        raise click.UsageError(f"the file is sealed: give --seal KEYFILE, or a passphrase in {PASSPHRASE_VARIABLE}")
    folder = environment().get("HOLDFAST_SECRETS")
    found = resolve(phrase, FromFiles(folder) if folder else None)
    return Passphrase(found if found is not None else Secret(phrase))


def _wanted() -> None:
    try:
        from ..gossip.trust import Identity  # noqa: F401 - names the extra where it is missing
    except ImportError as error:
        raise MissingExtra("gossip", "identities of nodes") from error


def shares_of(seal: Path) -> Secret[bytes] | None:
    """The key that the shares in a file give back; None: it is a key file. Raises what shares raise that are none, too
    few, or do not belong together."""
    from ..secrets.shares import restore
    from ..secrets.shares.share import BEGIN, Share

    try:
        with seal.open("rb") as file:
            head = file.read(_SHARES_MAX)
    except OSError:
        return None  # whoever reads it as a key file says why it cannot be
    lines = [line.strip() for line in head.splitlines() if line.strip()]
    if not lines or not lines[0].upper().startswith(BEGIN.upper().encode()):
        return None
    return restore([Share.from_text(line.decode("utf-8", "replace")) for line in lines])


def _shown(own: Identity, credential: Credential | None, *, as_json: bool, shares: Sequence[str] = ()) -> None:
    found: dict[str, Any] = {
        "id": own.id, "issuer_key": base64.b64encode(own.signing).decode(),
        "request": _packed(REQUEST, own.signing + own.sealing), "certificate": None}
    if credential is not None:
        found["certificate"] = _told(credential)
    if as_json:
        return print_json(found | ({"shares": list(shares)} if shares else {}))
    rows = [("id", found["id"]), ("issuer key", found["issuer_key"]), ("request", found["request"])]
    if credential is None:
        say("no certificate yet")
    else:
        rows += [(name.replace("_", " "), ", ".join(value) if isinstance(value, list) else str(value))
                 for name, value in found["certificate"].items() if value]
    return print_fields([*rows, *((f"share {n}", text) for n, text in enumerate(shares, 1))])


def _told(credential: Credential) -> dict[str, Any]:
    """What a certificate says; it was checked when it was accepted."""
    from ..gossip.trust import Certificate
    from ..gossip.trust.records import decode

    said: Certificate = decode(credential.certificate.body, Certificate)
    return {"name": said.name, "roles": list(said.roles), "serial": said.serial.hex(),
            "from": _time(said.not_before_ms), "until": _time(said.not_after_ms), "from_epoch": said.from_epoch}


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _now_ms() -> Any:
    from .._base.clock import WallMs

    return WallMs(time.time_ns() // 1_000_000)


def _line(text: str) -> str:
    return sys.stdin.readline().strip() if text == "-" else text.strip()


def _packed(scheme: str, raw: bytes) -> str:
    return scheme + base64.urlsafe_b64encode(raw + _sum(raw)).decode().rstrip("=")


def _unpacked(text: str, scheme: str, what: str) -> bytes:
    """The bytes. Raises ConfigurationError for text that was cut or mistyped."""
    body = text.removeprefix(scheme)
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if not text.startswith(scheme) or len(raw) <= _SUM or _sum(raw[:-_SUM]) != raw[-_SUM:]:
        raise ConfigurationError(f"this is not {what}, or a part of it is missing: it begins with {scheme}")
    return raw[:-_SUM]


def _sum(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:_SUM]


def _key(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError("--issuer-key is given in Base64, and this text is none") from None
