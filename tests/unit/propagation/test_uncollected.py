# SPDX-License-Identifier: Apache-2.0
"""The search for cycles is off within a run, and afterwards as it was before."""

from __future__ import annotations

import gc

import pytest

from holdfast.propagation.sim.uncollected import uncollected


@pytest.fixture(params=[True, False], ids=["on", "off"])
def before(request):
    was_on = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was_on else gc.disable)()


def test_it_is_off_meanwhile_and_then_as_it_was(before):
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() == before


def test_it_is_as_it_was_after_an_error_too(before):
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled() == before
