# SPDX-License-Identifier: Apache-2.0
"""The outbox in a transaction of Django's: a message that is published if, and only if, ``atomic`` commits.

::

    with transaction.atomic():
        order = Order.objects.create(amount=990)
        add(hf.outbox, "orders", OrderPlaced(order.id, 990), key=str(order.id))

Beside ``transaction.on_commit``, which Django runs after the commit and in the same process: who dies in between has
committed an order of which nobody hears. What may be lost can go there; what must not goes into the outbox, and
``holdfast outbox relay`` brings it to its stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, MissingExtra

try:
    from django.db import DEFAULT_DB_ALIAS, connections
except ModuleNotFoundError as error:
    raise MissingExtra("django", "holdfast.adapters.django") from error

if TYPE_CHECKING:
    from ..once import Outbox

__all__ = ["add"]


def add(outbox: Outbox, stream: str, value: Any, *, using: str = DEFAULT_DB_ALIAS, key: str | None = None,
        id: str | None = None, type: str | None = None, headers: Mapping[str, str] | None = None) -> str:
    """Publishes ``value`` to ``stream`` when the transaction under way commits; answers the message's id.

    using: the database, as in ``transaction.atomic(using=…)``; our tables have to be in it. The rest is as in
    ``Holdfast.publish``. Raises ConfigurationError outside of ``atomic``, where the row would be there at once, and
    whatever else ``Outbox.add`` raises.
    """
    connection = connections[using]
    if not connection.in_atomic_block:  # guard: no row without a transaction
        raise ConfigurationError(f"there is no transaction on {using!r}: write the message and what it tells of within "
                                 f"one `transaction.atomic()`")
    message_id, statement, parameters = outbox.statement(connection.vendor, stream, value, key=key, id=id, type=type,
                                                         headers=headers)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    return message_id
