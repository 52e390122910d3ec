# SPDX-License-Identifier: Apache-2.0
"""A share as text: what is mistyped is found, and what is forged is named."""

from __future__ import annotations

import itertools
import random
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, QuorumLost, SecretsDamaged
from holdfast.secrets.shares import Commitments, Share, faults, restore, split

SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def made(secret=b"planted-4711-value", k=3, n=5, seed=1, **more):
    return split(Secret(secret), k, n, random.Random(seed).randbytes, **more)


def changed(share):
    data = bytearray(share.data.reveal())
    data[0] ^= 1
    return msgspec.structs.replace(share, data=Secret(bytes(data)))


@given(st.binary(min_size=1, max_size=100), st.integers(0, 2**32 - 1), st.integers(0, 2**30))
def test_texts_and_bytes_come_back(secret, epoch, seed):
    for share in made(secret, seed=seed, epoch=epoch)[0]:
        assert Share.from_bytes(share.to_bytes().reveal()) == share
        text = share.to_text().reveal()
        assert Share.from_text(text) == Share.from_text(f" {text.lower().replace('-', ' ')}\n") == share


def test_what_looks_alike_is_taken_for_what_was_meant():
    for share in made()[0]:
        text = share.to_text().reveal()
        assert Share.from_text(text[:5] + text[5:].replace("0", "O").replace("1", "l")) == share


def test_every_sign_that_was_mistyped_is_found():
    text = made()[0][0].to_text().reveal()
    for place in range(5, len(text)):
        for sign in SIGNS:
            if text[place] not in ("-", sign):
                with pytest.raises(ConfigurationError):
                    Share.from_text(text[:place] + sign + text[place + 1:])


def test_signs_that_were_exchanged_left_out_or_doubled_are_found():
    signs = made()[0][0].to_text().reveal()[4:].replace("-", "")
    for place in range(len(signs) - 1):
        wrong = [signs[:place] + signs[place + 1:], signs[:place] + signs[place] + signs[place:],
                 signs[:place] + signs[place + 1] + signs[place] + signs[place + 2:]]
        for typed in wrong:
            if typed != signs:
                with pytest.raises(ConfigurationError):
                    Share.from_text("hfs1" + typed)


@pytest.mark.parametrize("text", ["", "hfs1", "hfs1-00000", "secret", "hfs1-" + "!" * 40, "hfs1-" + "0" * 5000])
def test_what_is_no_share_is_refused_and_not_said(text):
    with pytest.raises(ConfigurationError) as error:
        Share.from_text(text)
    assert "!!" not in str(error.value)


@pytest.mark.parametrize("bits", range(8))
def test_each_bit_of_a_share_is_covered(bits):
    raw = made()[0][0].to_bytes().reveal()
    for place in range(len(raw)):
        with pytest.raises(ConfigurationError):
            Share.from_bytes(raw[:place] + bytes([raw[place] ^ 1 << bits]) + raw[place + 1:])


def test_a_share_of_another_format_and_one_of_no_set_are_refused():
    share = made()[0][0]
    for wrong in (msgspec.structs.replace(share, index=0), msgspec.structs.replace(share, threshold=0)):
        with pytest.raises(ConfigurationError, match="no set"):
            Share.from_bytes(wrong.to_bytes().reveal())


def test_a_share_does_not_show_itself():
    shares, known = made()
    assert "planted" not in repr(shares) + repr(known)
    assert all(share.data.reveal() not in repr(share).encode() for share in shares)
    assert "***" in repr(shares[0].to_text())


def test_any_k_of_them_restore_and_fewer_are_refused():
    shares, known = made()
    for count in range(1, 6):
        for some in itertools.combinations(shares, count):
            if count >= 3:
                assert restore(some, known).reveal() == restore(some).reveal() == b"planted-4711-value"
            else:
                with pytest.raises(QuorumLost) as error:
                    restore(some, known)
                assert (error.value.answered, error.value.wanted) == (count, 3)
    with pytest.raises(QuorumLost):
        restore([shares[0]] * 3, known)
    with pytest.raises(QuorumLost):
        restore([], known)


@pytest.mark.parametrize("forged", [{1}, {2, 4}, {1, 2, 3, 4, 5}], ids=str)
def test_every_forged_share_is_named_and_no_other(forged):
    shares, known = made()
    given_ = [changed(share) if share.index in forged else share for share in shares]
    assert set(faults(given_, known)) == forged
    with pytest.raises(SecretsDamaged) as error:
        restore(given_, known)
    assert {int(index) for index in re.findall(r"share (\d+)", str(error.value))} == forged


@pytest.mark.parametrize("change", [
    {"salt": b"0" * 16}, {"index": 4}, {"threshold": 2}, {"set_id": b"anothers"}, {"epoch": 2}],
    ids=lambda change: next(iter(change)))
def test_a_share_that_says_it_is_another_is_named(change):
    shares, known = made()
    assert faults([msgspec.structs.replace(shares[2], **change)], known).keys() == {change.get("index", 3)}


def test_a_share_of_an_old_epoch_and_one_of_another_secret_are_named():
    (old, _), (others, _) = made(set_id=b"the set."), made(seed=3)
    new, known = made(set_id=b"the set.", epoch=2, seed=2)
    with pytest.raises(SecretsDamaged, match=r"^share 2 is of epoch 1, and epoch 2 is in force: it was replaced$"):
        restore([new[0], old[1], new[2]], known)
    with pytest.raises(SecretsDamaged, match=r"^share 1 is of another secret; share 2 is of another secret$"):
        restore([*others[:2], new[2]], known)
    with pytest.raises(SecretsDamaged, match="share 2 is of another set, or of another epoch"):
        restore([new[0], old[1], new[2]])


def test_without_commitments_more_than_k_shares_have_to_agree():
    shares, _ = made()
    with pytest.raises(SecretsDamaged, match="do not agree"):
        restore([*shares[:3], changed(shares[3])])
    with pytest.raises(SecretsDamaged, match="twice"):
        restore([*shares[:3], changed(shares[2])])


def test_a_commitment_to_one_byte_tells_nothing_without_its_salt():
    _, known = made(b"x", 2, 2)
    _, again = made(b"x", 2, 2, seed=2)
    assert not set(known.digests) & set(again.digests)
    assert isinstance(known, Commitments)


def test_nothing_is_not_split():
    with pytest.raises(ConfigurationError, match="empty"):
        made(b"")


def test_what_could_not_be_typed_back_is_not_given_as_text():
    longest = 2_096
    share = made(secret=b"x" * longest, k=1, n=1)[0][0]
    assert Share.from_text(share.to_text().reveal()) == share
    with pytest.raises(ConfigurationError, match="split the key"):
        made(secret=b"x" * (longest + 1), k=1, n=1)[0][0].to_text()


def test_a_share_of_no_set_does_not_say_what_the_secret_is():
    """The point 0 is the secret itself."""
    (one, two, *_), _ = made(k=2, n=3)
    for index in (0, 256, -1):
        with pytest.raises(SecretsDamaged, match="none of this set"):
            restore([one, msgspec.structs.replace(two, index=index)])
