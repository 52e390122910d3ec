# SPDX-License-Identifier: Apache-2.0
"""Orders and their invoices."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """What a customer has ordered."""

    amount = models.IntegerField()

    def __str__(self) -> str:
        return f"order {self.pk}"


class Invoice(models.Model):
    """One an order: a message that is delivered twice finds the first one."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT)

    def __str__(self) -> str:
        return f"invoice of {self.order}"
