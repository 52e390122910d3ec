# SPDX-License-Identifier: Apache-2.0
"""What every answer says to the browser, and which names the console answers to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

# guard: no script of a stranger runs, wherever it got in
CSP: Final = ("default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'")
#: On every answer, whatever it is.
ALWAYS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not no-referrer: with that, browsers send `Origin: null` along with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def name_of(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def answers_to(host: str, names: Collection[str]) -> bool:
    """Is this a name of ours? A page whose name was bent to this address (DNS rebinding) has another one."""
    return name_of(host) in names  # guard: no foreign name


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
