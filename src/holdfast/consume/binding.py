# SPDX-License-Identifier: Apache-2.0
"""From a user's function to something the worker can call.

The signature is read once, when the consumer is declared, and turned into closures; nothing is looked up per message.
A handler has one **body** parameter, the first that nobody provides. Every other parameter is asked for by its
annotation: ``Message``, ``Delivery``, or a type that the consumer's effect provides (an SQL session, for example).

========================================= ==========================================================================
body annotation                           what the handler gets
========================================= ==========================================================================
msgspec Struct, dataclass, TypedDict,     the body, decoded and validated
NamedTuple, Pydantic model, builtins,
unions of tagged Structs
``Any``, or none                          the decoded body, unchecked
``bytes``, ``str``                        the body as it lies in the stream; as UTF-8 text
``Message``, ``Delivery``                 the message with its headers; the delivery with its attempt. Not decoded
``list[T]`` with ``batch=True``           many messages at once
========================================= ==========================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._base.decoder import REFUSALS, Decoder, decoder_for, explain
from .._base.message import F_BODY, F_CONTENT_TYPE, JSON, Message
from ..errors import BadHandler, ConfigurationError
from .contract import Delivery, EffectContext
from .signature import GIVEN, Handler, Signature, name_of, read_signature

__all__ = ["Binding", "Handler", "bind", "name_of"]

#: ``call(delivery, context)``; for a batch handler ``call(deliveries, context)``.
Call = Callable[..., Any]


class Binding:
    """A handler, understood.

    name: ``module:qualname``. wanted: parameters the effect provides, with the type to ask it for. body: the body's
    type (for a batch handler, a member's). ``call`` decodes if need be and calls the handler: an awaitable when
    ``is_async``, else the plain answer, to be had in a thread.
    """

    __slots__ = ("bare", "body", "call", "decoder", "given_one", "handler", "is_async", "is_batch", "load", "name",
                 "wanted")

    def __init__(self, handler: Handler, signature: Signature, *, batch: bool) -> None:
        self.handler = handler
        self.name = signature.name
        self.is_async = signature.is_async
        self.is_batch = batch
        self.body = signature.body
        self.wanted = signature.wanted
        self.decoder = None if signature.body in GIVEN else decoder_for(signature.body)
        #: The body of one delivery, decoded and remembered in ``delivery.body``; DecodeError or ValidationFailed.
        self.load: Callable[[Delivery], Any] = _loader(signature.body, self.decoder)
        self.call: Call = _batch_call(self, signature) if batch else _single_call(self, signature)
        #: The handler as a function of its body alone, when it takes nothing else; None when it does.
        self.bare: Handler | None = None
        if self.decoder is not None and not (batch or signature.wanted or signature.given):
            self.bare = _body_by_place(handler, signature)
        #: The handler as a function of its body and of the one thing its effect provides; None when it takes others.
        self.given_one: Callable[[Any, EffectContext], Any] | None = None
        if self.decoder is not None and not batch and len(signature.wanted) == 1 and not signature.given:
            self.given_one = _given_one(handler, signature)

    def decode(self, body: bytes, content_type: str = JSON) -> Any:
        """A body as the handler's type; DecodeError or ValidationFailed."""
        if self.decoder is None:
            raise ConfigurationError(f"{self.name} takes a {self.body.__name__}, not a decoded body")
        return self.decoder.decode(body, content_type)

    def __repr__(self) -> str:
        return f"<Binding {self.name}>"


def bind(
    handler: Handler,
    *,
    provides: tuple[type, ...] = (),
    batch: bool | None = None,
    localns: Mapping[str, Any] | None = None,
) -> Binding:
    """Reads a handler's signature.

    provides: types the consumer's effect can pass; batch: the handler takes a list of messages (None means no, because
    a ``list[T]`` may as well be the type of one body); localns: names for annotations written inside a function.
    Raises BadHandler, with what to change.
    """
    signature = read_signature(handler, provides=provides, batch=bool(batch), localns=localns)
    try:
        return Binding(handler, signature, batch=bool(batch))
    except ConfigurationError as error:
        raise BadHandler(f"{signature.name}: parameter {signature.body_param!r}: {error}") from error


# -- calling ---------------------------------------------------------------------------------------------------------


def _loader(body: Any, decoder: Decoder | None) -> Callable[[Delivery], Any]:
    if decoder is None:
        return _message if body is Message else _itself
    decode, slow, wanted = decoder.json, decoder.decode, decoder.wanted

    def load(delivery: Delivery) -> Any:
        message = delivery.message
        fields = message.map
        raw = fields.get(F_BODY)
        if raw is None or F_CONTENT_TYPE in fields:
            value = slow(message.body, message.content_type)
        else:
            try:
                value = decode(raw)
            except REFUSALS as error:
                raise explain(error, raw, JSON, wanted) from None
        delivery.body = value
        return value

    return load


def _message(delivery: Delivery) -> Message:
    return delivery.message


def _itself(delivery: Delivery) -> Delivery:
    return delivery


def _single_call(binding: Binding, signature: Signature) -> Call:
    handler, load, decoded = _body_by_place(binding.handler, signature), binding.load, binding.decoder is not None
    extras = _extras(binding.name, binding.wanted, signature.given)

    def call_with(delivery: Delivery, context: EffectContext | None = None) -> Any:
        value = delivery.body if decoded else None
        return handler(load(delivery) if value is None else value, **extras(delivery, context))

    def call(delivery: Delivery, _context: EffectContext | None = None) -> Any:
        value = delivery.body
        return handler(load(delivery) if value is None else value)

    # The bare path is the one that is measured: a decode and a call, and nothing that a plain handler did not ask for.
    return call if decoded and not binding.wanted and not signature.given else call_with


def _body_by_place(handler: Handler, signature: Signature) -> Handler:
    """The handler with its body first, whatever its own order: ``async def bill(session: Session, order: Order)``."""
    if signature.body_first:
        return handler
    return lambda body, **extras: handler(**{signature.body_param: body}, **extras)


def _given_one(handler: Handler, signature: Signature) -> Callable[[Any, EffectContext], Any]:
    ((param, kind),) = signature.wanted.items()
    body_param = signature.body_param
    if signature.body_first:
        return lambda body, context: handler(body, **{param: context.provide(kind)})
    return lambda body, context: handler(**{body_param: body, param: context.provide(kind)})


def _batch_call(binding: Binding, signature: Signature) -> Call:
    handler, load, decoded = _body_by_place(binding.handler, signature), binding.load, binding.decoder is not None
    extras = _extras(binding.name, binding.wanted, {})

    def call(deliveries: Sequence[Delivery], context: EffectContext | None = None) -> Any:
        members = [load(d) if not decoded or d.body is None else d.body for d in deliveries]
        return handler(members, **extras(None, context))

    return call


def _extras(
    name: str, wanted: Mapping[str, type], given: Mapping[str, type]
) -> Callable[[Delivery | None, EffectContext | None], dict[str, Any]]:
    givers = {param: (_message if kind is Message else _itself) for param, kind in given.items()}

    def extras(delivery: Delivery | None, context: EffectContext | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if delivery is not None:
            found = {param: give(delivery) for param, give in givers.items()}
        for param, kind in wanted.items():
            if context is None:
                raise BadHandler(f"{name}: {param!r} ({kind.__name__}) is provided by an effect, and none is at work")
            found[param] = context.provide(kind)
        return found

    return extras
