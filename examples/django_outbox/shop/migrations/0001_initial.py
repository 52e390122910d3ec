# SPDX-License-Identifier: Apache-2.0
"""Orders and invoices."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

_ID = {"auto_created": True, "primary_key": True, "serialize": False, "verbose_name": "ID"}


class Migration(migrations.Migration):
    """The first. Holdfast's own tables come from `holdfast sql init`."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[migrations.CreateModel]] = [
        migrations.CreateModel(name="Order", fields=[
            ("id", models.BigAutoField(**_ID)),
            ("amount", models.IntegerField()),
        ]),
        migrations.CreateModel(name="Invoice", fields=[
            ("id", models.BigAutoField(**_ID)),
            ("order", models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to="shop.order")),
        ]),
    ]
