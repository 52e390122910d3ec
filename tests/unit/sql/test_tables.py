# SPDX-License-Identifier: Apache-2.0
"""Our tables as statements, and names as they lie in their columns."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast._sql.tables import MESSAGE_ID_BYTES, Tables, ddl, fit
from holdfast.errors import ConfigurationError


@given(st.text(max_size=400))
@example("x" * 254)
@example("x" * 255)
@example("漢" * 85)
@example("\0")
@example("\ud800")
def test_every_name_fits_and_can_be_stored(name):
    fitted = fit(name, MESSAGE_ID_BYTES)
    assert len(fitted.encode()) <= MESSAGE_ID_BYTES
    assert "\0" not in fitted


@given(st.lists(st.one_of(st.text(max_size=10), st.text("ab\0?_", min_size=250, max_size=260)), unique=True))
def test_different_names_stay_different(names):
    assert len({fit(name, MESSAGE_ID_BYTES) for name in names}) == len(names)


def test_long_names_that_differ_at_their_ends_stay_different():
    assert len({fit("x" * length, 255) for length in range(250, 600)}) == 350


def test_a_name_that_looks_shortened_does_not_meet_a_shortened_one():
    long = "x" * 300
    assert fit(fit(long, 255), 255) != fit(long, 255)


def test_short_names_are_kept_as_they_are():
    assert fit("order-17 ", 255) == "order-17 "
    assert fit("x" * 254, 255) == "x" * 254


@pytest.mark.parametrize(("dialect", "type_"), [
    ("postgresql", 'message_id VARCHAR(255) COLLATE "C" NOT NULL'), ("sqlite", "message_id VARCHAR(255) NOT NULL"),
    ("mysql", "message_id VARBINARY(255) NOT NULL"), ("mariadb", "message_id VARBINARY(255) NOT NULL"),
])
def test_names_are_columns_that_compare_bytes(dialect, type_):
    assert type_ in ddl(dialect)


def test_mysql_tables_have_transactions():
    for dialect in ("mysql", "mariadb"):
        assert ddl(dialect).count("ENGINE=InnoDB") == len(Tables().all)


def test_an_unknown_dialect_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="'oracle'"):
        ddl("oracle")


def test_the_tables_stand_on_the_users_own_metadata():
    metadata = sa.MetaData()
    Tables(prefix="hf_", schema="infra", metadata=metadata)
    assert set(metadata.tables) == {"infra.hf_inbox", "infra.hf_fence", "infra.hf_outbox", "infra.hf_guard",
                                    "infra.hf_lock_fence", "infra.hf_lock_token", "infra.hf_worker_pool",
                                    "infra.hf_worker", "infra.hf_counter", "infra.hf_ticket", "infra.hf_dead_line"}
