# SPDX-License-Identifier: Apache-2.0
"""A file in the hands of somebody else: what it tells, and what of it could be changed unseen. Nothing."""

from __future__ import annotations

import os
import shutil

import msgspec
import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretRefused, SecretsDamaged, SecretsSealed, SecretUnavailable
from holdfast.secrets.vault import FilePin, Head, KeyFile, Passphrase, Shares, Vault
from holdfast.secrets.vault.form import first_link, genuine, read_header, read_record, write_header
from tests.unit.secrets.vault.kit import OTHER, PHRASE, new, pin_of, reopened, value

NAME, PLANTED = "planted-team/planted-name", b"planted-value-4711"


def spans(raw):
    """Where each record of a file begins and ends."""
    _, header = read_header(raw)
    at, found = len(header), []
    while at < len(raw):
        end = read_record(memoryview(raw), at, 0).end
        found.append((at, end))
        at = end
    return found


def test_no_name_no_label_and_no_value_is_readable(tmp_path):
    with new(tmp_path) as vault:
        vault.put(NAME, Secret(PLANTED))
        vault.put(NAME, Secret(PLANTED + b"2"), label="planted-label")
        vault.label(NAME, "planted-label", 1)
        vault.delete(NAME, version=1)
        vault.compact()
        vault.put(NAME, Secret(PLANTED + b"3"))
        vault.backup(tmp_path / "backup")
        path = vault.file.path
    for file in [path, tmp_path / "backup", *(tmp_path / "pins").iterdir()]:
        raw = file.read_bytes()
        for word in (b"planted", PLANTED, NAME.encode(), b"current", b"correct-horse"):
            assert word not in raw
            assert word.hex().encode() not in raw


def test_the_same_secrets_written_twice_look_different(tmp_path):
    for name in ("one", "two"):
        new(tmp_path, name).put(NAME, Secret(PLANTED))
    one, two = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    begin = len(read_header(one)[1])
    assert not any(one[at:at + 12] in two for at in range(begin + 12, len(one) - 12, 12))


def test_names_and_values_of_like_length_make_files_of_one_length(tmp_path):
    sizes = set()
    for count, (name, secret) in enumerate([("a", b"x"), ("b" * 100, b"y" * 60), ("c/d/e", b"z" * 33)]):
        with new(tmp_path, f"v{count}") as vault:
            vault.put(name, Secret(secret))
            sizes.add(vault.file.path.stat().st_size)
    assert len(sizes) == 1


def test_every_flipped_bit_is_seen(tmp_path):
    """All bits of a file with several records, one after the other: header, slots, lengths, entries, values."""
    with new(tmp_path) as vault:
        vault.put("a/b", Secret(b"one"))
        vault.put("a/b", Secret(b"two"), label="pending")
        vault.delete("a/b", version=1)
        path = vault.file.path
    good, pin, flips = path.read_bytes(), pin_of(tmp_path), 0
    for at in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[at] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(SecretsDamaged):
                Vault.open(path, PHRASE, pin=pin)
            flips += 1
    assert flips == 8 * len(good) > 8000
    path.write_bytes(good)
    assert value(reopened(tmp_path), "a/b", version=2) == b"two"


