# SPDX-License-Identifier: Apache-2.0
"""One line on a screen for the same error at other data; another line for another error."""

from __future__ import annotations

import pytest

from holdfast._base.fingerprint import causes, fingerprint, fingerprint_of, words


def raised(call, *args):
    try:
        call(*args)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def look_up(key):
    return {}[key]


def elsewhere(key):
    return {}[key]


def descend(n):
    if n == 0:
        raise ValueError(f"at {n}")
    descend(n - 1)


def wrap(cause):
    try:
        raise cause
    except type(cause) as error:
        raise RuntimeError("failed") from error


def test_the_same_error_at_other_data_is_the_same():
    assert fingerprint(raised(look_up, "a")) == fingerprint(raised(look_up, "b" * 99))


def test_its_form_says_its_algorithm():
    assert fingerprint(raised(look_up, "a")).startswith("v1:")
    assert len(fingerprint(raised(look_up, "a"))) == 19


def test_another_place_another_type_or_another_cause_is_another():
    found = {
        fingerprint(raised(look_up, "a")),
        fingerprint(raised(elsewhere, "a")),
        fingerprint(raised(look_up, [])),
        fingerprint(raised(wrap, KeyError())),
        fingerprint(raised(wrap, ValueError())),
    }
    assert len(found) == 5


def test_depth_of_recursion_is_data():
    assert fingerprint(raised(descend, 3)) == fingerprint(raised(descend, 300))


def test_line_numbers_do_not_count():
    made = [compile("\n" * lines + "def f():\n    raise ValueError('x')", "m.py", "exec") for lines in (0, 40)]
    errors = []
    for code in made:
        scope = {"__name__": "m"}
        exec(code, scope)
        errors.append(raised(scope["f"]))
    assert fingerprint(errors[0]) == fingerprint(errors[1])


def test_an_error_that_was_never_raised_is_told_by_its_words():
    assert fingerprint(ValueError(), "order 17 of 'ana' at 0x7f3a") == fingerprint(
        ValueError(), "order 18 of 'bob' at 0x99ff"
    )
    assert fingerprint(ValueError(), "no such order") != fingerprint(ValueError(), "no such customer")
    assert fingerprint_of(["rejected"], message="order 17") == fingerprint_of(["rejected"], message="order 18")


def test_frames_of_holdfast_itself_do_not_count():
    found = set()
    for inner in ("holdfast.consume.attempt", "holdfast.consume.attempt_rewritten"):
        scope = {"__name__": inner, "look_up": look_up}
        exec(
            "def run(key):\n    look_up(key)" if inner.endswith("attempt") else "def carry_out(key):\n    look_up(key)",
            scope,
        )
        found.add(fingerprint(raised(scope.get("run") or scope["carry_out"], "a")))
    assert len(found) == 1


@pytest.mark.parametrize("text", ["", "x" * 9999, "'" * 999, "0x" * 999, "7" * 9999])
def test_words_are_bounded(text):
    assert len(words(text)) <= 512


def test_causes_end_even_when_they_are_a_circle():
    a, b = ValueError(), KeyError()
    a.__context__, b.__context__ = b, a
    assert causes(a) == [a, b]
    assert len(causes(ExceptionGroup("g", [ValueError(i) for i in range(99)]))) == 4


def test_a_suppressed_context_is_no_cause():
    def clean():
        try:
            look_up("a")
        except KeyError:
            raise ValueError("clean") from None

    error = raised(clean)
    assert causes(error) == [error]
