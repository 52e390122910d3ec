# SPDX-License-Identifier: Apache-2.0
"""POST /orders, GET /orders."""

from __future__ import annotations

from django.urls import path

from .views import orders

urlpatterns = [path("orders", orders)]
