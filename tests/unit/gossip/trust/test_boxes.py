# SPDX-License-Identifier: Apache-2.0
"""A box opens for one member, in one epoch of one cluster."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.errors import NotTrusted
from holdfast.gossip.trust.boxes import seal, unseal
from holdfast.gossip.trust.identity import Identity
from tests.unit.gossip.trust.people import CLUSTER, Town

TOWN = Town()
ONE, TWO = Identity.generate(TOWN.entropy), Identity.generate(TOWN.entropy)
KEY, EPOCH = b"k" * 32, b"e" * 32
BOX = seal(KEY, CLUSTER, EPOCH, ONE.id, ONE.sealing, entropy=TOWN.entropy)


def closed(box, cluster=CLUSTER, identity=ONE):
    with pytest.raises(NotTrusted) as found:
        unseal(box, cluster, identity)
    return found.value.why == "sealed"


def test_it_opens_for_whom_it_was_sealed():
    assert unseal(BOX, CLUSTER, ONE) == KEY
    assert KEY not in BOX.sealed


def test_it_opens_for_nobody_else_and_nowhere_else():
    assert closed(BOX, identity=TWO)
    assert closed(BOX, cluster=b"there")
    assert closed(msgspec.structs.replace(BOX, epoch=b"f" * 32))


def test_what_was_sealed_for_another_id_does_not_open_under_ours():
    """Somebody has our sealing key put into his certificate, and hands us the box that was made for him."""
    for_other = seal(KEY, CLUSTER, EPOCH, TWO.id, ONE.sealing, entropy=TOWN.entropy)
    assert closed(for_other)
    assert closed(msgspec.structs.replace(for_other, to=ONE.id))


@pytest.mark.parametrize("field", ["ephemeral", "sealed"])
def test_any_changed_byte_closes_it(field):
    value = getattr(BOX, field)
    for at in range(len(value)):
        changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1:]
        assert closed(msgspec.structs.replace(BOX, **{field: changed}))
        assert closed(msgspec.structs.replace(BOX, **{field: value[:at]}))


def test_two_boxes_of_one_key_have_nothing_in_common():
    other = seal(KEY, CLUSTER, EPOCH, ONE.id, ONE.sealing, entropy=TOWN.entropy)
    assert (other.ephemeral, other.sealed) != (BOX.ephemeral, BOX.sealed)


@pytest.mark.parametrize("public", [bytes(32), b"", b"x" * 31], ids=["nought", "empty", "short"])
def test_nothing_is_sealed_to_a_key_that_is_none(public):
    with pytest.raises(NotTrusted):
        seal(KEY, CLUSTER, EPOCH, ONE.id, public, entropy=TOWN.entropy)
    with pytest.raises(NotTrusted):
        unseal(msgspec.structs.replace(BOX, ephemeral=public), CLUSTER, ONE)
