# SPDX-License-Identifier: Apache-2.0
"""The layers of a packet, each alone and all together."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import BadPacket, ConfigurationError
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import Ack, Dead, Nack, Ping, User
from holdfast.gossip.wire import Framing, StreamReader, compound, encode, label, lzw, seal, wrapping, write

NONCE = bytes(range(12))
OLD, NEW, STRANGE = Key(b"o" * 16), Key(b"n" * 24), Key(b"s" * 32)
MESSAGES = [Ping(1, "a"), Ack(2, b"x" * 90), User(b"\0event" * 50), Dead(3, "a", "b"), Nack(4)]


def nonce():
    return NONCE


# -- compression ------------------------------------------------------------------------------------------------------

@given(st.binary(max_size=3000) | st.text("ab", max_size=6000).map(str.encode))
def test_what_is_compressed_inflates_to_what_it_was(data):
    assert lzw.inflate(lzw.deflate(data), 1 << 20) == data


def test_a_table_that_is_full_begins_anew():
    data = random.Random(1).randbytes(40_000) + b"ab" * 30_000
    assert lzw.inflate(lzw.deflate(data), 1 << 20) == data


CLEAR, END = 256, 257


def packed(*codes, width=9):
    """Codes, lowest bit first."""
    bits = sum(code << width * place for place, code in enumerate(codes))
    return bits.to_bytes(-(-width * len(codes) // 8), "little")


def test_compressed_bytes_are_codes_lowest_bit_first_between_a_clear_and_an_end():
    assert lzw.deflate(b"") == packed(CLEAR, END)
    assert lzw.deflate(b"a") == packed(CLEAR, ord("a"), END)
    assert lzw.deflate(b"aaaa") == packed(CLEAR, ord("a"), 258, ord("a"), END)
    assert lzw.inflate(packed(CLEAR, ord("a"), 258, 259, END), 99) == b"aaaaaa"  # each the one that is being made


def test_inflating_stops_at_the_limit():
    bomb = lzw.deflate(bytes(1 << 20))
    assert len(bomb) < 4096
    with pytest.raises(BadPacket) as refused:
        lzw.inflate(bomb, 1000)
    assert refused.value.why == "large"


def test_inflating_stops_where_a_little_is_to_be_a_lot():
    bomb = lzw.deflate(bytes(4 << 20))
    with pytest.raises(BadPacket) as refused:
        lzw.inflate(bomb, 40 << 20)
    assert refused.value.why == "large"


@pytest.mark.parametrize("data", [
    b"", b"\x00", packed(CLEAR, 258, END), packed(CLEAR, 97, 259, END), packed(CLEAR, 97, 98),
    lzw.deflate(b"abcabc")[:-1], b"\xff" * 30])
def test_compressed_bytes_that_no_writer_writes_are_refused(data):
    with pytest.raises(BadPacket):
        lzw.inflate(data, 1 << 20)


# -- compounds --------------------------------------------------------------------------------------------------------

@given(st.lists(st.binary(max_size=50), max_size=600))
def test_messages_come_out_of_compounds_in_their_order(parts):
    found = []
    for packet in compound.join(parts):
        found += compound.split(packet[1:]) if packet[:1] == b"\x07" and packet not in parts else [packet]
    assert found == parts


def test_a_message_that_is_alone_goes_as_it_is():
    assert list(compound.join([b"\x0bone"])) == [b"\x0bone"]


def test_more_messages_than_a_byte_counts_take_another_compound():
    packets = list(compound.join([b"x"] * 300))
    assert [packet[1] for packet in packets] == [255, 45]


def test_a_message_too_long_for_a_compound_is_refused():
    with pytest.raises(ValueError, match="65535"):
        list(compound.join([b"x" * 65536, b"y"]))


def test_a_compound_that_ends_anywhere_is_refused():
    [whole] = compound.join([b"one", b"two", b"three"])
    for end in range(1, len(whole)):
        with pytest.raises(BadPacket):
            compound.split(whole[1:end])


# -- labels: made by the description, tried on no real peer -----------------------------------------------------------

def test_a_label_stands_before_all_else():
    assert label.put(b"blue", b"\x0bx") == b"\xf4\x04blue\x0bx"
    assert label.take(b"blue", b"\xf4\x04blue\x0bx") == b"\x0bx"
    assert label.put(b"", b"\x0bx") == b"\x0bx"


@pytest.mark.parametrize(("ours", "data"), [
    (b"blue", b"\xf4\x03redx"), (b"blue", b"\x0bx"), (b"", b"\xf4\x04bluex"), (b"", b"\xf4\x00x"),
    (b"blue", b"\xf4\x00x"), (b"blue", b"\xf4\x05blue"), (b"blue", b"\xf4"), (b"", b"\xf4")])
def test_another_clusters_label_is_refused(ours, data):
    with pytest.raises(BadPacket):
        label.take(ours, data)


def test_a_label_of_one_cluster_does_not_go_for_the_others_although_keys_are_the_same():
    ring = Keyring([OLD])
    packet = Framing(label=b"blue", keys=ring).packet(encode(Nack(1)), nonce)
    assert Framing(label=b"blue", keys=ring).messages(packet).messages == [Nack(1)]
    with pytest.raises(BadPacket) as refused:
        Framing(label=b"pink", keys=ring).messages(b"\xf4\x04pink" + packet[6:])
    assert refused.value.why == "key"


def test_a_label_too_long_is_refused_when_it_is_set():
    with pytest.raises(ConfigurationError):
        Framing(label=b"x" * 256)


# -- encryption -------------------------------------------------------------------------------------------------------

def test_encrypted_bytes_are_version_nonce_ciphertext_and_tag():
    """AES-128-GCM, test case 4 of the GCM specification (McGrew and Viega), as a packet's bytes."""
    key = Key(bytes.fromhex("feffe9928665731c6d6a8f9467308308"))
    sealed = seal.seal(
        key, bytes.fromhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
                           "49a6b525b16aedf5aa0de657ba637b39"), nonce=bytes.fromhex("cafebabefacedbaddecaf888"),
        associated=bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    assert sealed.hex() == (
        "01cafebabefacedbaddecaf88842831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac8"
        "4aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47")


