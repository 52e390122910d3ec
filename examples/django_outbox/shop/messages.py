# SPDX-License-Identifier: Apache-2.0
"""What is told to other services, and the consumer of it.

::

    holdfast outbox relay shop.messages:hf     # brings what was committed to the stream
    holdfast run shop.messages:hf              # writes invoices
"""

from __future__ import annotations

import os
from contextlib import suppress

import django
import msgspec
from django.conf import settings
from django.db import close_old_connections

from holdfast import Holdfast, HoldfastError, Retry, StreamSettings

if not settings.configured:
    # The consumer is a process of its own, which Django's command line has not set up.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    django.setup()

hf = Holdfast(os.environ.get("HOLDFAST_URL", "redis://localhost:6379/0"), sql=f"sqlite:///{settings.DATABASE}",
              settings=StreamSettings(lease_ms=2000, sweep_ms=500))


class OrderPlaced(msgspec.Struct):
    """An order was placed."""

    order: int
    amount: int


@hf.consumer("orders", group="invoices", retry=Retry(attempts=5))
def invoice(placed: OrderPlaced) -> None:
    """Writes the invoice. In a thread of its own, as Django's database wants it."""
    from .models import Invoice

    close_old_connections()
    try:
        Invoice.objects.get_or_create(order_id=placed.order)
        print(f"invoice of {placed.order}", flush=True)
    finally:
        close_old_connections()


def hint(order: int) -> None:
    """Tells dashboards at once. It may be lost, and it must not fail a request."""
    with suppress(HoldfastError), hf.blocking() as blocking:
        blocking.publish("order-hints", {"order": order})
