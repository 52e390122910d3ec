# SPDX-License-Identifier: Apache-2.0
"""The example of FastAPI: killed in the middle of a bill, stopped in the middle of another, asked twice for a third."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from holdfast.testing.ports import free_port
from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until
from tests.support.children import import_path

FOLDER = Path(__file__).parents[2] / "examples" / "fastapi_lifespan"
pytestmark = pytest.mark.kinds("valkey")


class Service:
    """One process of it, answering on its port."""

    def __init__(self, backend, tmp_path, billing_s=0):
        self.port = free_port()
        self.process = Worker.module(
            "uvicorn", "app:app", "--port", str(self.port), "--log-level", "warning", cwd=FOLDER,
            env={**import_path(), "HOLDFAST_URL": backend.url, "BILLING_S": str(billing_s),
                 "BILLS": f"sqlite+aiosqlite:///{tmp_path}/bills.db"})

    def __enter__(self):
        wait_until(self._answers, 30, "it answers", errors=(OSError,))
        return self

    def __exit__(self, *_):
        self.process.close()

    def _answers(self):
        assert self.process.alive, self.process.stderr
        return self.bills() is not None

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data,
                                         headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def order(self, name, amount=990):
        return self.ask("/orders", {"id": name, "amount": amount})

    def bills(self):
        return [bill["order_id"] for bill in self.ask("/bills")]


def pending(backend):
    return backend.admin.xpending("orders", "billing")["pending"]


def test_an_order_is_billed_and_a_customer_who_asks_twice_has_ordered_once(backend, tmp_path):
    with Service(backend, tmp_path) as service:
        assert service.order("o-1") == service.order("o-1")
        service.order("o-2")
        wait_until(lambda: "o-2" in service.bills() and not pending(backend), 60, "both are through")
        assert sorted(service.bills()) == ["o-1", "o-2"]


def test_an_order_whose_process_was_killed_within_is_billed_once_by_the_next(backend, tmp_path):
    with Service(backend, tmp_path, billing_s=600) as doomed:
        doomed.order("o-1")
        doomed.process.wait_line(lambda line: line == "billing o-1")
        doomed.process.kill9()
    assert pending(backend) == 1
    with Service(backend, tmp_path) as successor:
        wait_until(lambda: successor.bills() == ["o-1"] and not pending(backend), 30, "it is billed")
        assert successor.bills() == ["o-1"]


def test_what_runs_when_it_is_stopped_is_finished_and_what_waits_is_handed_back(backend, tmp_path):
    with Service(backend, tmp_path, billing_s=1) as service:
        service.order("o-1")
        service.process.wait_line(lambda line: line == "billing o-1")
        service.process.signal(signal.SIGTERM)
        # uvicorn ends by the signal that it was sent, once it has drained.
        assert service.process.wait(30) in {0, -signal.SIGTERM}
    assert pending(backend) == 0
    with Service(backend, tmp_path) as again:
        assert again.bills() == ["o-1"]


def test_an_order_that_is_none_is_refused_at_the_door(backend, tmp_path):
    with Service(backend, tmp_path) as service, pytest.raises(urllib.error.HTTPError, match="422"):
        service.ask("/orders", {"id": "o-1"})
