# SPDX-License-Identifier: Apache-2.0
"""One process with a vault: ``vault_worker.py FOLDER WHAT [HOW MANY]``. It arms itself from its environment."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast._base.secret import Secret
from holdfast.secrets.vault import FilePin, Passphrase, Vault
from holdfast.testing.points import arm_from_env

PHRASE = Passphrase(Secret("correct-horse-planted"), n=2)


def main(folder: Path, what: str, count: int) -> None:
    with Vault.open(folder / "vault", PHRASE, pin=FilePin(folder / "pins")) as vault:
        arm_from_env()
        if what.startswith("many:"):
            name = what.removeprefix("many:")
            for number in range(count):
                vault.put(f"{name}/{number % 5}", Secret(f"{name} {number}".encode()))
                vault.put("both", Secret(f"{name} {number}".encode()))
        elif what == "follow":
            print("ready", flush=True)
            for line in sys.stdin:
                print(vault.get(line.strip()).value.reveal().decode(), flush=True)
        else:
            calls = {
                "put": lambda: vault.put("a", Secret(b"new")), "label": lambda: vault.label("a", "current", 1),
                "delete": lambda: vault.delete("a", version=1), "rekey": vault.rekey, "compact": vault.compact,
                "rekey-values": lambda: vault.rekey(values=True), "destroy": lambda: vault.destroy("a", version=1)}
            calls[what]()
            print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)