def test_a_flipped_bit_before_the_end_is_seen_where_the_vault_was_never_seen_too(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        vault.put("a", Secret(b"two"))
        path = vault.file.path
    good = path.read_bytes()
    for at in range(0, len(good), 3):
        changed = bytearray(good)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(SecretsDamaged):
            Vault.open(path, PHRASE, pin=FilePin(tmp_path / f"never-{at}"))


def test_every_end_that_was_cut_off_is_seen(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a/b", Secret(b"one"))
        vault.put("a/b", Secret(b"two"))
        path = vault.file.path
    good = path.read_bytes()
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(SecretsDamaged):
            reopened(tmp_path)


def test_what_was_never_acknowledged_is_dropped(tmp_path):
    """The beginning of a record, and one that the disk lost in part, behind the last one that anybody was told of."""
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        path = vault.file.path
        before, store = path.read_bytes(), vault.file.loaded.header.store
        head = vault.file.loaded.head
        vault.put("a", Secret(b"two" * 1000))  # longer than what is written over it
    after = path.read_bytes()
    lost = after[:-40] + bytes(40)
    for tail in [*(after[:end] for end in range(len(before), len(after), 67)), lost, before + bytes(300)]:
        path.write_bytes(tail)
        pin_of(tmp_path).write(store, head, adopt=True)
        with reopened(tmp_path) as vault:
            assert value(vault, "a") == b"one"
            assert vault.put("a", Secret(b"three")).number == 2  # the next writer cuts it off
        with reopened(tmp_path) as vault:
            assert value(vault, "a") == b"three"
            vault.verify()


def test_a_last_record_that_others_were_told_of_is_not_dropped(tmp_path):
    """Here the pin stands further behind: what lies between may have been acknowledged by another machine."""
    with new(tmp_path) as vault:
        store, head = vault.file.loaded.header.store, vault.file.loaded.head
        vault.put("a", Secret(b"one"))
        vault.put("a", Secret(b"two"))
        path = vault.file.path
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    pin_of(tmp_path).write(store, head, adopt=True)
    with pytest.raises(SecretsDamaged):
        reopened(tmp_path)


@pytest.mark.parametrize("anew", [False, True], ids=["appended", "compacted"])
def test_an_old_copy_that_was_put_back_is_refused(tmp_path, anew):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"old"))
        path = vault.file.path
        shutil.copy(path, tmp_path / "copy")
        vault.put("a", Secret(b"new"))
        if anew:
            vault.compact()
        shutil.copy(tmp_path / "copy", path)
        with pytest.raises(SecretsDamaged, match="older copy"):  # by the process that has it open
            vault.get("a")
    with pytest.raises(SecretsDamaged, match="older copy"):  # and by the next one
        reopened(tmp_path)


@pytest.mark.parametrize("anew", [False, True], ids=["appended", "compacted"])
def test_a_copy_that_went_its_own_way_is_refused(tmp_path, anew):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        shutil.copy(vault.file.path, tmp_path / "copy")
    elsewhere = FilePin(tmp_path / "elsewhere")
    with Vault.open(tmp_path / "copy", PHRASE, pin=elsewhere) as copy:
        for count in range(3):
            copy.put("a", Secret(b"theirs%d" % count))
    with reopened(tmp_path) as vault:
        vault.put("a", Secret(b"ours"))
    if anew:
        with Vault.open(tmp_path / "copy", PHRASE, pin=elsewhere) as copy:
            pin_of(tmp_path).write(copy.file.loaded.header.store,
                                   Head(copy.generation, b"another history".ljust(32)), adopt=True)
            copy.compact()
    shutil.copy(tmp_path / "copy", tmp_path / "vault")
    with pytest.raises(SecretsDamaged, match="another one"):
        reopened(tmp_path)


def test_a_pin_that_was_damaged_says_so(tmp_path):
    with new(tmp_path) as vault:
        path = pin_of(tmp_path).path(vault.file.loaded.header.store)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SecretsDamaged, match=r"^the pin .* is damaged"):
        reopened(tmp_path)


def test_a_compacted_file_that_was_cut_is_refused_where_it_was_never_seen(tmp_path):
    with new(tmp_path) as vault:
        for name in ("a", "b", "c"):
            vault.put(name, Secret(b"value"))
        vault.compact()
        path = vault.file.path
    raw = path.read_bytes()
    for count, (_, end) in enumerate(spans(raw)[:-1]):
        path.write_bytes(raw[:end])
        with pytest.raises(SecretsDamaged, match="missing"):
            Vault.open(path, PHRASE, pin=FilePin(tmp_path / f"never-{count}"))


