# SPDX-License-Identifier: Apache-2.0
"""The key management of a native cluster's agent, as it is asked: which key seals, another one, an invitation.

::

    agent --native ─▶ /v1/native/epoch  …/rekey  …/invite ◀── holdfast gossip epoch, rekey, identity invite
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from ..errors import ConfigurationError
from .gossip_ask import ask, rpc_options
from .gossip_http import Route
from .output import json_option, print_fields, print_json, say, show
from .params import DURATION

if TYPE_CHECKING:
    from ..gossip.agent import Cluster
    from .plan import Address

#: Seconds that a change of the key may take.
WITHIN_S_MAX: Final = 600.0


# -- what the agent answers -------------------------------------------------------------------------------------------


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """A change of the key. within_s: how long it is waited for."""

    within_s: float = 120.0


class Invite(msgspec.Struct, forbid_unknown_fields=True):
    """node: the only name it is for; empty: any."""

    node: str = ""
    for_s: float = 3600.0


def native_routes(there: Callable[[], Cluster]) -> dict[tuple[str, str], Route]:
    """What a member of a native cluster does when it is told to; one of another refuses."""
    async def rekey(wanted: Change) -> dict[str, Any]:
        began = time.monotonic()
        epoch = await there().rotate(within_s=_within(wanted))
        return {"epoch": epoch, "took_s": round(time.monotonic() - began, 3)}

    def invite(wanted: Invite) -> dict[str, str]:
        return {"token": there().invite(wanted.node, for_s=wanted.for_s).reveal()}

    return {
        ("GET", "/v1/native/epoch"): Route(lambda _: msgspec.to_builtins(there().key_status())),
        ("POST", "/v1/native/rekey"): Route(rekey, Change),
        ("POST", "/v1/native/invite"): Route(invite, Invite),
    }


def _within(wanted: Change) -> float:
    if not 0 < wanted.within_s <= WITHIN_S_MAX:
        raise ConfigurationError(f"a change of the key is waited for 0 to {WITHIN_S_MAX:g} s, and not "
                                 f"{wanted.within_s:g}")
    return wanted.within_s


# -- commands ---------------------------------------------------------------------------------------------------------

_within_option = click.option("--within", "within_s", type=DURATION, default="120s", show_default=True,
                              help="how long to wait for it; it goes on after that")


@click.command("epoch")
@json_option
@rpc_options
def epoch(*, rpc: Address, as_json: bool) -> None:
    """The key of a native cluster as the agent has it: which one seals, how old it is, who holds a change up."""
    found = ask(rpc, "/v1/native/epoch")
    if as_json:
        return print_json(found)
    age_s = found["age_s"]
    rows = [("epoch", f"{found['epoch']} ({found['epoch_id']})"), ("age", "" if age_s is None else f"{age_s:.0f} s"),
            ("keys held", str(found["held"])), ("revoked", str(found["revocations"]))]
    rows += [("change", f"{found['step']}, led by this agent")] if found["leads"] else []
    rows += [("held up by", node) for node in sorted(found["waiting"])]
    return print_fields(rows)


@click.command("rekey")
@_within_option
@json_option
@rpc_options
def rekey(*, rpc: Address, within_s: float, as_json: bool) -> None:
    """Change the key of a native cluster now. The agent's certificate has the role rotate.

    One that follows another waits until the key before it is forgotten everywhere, a minute by default.
    """
    done = ask(rpc, "/v1/native/rekey", {"within_s": within_s}, wait_s=within_s)
    if as_json:
        return print_json(done)
    return say(f"epoch {done['epoch']} seals, after {done['took_s']:.1f} s")


@click.command("invite")
@click.argument("node", required=False, metavar="[NAME]")
@click.option("--for", "for_s", type=DURATION, default="1h", show_default=True, help="how long it is good")
@json_option
@rpc_options
def invite(*, rpc: Address, node: str | None, for_s: float, as_json: bool) -> None:
    """Print an invitation to a native cluster: one node, NAME or any, gets a certificate for it at this agent.

    Who has it may enter: carry it in secret. The agent's certificate has the role admit.
    """
    if node == "":  # guard: a variable that is not set invites nobody
        raise click.UsageError("the name is empty: name the node, or leave NAME out to let any take it")
    done = ask(rpc, "/v1/native/invite", {"node": node or "", "for_s": for_s})
    if as_json:
        return print_json(done)
    return show(done["token"])
