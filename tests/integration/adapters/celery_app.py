# SPDX-License-Identifier: Apache-2.0
"""A Celery application, as somebody has it who comes to us. Its broker is in ``CELERY_URL``."""

from __future__ import annotations

import os
import time

from celery import Celery

app = Celery("shop", broker=os.environ["CELERY_URL"], backend=os.environ["CELERY_URL"])
app.conf.update(task_acks_late=True, result_extended=True, worker_prefetch_multiplier=1,
                broker_connection_retry_on_startup=True, task_send_sent_event=False)


@app.task(name="shop.bill")
def bill(order_id: str, *, seconds: float = 0.0, bad: bool = False) -> str:
    print(f"began {order_id}", flush=True)
    time.sleep(seconds)
    if bad:
        raise LookupError(f"no account for {order_id}")
    return f"billed {order_id}"
