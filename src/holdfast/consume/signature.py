# SPDX-License-Identifier: Apache-2.0
"""What a user's function asks for, read from its signature once, when the consumer is declared.

One parameter is the body: the first that nobody provides. All others are asked for by annotation. Whatever cannot be
served is a BadHandler here and now, with what to change, and never a surprise at the first message.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from .._base.message import Message
from ..errors import BadHandler
from .contract import Delivery

Handler = Callable[..., Any]

#: What a delivery gives by itself.
GIVEN = (Message, Delivery)
_LISTS = (list, Sequence)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, understood.

    body_param, body: the body's parameter and type (for a batch handler, the type of a member). body_first: the body is
        the first parameter, and so can be passed by place.
    wanted: parameters the effect provides. given: parameters that are the message or the delivery.
    """

    name: str
    is_async: bool
    body_param: str
    body: Any
    body_first: bool
    wanted: dict[str, type]
    given: dict[str, type]


def read_signature(
    handler: Handler,
    *,
    provides: tuple[type, ...] = (),
    batch: bool = False,
    localns: Mapping[str, Any] | None = None,
) -> Signature:
    """What ``handler`` asks for; BadHandler when it cannot be served. Arguments as of ``bind``."""
    name = name_of(handler)
    _refuse_non_functions(handler, name)
    parameters = _parameters(handler, name)
    hints = _hints(handler, parameters, localns, name)
    body, wanted, given = _sort(parameters, hints, provides, name)
    hint = hints.get(body.name, Any)
    hint = _member(hint, name) if batch else _plain(hint)
    if batch and given:
        raise BadHandler(f"{name}: {next(iter(given))!r} is about one message, and a batch has many: take "
                         f"`list[Delivery]` as the body instead")
    first = next(iter(parameters)) == body.name
    return Signature(name, _is_async(handler), body.name, hint, first, wanted, given)


def name_of(handler: Handler) -> str:
    """``module:qualname`` of the function behind partials, wrappers and callable objects."""
    inner = _inner(handler)
    if not hasattr(inner, "__qualname__"):
        inner = type(inner)
    return f"{inner.__module__}:{inner.__qualname__}"


def _inner(handler: Any) -> Any:
    """The function under `functools.partial` and `functools.wraps`."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.unwrap(handler)


def _function(handler: Any) -> Any:
    """As `_inner`, and for a callable object its ``__call__``."""
    inner = _inner(handler)
    if inspect.isfunction(inner) or inspect.ismethod(inner) or inspect.isbuiltin(inner):
        return inner
    return inspect.unwrap(type(inner).__call__)


def _is_async(handler: Handler) -> bool:
    return any(inspect.iscoroutinefunction(f) for f in (handler, _inner(handler), _function(handler)))


def _refuse_non_functions(handler: Any, name: str) -> None:
    if not callable(handler):
        raise BadHandler(f"{handler!r} is not callable: decorate a function")
    if inspect.isclass(handler):
        raise BadHandler(f"{name} is a class: pass an instance that has `async def __call__`, or a function")
    function = _function(handler)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise BadHandler(f"{name} is a generator: a handler returns once; replace `yield` by `return` or by publishing")


def _parameters(handler: Handler, name: str) -> dict[str, inspect.Parameter]:
    try:
        found = inspect.signature(handler).parameters
    except (ValueError, TypeError) as error:
        raise BadHandler(f"{name} has no signature that can be read: wrap it in `async def`") from error
    for parameter in found.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadHandler(f"{name} takes {parameter}: name each parameter, so that it is known what to pass")
    return dict(found)


def _hints(
    handler: Handler, parameters: Mapping[str, inspect.Parameter], localns: Mapping[str, Any] | None, name: str
) -> dict[str, Any]:
    """Annotations of the parameters alone, resolved: a return type that only a type checker sees must not matter."""
    function = _function(handler)
    function = getattr(function, "__func__", function)

    def shim() -> None: ...

    annotations = {p.name: p.annotation for p in parameters.values() if p.annotation is not p.empty}
    shim.__annotations__ = annotations
    names = {**dict(localns or {}), **_closure(function)}
    try:
        return typing.get_type_hints(shim, getattr(function, "__globals__", {}), names, include_extras=True)
    except NameError as error:
        raise BadHandler(f"{name}: {error}. Annotations are read at run time: move the type to the module's top level, "
                         f"out of functions and out of `if TYPE_CHECKING`") from error
    except TypeError as error:
        raise BadHandler(f"{name} has an annotation that is no type: {error}") from error


def _closure(function: Any) -> dict[str, Any]:
    """What the function sees of the functions around it. A name that is given its value later on is not there yet."""
    if not isinstance(function, types.FunctionType):
        return {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if _filled(cell)}


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _sort(
    parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], provides: tuple[type, ...], name: str
) -> tuple[inspect.Parameter, dict[str, type], dict[str, type]]:
    """Tells the body from what the effect provides and from what the delivery itself gives."""
    body: inspect.Parameter | None = None
    wanted: dict[str, type] = {}
    given: dict[str, type] = {}
    for parameter in parameters.values():
        hint = _plain(hints.get(parameter.name, Any))
        if (provided := _provided(hint, provides)) is not None:
            wanted[parameter.name] = provided
        elif hint in GIVEN:
            given[parameter.name] = hint
        elif body is None and parameter.kind is not parameter.KEYWORD_ONLY:
            body = parameter
        elif parameter.default is parameter.empty:
            raise BadHandler(_unknown(parameter, body, hints, provides, name))
    if body is None:
        body = _given_body(parameters, given, name)
        del given[body.name]
    _refuse_positional_only(parameters, {**wanted, **given}, name)
    return body, wanted, given


def _given_body(
    parameters: Mapping[str, inspect.Parameter], given: Mapping[str, type], name: str
) -> inspect.Parameter:
    """A handler of the message or delivery alone: its first parameter is the body's place."""
    for parameter in parameters.values():
        if parameter.name in given and parameter.kind is not parameter.KEYWORD_ONLY:
            return parameter
    raise BadHandler(f"{name} has no parameter for the message's body: add a first one, for example `order: OrderPaid`")


