# SPDX-License-Identifier: Apache-2.0
"""Users of a PostgreSQL server that log in with a password: given one, tried, and shut out.

A password goes to the server as its SCRAM-SHA-256 verifier, which is what it keeps itself (RFC 5802, RFC 7677): none is
in its log, in ``pg_stat_activity`` or ``pg_stat_statements``.

Beside each user lies a note, its comment: which version of which secret it has the password of. A transaction that
changes a user looks at the note first, under an advisory lock. So one that comes late, from a process that was stopped
for long, changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError, NotAuthorized, ServerError, ServerRefused, ServerUnreachable
from .engine import Database, DatabaseSource
from .transient import is_transient

#: As PostgreSQL's own ``scram_iterations``.
ITERATIONS: Final = 4096
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_NOTE: Final = re.compile(r"holdfast: version (\d+) of (.*)", re.DOTALL)
#: One transaction at a time changes users.
_LOCK: Final = 0x686F6C6466617374
#: invalid_password, invalid_authorization_specification.
_REFUSED: Final = ("28P01", "28000")


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """The SCRAM-SHA-256 verifier of a password of ASCII characters, as ``pg_authid`` holds it. salt: 16 bytes of
    chance."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    shown = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *shown)


def check_role(name: str) -> str:
    """A user's name as it was given. Raises ConfigurationError for one that would have to be quoted."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{ascii(name)[:80]} cannot be a user here: letters, digits, _ and $, 63 at most")
    return name


class Roles:
    """Users of one server. source: its URL or engine, as whoever may alter these users (``CREATEROLE``, and
    ``ADMIN OPTION`` on them from PostgreSQL 16 on). salt: so many bytes of chance."""

    def __init__(self, source: DatabaseSource, salt: Callable[[int], bytes]) -> None:
        self._database, self._salt = Database(source, timeouts=None, pool_size=1), salt
        if self._database.plain_engine.dialect.name != "postgresql":
            raise ConfigurationError("users that alternate are PostgreSQL's: this is another database")

    def admit(self, role: str, password: str, secret: str, version: int) -> None:
        """The user may log in, with this password, of this version of the secret. A later version's stays."""
        quoted = f'"{check_role(role)}"'

        def change(connection: Connection) -> None:
            noted = self._noted(connection, role, secret)
            if noted is None:
                raise ServerRefused(f"the database has no user {role}: make it, with the rights that it is to have")
            if noted > version:  # guard: a late one admits nobody
                raise ServerRefused(f"{role} has version {noted} of {secret} by now, and {version} came late")
            secret_text = verifier(password, self._salt(16))
            connection.exec_driver_sql(f"ALTER ROLE {quoted} LOGIN PASSWORD '{secret_text}'")
            self._note(connection, quoted, secret, version)

        self._changed(change)

    def shut_out(self, role: str, secret: str, version: int) -> None:
        """The user may not log in any more, if it has this version's password. Its sessions go on."""
        quoted = f'"{check_role(role)}"'

        def change(connection: Connection) -> None:
            noted = self._noted(connection, role, secret)
            if noted is not None and noted <= version:  # guard: a late one shuts nobody out
                connection.exec_driver_sql(f"ALTER ROLE {quoted} NOLOGIN PASSWORD NULL")
                self._note(connection, quoted, secret, version)

        self._changed(change)

    def accepts(self, role: str, password: str) -> bool:
        """Can the user log in with it?"""
        url = self._database.plain_engine.url.set(username=check_role(role), password=password)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except DBAPIError as error:
            text = str(error.orig)
            if getattr(error.orig, "sqlstate", None) in _REFUSED or _says_refused(text):
                return False
            raise _meant(error, url) from None
        finally:
            engine.dispose()
        return True

    def close(self) -> None:
        """Gives back its connection."""
        if self._database.owned:
            self._database.plain_engine.dispose()

    def _changed(self, change: Callable[[Connection], None]) -> None:
        engine = self._database.plain_engine
        try:
            with engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                change(connection)
        except DBAPIError as error:
            raise _meant(error, engine.url) from None

    @staticmethod
    def _noted(connection: Connection, role: str, secret: str) -> int | None:
        """The version that the user has; 0: none of this secret. None: there is no such user."""
        asked = sa.text("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = :role")
        row = connection.execute(asked, {"role": role}).one_or_none()
        if row is None:
            return None
        found = _NOTE.fullmatch(row[0] or "")
        return int(found[1]) if found and found[2] == secret else 0

    @staticmethod
    def _note(connection: Connection, quoted: str, secret: str, version: int) -> None:
        text = f"holdfast: version {version} of {secret}".replace("'", "''")
        connection.exec_driver_sql(f"COMMENT ON ROLE {quoted} IS '{text}'".replace("%", "%%"))


def _says_refused(text: str) -> bool:
    """Psycopg has no code for what a server says before it lets anybody in."""
    return "password authentication failed" in text or "is not permitted to log in" in text or (
        "no password supplied" in text)


def _meant(error: DBAPIError, url: URL) -> ServerError:
    where = url.set(username=None, password=None, query={}).render_as_string()
    if is_transient(error):
        return ServerUnreachable(f"{where} does not answer: {error.orig}", maybe_done=True)
    if getattr(error.orig, "sqlstate", None) == "42501":
        return NotAuthorized(f"{where}: {error.orig}")
    return ServerRefused(f"{where}: {error.orig}")
