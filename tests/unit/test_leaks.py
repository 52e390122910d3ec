# SPDX-License-Identifier: Apache-2.0
"""The search for planted secrets finds them wherever they get out, and this very run is searched."""

from __future__ import annotations

import logging

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretUnavailable
from tests.support.leaks import Search

VALUE = "planted-" + "7f3a9c51"


@pytest.fixture
def search(pytestconfig):
    """One of its own; what it finds is not held against the run's."""
    runs = pytestconfig.pluginmanager.getplugin("holdfast-leaks").search
    values = set(runs.values)
    with Search() as made:
        yield made
    runs.values, runs.found = values, []


def test_the_run_is_searched(pytestconfig):
    runs = pytestconfig.pluginmanager.getplugin("holdfast-leaks").search
    before = runs.looked
    logging.getLogger("holdfast.anything").error("a word")
    assert runs.looked > before
    assert runs in logging.getLogger().handlers


def test_a_log_record_and_a_traceback(search):
    kept = Secret(VALUE)
    logging.getLogger("anybody").warning("it is %s", kept)
    assert search.found == []
    logging.getLogger("anybody").warning("it is %s", kept.reveal())
    try:
        raise RuntimeError(f"cannot log in with {kept.reveal()}")
    except RuntimeError:
        logging.getLogger("anybody").exception("no")
    assert len(search.found) == 2
    assert VALUE not in str(search.found)


def test_the_message_of_an_error(search):
    kept = Secret(VALUE.encode())
    SecretUnavailable(f"{kept} cannot be had")
    assert search.found == []
    SecretUnavailable(f"{kept.reveal().decode()} cannot be had")
    assert len(search.found) == 1


def test_what_was_not_planted_is_not_found(search):
    logging.getLogger("anybody").warning("planted-elsewhere, and planted_bad")
    assert search.found == []
