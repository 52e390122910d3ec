# SPDX-License-Identifier: Apache-2.0
"""Shamir's scheme over GF(256), byte by byte.

::

    f(x) = secret + a₁·x + … + a₍k₋₁₎·x^(k−1)      share i = f(i), i = 1 … 255      secret = f(0)

k points fix a polynomial of degree k−1, and with it f(0). For k−1 points and any value of f(0) there is exactly one
polynomial: whoever has k−1 shares knows as much as who has none (Shamir, How to share a secret, 1979). That holds for
coefficients that are uniformly random, the highest included: 0 is as good as any.

Shares are re-dealt without f(0) at any place (Herzberg et al., Proactive secret sharing, 1995; Desmedt and Jajodia,
1997): k holders each deal their own share, as a secret, to the new holders; each of these gathers what it was dealt,
which is a share of the same secret on a new polynomial, of any new k and n.

The field is that of AES, x⁸+x⁴+x³+x+1. Products are looked up in tables: their time may depend on the cache, so that
another program on the same processor may learn of shares that are combined here. Everything is given back as ``bytes``,
which Python cannot wipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from ...errors import ConfigurationError

#: The most shares there can be: points other than 0.
SHARES_MAX: Final = 255


def _exponents() -> list[int]:
    powers, x = [], 1
    for _ in range(255):
        powers.append(x)
        doubled = x << 1 ^ (0x11B if x & 0x80 else 0)
        x ^= doubled  # times 3, which generates the field
    return powers


_EXP: Final = _exponents() * 2
_LOG: Final = {power: exponent for exponent, power in enumerate(_EXP[:255])}


def times(a: int, b: int) -> int:
    """The product in the field."""
    return _EXP[_LOG[a] + _LOG[b]] if a and b else 0


def over(a: int, b: int) -> int:
    """The quotient in the field; b is not 0."""
    return _EXP[_LOG[a] - _LOG[b] + 255] if a else 0


@lru_cache(maxsize=256)
def _row(factor: int) -> bytes:
    return bytes(times(factor, x) for x in range(256))


def _scaled(data: bytes, factor: int) -> int:
    return int.from_bytes(data.translate(_row(factor)), "big")


def points(secret: bytes, k: int, at: Iterable[int], entropy: Callable[[int], bytes]) -> dict[int, bytes]:
    """The secret's shares at these points, on a new polynomial. entropy: gives so many random bytes."""
    at = tuple(at)
    check(k, at)
    size = len(secret)
    raw = entropy(size * (k - 1))
    coefficients = [secret, *(raw[n * size:(n + 1) * size] for n in range(k - 1))]
    return {x: _value(coefficients, x, size) for x in at}


def _value(coefficients: list[bytes], x: int, size: int) -> bytes:
    value = b"\0" * size
    for coefficient in reversed(coefficients):  # Horner
        value = (_scaled(value, x) ^ int.from_bytes(coefficient, "big")).to_bytes(size, "big")
    return value


def interpolate(shares: Mapping[int, bytes], at: int = 0) -> bytes:
    """The polynomial through these points, at another: 0 for the secret. It needs all k; with fewer it is a value that
    says nothing. Raises ConfigurationError for shares of several lengths, and for none."""
    sizes = {len(data) for data in shares.values()}
    if len(sizes) != 1:
        raise ConfigurationError("shares of one secret are all of one length, and there is at least one")
    found, size = 0, sizes.pop()
    for x, data in shares.items():
        found ^= _scaled(data, weight(shares, x, at))
    return found.to_bytes(size, "big")


def weight(shares: Iterable[int], x: int, at: int) -> int:
    """Lagrange's: how much the point x of these counts at another. Below, minus is plus."""
    product = 1
    for other in shares:
        if other != x:
            product = times(product, over(at ^ other, x ^ other))
    return product


def deal(share: bytes, k: int, to: Iterable[int], entropy: Callable[[int], bytes]) -> dict[int, bytes]:
    """One holder's part of a re-share: its share, dealt to the new holders as a secret of its own."""
    return points(share, k, to, entropy)


def gather(dealt: Mapping[int, bytes]) -> bytes:
    """A new holder's share, of what k old holders (by their points) dealt to it. All new holders take the same k."""
    return interpolate(dealt)


def zeros(size: int, k: int, at: Iterable[int], entropy: Callable[[int], bytes]) -> dict[int, bytes]:
    """Shares of nothing: added to those of a secret, they are its shares still, on a new polynomial."""
    return points(b"\0" * size, k, at, entropy)


def added(share: bytes, zero: bytes) -> bytes:
    """A share that was refreshed."""
    return (int.from_bytes(share, "big") ^ int.from_bytes(zero, "big")).to_bytes(len(share), "big")


def check(k: int, at: tuple[int, ...]) -> None:
    """Raises ConfigurationError for a k and points that cannot be."""
    if not 1 <= k <= len(at) <= SHARES_MAX:
        raise ConfigurationError(f"{k} of {len(at)} shares cannot be: let k be at least 1, and at most as many as "
                                 f"there are shares, up to {SHARES_MAX}")
    if len(set(at)) != len(at) or not all(1 <= x <= SHARES_MAX for x in at):
        raise ConfigurationError(f"shares are numbered from 1 to {SHARES_MAX}, each once")
