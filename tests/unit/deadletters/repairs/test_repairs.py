# SPDX-License-Identifier: Apache-2.0
"""What each repair makes of a body, what it leaves alone, and what it refuses."""

from __future__ import annotations

import asyncio
import sys
import traceback
import types

import msgspec
import pytest

from holdfast._base.message import MSGPACK
from holdfast.consume.upcast import Upcasters
from holdfast.deadletters.handling import Mending
from holdfast.deadletters.letters import letter_info
from holdfast.deadletters.repairs import BUILTIN, Draft, Repairs, masked, unified
from holdfast.errors import ConfigurationError, RepairRefused

#: Stands in bodies, and must stand in no error.
MARK = "m4rk3r-in-the-payload"


def tried(body, *repairs, **more):
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Repairs(**more.pop("repairs", {})).tried(Draft(raw, **more), [Mending(name, said) for name, said in repairs])


def made(body, name, /, **options):
    trial = tried(body, (name, options))
    return msgspec.json.decode(trial.after.body)


@pytest.mark.parametrize(("options", "body", "wanted"), [
    ({"path": "/n", "to": "integer"}, {"n": "12"}, {"n": 12}),
    ({"path": "/n", "to": "integer"}, {"n": 12.0}, {"n": 12}),
    ({"path": "n", "to": "number"}, {"n": "1.50"}, {"n": 1.5}),
    ({"path": "/n", "to": "string"}, {"n": 12}, {"n": "12"}),
    ({"path": "/on", "to": "boolean"}, {"on": "TRUE"}, {"on": True}),
    ({"path": "/on", "to": "boolean", "map": {"ja": True, "nein": False}}, {"on": "Nein"}, {"on": False}),
    ({"path": "/d", "to": "date", "forms": ["%d.%m.%Y"]}, {"d": "26.11.2026"}, {"d": "2026-11-26"}),
    ({"path": "/d", "to": "datetime"}, {"d": 1763795586}, {"d": "2025-11-22T07:13:06Z"}),
    ({"path": "/d", "to": "datetime"}, {"d": 1763795586123}, {"d": "2025-11-22T07:13:06.123Z"}),
    ({"path": "/d", "to": "datetime"}, {"d": "2026-11-26T09:00:00+01:00"}, {"d": "2026-11-26T08:00:00Z"}),
    ({"path": "/lines/*/qty", "to": "integer"}, {"lines": [{"qty": "1"}, {"qty": 2}, {}]},
     {"lines": [{"qty": 1}, {"qty": 2}, {}]}),
    ({"paths": ["/a", "/b"], "to": "integer"}, {"a": "1", "b": None}, {"a": 1, "b": None})])
def test_a_value_gets_its_type(options, body, wanted):
    assert made(body, "coerce", **options) == wanted
    assert tried(wanted, ("coerce", options)).changed == (), "what has its type stays as it is"


@pytest.mark.parametrize(("to", "value"), [("integer", "12.5"), ("integer", MARK), ("integer", True), ("number", "NaN"),
                                           ("boolean", "perhaps"), ("boolean", 2), ("date", MARK), ("string", {}),
                                           ("integer", [MARK]), ("datetime", 10**30)])
def test_what_is_not_plainly_of_a_type_is_refused_and_its_place_is_named(to, value):
    with pytest.raises(RepairRefused, match=r"^coerce: /n: ") as refused:
        tried({"n": value}, ("coerce", {"path": "/n", "to": to}))
    assert MARK not in str(refused.value)


def test_a_default_fills_what_is_missing_and_nothing_else():
    said = {"path": "/order/currency", "value": "EUR"}
    assert made({}, "default", **said) == {"order": {"currency": "EUR"}}
    for there in ("CHF", None, ""):
        body = {"order": {"currency": there}}
        assert made(body, "default", **said) == body, "guard: what is there is not written over"
    assert made({"a": None}, "default", path="/a", value=1, when="null") == {"a": 1}
    assert made({"a": ""}, "default", path="/a", value=1, when="empty") == {"a": 1}
    assert made({"l": [{}, {"a": 2}]}, "default", path="/l/*/a", value=1) == {"l": [{"a": 1}, {"a": 2}]}
    with pytest.raises(RepairRefused, match="/order is no object"):
        tried({"order": MARK}, ("default", said))


def test_a_field_is_renamed_and_two_never_become_one():
    assert made({"amt": 5, "x": 1}, "rename", **{"from": "/amt", "to": "/amount/net"}) == {"x": 1, "amount": {"net": 5}}
    assert tried({"amount": 5}, ("rename", {"from": "/amt", "to": "/amount"})).changed == ()
    with pytest.raises(RepairRefused, match="there already") as refused:
        tried({"amt": 5, "amount": 6}, ("rename", {"from": "/amt", "to": "/amount"}))
    assert refused.value, "guard: two fields do not become one"