def test_an_earlier_head_does_not_replace_a_later_pin(tmp_path):
    pin = pin_of(tmp_path)
    pin.write(b"s" * 16, Head(5, b"l" * 32))
    pin.write(b"s" * 16, Head(4, b"m" * 32))
    assert pin.read(b"s" * 16) == Head(5, b"l" * 32)
    pin.write(b"s" * 16, Head(4, b"m" * 32), adopt=True)
    assert pin.read(b"s" * 16) == Head(4, b"m" * 32)


def test_records_that_were_swapped_left_out_or_doubled_are_refused(tmp_path):
    with new(tmp_path) as vault:
        for name in ("a", "b", "c"):
            vault.put(name, Secret(b"value of " + name.encode()))
        path = vault.file.path
    raw = path.read_bytes()
    one, two, three = (raw[begin:end] for begin, end in spans(raw))
    head = read_header(raw)[1]
    for count, records in enumerate([(two, one, three), (one, three, two), (one, three), (two, three),
                                     (one, one, two, three), (one, two, two, three), (one, two, three, three)]):
        path.write_bytes(head + b"".join(records))
        with pytest.raises(SecretsDamaged):  # also where nothing was pinned
            Vault.open(path, PHRASE, pin=FilePin(tmp_path / f"never-{count}"))
        if records[:3] != (one, two, three):
            with pytest.raises(SecretsDamaged):
                reopened(tmp_path)
    assert reopened(tmp_path).names() == ("a", "b", "c")  # what is behind all that was acknowledged goes


def test_sealed_values_that_were_swapped_are_refused(tmp_path):
    """Between names, and between versions of one name: both are of one length."""
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"value 1"))
        vault.put("a", Secret(b"value 2"))
        vault.put("b", Secret(b"value 3"))
        path = vault.file.path
        places = [vault.file.loaded.holding.secrets[name].items[number].place
                  for name, number in (("a", 1), ("a", 2), ("b", 1))]
    raw = path.read_bytes()
    for first, second in ((0, 1), (1, 2), (0, 2)):
        (at, size), (other, same) = places[first], places[second]
        assert size == same
        swapped = bytearray(raw)
        swapped[at:at + size], swapped[other:other + size] = raw[other:other + size], raw[at:at + size]
        path.write_bytes(swapped)
        with pytest.raises(SecretsDamaged):
            Vault.open(path, PHRASE, pin=FilePin(tmp_path / f"p{first}{second}"))


def test_a_value_that_changes_while_the_vault_is_open_is_seen_when_it_is_read(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"value 1"))
        vault.put("b", Secret(b"value 2"))
        at, size = vault.file.loaded.holding.secrets["a"].items[1].place
        where = vault.file.path.stat()
        with vault.file.path.open("r+b") as file:
            file.seek(at + size - 1)
            last = file.read(1)
            file.seek(at + size - 1)
            file.write(bytes([last[0] ^ 1]))
        os.utime(vault.file.path, ns=(where.st_atime_ns, where.st_mtime_ns))
        with pytest.raises(SecretsDamaged, match="version 1 of a"):
            vault.get("a")
        assert value(vault, "b") == b"value 2"
        with pytest.raises(SecretsDamaged):
            vault.verify()


def test_records_of_another_vault_under_the_same_passphrase_are_refused(tmp_path):
    for name in ("one", "two"):
        with new(tmp_path, name) as vault:
            vault.put("a", Secret(b"of " + name.encode()))
    one, two = (tmp_path / "one").read_bytes(), (tmp_path / "two").read_bytes()
    (tmp_path / "one").write_bytes(read_header(one)[1] + two[len(read_header(two)[1]):])
    with pytest.raises(SecretsDamaged):
        Vault.open(tmp_path / "one", PHRASE, pin=FilePin(tmp_path / "never"))


def test_another_vault_in_its_place_is_seen_by_who_has_it_open(tmp_path):
    with new(tmp_path, "one") as one, new(tmp_path, "two"):
        shutil.copy(tmp_path / "two", tmp_path / "one")
        with pytest.raises(SecretsDamaged, match="another vault"):
            one.names()


