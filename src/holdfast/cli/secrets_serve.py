# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets``: a vault that is served over HTTPS, a standby that follows it, and who may ask.

Beside the vault FILE lies FILE.server: tokens, the term, and a standby's copies and audit.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigurationError
from .output import json_option, print_json, print_table, say, show
from .params import ADDRESS, DURATION
from .plan import Address
from .secrets import audit_key, seal_of, wanted

if TYPE_CHECKING:
    from .._base.clock import Clock
    from .._base.secret import Secret
    from ..secrets.access import Holder, Tokens
    from ..secrets.serve import Desk, Terms

_file = click.Path(dir_okay=False, path_type=Path)


def folder() -> Path:
    """What a server keeps beside its vault. It is made."""
    found = wanted().beside(".server")
    found.mkdir(mode=0o700, exist_ok=True)
    return found


def tokens() -> Tokens:
    """Of the vault's server."""
    from .._base.clock import SystemClock
    from ..secrets.access import Tokens

    return Tokens(folder() / "tokens.json", SystemClock().wall_ms, secrets.token_bytes)


def shared_in(path: Path) -> Secret[bytes]:
    """The key that the servers of one store share."""
    from .._base.secret import Secret
    from ..secrets.serve.terms import KEY_SIZE

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the servers' key cannot be read from {path}: {error.strerror}") from None
    if len(raw) != KEY_SIZE:
        raise ConfigurationError(f"the servers' key has {KEY_SIZE} random bytes, and {path} has {len(raw):,}: make it "
                                 f"with `head -c {KEY_SIZE} /dev/urandom`")
    return Secret(raw)


@dataclass(frozen=True)
class _Plan:
    bind: Address
    certificate: Path
    key: Path
    clients: Path | None
    required: bool
    policy: Path
    shared_key: Path
    follow: str | None
    ca: Path | None
    token_file: Path | None


@click.command("serve")
@click.option("--bind", type=ADDRESS, default="127.0.0.1:8200", show_default=True, metavar="HOST:PORT",
              help="where to listen; port 0 picks a free one")
@click.option("--certificate", type=_file, required=True, metavar="PEM", help="the server's, and those that signed it")
@click.option("--key", type=_file, required=True, metavar="PEM", help="of the certificate")
@click.option("--clients", type=_file, metavar="PEM", help="authorities that sign clients' certificates; the name in "
                                                           "one is who asks, with the role of the same name")
@click.option("--clients-required", "required", is_flag=True, help="who has no certificate does not get to speak")
@click.option("--policy", type=_file, required=True, metavar="FILE",
              help="who may do what, in JSON, TOML or YAML; a changed one counts at once, a wrong one not")
@click.option("--shared-key", type=_file, required=True, metavar="FILE",
              help="32 random bytes that the servers of one vault share")
@click.option("--follow", metavar="URL", help="be a standby of that primary: a copy that is read, and never written")
@click.option("--token-file", type=_file, metavar="FILE", help="with --follow: of a role that may do `policy` to "
                                                               "holdfast/feed")
@click.option("--ca", type=_file, metavar="PEM", help="with --follow: authorities that signed the primary's one")
def serve(**options: Any) -> int:
    """Serve the vault over HTTPS until SIGTERM or Ctrl-C.

    It prints its address once it can be asked. Who asks has a token (`secrets token`) or a certificate, and may do what
    the policy says; each access is in the audit before it is answered. With --follow it is a standby: it keeps a copy
    of the primary's vault, which the same passphrase or key opens, and answers reads when the primary is down.
    """
    plan = _Plan(**options)
    if plan.follow is None and (plan.token_file or plan.ca):
        raise click.UsageError("--token-file and --ca belong to --follow")
    if plan.follow is not None and plan.token_file is None:
        raise click.UsageError("--follow needs --token-file: the primary asks who follows")
    if plan.required and plan.clients is None:
        raise click.UsageError("--clients-required needs --clients: whose certificates are they to be?")
    from .._base.events import Events
    from ..secrets.serve import Tls, create_app, run
    from .listening import logged

    events = Events()
    logged(events)
    shared, tls = shared_in(plan.shared_key), Tls(plan.certificate, plan.key, plan.clients, plan.required)
    tls.context()  # what is wrong with certificates is said before anything is opened
    listening = _listening(plan.bind)
    opened = _following(plan, shared, events.emit) if plan.follow else _primary(plan, shared, events.emit)
    host, port = listening.getsockname()[:2]
    address = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    run(create_app(opened.desk), listening, tls, close=opened.close, started=lambda: _started(address))
    return 0


def _started(address: str) -> None:
    show(address)
    sys.stdout.flush()


def _listening(bind: Address) -> Any:
    from .._base.serving import listen

    host, port = bind
    try:
        return listen(host, port, backlog=256)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


@dataclass(frozen=True)
class _Opened:
    desk: Desk
    close: Callable[[], None]