@pytest.mark.parametrize(("said", "body", "wanted"), [
    ({"charset": "cp1252"}, '{"n":"Müller"}'.encode("cp1252"), '{"n":"Müller"}'.encode()),
    ({}, b"\xef\xbb\xbf{}", b"{}"),
    ({}, '{"n":"ü"}'.encode("utf-16"), '{"n":"ü"}'.encode()),
    ({"charset": "utf-16-le"}, '{"n":1}'.encode("utf-16-le"), b'{"n":1}'),
    ({"mojibake": "cp1252"}, '{"n":"MÃ¼ller","m":"Müller","x":19.90}'.encode(),
     '{"n":"Müller","m":"Müller","x":19.90}'.encode())])
def test_a_body_in_another_charset_becomes_utf_8(said, body, wanted):
    assert tried(body, ("encoding", said)).after.body == wanted
    again = tried(wanted, ("encoding", said))
    assert again.after.body == wanted, "guard: what is UTF-8 is not read in another charset"


def test_a_charset_is_declared_and_not_guessed():
    with pytest.raises(RepairRefused, match="say in which `charset`"):
        tried(b'{"n":"\xfc"}', ("encoding", {}))
    with pytest.raises(RepairRefused, match="not ascii either"):
        tried(b'{"n":"\xfc"}', ("encoding", {"charset": "ascii"}))
    with pytest.raises(ConfigurationError, match="no charset 'klingon'"):
        Repairs().check("encoding", {"charset": "klingon"})


@pytest.fixture
def module(monkeypatch):
    """A module of the user's."""
    found = types.ModuleType("users_own")
    monkeypatch.setitem(sys.modules, "users_own", found)
    return found


def test_an_old_body_under_a_new_label_is_brought_up_to_date_once(module):
    module.upcasters = Upcasters()

    @module.upcasters.register("OrderPaid", 1)
    def _(body):
        return {**body, "currency": "EUR"}

    said = ("upcast", {"with": "users_own:upcasters", "from": 1})
    trial = tried({"id": 1}, said, type="OrderPaid", version=2)
    assert msgspec.json.decode(trial.after.body) == {"id": 1, "currency": "EUR"}
    with pytest.raises(RepairRefused, match="once more") as twice:
        tried({"id": 1}, ("upcast", {**said[1], "to": 2}), type="OrderPaid", version=1)
    assert twice.value, "guard: nothing is brought up to date twice"


def test_a_table_is_looked_up_by_a_field(tmp_path):
    (tmp_path / "skus.csv").write_text("sku,price,vat\nA1,19.90,7\nB2,5,19\n")
    (tmp_path / "skus.json").write_text('{"A1": {"price": 19.9, "vat": 7}}')
    csv = {"table": str(tmp_path / "skus.csv"), "column": "sku", "key": "/sku", "take": {"/price": "price"}}
    assert made({"sku": "A1"}, "lookup", **csv) == {"sku": "A1", "price": "19.90"}
    json = {"table": str(tmp_path / "skus.json"), "key": "/sku", "take": {"/tax/vat": "vat"}}
    assert made({"sku": "A1"}, "lookup", **json) == {"sku": "A1", "tax": {"vat": 7}}
    assert made({"sku": "A1", "price": 1}, "lookup", **csv) == {"sku": "A1", "price": 1}
    assert made({"sku": "A1", "price": 1}, "lookup", over=True, **csv) == {"sku": "A1", "price": "19.90"}
    with pytest.raises(RepairRefused, match="no row for what stands at /sku") as refused:
        tried({"sku": MARK}, ("lookup", csv))
    assert MARK not in str(refused.value)
    assert made({"sku": MARK}, "lookup", missing="leave", **csv) == {"sku": MARK}
    (tmp_path / "skus.csv").write_text("sku,price\nA1,1\nA1,2\n")
    with pytest.raises(ConfigurationError, match="two rows of one 'sku'"):
        tried({"sku": "A1"}, ("lookup", csv))


def test_somebody_else_is_asked_for_a_row(module):
    module.ask = {"A1": {"price": 3}}.get
    said = {"call": "users_own:ask", "key": "/sku", "take": {"/price": "price"}}
    assert made({"sku": "A1"}, "lookup", **said) == {"sku": "A1", "price": 3}


class Paid(msgspec.Struct):
    """What a handler takes."""

    id: int
    amount: float


def test_what_comes_out_is_what_the_handler_takes(module):
    module.Paid = Paid
    said = ("coerce", {"path": "/id", "to": "integer"})
    for more in ({"repairs": {"types": {"Paid": Paid}}}, {}):
        last = () if more else (("validate", {"type": "users_own:Paid"}),)
        good = tried({"id": "1", "amount": 1.5}, said, *last, type="Paid", **dict(more))
        assert msgspec.json.decode(good.after.body) == {"id": 1, "amount": 1.5}
        with pytest.raises(RepairRefused, match="what its handler takes") as refused:
            tried({"id": "1", "amount": MARK}, said, *last, type="Paid", **dict(more))
        assert MARK not in str(refused.value), "guard: what comes out is what the handler takes"


