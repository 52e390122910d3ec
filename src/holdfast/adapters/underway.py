# SPDX-License-Identifier: Apache-2.0
"""The attempt under way, as somebody else's framework can reach it, and a consumer's handler that runs such a
framework.

A framework calls the user's handler itself, with arguments of its own making, so what our effect provides cannot be
passed as a parameter. It lies in a context variable instead, for as long as the attempt lasts, and ``given`` is a
dependency that any framework can resolve. A context variable and not an argument smuggled into the message: what is in
the message is written into letters, results and logs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, TypeVar

from .._base.message import Message
from ..assembly import provided
from ..consume.contract import Delivery
from ..errors import ConfigurationError
from ..once.modes import mode_of

if TYPE_CHECKING:
    from ..app import Holdfast

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])

#: Where ``how`` leaves what it was told, on the user's own function.
HOW = "__holdfast__"

Gifts = Mapping[type, Any]
#: Runs the framework: the delivery (of a batch, all of them) and what the effect provides for it.
Run = Callable[[Any, Gifts], Awaitable[Any]]

_gifts: ContextVar[Gifts | None] = ContextVar("holdfast_given", default=None)


def given(wanted: type[T]) -> Callable[[], T]:
    """A dependency that answers what belongs to the attempt under way: ``Depends(given(AsyncSession))``.

    wanted: ``AsyncSession`` with ``once="sql"``, ``Writes`` with ``"redis"``, ``IdempotencyKey`` with ``"outside"``;
    and always ``Delivery`` (its ``attempt``, from 1) and ``Message``, but for batches. The dependency raises
    ConfigurationError outside of a handler, and where the mode provides no such thing.
    """

    def provide() -> T:
        gifts = _gifts.get()
        if gifts is None:
            raise ConfigurationError(f"given({wanted.__name__}) was asked for outside of a handler that Holdfast runs: "
                                     f"in a test of the handler alone, pass the argument yourself")
        for kind, gift in gifts.items():
            if kind is wanted or issubclass(kind, wanted):
                found: T = gift
                return found
        has = ", ".join(kind.__name__ for kind in gifts) or "nothing"
        raise ConfigurationError(f"given({wanted.__name__}): this handler's effect provides {has}; once='sql' provides "
                                 f"AsyncSession, once='redis' Writes, once='outside' IdempotencyKey")

    return provide


def how(**settings: Any) -> Callable[[H], H]:
    """Says at a handler how its group is consumed: ``@how(retry=Retry(attempts=3), once="sql")``, under the
    framework's own decorator.

    settings: what ``Holdfast.consumer`` takes beside stream, group and type, over what the broker was given for all.
    """

    def mark(handler: H) -> H:
        setattr(handler, HOW, settings)
        return handler

    return mark


@contextmanager
def under(gifts: Gifts) -> Iterator[None]:
    """Inside, ``given`` answers from ``gifts``."""
    token = put(gifts)
    try:
        yield
    finally:
        _gifts.reset(token)


def put(gifts: Gifts) -> Token[Gifts | None]:
    """As ``under``, for a task that ends when the attempt does."""
    return _gifts.set(gifts)


async def ended(hf: Holdfast, consuming: asyncio.Task[None]) -> BaseException | None:
    """Ends ``hf.run`` in that task, also when it has not come as far as to hear of ``stop``. Answers what it ended by,
    None when in good order."""
    if hf.worker is None:
        consuming.cancel()
    hf.stop()
    (by,) = await asyncio.gather(consuming, return_exceptions=True)
    return by


def kinds_of(once: Any, sql: Any) -> tuple[type, ...]:
    """What to ask the effect of ``once`` for, of all that it could provide: the framework awaits its handlers, so what
    only a thread could use is left out, and of the rest nothing is made before it is asked for."""
    mode = mode_of(once) or once
    return tuple(kind for kind in provided(mode, sql)
                 if not kind.__module__.startswith("sqlalchemy.") or kind.__name__ == "AsyncSession")


def handler_of(run: Run, kinds: Sequence[type], *, name: tuple[str, str], batch: bool = False) -> Callable[..., Any]:
    """A handler that ``Holdfast.consumer`` takes and that leaves all to ``run``.

    kinds: of ``kinds_of``. name: module and qualified name of the user's function, which letters are to name.
    """
    names = {f"given_{number}": kind for number, kind in enumerate(kinds)}

    async def handle(delivery: Any, **found: Any) -> Any:
        own: dict[type, Any] = {} if batch else {Delivery: delivery, Message: delivery.message}
        return await run(delivery, {**own, **{names[each]: gift for each, gift in found.items()}})

    shown = [inspect.Parameter("delivery", inspect.Parameter.POSITIONAL_OR_KEYWORD,
                               annotation=list[Delivery] if batch else Delivery)]
    shown += [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, annotation=kind) for each, kind in names.items()]
    handle.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    handle.__module__, handle.__qualname__ = name
    return handle
