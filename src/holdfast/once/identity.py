# SPDX-License-Identifier: Apache-2.0
"""What an effect is known by: the message's own id, or the business id that the user reads out of it.

``publish`` gives every message an id that survives retries, parking, burial and replay, so by default a message takes
effect once. Two messages about the same payment are two effects then. Who wants one says how the payment is named::

    in_redis(by=lambda paid: paid.payment_id)                                  # one type of message
    in_sql(by={"paid": lambda m: m.payment_id, "refunded": lambda m: m.request_id})

A business id counts within its message type and group: payment 7 and order 7 are two things. A message without one is
refused (buried at once: no attempt will give it one) or falls back to its own id, as the handler says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..consume.contract import Delivery
from ..errors import BusinessIdMissing, ConfigurationError

#: Reads a business id out of a decoded body, or out of the message where the handler takes that. None and the empty
#: string: there is none.
Extractor = Callable[[Any], Any]
By = Extractor | Mapping[str, Extractor] | None

_BY = "by:"


@dataclass(frozen=True, slots=True)
class Identity:
    """How effects are named. by: one extractor for every message, or one for each message type; None: the message's
    id. missing: what to do with a message that has no business id."""

    by: By = None
    missing: Literal["refuse", "identity"] = "refuse"

    def __post_init__(self) -> None:
        if self.missing not in ("refuse", "identity"):
            raise ConfigurationError(f"missing={self.missing!r}: use 'refuse' or 'identity'")
        if self.by is not None and not callable(self.by) and not isinstance(self.by, Mapping):
            raise ConfigurationError("by= takes a function of the body, or one for each message type in a dict")

    @property
    def told_by_id(self) -> bool:
        """Is the message's own id all there is to know?"""
        return self.by is None

    def of(self, delivery: Delivery) -> str:
        """The name of this delivery's effect. Raises BusinessIdMissing, a permanent error.

        Needs the decoded body, unless the message's own id is enough.
        """
        own = delivery.message.id
        if self.by is None:
            return own
        found = self._business_id(delivery)
        if found:
            return f"{_BY}{delivery.message.type or ''}:{found}"
        if self.missing == "refuse":
            raise BusinessIdMissing(f"message {own} of type {delivery.message.type!r} has no business id: publish it "
                                    f"with one, or say missing='identity' where the handler is declared")
        # A message id is whatever its publisher chose: it must not pass for somebody's business id.
        return f"id:{own}" if own.startswith((_BY, "id:")) else own

    def _business_id(self, delivery: Delivery) -> str:
        read = self.by.get(delivery.message.type or "") if isinstance(self.by, Mapping) else self.by
        if read is None:
            return ""
        try:
            found = read(delivery.message if delivery.body is None else delivery.body)
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise BusinessIdMissing(f"message {delivery.message.id} of type {delivery.message.type!r}: its business id "
                                    f"cannot be read ({type(error).__name__}: {error})") from error
        return "" if found is None else str(found)
