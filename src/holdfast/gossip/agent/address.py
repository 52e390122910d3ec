# SPDX-License-Identifier: Apache-2.0
"""Hosts and ports: as text for people, as bytes for messages."""

from __future__ import annotations

import ipaddress
from typing import Final

from ...errors import ConfigurationError
from ..messages import Address

#: The port of members where none is named, memberlist's.
PORT: Final = 7946


def host_and_port(text: str, port: int = PORT) -> tuple[str, int]:
    """``"host:port"``, ``"host"``, ``"[::1]:port"`` or ``"::1"``. Raises ConfigurationError."""
    host, number = text, ""
    if text.startswith("["):
        host, bracket, number = text[1:].partition("]")
        if not bracket or (number and not number.startswith(":")):
            raise ConfigurationError(f"{text!r} is no address: write [::1]:7946")
        number = number[1:]
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
    if not host or (number and not (number.isascii() and number.isdigit() and int(number) < 1 << 16)):
        raise ConfigurationError(f"{text!r} is no address: write HOST:PORT, with a port below 65536")
    return host, int(number) if number else port


def packed(host: str) -> bytes:
    """An IP address as the 4 or 16 bytes that messages carry. A zone (``%eth0``) is left out. ValueError for a name."""
    return plain(ipaddress.ip_address(host.partition("%")[0]).packed)


def plain(host: bytes) -> bytes:
    """IPv4 in 4 bytes, also where it came in 16."""
    return host[12:] if len(host) == 16 and host[:12] == b"\0" * 10 + b"\xff\xff" else host


def place(address: Address) -> Address:
    """The same address, as datagrams from there have it."""
    host, port = address
    return (plain(host), port) if isinstance(host, bytes) else address


def host_text(host: bytes | str) -> str:
    """The address as people write it. ValueError for bytes that are none."""
    return host if isinstance(host, str) else str(ipaddress.ip_address(plain(host)))


def text(address: Address) -> str:
    """``host:port``, as ``host_and_port`` reads it."""
    try:
        host = host_text(address[0])
    except ValueError:
        host = bytes(address[0]).hex() if isinstance(address[0], bytes) else address[0]
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def reachable(address: Address) -> bool:
    """Can anything be sent there at all? Messages name hosts of any length, and ports 0."""
    return isinstance(address[0], bytes) and len(address[0]) in (4, 16) and 0 < address[1] < 1 << 16
