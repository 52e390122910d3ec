# SPDX-License-Identifier: Apache-2.0
"""``holdfast machine``: found in a module, drawn for people, pages and programs."""

from __future__ import annotations

from pathlib import Path

import pytest

MODULE = """
from holdfast.once import StateMachine, Step

ORDER = StateMachine("order", initial="created", steps=[
    Step("pay", "created", "paid"), Step("ship", "paid", "shipped"), Step("cancel", ("created", "paid"), "cancelled")])
ODD = StateMachine("odd", initial="a\\x1b[31m", steps=[Step("go", "a\\x1b[31m", "b")])


class Shop:
    order = ORDER


number = 7
"""
OVER = """
import sqlalchemy as sa
from shop import ORDER

table = sa.Table("orders", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True),
                 sa.Column("status", sa.String(20)), sa.Column("version", sa.Integer))
orders = ORDER.over(table, id=table.c.id, state=table.c.status, version=table.c.version)
"""


@pytest.fixture
def shop(holdfast, tmp_path):
    """The command, in a folder with a module ``shop`` and one ``store`` that puts its machine over a table."""
    (tmp_path / "shop.py").write_text(MODULE)
    (tmp_path / "store.py").write_text(OVER)
    return lambda *args: holdfast("machine", "show", *args)


def test_the_text_says_where_steps_lead_and_what_requests_mean(shop):
    said = shop("shop:ORDER")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("order: 4 states, 3 steps, begins created\n")
    assert "  paid       ── ship ─▶ shipped\n" in said.out
    assert "  shipped    duplicate  duplicate  illegal\n" in said.out


def test_the_page_shows_what_the_command_says(shop):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "state-machines.md"
    assert f"```text\n{shop('shop:ORDER').out}```" in page.read_text()


def test_mermaid_can_be_put_into_a_page(shop):
    said = shop("shop:ORDER", "--format", "mermaid")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("stateDiagram-v2\n    [*] --> created\n")
    assert "    paid --> cancelled: cancel\n" in said.out


def test_json_is_for_programs(shop):
    said = shop("shop:ORDER", "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json["name"] == "order"
    assert said.json["meanings"]["created"] == {"pay": "moved", "ship": "early", "cancel": "moved"}


@pytest.mark.parametrize("name", ["shop:Shop.order", "store:orders"])
def test_a_machine_is_found_inside_of_things_and_over_a_table(shop, name):
    assert shop(name).out == shop("shop:ORDER").out


def test_what_a_name_holds_cannot_command_the_terminal(shop):
    said = shop("shop:ODD")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert "a\\x1b[31m" in said.out


@pytest.mark.parametrize(("named", "advice"), [
    ("shop", "names no state machine: write module:name, for example shop:ORDER"),
    ("shop:number", "shop:number is no state machine; those in shop: ORDER, ODD"),
    ("shop:nothing", "shop:nothing is no state machine; those in shop: ORDER, ODD"),
    ("nowhere:ORDER", "there is no module 'nowhere'"),
])
def test_what_is_not_found_is_2_and_advice(shop, named, advice):
    said = shop(named)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert advice in said.err
