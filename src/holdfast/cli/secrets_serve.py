# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets serve``: a vault over HTTPS, or a standby that follows one; promoting a standby; tokens.

::

    open ─ listen: the address is printed ─ sealed and unsealed as often as one likes ─ SIGTERM: what is in flight is
    answered ─ keys are dropped ─ 0
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..errors import ConfigurationError
from .output import json_option, print_json, print_table, say, show
from .params import ADDRESS, DURATION
from .secrets import seal_of, wanted
from .secrets_server import server, server_options, written_once

if TYPE_CHECKING:
    from ..secrets.access import Holder, Tokens
    from .plan import Address

_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)


@click.command("serve")
@click.option("--bind", type=ADDRESS, default="127.0.0.1:8200", show_default=True, metavar="HOST:PORT",
              help="where to listen; port 0 picks a free one")
@click.option("--certificate", type=_FILE, required=True, metavar="PEM", help="the server's")
@click.option("--key", type=_FILE, required=True, metavar="PEM", help="of the certificate")
@click.option("--clients", type=_FILE, metavar="PEM", help="authorities that sign clients' certificates")
@click.option("--clients-required", is_flag=True, help="who has no certificate of theirs does not even get to speak")
@click.option("--client", "clients_named", multiple=True, metavar="NAME=ROLE[,ROLE]",
              help="who has a certificate of that common name has these roles, without a token")
@click.option("--policy", type=_FILE, required=True, metavar="FILE",
              help="JSON, TOML or YAML; a change counts at once, if it is valid")
@click.option("--tokens", type=_FILE, metavar="FILE", help="see `token`  [default: STORE.tokens, or COPIES/tokens]")
@click.option("--audit", type=_FOLDER, metavar="FOLDER", help="[default: STORE.audit, or COPIES/audit]")
@click.option("--probes", type=ADDRESS, metavar="HOST:PORT",
              help="serve /healthz, /readyz and /metrics here as well, without TLS")
@click.option("--sealed", is_flag=True, help="begin without a key: `unseal --server` brings it")
@click.option("--follow", metavar="URL", help="be a standby of that server; --token-file, or --certificate and --key "
                                              "before the command, say who we are there")
@click.option("--copies", type=_FOLDER, metavar="FOLDER", help="of a standby: what it has of its primary")
@server_options(identity=False)
def serve(*, bind: Address, follow: str | None, copies: Path | None, **more: Any) -> int:
    """Serve the vault over HTTPS until SIGTERM or Ctrl-C.

    With --follow it is a standby: it has a copy of its primary's vault half a second later, is opened by the same, and
    answers reads when the primary is gone. It never writes until it is promoted (`promote`).

    Each server has its own policy, tokens and audit. On a standby put the same tokens and policy as on its primary.
    """
    from .secrets_service import Plan, serving

    if (follow is None) != (copies is None):
        raise click.UsageError("a standby has both --follow URL and --copies FOLDER")
    asked = wanted()
    if follow is not None and asked.store is not None and "store" in asked.typed:
        raise click.UsageError("a standby keeps --copies FOLDER: say no --store")
    if copies is not None:
        place, term, tokens, audit = copies, copies / "term", copies / "tokens", copies / "audit"
    else:
        place, term, tokens, audit = asked.path, asked.term, asked.tokens, asked.audit
    plan = Plan(bind=bind, certificate=more["certificate"], key=more["key"], clients=more["clients"],
                clients_required=more["clients_required"], holders=_holders(more["clients_named"]),
                policy=more["policy"], tokens=more["tokens"] or tokens, audit=more["audit"] or audit, term=term,
                probes=more["probes"], place=place, pin=asked.pin, primary=follow or "", follower=server(),
                seal=None if more["sealed"] else seal_of(asked))
    if plan.holders and plan.clients is None:
        raise click.UsageError("--client needs --clients PEM: nobody's certificate counts without it")
    if plan.clients_required and plan.clients is None:
        raise click.UsageError("--clients-required needs --clients PEM")
    return serving(plan)


