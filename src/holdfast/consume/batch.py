# SPDX-License-Identifier: Apache-2.0
"""A batch attempt: many messages, one call, an outcome for each.

Members whose body cannot be decoded are told apart before the handler sees any: one bad message must not fail a batch.
Under ``once`` the whole batch is one transaction, and members applied before are left out of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from .._base import points
from ..errors import BadHandler, MessageError
from .answer import outcomes_of, stage_of
from .attempt import in_thread
from .binding import Binding
from .contract import DUPLICATE, Delivery, Effect, EffectContext
from .outcome import DONE, Done, Failed, Outcome
from .routes import Routes

BatchAttempt = Callable[[Sequence[Delivery]], Awaitable[Sequence[Outcome]]]

_DUPLICATE = Done(duplicate=True)


def batch_attempt_of(routes: Routes, effect: Effect | None, executor: Executor) -> BatchAttempt:
    """The batch attempt of a consumer with one batch handler."""
    found = list(routes)
    if len(found) != 1:
        raise BadHandler("a batch consumer has one handler: give other types a group of their own")
    binding: Binding = found[0].binding

    async def call(members: Sequence[Delivery], context: EffectContext | None) -> Any:
        points.reached("handler.before")
        if binding.is_async:
            answer = await binding.call(members, context)
        else:
            answer = await in_thread(executor, binding.call, members, context)
        points.reached("handler.after")
        return answer

    async def run(members: Sequence[Delivery]) -> Sequence[Outcome]:
        outcomes: dict[int, Outcome] = {}
        good = [d for d in members if _loaded(routes, binding, d, outcomes)]
        if good:
            answers = await _outcomes(good, call, effect, binding.name)
            outcomes |= {id(d): o for d, o in zip(good, answers, strict=True)}
        return [outcomes[id(d)] for d in members]

    return run


def _loaded(routes: Routes, binding: Binding, delivery: Delivery, outcomes: dict[int, Outcome]) -> bool:
    try:
        routes.prepare(delivery)
        if binding.decoder is not None and delivery.body is None:
            binding.load(delivery)
    except MessageError as error:
        outcomes[id(delivery)] = Failed(error, stage_of(error))
        return False
    return True


async def _outcomes(good: Sequence[Delivery],
                    call: Callable[[Sequence[Delivery], EffectContext | None], Awaitable[Any]],
                    effect: Effect | None, name: str) -> Sequence[Outcome]:
    if effect is None:
        return outcomes_of(await call(good, None), len(good), name=name)

    async def body(context: EffectContext, todo: Sequence[Delivery]) -> Any:
        return await call(todo, context)

    answers = await effect.run_batch(good, body)
    points.reached("commit.after")
    todo = [a for a in answers if a is not DUPLICATE]
    found = iter(outcomes_of(todo, len(todo), name=name)) if todo else iter(())
    return [_DUPLICATE if a is DUPLICATE else next(found, DONE) for a in answers]