def test_a_function_of_the_user_mends_and_its_words_are_not_told(module):
    def double(value, *, times):
        if value["n"] == MARK:
            raise ValueError(value["n"])
        return {**value, "n": value["n"] * times}

    module.double = double
    assert made({"n": 2}, "users_own:double", times=3) == {"n": 6}
    trial = tried({"n": 2}, ("double", {"times": 2}), repairs={"functions": {"double": double}})
    assert trial.why == "double"
    with pytest.raises(RepairRefused, match="raised ValueError") as refused:
        tried({"n": MARK}, ("users_own:double", {"times": 3}))
    assert MARK not in "".join(traceback.format_exception(refused.value)), "guard: not its words"


def test_numbers_keep_their_digits():
    body = b'{"price":19.90,"big":123456789012345678901234567890,"fine":0.1234567890123456789,"e":1E+400}'
    assert tried(body, ("default", {"path": "/a", "value": 1})).after.body == body[:-1] + b',"a":1}'


def test_a_body_keeps_its_content_type():
    trial = tried(msgspec.msgpack.encode({"n": "1"}), ("coerce", {"path": "/n", "to": "integer"}),
                  content_type=MSGPACK)
    assert msgspec.msgpack.decode(trial.after.body) == {"n": 1}
    assert trial.patch == [{"op": "replace", "path": "/n", "value": 1}]
    for body, kind in ((b"{", "application/json"), (b"x", "text/csv")):
        with pytest.raises(RepairRefused):
            tried(body, ("default", {"path": "/a", "value": 1}), content_type=kind)


def test_repairs_follow_one_another_and_say_which_changed_something():
    trial = tried({"amt": "5"}, ("rename", {"from": "/amt", "to": "/amount"}),
                  ("coerce", {"path": "/amount", "to": "integer"}), ("default", {"path": "/amount", "value": 0}))
    assert (trial.changed, trial.why) == (("rename", "coerce"), "rename, coerce")
    assert trial.patch == [{"op": "remove", "path": "/amt"}, {"op": "add", "path": "/amount", "value": 5}]
    assert unified(trial).splitlines()[2:] == ["@@ -1,3 +1,3 @@", " {", '-  "amt": "5"', '+  "amount": 5', " }"]


def test_a_repair_that_changes_nothing_says_so():
    trial = tried(b'{ "a" : 1.0 }', ("default", {"path": "/a", "value": 2}))
    assert (trial.is_changed, trial.why, trial.patch, unified(trial)) == (False, "no repair changed anything", [], "")
    assert trial.after.body == b'{ "a" : 1.0 }', "its bytes stay as they are"


def test_secrets_are_masked_in_a_diff_and_in_a_patch():
    trial = tried({"password": "hunter2hunter2", "n": "1"}, ("patch", {"ops": [
        {"op": "replace", "path": "/password", "value": "hunter3hunter3"}, {"op": "add", "path": "/m", "value": 1}]}))
    told = unified(trial) + str(masked(trial.patch))
    assert "hunter" not in told, "guard: secrets are masked for people"
    assert '+  "m": 1' in told


@pytest.mark.parametrize(("name", "options", "said"), [
    ("nothing", {}, "there is no repair 'nothing'"), ("default", {"path": "/a"}, "wants `value`"),
    ("default", {"path": "/a", "valeu": 1, "value": 1}, "did you mean 'value'"),
    ("coerce", {"path": "/a", "to": "x"}, "one of"),
    ("patch", {"ops": [{"op": "x"}]}, "`op` is one of"), ("rename", {"from": "/a~2", "to": "/b"}, "no JSON Pointer"),
    ("lookup", {"table": "/nowhere.csv", "key": "/a", "column": "a", "take": {"/b": "b"}}, "cannot be read"),
    ("nowhere:f", {}, "No module named"), ("coerce", {"paths": "/a", "to": "date"}, "`paths` is a list"),
    ("upcast", {"with": "json:loads", "from": 1}, "no Upcasters")])
def test_what_a_repair_cannot_do_with_is_said_when_rules_are_read(name, options, said):
    with pytest.raises(ConfigurationError, match=said):
        Repairs().check(name, options)


def test_a_letter_is_mended_for_the_service():
    letter = letter_info("orders", "billing", b"1-0", [b"x-dlq-spec-version", b"1", b"id", b"m1", b"body", b'{"id":1}'])
    mends = (Mending("default", {"path": "/currency", "value": "EUR"}),)
    mended = asyncio.run(Repairs().mend(letter, mends))
    assert (mended.body, mended.why) == (b'{"id":1,"currency":"EUR"}', "default")
    assert mended.patch == [{"op": "add", "path": "/currency", "value": "EUR"}]
    assert asyncio.run(Repairs().mend(letter, (Mending("default", {"path": "/id", "value": 2}),))) is None


def test_there_are_the_repairs_that_are_documented():
    assert set(BUILTIN) == {"patch", "coerce", "default", "rename", "encoding", "upcast", "lookup", "validate"}
