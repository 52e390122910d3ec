# SPDX-License-Identifier: Apache-2.0
"""A user of PostgreSQL, whose name and password rotate.

A user of PostgreSQL has one password: the moment it changes, every process that has not heard of it is shut out. So two
users take turns, as in Secrets Manager's second strategy::

    version 7   app_a, its password       can log in
    version 8   app_b, its password       can log in from SET on; app_a cannot from DISABLED on
    version 9   app_a, a new one

Both have to be able to do the same, which is a matter of a third role that cannot log in and that owns everything::

    CREATE ROLE app NOLOGIN;
    CREATE ROLE app_a IN ROLE app;   ALTER ROLE app_a SET role = app;
    CREATE ROLE app_b IN ROLE app;   ALTER ROLE app_b SET role = app;

What they make then belongs to ``app``, whoever made it. The price over one user with one password is that third role;
what it buys is no moment at which a login fails. Sessions of the user that is shut out go on until they are closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..._base.secret import Secret
from ..._base.typed import from_json
from ...errors import ConfigurationError, RotationFailed
from ..contract import Found
from .rotators import password

if TYPE_CHECKING:
    from ..._sql import DatabaseSource

__all__ = ["DatabaseLogin", "PostgresUsers"]


class DatabaseLogin(msgspec.Struct, frozen=True):
    """What the secret holds, as JSON: ``{"username": "app_a", "password": "…"}``."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"DatabaseLogin({self.username!r}, ***)"

    @classmethod
    def of(cls, found: Found) -> DatabaseLogin:
        """Out of a version that was read. Raises RotationFailed for one that is something else."""
        try:
            return from_json(found.value.reveal(), cls)
        except msgspec.DecodeError:
            raise RotationFailed(f"version {found.version.number} of {found.name} is no JSON object with username and "
                                 "password") from None


class PostgresUsers:
    """Fulfils ``Rotator``. The secret is a ``DatabaseLogin``.

    source: as for ``Database``, as whoever may alter the users. users: the two that take turns; they exist, with the
    same rights. Raises ConfigurationError, and MissingExtra without the extra ``sql``.
    """

    def __init__(self, source: DatabaseSource, users: Sequence[str], *,
                 entropy: Callable[[int], bytes] = os.urandom) -> None:
        from ..._sql.roles import Roles, check_role

        if isinstance(users, str) or len({*users}) != 2:
            raise ConfigurationError("two users take turns: name both")
        self._users = tuple(check_role(user) for user in users)
        self._roles, self._entropy = Roles(source, entropy), entropy

    def create(self, current: Secret[bytes] | None) -> Secret[bytes]:
        """See ``Rotator``: of the user whose turn it is."""
        first, second = self._users
        user = first
        if current is not None:
            try:
                held = from_json(current.reveal(), DatabaseLogin).username
            except msgspec.DecodeError:
                raise RotationFailed("the version in force is no JSON object with username and password") from None
            if held not in self._users:
                raise RotationFailed(f"the user in force, {held}, is none of {first} and {second}")
            user = second if held == first else first
        return Secret(msgspec.json.encode(DatabaseLogin(user, password(self._entropy).reveal().decode())))

    def set(self, found: Found) -> None:
        """See ``Rotator``."""
        login = DatabaseLogin.of(found)
        self._roles.admit(login.username, login.password, found.name, found.version.number)

    def test(self, found: Found) -> None:
        """See ``Rotator``."""
        login = DatabaseLogin.of(found)
        if not self._roles.accepts(login.username, login.password):
            raise RotationFailed(f"the database refuses {login.username} with version {found.version.number} of "
                                 f"{found.name}: do pg_hba.conf and its rights let it in?")

    def disable(self, found: Found) -> None:
        """See ``Rotator``."""
        login = DatabaseLogin.of(found)
        self._roles.shut_out(login.username, found.name, found.version.number)
        if self._roles.accepts(login.username, login.password):
            raise RotationFailed(f"the database still lets {login.username} in with version {found.version.number} of "
                                 f"{found.name}: was it let in again by hand?")

    def close(self) -> None:
        """Gives back its connection."""
        self._roles.close()
