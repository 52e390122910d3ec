# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from holdfast import errors
from holdfast.consume.classify import classify, is_busy


def named(name: str, module: str, **attributes: object) -> Exception:
    """An error of a driver that is not installed here."""
    return type(name, (Exception,), {"__module__": module, **attributes})()


@pytest.mark.parametrize(("error", "kind", "reason"), [
    (errors.DecodeError(), "permanent", "decode_error"),
    (errors.ValidationFailed(), "permanent", "schema_invalid"),
    (errors.UnknownType(), "unserved", "unknown_type"),
    (errors.UnknownVersion(), "unserved", "unknown_type"),
    (errors.HandlerTimeout(), "transient", "timeout"),
    (errors.LeaseLost(), "lost", "handler_error"),
    (errors.ServerUnreachable(), "transient", "handler_error"),
    (errors.NotAuthorized(), "transient", "handler_error"),
    (errors.BadHandler(), "unknown", "handler_error"),
    (errors.MessageTooLarge(), "permanent", "handler_error"),
    (errors.NotReplicated(), "transient", "handler_error"),
    (ConnectionResetError(), "transient", "handler_error"),
    (TimeoutError(), "transient", "handler_error"),
    (named("MovedError", "redis.exceptions"), "busy", "handler_error"),
    (named("MovedError", "films.errors"), "unknown", "handler_error"),
    (named("SerializationFailure", "psycopg.errors", sqlstate="40001"), "busy", "handler_error"),
    (named("UniqueViolation", "psycopg.errors", sqlstate="23505"), "unknown", "handler_error"),
    (named("Mine", "app", retry_may_help=True), "transient", "handler_error"),
    (named("Mine", "app", retry_may_help=False), "permanent", "handler_error"),
    (named("Mine", "app", retry_may_help="perhaps"), "unknown", "handler_error"),
])
def test_what_an_error_says(error, kind, reason):
    verdict = classify(error)
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize("error", [TypeError(), KeyError(), AttributeError(), ValueError(), NotImplementedError(),
                                   MemoryError(), AssertionError(), ZeroDivisionError()])
def test_no_python_error_is_permanent_by_default(error):
    assert classify(error).kind == "unknown"


def test_what_sqlalchemy_wrapped_is_looked_into():
    wrapped = named("OperationalError", "sqlalchemy.exc")
    wrapped.orig = named("DeadlockDetected", "psycopg.errors", sqlstate="40P01")
    assert is_busy(wrapped)
    wrapped.orig = "no error"
    assert not is_busy(wrapped)


def test_the_single_failure_of_a_task_group_speaks_for_it():
    assert classify(ExceptionGroup("tasks", [errors.DecodeError()])).kind == "permanent"
    assert classify(ExceptionGroup("tasks", [errors.DecodeError(), ValueError()])).kind == "unknown"


def test_users_are_asked_first_in_their_order():
    def deaf(error):
        return None

    def strict(error):
        return "permanent" if isinstance(error, TypeError) else None

    def mild(error):
        return "transient"

    assert classify(TypeError(), (deaf, strict, mild)).kind == "permanent"
    assert classify(TypeError(), (deaf, strict, mild)).by == "strict"
    assert classify(ValueError(), (deaf, strict, mild)).kind == "transient"
    assert classify(ValueError(), (deaf, strict)).kind == "unknown"


def test_who_overrules_the_kind_keeps_the_reason():
    verdict = classify(errors.HandlerTimeout(), (lambda error: "permanent",))
    assert (verdict.kind, verdict.reason) == ("permanent", "timeout")


def test_a_wrapped_failure_is_shown_to_the_users_classifiers_too():
    asked = []
    classify(ExceptionGroup("tasks", [KeyError()]), (lambda error: asked.append(type(error)),))
    assert asked == [ExceptionGroup, KeyError]
