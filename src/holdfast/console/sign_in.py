# SPDX-License-Identifier: Apache-2.0
"""Passwords: a file of people with scrypt hashes, and a brake on whoever tries them out.

A line is ``NAME:ROLE:scrypt$N$R$P$SALT$HASH``, salt and hash in hex; ``holdfast console --hash-password NAME:ROLE``
writes one. Failed tries are counted by address and by name: an attacker who changes one of them is held by the other.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .._base.clock import Clock
from .._base.secret import Secret
from ..errors import ConfigurationError, SecretUnavailable
from .roles import Role, role_of

#: scrypt's cost: 16 MB and some 50 ms a try. Source: OWASP Password Storage Cheat Sheet (N=2^14, r=8, p=5).
N, R, P = 1 << 14, 8, 5
#: Failed tries within ``WINDOW_S`` of one address, and of one name, before more are refused unread.
ADDRESS_MAX, NAME_MAX, WINDOW_S = 20, 10, 900.0
_KNOWN_MAX = 10_000
#: Tries at work at once: each takes 16 MB.
_AT_ONCE = 4
_LINE = re.compile(r"([A-Za-z0-9._@-]{1,64}):([a-z]+):scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$"
                   r"([0-9a-f]{32})\$([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class User:
    """One who may sign in. cost: scrypt's N, r and p."""

    name: str
    role: Role
    salt: bytes
    digest: bytes = field(repr=False)
    cost: tuple[int, int, int] = (N, R, P)

    def line(self) -> str:
        """As it stands in the file."""
        n, r, p = self.cost
        return f"{self.name}:{self.role}:scrypt${n}${r}${p}${self.salt.hex()}${self.digest.hex()}"


def user(name: str, role: Role, password: Secret[str]) -> User:
    """One with this password."""
    salt = secrets.token_bytes(16)
    return User(name, role, salt, _digest(password.reveal(), salt, (N, R, P)))


def users_in(path: Path) -> dict[str, User]:
    """Those of a file. Raises SecretUnavailable when it cannot be read, ConfigurationError for a line that is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"the users cannot be read from {path}: {type(error).__name__}") from None
    said = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    found = [_user_of(line, f"{path}:{number}") for number, line in said if line and not line.startswith("#")]
    if not found:
        raise ConfigurationError(f"{path} names nobody who may sign in")
    return {one.name: one for one in found}


def _user_of(line: str, where: str) -> User:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ConfigurationError(f"{where}: NAME:ROLE:scrypt$N$R$P$SALT$HASH is wanted")
    name, role, n, r, p, salt, digest = match.groups()
    cost = int(n), int(r), int(p)
    if cost[0] < 2 or cost[0] & (cost[0] - 1) or not 128 * cost[0] * cost[1] <= 1 << 26 or not 1 <= cost[2] <= 16:
        raise ConfigurationError(f"{where}: scrypt's cost is none, or takes more than 64 MB")
    return User(name, role_of(role, where), bytes.fromhex(salt), bytes.fromhex(digest), cost)


class Doorkeeper:
    """Lets people in by their password."""

    def __init__(self, users: Mapping[str, User], clock: Clock) -> None:
        self._users, self._clock = dict(users), clock
        self._nobody = User("", "viewer", bytes(16), bytes(32))
        self._failed: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._trying = asyncio.Semaphore(_AT_ONCE)

    async def let_in(self, name: str, password: str, address: str) -> User | None:
        """Who it is; None when name and password do not belong together. Takes as long for a name that is unknown."""
        known = self._users.get(name, self._nobody)
        async with self._trying:
            digest = await asyncio.to_thread(_digest, password, known.salt, known.cost)
        same = hmac.compare_digest(digest, known.digest)
        if same and known is not self._nobody:  # guard: nobody without the password
            self._failed.pop(("name", name), None)
            return known
        for key in _keys(name, address):
            self._failed.setdefault(key, []).append(self._clock.now())
            self._failed.move_to_end(key)
        while len(self._failed) > _KNOWN_MAX:
            self._failed.popitem(last=False)
        return None

    def wait_s(self, name: str, address: str) -> float:
        """For how long this address, or this name, has to wait; 0: not at all."""
        now, longest = self._clock.now(), 0.0
        for key, most in zip(_keys(name, address), (ADDRESS_MAX, NAME_MAX), strict=True):
            tries = [at for at in self._failed.get(key, ()) if now - at < WINDOW_S]
            if len(tries) >= most:  # guard: passwords cannot be tried out
                longest = max(longest, tries[-most] + WINDOW_S - now)
        return longest


def _keys(name: str, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("address", address), ("name", name[:64])


def _digest(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=1 << 27, dklen=32)
