# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip keys``: the keys of a whole cluster, one step at a time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .gossip_ask import ask, rpc_options
from .output import json_option, one_line, print_fields, print_json, print_table, say
from .params import DURATION

if TYPE_CHECKING:
    from .plan import Address

_WAIT_S = 60.0
_timeout = click.option("--timeout", "timeout_s", type=DURATION,
                        help="how long to wait for answers  [default: by the cluster's size]")


@click.group("keys")
def keys() -> None:
    """Change the key that all members share: install the new one, use it, remove the old one.

    Begin each step when the one before is done everywhere: exit code 0, not 1. KEY is Base64, or `-` to read it from
    standard input, where nobody else sees it; where members hold it already, its id will do.
    """


@keys.command("list")
@_timeout
@json_option
@rpc_options
def list_(*, rpc: Address, timeout_s: float | None, as_json: bool) -> int:
    """Which keys there are, how many members hold each, and how many seal with it. --json shows the keys themselves."""
    found = _asked(rpc, "list", "", timeout_s)
    if as_json:
        print_json(found)
    else:
        print_table(["key", "members", "seal with it"], [
            [found["ids"][text], count, found["primaries"].get(text, 0)]
            for text, count in sorted(found["keys"].items(), key=lambda row: (-row[1], found["ids"][row[0]]))])
        _say_lacking(found)
    return 0 if found["complete"] else 1


def _step(name: str, help: str, done: str) -> None:
    @keys.command(name, help=help)
    @click.argument("key")
    @_timeout
    @json_option
    @rpc_options
    def step(*, rpc: Address, key: str, timeout_s: float | None, as_json: bool) -> int:
        text = sys.stdin.readline().strip() if key == "-" else key
        found = _asked(rpc, name, text, timeout_s)
        if as_json:
            print_json({name: found[name] for name in ("complete", "members", "answers", "missing")})
        else:
            ok = sum(one["ok"] for one in found["answers"])
            say(f"{done} by {ok} of {found['members']} members")
            _say_lacking(found)
        return 0 if found["complete"] else 1


_step("install", "Have all members open what is sealed with KEY as well.", "installed")
_step("use", "Have all members seal with KEY, which is installed everywhere.", "used")
_step("remove", "Have all members forget KEY, with which nobody seals any more.", "removed")


@keys.command("rotate")
@click.option("--stop", "action", flag_value="stop", help="stop the change under way: before all members use the new "
                                                          "key it is taken back, later all keys stay")
@click.option("--go-on", "action", flag_value="go on", help="go on with one that was stopped")
@json_option
@rpc_options
def rotate(*, rpc: Address, action: str | None, as_json: bool) -> None:
    """Change the key of the whole cluster now: the agent does all steps, each finished everywhere before the next.

    The agent runs with --rotate and has the lowest name of the live members. See how it goes with `rotation`.
    """
    _show_rotation(ask(rpc, "/v1/keys/rotate", {"action": action or "begin"}, wait_s=_WAIT_S), as_json=as_json)


@keys.command("rotation")
@json_option
@rpc_options
def rotation(*, rpc: Address, as_json: bool) -> None:
    """The change of keys that is under way, and who holds it up."""
    _show_rotation(ask(rpc, "/v1/keys/rotation"), as_json=as_json)


def _show_rotation(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        return print_json(found)
    rows = [("phase", found["phase"] or "none"), ("leads", "this agent" if found["leads"] else "another member")]
    rows += [(name, found[name]) for name in ("key", "reason", "last", "unkept") if found[name]]
    rows += [("held up by", f"{node} ({lacks}) for {seconds:.0f} s") for node, lacks, seconds in found["stragglers"]]
    return print_fields(rows)


def _asked(rpc: Address, step: str, key: str, timeout_s: float | None) -> Any:
    wanted = {"key": key, "timeout_s": timeout_s}
    return ask(rpc, f"/v1/keys/{step}", wanted, wait_s=2 * timeout_s if timeout_s else _WAIT_S)


def _say_lacking(found: dict[str, Any]) -> None:
    for one in found["answers"]:
        if not one["ok"]:
            say(one_line(f"{one['name']}: {one['message']}"))
    for name in found["missing"]:
        say(one_line(f"{name}: no answer"))
