# SPDX-License-Identifier: Apache-2.0
"""An effect carried out and recorded in one step of its own, where it cannot go in with the acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._base.points import reached
from .._redis import effect
from .._redis.keys import EffectKeys, GroupKeys
from .._redis.scripts import load_script
from ..errors import EffectFailed, ReadsChanged

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..consume.contract import Rider

__all__ = ["carry_out"]

#: Records that are pruned whenever one is added: nobody else looks after those that lie beside no stream.
PRUNED = 20
_APPLY = load_script("holdfast.once", "apply", "effect")


async def carry_out(server: Server, keys: GroupKeys | EffectKeys, rider: Rider, kept_ms: int) -> bool:
    """Writes and records; False: it was in before. ``kept_ms``: how long records are kept at least.

    Raises ReadsChanged: nothing is written; EffectFailed: how far it came is kept, and the next attempt goes on there;
    ServerError: it may be in.
    """
    touched: dict[bytes, None] = {}
    fields: list[Any] = []
    effect.fields(rider.result, rider.reads, rider.writes, touched, fields)
    answer = (await server.shared(keys.done).run(
        _APPLY, (keys.done, keys.half_done, keys.results, keys.begun, keys.door, *touched),
        (rider.identity, PRUNED, kept_ms, effect.packed(fields)))).decode("utf-8", "replace")
    reached("effect.elsewhere.after")
    if answer == "changed":
        raise ReadsChanged
    if answer not in ("", "in"):
        done, total, error = answer.split("|", 2)
        raise EffectFailed(f"write {int(done) + 1} of {total} was refused: {error}", done=int(done), total=int(total))
    return bool(answer == "")