class _ByName(Mapping[str, "Holder"]):
    """Whoever the authority has signed a certificate for, with the role of that name."""

    def __getitem__(self, name: str) -> Holder:
        from ..secrets.access import Holder

        if not name:
            raise KeyError(name)
        return Holder(name, frozenset({name}))

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def _primary(plan: _Plan, shared: Secret[bytes], tell: Any) -> _Opened:
    from .._base.clock import SystemClock
    from ..secrets.access import AuditLog, PolicyFile
    from ..secrets.serve import Desk, Terms
    from ..secrets.serve.vaulted import VaultFeed
    from ..secrets.vault import FilePin, Vault

    asked, clock = wanted(), SystemClock()
    vault = Vault.open(asked.path, seal_of(asked), pin=FilePin(asked.pins) if asked.pins else None)
    try:
        audit = AuditLog(asked.audit, audit_key(vault), clock.wall_ms)
        desk = Desk(vault, PolicyFile(plan.policy), audit, Terms(folder() / "term", shared), tokens=tokens(),
                    names=_ByName() if plan.clients else {}, sealed=VaultFeed(vault, folder() / "spare"), clock=clock,
                    tell=tell)
    except BaseException:
        vault.close()
        raise

    def close() -> None:
        vault.close()
        audit.close()

    return _Opened(desk, close)


def _following(plan: _Plan, shared: Secret[bytes], tell: Any) -> _Opened:
    from .._base.clock import SystemClock
    from ..secrets.access import AuditLog, PolicyFile
    from ..secrets.serve import Desk, Follower, Replica, Role, Terms, Wire
    from ..secrets.serve.vaulted import vault_opener
    from .secrets import passphrase_in

    clock: Clock = SystemClock()
    assert plan.follow is not None and plan.token_file is not None  # noqa: S101, PT018 - asked above
    terms = Terms(folder() / "term", shared, Role.STANDBY)
    replica = Replica(folder() / "replica", vault_opener(seal_of(wanted())))
    wire = Wire([plan.follow], token=passphrase_in(plan.token_file, "token file"), ca=plan.ca)
    follower = Follower(replica, wire, terms)
    # The key of the vault's own audit is in the vault, which it has yet to get.
    audit = AuditLog(folder() / "audit", shared, clock.wall_ms)
    desk = Desk(replica, PolicyFile(plan.policy), audit, terms, tokens=tokens(),
                names=_ByName() if plan.clients else {}, clock=clock, tell=tell)
    follower.start()

    def close() -> None:
        follower.stop()
        replica.close()
        audit.close()

    return _Opened(desk, close)


@click.command("promote")
@click.option("--shared-key", type=_file, required=True, metavar="FILE",
              help="32 random bytes that the servers of one vault share")
def promote(*, shared_key: Path) -> None:
    """Make the standby of the vault, which was stopped, the primary. See first that the old one is down.

    Its copy becomes the vault FILE; serve it without --follow then. The old primary writes no more as soon as it hears
    of it, and can be made a standby anew in an empty folder.
    """
    from ..secrets.serve import Role, Terms
    from ..secrets.serve import promote as promoted

    asked = wanted()
    if asked.path.exists():
        raise ConfigurationError(f"{asked.path} is there already: a standby has a copy only, so this is none, or it "
                                 "was promoted before")
    terms: Terms = Terms(folder() / "term", shared_in(shared_key), Role.STANDBY)
    copy = promoted(folder() / "replica", terms)
    os.link(copy, asked.path)
    say(f"{asked.path} is the vault now, of term {terms.standing.term}: serve it without --follow")


@click.group("token")
def token() -> None:
    """Tokens, by which a secret server knows who asks."""


@token.command("create")
@click.argument("who")
@click.option("--role", "roles", multiple=True, required=True, help="of the policy; may be repeated")
@click.option("--ttl", "ttl_s", type=DURATION, default="1d", show_default=True, help="how long it lives")
def token_create(*, who: str, roles: Sequence[str], ttl_s: float) -> None:
    """Make a token for WHO and print it, this once. It counts at once, also where the server runs."""
    name, made = tokens().issue(who, frozenset(roles), ttl_s=ttl_s)
    show(made.reveal())
    say(f"token {name} of {who}: it is kept nowhere but with whom you give it to")


@token.command("ls")
@json_option
def token_ls(*, as_json: bool) -> None:
    """List tokens: whose they are and when they end. Not what they are."""
    from .._base.letter_text import iso

    rows = [{"id": one.id, "who": one.who, "roles": list(one.roles), "ends": iso(one.ends)}
            for one in tokens().listed()]
    if as_json:
        return print_json(rows)
    return print_table(("id", "who", "roles", "ends"), [
        (row["id"], row["who"], " ".join(row["roles"]), row["ends"]) for row in rows])


@token.command("revoke")
@click.argument("id")
def token_revoke(*, id: str) -> None:
    """Take a token away: it opens nothing any more, at once."""
    tokens().revoke(id)


COMMANDS: dict[str, click.Command] = {"serve": serve, "promote": promote, "token": token}
