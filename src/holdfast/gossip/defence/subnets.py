# SPDX-License-Identifier: Apache-2.0
"""How many members may come from one place, and from one issuer of certificates.

A thousand names cost nothing; a thousand networks do. So a newcomer is refused once its network holds as many members
as it may, at each of several widths, and so is one whose certificate comes from an issuer that has admitted as many as
it may: an issuer whose key leaked fills no cluster. Nobody who is in is put out for a newcomer.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass

from ...errors import ConfigurationError


@dataclass(frozen=True)
class Places:
    """v4, v6: members at most in a network of so many leading bits, such as ``{24: 32}``. per_issuer: certificates of
    one issuer in use at once; None: no bound. exempt: networks that are not counted, in CIDR form.

    The defaults suit members that are spread over the Internet. A cluster that lives in one network on purpose names it
    in ``exempt``, and then whoever is in that network can bring any number of names: there only certificates protect.
    Loopback is exempt, or nobody could try a cluster at home.
    """

    v4: tuple[tuple[int, int], ...] = ((24, 32), (16, 256))
    v6: tuple[tuple[int, int], ...] = ((64, 32), (48, 256))
    per_issuer: int | None = 1_024
    exempt: tuple[str, ...] = ("127.0.0.0/8", "::1/128")

    def __post_init__(self) -> None:
        for bits_max, caps in ((32, self.v4), (128, self.v6)):
            if any(not 0 < bits <= bits_max or most < 1 for bits, most in caps):
                raise ConfigurationError(f"a cap names 1 to {bits_max} leading bits and 1 member at least")
        if self.per_issuer is not None and self.per_issuer < 1:
            raise ConfigurationError("an issuer may admit one member at least; None is no bound")
        try:
            [ipaddress.ip_network(one) for one in self.exempt]
        except ValueError as error:
            raise ConfigurationError(f"exempt networks are written as 10.0.0.0/8: {error}") from None


class Quota:
    """Who is in, by place and issuer."""

    __slots__ = ("_exempt", "_held", "_used", "places")

    def __init__(self, places: Places) -> None:
        self.places = places
        self._exempt = tuple(ipaddress.ip_network(one) for one in places.exempt)
        self._held: dict[str, frozenset[str]] = {}
        self._used: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    def admit(self, name: str, host: bytes | str, issuer: str = "") -> str | None:
        """None: it may enter, and is counted until ``release``. Else which cap it meets. host: 4 or 16 bytes, or text;
        a name of a simulation counts as a network of its own. issuer: of its certificate; empty without one. One that
        is in and comes from elsewhere is counted there, if there is room; else it keeps its former place."""
        wanted = self._caps(host, issuer)
        before = self._held.get(name, frozenset())
        for key, most in wanted.items():
            if key not in before and self._used[key] >= most:  # guard: a place holds so many and no more
                return key
        self.release(name)
        self._held[name] = frozenset(wanted)
        self._used.update(wanted.keys())
        return None

    def release(self, name: str) -> None:
        """It left, or is held to be dead."""
        for key in self._held.pop(name, ()):
            self._used[key] -= 1
            if not self._used[key]:
                del self._used[key]

    def exempt(self, host: bytes | str) -> bool:
        """Is it of a network that is not counted?"""
        address = address_of(host)
        return address is not None and any(address in network for network in self._exempt)

    def used(self) -> dict[str, int]:
        """How many are in each place, and of each issuer."""
        return dict(self._used)

    def _caps(self, host: bytes | str, issuer: str) -> dict[str, int]:
        caps: dict[str, int] = {}
        if issuer and self.places.per_issuer is not None:
            caps[f"issuer {issuer}"] = self.places.per_issuer
        address = address_of(host)
        if address is None or self.exempt(host):
            return caps
        widths = self.places.v4 if address.version == 4 else self.places.v6
        caps.update((network_of(address, bits), most) for bits, most in widths)
        return caps


def address_of(host: bytes | str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, with IPv4 inside IPv6 taken out of it; None for what is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped  # guard: an IPv4 network has one name


def network_of(address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int) -> str:
    """The network of so many leading bits, in CIDR form."""
    return str(ipaddress.ip_network((address, bits), strict=False))


def neighbourhood(host: bytes | str) -> str:
    """Whose neighbours an attacker gets cheaply: the /24 or /64 of an address, or the text itself."""
    address = address_of(host)
    if address is None:
        return host if isinstance(host, str) else host.hex()
    return network_of(address, 24 if address.version == 4 else 64)
