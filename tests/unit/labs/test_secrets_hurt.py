# SPDX-License-Identifier: Apache-2.0
"""What the lab does to files and records of secrets: it is no finding where nothing could have been found."""

from __future__ import annotations

from contextlib import contextmanager
from random import Random

import pytest

pytest.importorskip("cryptography")

from holdfast.errors import HoldfastError, SecretsDamaged
from holdfast.labs import secrets_hurt as hurt
from holdfast.labs.secrets_schemes import Dotenv

VALUES = hurt.planted(Random(1), 3)


class Shut(Dotenv):
    """Of which copies open for nobody."""

    @contextmanager
    def opened(self, disks):
        raise SecretsDamaged("it does not open")
        yield


class Written(Dotenv):
    """With a record that anybody may shorten."""

    def __init__(self, folder, *, chained):
        super().__init__(folder)
        self.chained = chained

    def read_by_app(self, disks):
        lines = (disks[0] / "record").read_text().split()
        if self.chained and len(lines) < 4:
            raise SecretsDamaged("an entry is missing")
        return lines

    def strike(self, disks):
        (disks[0] / "record").write_text("one")
        return True


@pytest.fixture
def begun(tmp_path):
    def make(kind, **more):
        scheme = kind(tmp_path / "scheme", **more)
        scheme.begin(VALUES)
        return scheme

    return make


def test_copies_that_do_not_open_say_nothing_of_altered_ones(begun, tmp_path):
    with pytest.raises(HoldfastError, match="nothing can be said of altered ones"):
        list(hurt.altered(begun(Shut), VALUES, tmp_path / "theft", Random(1), 3))


def test_a_flipped_bit_of_a_plain_file_gives_another_value(begun, tmp_path):
    silent, flips = hurt.altered(begun(Dotenv), VALUES, tmp_path / "theft", Random(1), 30)
    assert 0 < silent.value < flips.value == 30


@pytest.mark.parametrize(("chained", "unseen"), [(True, 0), (False, 1)])
def test_an_entry_that_is_taken_out_is_missed_or_it_is_not(begun, tmp_path, chained, unseen):
    scheme = begun(Written, chained=chained)
    (scheme.machines[0] / "record").write_text("a b c d")
    named, struck = hurt.recorded(scheme, tmp_path / "record")
    assert (named.value, struck.value) == (0, unseen)


def test_nothing_that_keeps_no_record_has_one(begun, tmp_path):
    (named,) = hurt.recorded(begun(Dotenv), tmp_path / "record")
    assert named.value == 0
