# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip``: be a member of a cluster, see who else is, and talk to all of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .gossip_agent import TAG, agent
from .gossip_ask import ask, rpc_options
from .gossip_audit import audit
from .gossip_drill import drill
from .gossip_identity import identity
from .gossip_keys import keys
from .gossip_native import epoch, invite, rekey
from .output import json_option, print_json, print_table, say, show
from .params import DURATION

if TYPE_CHECKING:
    from .plan import Address

_STATUSES = ("alive", "leaving", "left", "failed")


@click.group("gossip")
def command() -> None:
    """Be a member of a gossip cluster (memberlist, Serf, and ours), see who else is, and talk to all of them.

    All but `agent`, `audit` and `identity` ask a running agent: --rpc, or HOLDFAST_GOSSIP_RPC, is where that one serves
    its RPC.
    """


command.add_command(agent)
command.add_command(audit)
command.add_command(identity)
command.add_command(keys)
command.add_command(drill)
command.add_command(epoch)
command.add_command(rekey)
identity.add_command(invite)


@command.command("members")
@click.option("--status", "statuses", multiple=True, type=click.Choice(_STATUSES), help="only these")
@json_option
@rpc_options
def members(*, rpc: Address, statuses: Sequence[str], as_json: bool) -> None:
    """Who is there, who left and who failed."""
    found = [one for one in ask(rpc, "/v1/members") if not statuses or one["status"] in statuses]
    if as_json:
        return print_json([{name: one[name] for name in ("name", "addr", "port", "status", "tags")} for one in found])
    styles = ["red" if one["status"] == "failed" else "dim" if one["status"] != "alive" else "" for one in found]
    return print_table(["name", "address", "status", "tags"], [
        [one["name"], _at(one), one["status"] + (", suspected" if one["suspected"] else ""),
         ",".join(f"{tag}={value}" for tag, value in sorted(one["tags"].items()))] for one in found], styles=styles)


@command.command("join")
@click.argument("addresses", nargs=-1, required=True, metavar="HOST:PORT...")
@json_option
@rpc_options
def join(*, rpc: Address, addresses: Sequence[str], as_json: bool) -> None:
    """Have the agent enter the clusters of these members; one that answers is enough."""
    done = ask(rpc, "/v1/join", {"addresses": list(addresses)}, wait_s=60.0)
    if as_json:
        return print_json(done)
    return say(f"joined {done['joined']} of {len(addresses)}")


@command.command("leave")
@click.argument("node", required=False, metavar="[NAME]")
@click.option("--prune", is_flag=True, help="and forget it at once")
@json_option
@rpc_options
def leave(*, rpc: Address, node: str | None, prune: bool, as_json: bool) -> None:
    """Have the agent leave its cluster, and end; or, with a NAME, have a member that failed count as one that left."""
    if node == "":  # guard: a variable that is not set ends no agent
        raise click.UsageError("the name is empty: name a member, or leave NAME out to have the agent leave")
    if prune and node is None:
        raise click.UsageError("--prune forgets another member: name it")
    done = ask(rpc, "/v1/leave", {"node": node or "", "prune": prune}, wait_s=60.0)
    if as_json:
        return print_json(done)
    return say(f"{done['left']} has left")


@command.command("event")
@click.argument("name")
@click.argument("payload", default="")
@click.option("--each", is_flag=True, help="of several events of this name that come close together, each counts; "
                                           "without it, members may hand on the last one only")
@json_option
@rpc_options
def event(*, rpc: Address, name: str, payload: str, each: bool, as_json: bool) -> None:
    """Tell all members something: NAME and PAYLOAD have 512 bytes together."""
    done = ask(rpc, "/v1/event", {"name": name, "payload": _encoded(payload), "coalesce": not each})
    if as_json:
        print_json(done)


@command.command("query")
@click.argument("name")
@click.argument("payload", default="")
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="ask only this member, several if need be")
@click.option("--tag", "tags", multiple=True, type=TAG, metavar="TAG=REGEX", help="ask only those whose tag matches")
@click.option("--ack", is_flag=True, help="show who got the question as well")
@click.option("--relay-factor", type=click.IntRange(0, 255), default=0, show_default=True,
              help="how many other members pass each answer on besides, against loss")
@click.option("--timeout", "timeout_s", type=DURATION, help="how long to wait  [default: by the cluster's size]")
@json_option
@rpc_options
def query(*, rpc: Address, name: str, payload: str, nodes: Sequence[str], tags: Sequence[tuple[str, str]], ack: bool,
          relay_factor: int, timeout_s: float | None, as_json: bool) -> None:
    """Ask all members something, and print who answers what.

    NAME and PAYLOAD together, and each answer, have some 1,000 bytes.
    """
    done = ask(rpc, "/v1/query", {"name": name, "payload": _encoded(payload), "nodes": list(nodes), "tags": dict(tags),
                                  "ack": ack, "relay_factor": relay_factor, "timeout_s": timeout_s},
               wait_s=timeout_s or 60.0)
    answers = [{**one, **_decoded(one["payload"])} for one in done["answers"]]
    if as_json:
        return print_json({"answers": answers, **({"acks": done["acks"]} if ack else {})})
    rows = [[one["name"], one["payload"] if one["payload"] is not None else one["payload_base64"]] for one in answers]
    if ack:
        say(f"{len(done['acks'])} got it: {', '.join(done['acks'])}" if done["acks"] else "nobody got it")
    if not rows:
        return say("nobody answered")
    return print_table(["name", "answer"], rows)


@command.command("revoke")
@click.argument("name")
@click.option("--reason", default="", help="for the list of the expelled, which all members keep")
@json_option
@rpc_options
def revoke(*, rpc: Address, name: str, reason: str, as_json: bool) -> None:
    """Expel a member of a native cluster, for good, and change the key: it reads nothing from then on.

    The agent's certificate has the roles revoke and rotate. Who was expelled by mistake gets a new identity.
    """
    done = ask(rpc, "/v1/revoke", {"node": name, "reason": reason}, wait_s=90.0)
    if as_json:
        return print_json(done)
    return say(f"{done['revoked']} is expelled, and cannot read what is sealed from epoch {done['epoch']} on")


@command.command("rtt")
@click.argument("a")
@click.argument("b", default="")
@json_option
@rpc_options
def rtt(*, rpc: Address, a: str, b: str, as_json: bool) -> None:
    """The round-trip time between members A and B, by their coordinates; without B, between A and the agent."""
    done = ask(rpc, "/v1/rtt", {"a": a, "b": b})
    if as_json:
        return print_json(done)
    return show(f"{done['rtt_s'] * 1000:.3f} ms between {done['a']} and {done['b']}")


def _at(one: dict[str, Any]) -> str:
    return f"[{one['addr']}]:{one['port']}" if ":" in one["addr"] else f"{one['addr']}:{one['port']}"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _decoded(encoded: str) -> dict[str, str | None]:
    """A payload as text, and None where it is none; and in Base64."""
    raw = base64.b64decode(encoded)
    try:
        return {"payload": raw.decode(), "payload_base64": encoded}
    except UnicodeDecodeError:
        return {"payload": None, "payload_base64": encoded}


