# SPDX-License-Identifier: Apache-2.0
"""Vaults in temporary folders, whose passphrase costs nothing."""

from __future__ import annotations

from pathlib import Path

from holdfast._base.secret import Secret
from holdfast.secrets.vault import FilePin, Passphrase, Vault
from holdfast.testing.clock import ManualClock

PHRASE = Passphrase(Secret("correct-horse-planted"), n=2)
OTHER = Passphrase(Secret("battery-staple-planted"), n=2)


def pin_of(folder: Path) -> FilePin:
    return FilePin(folder / "pins")


def new(folder: Path, name: str = "vault", seal=PHRASE, **how) -> Vault:
    return Vault.create(folder / name, seal, pin=how.pop("pin", pin_of(folder)), **how)


def reopened(folder: Path, name: str = "vault", seal=PHRASE, **how) -> Vault:
    return Vault.open(folder / name, seal, pin=how.pop("pin", pin_of(folder)), **how)


def value(vault: Vault, name: str, **which) -> bytes:
    return vault.get(name, **which).value.reveal()


__all__ = ["OTHER", "PHRASE", "ManualClock", "new", "pin_of", "reopened", "value"]