def _holders(said: Sequence[str]) -> dict[str, Holder]:
    from ..secrets.access import Holder

    found = {}
    for text in said:
        name, _, roles = text.partition("=")
        named = frozenset(role for role in roles.split(",") if role)
        if not name or not named:
            raise click.BadParameter(f"{text!r}: NAME=ROLE is wanted, or NAME=ROLE,ROLE", param_hint="--client")
        found[name] = Holder(name, named)
    return found


@click.command("promote")
@click.argument("copies", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("file", type=_FILE)
def promote(*, copies: Path, file: Path) -> None:
    """Make a standby, which was stopped, the primary: its copy in the folder COPIES becomes the vault FILE.

    See first that the old primary is down: one that comes back is refused by all who have heard of the new one, and
    writes for those who have not. Then `--store FILE serve`.
    """
    from ..secrets.serve import Role, Terms
    from ..secrets.serve import promote as promoted
    from ..secrets.serve.terms import only_one

    if not (copies / "place").exists():
        raise ConfigurationError(f"the standby in {copies} has no copy, and so nothing to be the primary of")
    with only_one(copies / "term"):
        terms = Terms(copies / "term", role=Role.STANDBY)
        try:
            made = promoted(copies, terms, file)
        except OSError as error:
            raise ConfigurationError(f"{file} is there, of the next term, and a power cut may take it back: "
                                     f"{error.strerror}; mend the disk, and serve it" if file.exists() else
                                     f"{file} cannot be written: {error.strerror}; nothing was promoted") from None
    say(f"{made} is the vault of the primary of term {terms.standing.term}: serve it with --store")


# -- tokens -----------------------------------------------------------------------------------------------------------

_tokens_option = click.option("--tokens", "path", type=_FILE, metavar="FILE",
                              help="where they are kept  [default: STORE.tokens]")


@click.group("token")
def token() -> None:
    """Texts that stand for somebody and his roles at a server, for a while. Kept are their digests alone."""


def _tokens(path: Path | None) -> Tokens:
    from .._base.clock import SystemClock
    from ..secrets.access import Tokens

    return Tokens(path or wanted().tokens, SystemClock().wall_ms, os.urandom)


@token.command("create")
@click.argument("who")
@click.option("--role", "roles", multiple=True, required=True, help="as the policy calls it; several count together")
@click.option("--ttl", "ttl_s", type=DURATION, default="1d", show_default=True, help="how long it lives; up to 366d")
@click.option("--uses", type=click.IntRange(1), help="after so many it ends as well")
@click.option("--out", type=_FILE, metavar="FILE", help="a new file that only you may read, instead of printing it")
@_tokens_option
def token_create(*, who: str, roles: Sequence[str], ttl_s: float, uses: int | None, out: Path | None,
                 path: Path | None) -> None:
    """Make a token for WHO. It is printed, this once; with --out its id is printed."""
    tokens = _tokens(path)
    name, made = tokens.issue(who, frozenset(roles), ttl_s=ttl_s, uses=uses)
    try:
        if out is None:
            show(made.reveal())
            sys.stdout.flush()
        else:
            written_once(out, made)
    except BaseException:
        tokens.revoke(name)  # guard: no token is left that nobody has
        raise
    return show(name) if out is not None else say(f"token {name} of {who}: whoever has it is {who}")


@token.command("ls")
@_tokens_option
@json_option
def token_ls(*, path: Path | None, as_json: bool) -> None:
    """List tokens, the oldest first: ids, whose they are, roles, when they end. No token itself."""
    from .._base.letter_text import iso

    found = _tokens(path).listed()
    if as_json:
        return print_json([{"id": one.id, "who": one.who, "roles": one.roles, "made": iso(one.made),
                            "ends": iso(one.ends), "left": one.left} for one in found])
    return print_table(("id", "who", "roles", "made", "ends", "left"), [
        (one.id, one.who, " ".join(one.roles), iso(one.made), iso(one.ends), one.left) for one in found])


@token.command("revoke")
@click.argument("id_", metavar="ID")
@_tokens_option
def token_revoke(*, id_: str, path: Path | None) -> None:
    """Have a token open nothing any more, at once."""
    _tokens(path).revoke(id_)


COMMANDS: dict[str, click.Command] = {"serve": serve, "promote": promote, "token": token}
