# SPDX-License-Identifier: Apache-2.0
"""Which address to listen on, and which one to tell others."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence

from ...errors import ConfigurationError
from ..messages import Address
from .address import host_and_port, host_text, packed

#: An address of documentation (RFC 5737, RFC 3849): nothing is sent there, only the way there is looked up.
_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


async def bind_address(bind: str) -> tuple[str, int]:
    """An IP address of ``HOST:PORT``; a name is looked up. Raises ConfigurationError."""
    host, port = host_and_port(bind)
    with contextlib.suppress(ValueError):
        return host_text(packed(host)), port
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigurationError(f"bind: {host!r} is no address of this machine: {error.strerror or error}") from error
    return str(found[0][4][0]), port


def own_address(bound: Address, advertise: str | None, join: Sequence[str]) -> Address:
    """What others are told. Raises ConfigurationError where that cannot be known."""
    host, port = bound
    if advertise:
        name, told = host_and_port(advertise, 0)
        try:
            return packed(name), told or port
        except ValueError:
            raise ConfigurationError(f"advertise: {name!r} is no IP address, and messages carry nothing else") from None
    if not ipaddress.ip_address(host).is_unspecified:
        return bound
    family = socket.AF_INET if len(host) == 4 else socket.AF_INET6
    for target in (*(host_and_port(where)[0] for where in join), _ELSEWHERE[family]):
        with contextlib.suppress(OSError, ValueError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            packed(target)  # a name is not looked up here
            probe.connect((target, 9))
            return packed(probe.getsockname()[0]), port
    raise ConfigurationError("it listens on all addresses, and which one others reach is not known: give advertise=")