def test_a_header_that_was_made_anew_without_the_root_key_is_refused(tmp_path):
    """Its digest fits, since it has no key, and the slot still opens; the HMAC does not."""
    with new(tmp_path) as vault:
        path = vault.file.path
    header, raw = read_header(path.read_bytes())
    forged = write_header(msgspec.structs.replace(header, base=99), bytes(32))
    assert read_header(forged)[0].base == 99
    assert not genuine(forged, b"k" * 32)
    assert first_link(forged) != first_link(raw)
    path.write_bytes(forged)
    for pin in (pin_of(tmp_path), FilePin(tmp_path / "never")):
        with pytest.raises(SecretsDamaged, match="its header was changed"):
            reopened(tmp_path, pin=pin)


@pytest.mark.parametrize("seal", [OTHER, Passphrase(Secret("correct-horse-plante"), n=2),
                                  Shares(lambda: Secret(b"k" * 32))], ids=["other", "near", "kind"])
def test_what_does_not_open_it_says_nothing(tmp_path, seal):
    with new(tmp_path) as vault:
        vault.put(NAME, Secret(PLANTED))
    with pytest.raises(SecretsSealed) as caught:
        reopened(tmp_path, seal=seal)
    assert "planted" not in str(caught.value).replace(str(tmp_path), "")
    assert "correct" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_no_vault(tmp_path):
    for content in (b"", b"hfvault1", b"some text\n" * 100, bytes(1000)):
        (tmp_path / "vault").write_bytes(content)
        with pytest.raises(SecretsDamaged):
            reopened(tmp_path)
    (tmp_path / "vault").unlink()
    with pytest.raises(SecretUnavailable, match="holdfast secrets init"):
        reopened(tmp_path)


def test_costs_that_nobody_writes_are_not_paid(tmp_path):
    with new(tmp_path) as vault:
        path = vault.file.path
    header, _ = read_header(path.read_bytes())
    slot = header.slots[0]
    dear = msgspec.structs.replace(slot, how=msgspec.structs.replace(slot.how, n=1 << 30))
    path.write_bytes(write_header(msgspec.structs.replace(header, slots=(dear,)), bytes(32)))
    with pytest.raises(SecretsSealed, match="nobody writes"):
        reopened(tmp_path)


def test_a_restored_backup_is_what_it_was(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"kept"))
        head = vault.backup(tmp_path / "backup")
        assert head.same(vault.file.loaded.head)
        vault.put("a", Secret(b"lost"))
    with pytest.raises(SecretRefused, match="adopt=True"):
        Vault.restore(tmp_path / "backup", tmp_path / "vault", PHRASE, pin=pin_of(tmp_path))
    assert value(reopened(tmp_path), "a") == b"lost"
    with Vault.restore(tmp_path / "backup", tmp_path / "vault", PHRASE, adopt=True, pin=pin_of(tmp_path)) as vault:
        assert value(vault, "a") == b"kept"
        vault.put("a", Secret(b"anew"))
    assert value(reopened(tmp_path), "a") == b"anew"


def test_a_backup_that_is_not_what_it_was_is_not_restored(tmp_path):
    with new(tmp_path) as vault:
        vault.put("a", Secret(b"one"))
        vault.backup(tmp_path / "early")
        vault.put("a", Secret(b"two"))
        vault.backup(tmp_path / "late")
    shutil.copy(tmp_path / "early", tmp_path / "late")
    with pytest.raises(SecretsDamaged):
        Vault.restore(tmp_path / "late", tmp_path / "elsewhere", PHRASE, pin=FilePin(tmp_path / "never"))
    (tmp_path / "early.pin").unlink()
    with pytest.raises(SecretUnavailable, match=r"early\.pin"):
        Vault.restore(tmp_path / "early", tmp_path / "elsewhere", PHRASE, pin=FilePin(tmp_path / "never"))
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_that_is_no_key_file(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(SecretsSealed, match="cannot be read"):
        new(tmp_path, seal=KeyFile(path))
    path.write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="5 bytes"):
        new(tmp_path, seal=KeyFile(path))
    assert not (tmp_path / "vault").exists()
