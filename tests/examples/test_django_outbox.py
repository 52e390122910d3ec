# SPDX-License-Identifier: Apache-2.0
"""The example of Django: killed between its commit and what ``on_commit`` calls, which loses a hint and no message."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import urllib.request
from pathlib import Path

import pytest

from holdfast.testing.ports import free_port
from holdfast.testing.processes import Worker
from holdfast.testing.waiting import wait_until
from tests.support.children import import_path

FOLDER = Path(__file__).parents[2] / "examples" / "django_outbox"
pytestmark = pytest.mark.kinds("valkey")

#: As the shop, in a process that dies when Django begins to call what was registered with on_commit.
DYING = """
import os, signal, django
django.setup()
from shop import messages, views
messages.hint = lambda order: os.kill(os.getpid(), signal.SIGKILL)
views.place(990)
"""
#: A transaction that is rolled back after both rows were written.
ROLLED_BACK = """
import django
django.setup()
from django.db import transaction
from shop import views
try:
    with transaction.atomic():
        views.place(990)
        raise LookupError("and now for something else")
except LookupError:
    print("rolled back")
"""
OUTSIDE = """
import django
django.setup()
from holdfast.adapters.django import add
from holdfast.errors import ConfigurationError
from shop.messages import hf
try:
    add(hf.outbox, "orders", {})
except ConfigurationError as error:
    print(error)
"""


class Shop:
    """The project on a database and a server of the test's own."""

    def __init__(self, server, tmp_path):
        self.url = f"sqlite:///{tmp_path}/shop.sqlite3"
        self.env = {**import_path(FOLDER), "HOLDFAST_URL": server, "SHOP_DB": f"{tmp_path}/shop.sqlite3",
                    "DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONWARNINGS": "default"}

    def made(self):
        """Its tables, and ours."""
        self.done("manage.py", "migrate", "--verbosity", "0")
        with self.holdfast("sql", "init", "--sql", self.url) as made:
            assert made.wait() == 0, made.stderr
        return Path(self.env["SHOP_DB"])

    def done(self, *words):
        with Worker([sys.executable, *words], env=self.env, cwd=FOLDER) as process:
            assert process.wait() == 0, process.stderr
            return process.lines

    def code(self, source):
        return Worker.code(source, env=self.env, cwd=FOLDER)

    def holdfast(self, *words):
        return Worker.module("holdfast.cli", *words, env=self.env, cwd=FOLDER)

    def orders(self):
        (line,) = self.done("-c", "import django; django.setup()\nfrom django.test import RequestFactory\n"
                            "from shop.views import orders\n"
                            "print(orders(RequestFactory().get('/orders')).content.decode())")
        return line["orders"]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty database with all tables, to be copied."""
    return Shop("redis://nowhere", tmp_path_factory.mktemp("shop")).made()


@pytest.fixture
def shop(backend, database, tmp_path):
    found = Shop(backend.url, tmp_path)
    shutil.copy(database, found.env["SHOP_DB"])
    return found


def test_who_dies_after_the_commit_has_lost_a_hint_and_no_message(backend, shop):
    with shop.code(DYING) as doomed:
        assert doomed.wait() == -signal.SIGKILL
    assert shop.orders() == [{"order": 1, "invoiced": False}]
    assert not backend.admin.exists("orders"), "nobody has been told yet"
    with shop.holdfast("outbox", "relay", "shop.messages:hf"), shop.holdfast("run", "shop.messages:hf") as worker:
        worker.wait_line(lambda line: line == "invoice of 1", 60)
        wait_until(lambda: backend.admin.xpending("orders", "invoices")["pending"] == 0, 60, "it is settled")
    assert shop.orders() == [{"order": 1, "invoiced": True}]
    assert not backend.admin.exists("order-hints"), "what on_commit was to tell is lost"


def test_what_is_rolled_back_is_told_to_nobody(backend, shop):
    with shop.code(ROLLED_BACK) as process:
        assert process.wait() == 0, process.stderr
        assert process.lines == ["rolled back"]
    with shop.holdfast("outbox", "ls", "--sql", shop.url, "--json") as waiting:
        assert waiting.wait() == 0, waiting.stderr
        assert "".join(map(str, waiting.lines)) == "[]"
    assert shop.orders() == []


def test_a_message_outside_of_a_transaction_is_refused(shop):
    with shop.code(OUTSIDE) as process:
        assert process.wait() == 0, process.stderr
        (said,) = process.lines
    assert "there is no transaction on 'default'" in said


def test_over_http_an_order_is_told_by_both_ways(backend, shop):
    port = free_port()
    with Worker([sys.executable, "manage.py", "runserver", "--noreload", str(port)], env=shop.env, cwd=FOLDER), \
            shop.holdfast("outbox", "relay", "shop.messages:hf"):
        def placed():
            request = urllib.request.Request(f"http://127.0.0.1:{port}/orders", data=b'{"amount": 990}')
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())

        assert wait_until(placed, 60, "it takes orders", errors=(OSError,)) == {"order": 1}
        wait_until(lambda: backend.admin.exists("orders"), 60, "its message is there")
        assert backend.admin.xlen("order-hints") == 1
        assert backend.admin.xlen("orders") == 1
