# SPDX-License-Identifier: Apache-2.0
"""The tables of secrets: ratios, then calls a second. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Table = Callable[[Sequence[str], Sequence[Sequence[str]]], str]
TITLE = "Secrets"
_WHAT = {"warm": "read from an open store", "cold": "opened, and one read", "write": "written durably"}
_WHO = {"vault": "Holdfast's vault", "client": "Holdfast's client above it", "fernet": "MultiFernet, one file",
        "fernet each": "MultiFernet, a file each", "aead": "the cipher alone"}


def secrets(result: Mapping[str, Any], table: Table) -> str:
    """Files, then elsewhere."""
    return _files(result["figures"]["files"], table) + _far(result["figures"]["far"], table)


def _files(cases: Sequence[Mapping[str, Any]], table: Table) -> str:
    text = ("One process, one thread, one value a call, calls a second. In brackets: ours over theirs. MultiFernet's "
            "files show the names, keep one version, and do not notice an older copy of themselves; the vault opens "
            "with a key file (a passphrase's scrypt costs 0.3 s more, once).\n\n")
    for what, title in _WHAT.items():
        kinds = [kind for kind in _WHO if kind in cases[0]["us"][what]]
        text += table([title, *(_WHO[kind] for kind in kinds)],
                      [[f"{case['number']:,} of {case['size']:,} bytes", *_row(case["us"][what], kinds)]
                       for case in cases])
    return text


def _row(us: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> list[str]:
    ours = us["vault"]["median"]
    return [f"{1e6 / us[kind]['median']:,.0f}" + ("" if kind in ("vault", "client")
                                                  else f" ({us[kind]['median'] / ours:.2f} ×)") for kind in kinds]


def _far(far: Mapping[str, Any], table: Table) -> str:
    whos = list(next(iter(far["per_s"].values())))
    text = "Processes of this machine, values of 32 bytes, calls a second; everything written is on disk.\n\n"
    rows = [[who, *(f"{found[who]['median']:,.0f}" for found in far["per_s"].values())] for who in whos]
    return text + table(["", *far["per_s"]], rows)
