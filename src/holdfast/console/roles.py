# SPDX-License-Identifier: Apache-2.0
"""Who may do what: three roles, each of which may do what the one before it may. Pure."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ..errors import ConfigurationError

Role = Literal["viewer", "operator", "approver"]
#: viewer: looks. operator: acts on letters. approver: consents to what others ask for.
ROLES: Final[tuple[Role, ...]] = ("viewer", "operator", "approver")


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. by: session, token or proxy. csrf: what unsafe requests of a session have to bring; else empty."""

    name: str
    role: Role
    by: str
    csrf: str = ""


def may(role: Role, wanted: Role) -> bool:
    """Is ``role`` enough for what ``wanted`` may do?"""
    return ROLES.index(role) >= ROLES.index(wanted)  # guard: no more than the role


def role_of(text: str, where: str) -> Role:
    """The role called so. ConfigurationError names where it stands."""
    if text not in ROLES:
        raise ConfigurationError(f"{where}: a role is one of {', '.join(ROLES)}")
    return text
