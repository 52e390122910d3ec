# SPDX-License-Identifier: Apache-2.0
"""What a server can do, found out by asking and trying, never by its version: forks number their releases differently.

Whole commands are looked up with ``COMMAND INFO``. Arguments of commands, and commands where COMMAND is forbidden, are
tried on a scratch key that does not exist, in forms that write nothing (``NOMKSTREAM``, a group that is not there): an
answer that knows the form (NOGROUP, a null) tells it from one that does not (a syntax error).

Holdfast needs what Redis 6.2 has. Later commands are used where they are; those that no server here has had are marked
untried, and stay off.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import AbilityMissing, ServerError, ServerRefused
from .errand import Command
from .link import Link

#: Never run against a server that has them: known from their documentation only, off by default.
UNTRIED = frozenset({"xackdel", "xreadgroup_claim", "xadd_idmp", "xnack"})


@dataclass(frozen=True, slots=True)
class ServerAbilities:
    """What one server can do for this user. ``product`` and ``version`` are for people; empty where INFO is hidden."""

    product: str
    version: str
    xautoclaim: bool
    xackdel: bool
    xreadgroup_claim: bool
    xadd_idmp: bool
    xnack: bool
    waitaof: bool
    functions: bool
    spublish: bool
    client_unblock: bool
    config_visible: bool
    info_visible: bool
    cluster: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, and ``untried``: those that were found but never tested."""
        found = asdict(self)
        return {**found, "untried": sorted(name for name in UNTRIED if found[name])}


def _trials(scratch: bytes) -> dict[str, Command]:
    """Ability → a command that shows it and changes nothing."""
    return {
        "xautoclaim": ("XAUTOCLAIM", scratch, "g", "c", 0, "0-0", "COUNT", 1),
        "xackdel": ("XACKDEL", scratch, "g", "IDS", 1, "0-1"),
        "xreadgroup_claim": ("XREADGROUP", "GROUP", "g", "c", "CLAIM", 1, "STREAMS", scratch, ">"),
        "xadd_idmp": ("XADD", scratch, "NOMKSTREAM", "IDMP", "p", "i", "*", "f", "v"),
        "xnack": ("XNACK", scratch, "g", "FAIL", "IDS", 1, "0-1"),
        "waitaof": ("WAITAOF", 0, 0, 1),
        "functions": ("FUNCTION", "LIST", "LIBRARYNAME", "hf-none"),
        "spublish": ("SPUBLISH", scratch, ""),
        "client_unblock": ("CLIENT", "UNBLOCK", 0),
        "config_visible": ("CONFIG", "GET", "appendonly"),
    }


#: Commands whose existence answers the question, so that they need not be tried.
_BY_NAME = {
    "xautoclaim": "XAUTOCLAIM",
    "xackdel": "XACKDEL",
    "xnack": "XNACK",
    "waitaof": "WAITAOF",
    "functions": "FUNCTION",
    "spublish": "SPUBLISH",
}


async def probe(link: Link, scratch: bytes) -> ServerAbilities:
    """Finds out what the server at the other end of ``link`` can do. Two round trips.

    ``scratch`` is a key that does not exist, in a slot of this server.
    """
    info, listed = await link.pipeline([("INFO",), ("COMMAND", "INFO", *_BY_NAME.values())])
    known = _by_name(listed)
    trials = {name: trial for name, trial in _trials(scratch).items() if name not in known}
    answers = await link.pipeline(list(trials.values()))
    tried = {name: shows(name, answer) for name, answer in zip(trials, answers, strict=True)}
    facts = parse_info(info)
    return ServerAbilities(
        product="valkey" if "valkey_version" in facts else "redis" if facts else "",
        version=facts.get("valkey_version") or facts.get("redis_version", ""),
        info_visible=bool(facts),
        cluster=facts.get("cluster_enabled") == "1",
        **known,
        **tried,
    )


def _by_name(listed: Any) -> dict[str, bool]:
    """A missing command is a null in the reply to COMMAND INFO. Nothing is known when COMMAND was refused."""
    if not isinstance(listed, list):
        return {}
    return {name: bool(entry) for name, entry in zip(_BY_NAME, listed, strict=True)}


def shows(name: str, answer: Any) -> bool:
    """Whether the answer to a trial shows the ability. A right that is missing counts as an ability that is."""
    if name == "config_visible":
        return isinstance(answer, list) and bool(answer)
    if isinstance(answer, ServerRefused):
        return answer.code != "ERR" or "appendonly" in str(answer)  # WAITAOF without an append-only file
    return not isinstance(answer, ServerError)


def parse_info(answer: Any) -> dict[str, str]:
    """The reply to INFO by field; empty when it was refused."""
    if not isinstance(answer, bytes):
        return {}
    pairs = (line.partition(":") for line in answer.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def require(abilities: ServerAbilities, where: str) -> None:
    """Refuses servers older than Redis 6.2, which XAUTOCLAIM marks: what it came with is needed everywhere."""
    if not abilities.xautoclaim:
        raise AbilityMissing(
            f"{where} ({abilities.product or 'unknown'} {abilities.version or 'version'}) has no XAUTOCLAIM: Holdfast "
            "needs Redis 6.2, Valkey 7.2, or later. Upgrade the server; if the command was renamed, give its name back"
        )