@given(st.binary(max_size=200), st.sampled_from([0, 1]), st.sampled_from([OLD, NEW, STRANGE]))
def test_sealed_bytes_open_and_are_as_long_as_was_said(data, version, key):
    sealed = seal.seal(key, data, nonce=NONCE, associated=b"to", version=version)
    assert len(sealed) == seal.sealed_size(len(data), version)
    assert len(sealed) - len(data) <= seal.OVERHEAD[version]
    assert seal.unseal([STRANGE, NEW, OLD], sealed, associated=b"to") == data


def test_any_changed_bit_is_noticed():
    sealed = seal.seal(OLD, b"data", nonce=NONCE, associated=b"to")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadPacket):
            seal.unseal([OLD], bytes(changed), associated=b"to")


def test_encrypted_bytes_that_end_anywhere_are_refused():
    for version in (0, 1):
        sealed = seal.seal(OLD, b"data", nonce=NONCE, version=version)
        for end in range(len(sealed)):
            with pytest.raises(BadPacket):
                seal.unseal([OLD], sealed[:end])


def test_padding_that_is_none_is_refused():
    for padded in (b"x" * 16, b"x" * 15 + b"\x11", b"x" * 14 + b"\x03\x02", b"x" * 15 + b"\x00"):
        with pytest.raises(BadPacket):
            seal.unseal([OLD], b"\x00" + NONCE + OLD.seal(NONCE, padded, b""))


def test_a_nonce_has_twelve_bytes():
    with pytest.raises(ValueError, match="nonce"):
        seal.seal(OLD, b"", nonce=b"short")


# -- checksums and what is wrapped in what ----------------------------------------------------------------------------

def test_a_checksum_is_that_of_gos_library():
    assert wrapping.checksummed(b"123456789")[:5].hex() == "0ccbf43926"


def test_a_changed_byte_behind_a_checksum_is_noticed():
    packet = bytearray(wrapping.checksummed(encode(Nack(1))))
    packet[-1] ^= 1
    with pytest.raises(BadPacket) as refused:
        wrapping.unwrap(bytes(packet))
    assert refused.value.why == "crc"


def test_a_bad_message_takes_no_good_one_with_it():
    [packet] = compound.join([encode(Nack(1)), b"\x63what", encode(Nack(2)), b"\x0b\xc1"])
    found = wrapping.unwrap(packet)
    assert found.messages == [Nack(1), Nack(2)]
    assert [error.why for error in found.refused] == ["type", "value"]


def test_a_packet_of_which_all_is_bad_is_refused():
    with pytest.raises(BadPacket):
        wrapping.unwrap(b"\x63what")


def test_wrapping_has_a_depth():
    packet = encode(Nack(1))
    for _ in range(wrapping.DEPTH_MAX):
        packet = b"\x07\x01" + len(packet).to_bytes(2, "big") + packet
    assert wrapping.unwrap(packet).messages == [Nack(1)]
    with pytest.raises(BadPacket) as refused:
        wrapping.unwrap(b"\x07\x01" + len(packet).to_bytes(2, "big") + packet)
    assert refused.value.why == "deep"


def test_all_layers_inflate_within_one_budget():
    half = wrapping.compressed(b"\x08" + random.Random(1).randbytes(100) * 200)
    many = [half] * 60
    assert len(wrapping.inflated(half[1:], 1 << 20)) * len(many) > wrapping.PACKET_INFLATED_MAX
    [packet] = compound.join(many)
    found = wrapping.unwrap(packet)
    assert sum(len(message.payload) for message in found.messages) <= wrapping.PACKET_INFLATED_MAX
    assert {error.why for error in found.refused} == {"large"}


