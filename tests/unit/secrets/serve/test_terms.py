# SPDX-License-Identifier: Apache-2.0
"""Terms on a disk that fails, and of two processes."""

from __future__ import annotations

import errno

import pytest

from holdfast._base import durable
from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError
from holdfast.secrets.serve import NotPrimary, Role, Terms
from holdfast.secrets.serve.terms import only_one

KEY = Secret(bytes(range(32)))


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def promoted(tmp_path):
    made = Terms(tmp_path / "other", KEY, Role.STANDBY)
    made.promote()
    return made


def test_a_primary_that_was_replaced_writes_no_more_though_its_disk_is_full(tmp_path, promoted, monkeypatch, caplog):
    terms = Terms(tmp_path / "term", KEY)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.secrets.serve.terms.replace", full)
        for _ in range(3):
            terms.heard(promoted.told)
            with pytest.raises(NotPrimary, match="was replaced"):
                terms.check_writes()
    assert len(caplog.records) == 1
    assert Terms(tmp_path / "term", KEY).standing.role is Role.PRIMARY, "it could not be written"
    terms.heard(promoted.told)
    assert Terms(tmp_path / "term", KEY).standing.role is Role.SUPERSEDED, "it is, with the next word of it"


def test_a_standby_goes_by_a_term_that_it_could_not_keep_and_keeps_it_later(tmp_path, promoted, monkeypatch):
    terms = Terms(tmp_path / "term", KEY, Role.STANDBY)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.secrets.serve.terms.replace", full)
        terms.heard(promoted.told)
        assert terms.told == promoted.told
    terms.heard(promoted.told)
    assert Terms(tmp_path / "term", KEY).standing == terms.standing


def test_a_promotion_that_is_in_the_file_holds_though_it_was_not_synced(tmp_path, monkeypatch):
    terms = Terms(tmp_path / "term", KEY, Role.STANDBY)
    monkeypatch.setattr(durable, "sync_folder", full)
    with pytest.raises(durable.Unsettled):
        terms.promote()
    assert terms.standing == Terms(tmp_path / "term", KEY).standing
    assert terms.standing.role is Role.PRIMARY


def test_where_no_file_can_be_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read or written: No such file"):
        Terms(tmp_path / "none" / "term", KEY)
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file"), only_one(
            tmp_path / "none" / "term"):
        pass


def test_one_process_has_the_terms_of_a_server(tmp_path):
    with only_one(tmp_path / "term"), pytest.raises(ConfigurationError, match="already: stop it first"), \
            only_one(tmp_path / "term"):
        pass
    with only_one(tmp_path / "term"):
        pass
