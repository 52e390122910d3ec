# SPDX-License-Identifier: Apache-2.0
"""A vault in several processes at once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import SecretRefused, SecretsUnreachable
from holdfast.secrets.vault import FilePin, Vault
from tests.faults.test_secrets_vault import opened, started
from tests.faults.workers.vault_worker import PHRASE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Vault.create(tmp_path / "vault", PHRASE, pin=FilePin(tmp_path / "pins")).close()
    return tmp_path


def test_two_writers_at_once_lose_nothing(folder):
    workers = [started(folder, f"many:{name}", "40") for name in ("x", "y")]
    with opened(folder) as vault:
        for _ in range(5):  # and one who writes the file anew meanwhile
            vault.compact()
            vault.rekey()
        for worker in workers:
            worker.communicate(timeout=60)
            assert worker.returncode == 0
        for name in ("x", "y"):
            for number in range(5):
                numbers = [version.number for version in vault.history(f"{name}/{number}")]
                assert numbers == list(range(8, 0, -1))
                assert vault.get(f"{name}/{number}").value.reveal() == f"{name} {35 + number}".encode()
        written = [vault.get("both", version=version.number).value.reveal() for version in vault.history("both")]
        assert sorted(written) == sorted(f"{name} {number}".encode() for name in ("x", "y") for number in range(40))
        vault.verify()


def test_a_reader_sees_at_once_what_another_process_wrote(folder):
    with opened(folder) as vault:
        vault.put("a", Secret(b"0"))
        with started(folder, "follow") as reader:
            assert reader.stdout.readline() == "ready\n"

            def read(name):
                reader.stdin.write(name + "\n")
                reader.stdin.flush()
                return reader.stdout.readline()

            for number in range(1, 60):
                vault.put("a", Secret(b"%d" % number))
                if number % 20 == 0:
                    vault.rekey(values=number == 40)
                assert read("a") == f"{number}\n"
            reader.communicate()


def test_who_writes_without_a_pause_does_not_keep_others_from_it(folder):
    with started(folder, "many:x", "1000000") as writer, opened(folder) as vault:
        try:
            deadline = time.monotonic() + 20
            while not vault.names("both") and time.monotonic() < deadline:
                time.sleep(0.01)
            seen = []
            for _ in range(40):
                seen.append(vault.get("both").version.number)
                vault.put("mine", Secret(b"value"))
            assert 10 < seen[-1] - seen[0] < 120  # they take turns, more or less
        finally:
            writer.kill()


def test_who_may_not_write_reads_and_is_refused(folder):
    """As another user: the file can be read, the folder and the pin cannot be written."""
    with opened(folder) as vault:
        vault.put("a", Secret(b"one"))
    code = ("import os, sys\nfrom pathlib import Path\n"
            "from holdfast.errors import SecretRefused\nfrom holdfast._base.secret import Secret\n"
            "from tests.faults.test_secrets_vault import opened\n"
            "if os.geteuid() == 0: os.setgid(65534), os.setuid(65534)\n"
            "vault = opened(Path(sys.argv[1]))\nprint(vault.get('a').value.reveal().decode())\n"
            "try: vault.put('a', Secret(b'two'))\n"
            "except SecretRefused as error: print(error)\n")
    for path in (folder, folder / "pins"):
        path.chmod(0o555)
    for path in (folder / "vault", *(folder / "pins").glob("*.pin"), folder / ".vault.lock", folder / ".vault.turn"):
        path.chmod(0o444)
    for parent in folder.parents:
        if parent.name.startswith(("pytest-", "popen-", "test_")):
            parent.chmod(0o755)
    said = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
    assert said.startswith("one\n")
    assert "Permission denied" in said
    folder.chmod(0o755)
    with opened(folder) as vault:
        assert vault.get("a").value.reveal() == b"one"


def test_a_file_that_may_not_grow_is_what_it_was(folder):
    """A limit of the kernel, which lets the first part of a write through."""
    with opened(folder) as vault:
        vault.put("a", Secret(b"one"))
        before = vault.file.path.read_bytes()
    code = ("import resource, signal, sys\nfrom pathlib import Path\n"
            "from holdfast.errors import SecretRefused\nfrom holdfast._base.secret import Secret\n"
            "from tests.faults.test_secrets_vault import opened\n"
            "vault = opened(Path(sys.argv[1]))\nsize = vault.file.path.stat().st_size + 5000\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
            "try: vault.put('a', Secret(b'planted' * 10_000))\n"
            "except SecretRefused as error: print(error)\n"
            "print(vault.get('a').value.reveal().decode())\n"
            "print(vault.put('a', Secret(b'two')).number)\n")
    said = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True).stdout
    assert "File too large" in said.splitlines()[0]
    assert said.splitlines()[1:] == ["one", "2"]
    with opened(folder) as vault:
        assert vault.file.path.read_bytes().startswith(before)
        assert vault.get("a").value.reveal() == b"two"
        vault.verify()


def test_a_vault_that_is_gone_is_one_clear_error(folder):
    with opened(folder) as vault:
        vault.file.path.rename(folder / "moved")
        with pytest.raises(SecretsUnreachable, match="No such file"):
            vault.names()
        with pytest.raises((SecretsUnreachable, SecretRefused)):
            vault.put("a", Secret(b"one"))
    with pytest.raises(SecretsUnreachable, match="there is no vault"):
        opened(folder)