def test_compounds_of_compounds_are_no_way_to_more_messages():
    [inner] = compound.join([b"\x0b\x80"] * 255)
    [packet] = compound.join([inner] * 60)
    found = wrapping.unwrap(packet)
    assert len(found.messages) <= wrapping.MESSAGES_MAX
    assert {error.why for error in found.refused} == {"large"}


def test_another_algorithm_of_compression_is_refused():
    with pytest.raises(BadPacket) as refused:
        wrapping.inflated(b"\x82\xa4Algo\x01\xa3Buf\xa0", 100)
    assert refused.value.why == "compression"


# -- packets ----------------------------------------------------------------------------------------------------------

WAYS = list(itertools.product([b"", b"blue"], [None, Keyring([NEW, OLD])], [False, True], [0, 1], [False, True]))


@pytest.mark.parametrize(("named", "keys", "compress", "version", "checksum"), WAYS)
def test_messages_come_through_every_framing(named, keys, compress, version, checksum):
    framing = Framing(label=named, keys=keys, compress=compress, version=version)
    [packet] = framing.packets(MESSAGES, nonce, checksum=checksum)
    assert framing.messages(packet).messages == MESSAGES
    bodies = list(compound.join([encode(message) for message in MESSAGES]))
    assert len(packet) <= len(bodies[0]) + framing.overhead


def test_a_receiver_reads_both_versions_of_encryption():
    ring = Keyring([OLD])
    for version in (0, 1):
        packet = Framing(keys=ring, version=version).packet(encode(Nack(1)), nonce)
        assert Framing(keys=ring).messages(packet).messages == [Nack(1)]


def test_every_key_opens_and_the_first_one_seals():
    packet = Framing(keys=Keyring([NEW, OLD])).packet(encode(Nack(1)), nonce)
    assert Framing(keys=Keyring([OLD, NEW])).messages(packet).messages == [Nack(1)]
    with pytest.raises(BadPacket) as refused:
        Framing(keys=Keyring([OLD])).messages(packet)
    assert refused.value.why == "key"


def test_a_plain_packet_is_not_heard_where_there_are_keys():
    plain = Framing().packet(encode(Nack(1)), nonce)
    with pytest.raises(BadPacket):
        Framing(keys=Keyring([OLD])).messages(plain)


def test_a_cluster_on_its_way_to_encryption_hears_both():
    ring = Keyring([OLD])
    upward = Framing(keys=ring, verify_incoming=False, verify_outgoing=False)
    assert upward.messages(Framing().packet(encode(Nack(1)), nonce)).messages == [Nack(1)]
    assert upward.messages(Framing(keys=ring).packet(encode(Nack(2)), nonce)).messages == [Nack(2)]
    assert Framing().messages(upward.packet(encode(Nack(3)), nonce)).messages == [Nack(3)]


def test_compression_that_makes_nothing_smaller_is_left_out():
    framing = Framing(compress=True)
    assert framing.packet(encode(Nack(1)), nonce) == encode(Nack(1))
    assert framing.packet(encode(User(bytes(900))), nonce)[0] == 9


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_no_packet_of_noise_opens_an_encrypted_cluster(data):
    with pytest.raises(BadPacket):
        Framing(keys=Keyring([OLD, NEW])).messages(data)


# -- labels once more, put together by hand from the description -------------------------------------------------------

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "labels.hex"


def test_a_labelled_packet_and_a_labelled_stream_are_as_the_description_says():
    body, cipher = encode(Ping(1, "a")), AESGCM(b"o" * 16)
    bound = b"\x01" + NONCE + cipher.encrypt(NONCE, body, b"blue")
    announced = b"\x0a" + (1 + 12 + len(body) + 16).to_bytes(4, "big")
    streamed = announced + b"\x01" + NONCE + cipher.encrypt(NONCE, body, announced + b"blue")
    ours = [line.split() for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    assert ours == [["udp", (b"\xf4\x04blue" + body).hex()], ["udp", (b"\xf4\x04blue" + bound).hex()],
                    ["tcp", (b"\xf4\x04blue" + body).hex()], ["tcp", (b"\xf4\x04blue" + streamed).hex()]]


def test_labelled_packets_and_streams_are_read_and_written_so():
    plain, sealed = Framing(label=b"blue"), Framing(label=b"blue", keys=Keyring([OLD]))
    ping = Ping(1, "a")
    written = [plain.packet(encode(ping), nonce), sealed.packet(encode(ping), nonce),
               write(ping, plain, nonce), write(ping, sealed, nonce)]
    vectors = [line.split()[1] for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    assert [data.hex() for data in written] == vectors
    assert [plain.messages(written[0]).messages, sealed.messages(written[1]).messages] == [[ping], [ping]]
    assert [StreamReader(plain).feed(written[2]), StreamReader(sealed).feed(written[3])] == [ping, ping]