def _refuse_positional_only(parameters: Mapping[str, inspect.Parameter], extras: Mapping[str, type], name: str) -> None:
    for extra in extras:
        if parameters[extra].kind is inspect.Parameter.POSITIONAL_ONLY:
            raise BadHandler(f"{name}: {extra!r} is positional-only, and extras are passed by name: move the `/`")


def _unknown(
    parameter: inspect.Parameter, body: inspect.Parameter | None, hints: Mapping[str, Any], provides: tuple[type, ...],
    name: str,
) -> str:
    can = ", ".join(t.__name__ for t in (*provides, *GIVEN))
    if body is None:
        return f"{name}: {parameter.name!r} is keyword-only and so cannot be the body: put it before the `*`"
    if parameter.name not in hints:
        return f"{name}: {parameter.name!r} has no annotation, so nobody knows what to pass: annotate it, with {can}"
    return (f"{name}: nothing provides {parameter.name!r} ({_shown(hints[parameter.name])}); the body is {body.name!r} "
            f"already. This consumer can pass {can}: an effect (`once=…`) adds more, a default value leaves it alone")


def _shown(hint: Any) -> str:
    return getattr(hint, "__qualname__", None) or str(hint)


def _plain(hint: Any) -> Any:
    """Without ``Annotated`` around something we give ourselves; its metadata stays where msgspec reads it."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return bare if isinstance(bare, type) and (bare in GIVEN) else hint


def _provided(hint: Any, provides: tuple[type, ...]) -> type | None:
    """The provided type that fits: itself, or a subclass of what is asked for (but ``object`` asks for nothing)."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if not isinstance(bare, type) or bare is object:
        return None
    return next((p for p in provides if p is bare), None) or next((p for p in provides if issubclass(p, bare)), None)


def _member(hint: Any, name: str) -> Any:
    """``T`` of ``list[T]``."""
    if hint is Any or hint in _LISTS:
        return Any
    if get_origin(hint) in _LISTS:
        return _plain(get_args(hint)[0])
    raise BadHandler(f"{name}: a batch handler takes a list, and its body is {_shown(hint)}: annotate it "
                     f"`list[{_shown(hint)}]`, or leave out `batch=True`")
