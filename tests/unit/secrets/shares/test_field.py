# SPDX-License-Identifier: Apache-2.0
"""Shares over GF(256): what k−1 of them say, what k of them give, and how they are dealt anew."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.secrets.shares.field import added, deal, gather, interpolate, over, points, times, zeros


def chance(seed=1):
    return random.Random(seed).randbytes


def test_it_is_a_field():
    for a, b in itertools.product(range(256), range(1, 256)):
        assert times(over(a, b), b) == a
        assert times(a, b) == times(b, a)
    for a, b, c in random.Random(1).choices(list(itertools.product(range(0, 256, 7), repeat=3)), k=5000):
        assert times(a, b ^ c) == times(a, b) ^ times(a, c)
        assert times(a, times(b, c)) == times(times(a, b), c)
    assert times(0x57, 0x83) == 0xC1  # FIPS 197, 4.2
    assert times(0x53, 0xCA) == 1


def every_polynomial(k):
    """(value, coefficients) of each polynomial, laid out as one secret and its entropy: the code under test splits it
    in one call."""
    shape = np.indices((256,) * k, dtype=np.uint8).reshape(k, -1)
    return shape[0].tobytes(), shape[1:].tobytes()


@pytest.mark.parametrize(("k", "n"), [(1, 2), (2, 2), (2, 3), (2, 5), (3, 3), (3, 4)])
def test_for_fewer_than_k_shares_each_value_has_exactly_one_polynomial(k, n):
    secrets, coefficients = every_polynomial(k)
    made = points(secrets, k, range(1, n + 1), lambda size: coefficients[:size])
    value = np.frombuffer(secrets, np.uint8).astype(np.uint32)
    for known in itertools.combinations(made, k - 1):
        seen = value.copy()
        for index in known:
            seen = seen * 256 + np.frombuffer(made[index], np.uint8)
        # Each (value, what k−1 holders see) once, all of them: no value is likelier than another.
        assert (np.bincount(seen, minlength=256 ** k) == 1).all()


@given(st.binary(min_size=1, max_size=300), st.integers(1, 7), st.integers(0, 4), st.randoms(use_true_random=False))
def test_any_k_give_it_back(secret, k, more, random_):
    made = points(secret, k, range(1, k + more + 1), random_.randbytes)
    for some in itertools.combinations(made.items(), k):
        assert interpolate(dict(some)) == secret


def test_the_last_of_255_shares_counts_too():
    made = points(b"secret", 200, range(1, 256), chance())
    assert interpolate(dict(list(made.items())[-200:])) == b"secret"
    assert interpolate(dict(list(made.items())[-199:])) != b"secret"


@given(st.integers(1, 4), st.integers(0, 2), st.integers(1, 4), st.integers(0, 2), st.integers(0, 2**30))
def test_shares_are_dealt_anew_to_another_k_and_n(k, more, k2, more2, seed):
    random_ = random.Random(seed)  # hypothesis would have it all zeros: shares of nothing
    secret, entropy = random_.randbytes(32), random_.randbytes
    old = points(secret, k, range(1, k + more + 1), entropy)
    dealers = random_.sample(sorted(old), k)
    dealt = {dealer: deal(old[dealer], k2, range(1, k2 + more2 + 1), entropy) for dealer in dealers}
    new = {index: gather({dealer: dealt[dealer][index] for dealer in dealers})
           for index in range(1, k2 + more2 + 1)}
    for some in itertools.combinations(new.items(), k2):
        assert interpolate(dict(some)) == secret
    for few in range(1, k2):
        assert interpolate(dict(list(new.items())[:few])) != secret


@pytest.mark.parametrize("fresh", [1, 2])
def test_old_shares_do_not_mix_with_new_ones(fresh):
    secret, entropy = b"s" * 32, chance()
    old = points(secret, 3, range(1, 6), entropy)
    nothing = zeros(32, 3, range(1, 6), entropy)
    new = {index: added(data, nothing[index]) for index, data in old.items()}
    for some in itertools.combinations(new.items(), 3):
        assert interpolate(dict(some)) == secret
    for some in itertools.combinations(range(1, 6), 3):
        mixed = {index: (new if place < fresh else old)[index] for place, index in enumerate(some)}
        assert interpolate(mixed) != secret


@pytest.mark.parametrize(("k", "at"), [(0, (1,)), (3, (1, 2)), (1, (0,)), (1, (256,)), (2, (1, 1)), (1, ())])
def test_what_cannot_be_is_refused(k, at):
    with pytest.raises(ConfigurationError):
        points(b"secret", k, at, chance())


def test_shares_of_several_lengths_are_refused():
    for shares in ({}, {1: b"a", 2: b"ab"}):
        with pytest.raises(ConfigurationError):
            interpolate(shares)
