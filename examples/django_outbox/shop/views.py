# SPDX-License-Identifier: Apache-2.0
"""Taking orders: what must not be lost goes into the outbox, what may be goes through ``on_commit``."""

from __future__ import annotations

import json
from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from holdfast.adapters.django import add

from . import messages
from .models import Order


@csrf_exempt
def orders(request: HttpRequest) -> JsonResponse:
    """Takes an order, or lists them with whether they have an invoice."""
    if request.method == "POST":
        return JsonResponse({"order": place(json.loads(request.body)["amount"])}, status=201)
    found = Order.objects.order_by("pk").values_list("pk", "invoice__pk")
    return JsonResponse({"orders": [{"order": pk, "invoiced": invoice is not None} for pk, invoice in found]})


def place(amount: int) -> int:
    """An order and the message about it, in one transaction: both or neither."""
    with transaction.atomic():
        order = Order.objects.create(amount=amount)
        add(messages.hf.outbox, "orders", messages.OrderPlaced(order.pk, amount), key=str(order.pk))
        # After the commit, in this process, and not at all if it dies first: right for a hint to a dashboard.
        transaction.on_commit(partial(messages.hint, order.pk))
    return order.pk
