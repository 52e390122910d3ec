# SPDX-License-Identifier: Apache-2.0
"""What a rotation asks of the service whose credential it is."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Final, Protocol

from ..._base.secret import Secret
from ..contract import Found

__all__ = ["PASSWORD_LENGTH", "Rotator", "password"]

#: Letters and digits only: no URL, shell or configuration file reads any of them as something else.
_ALPHABET: Final = string.ascii_letters + string.digits
#: 32 of them are 190 bits.
PASSWORD_LENGTH: Final = 32


class Rotator(Protocol):
    """Knows one service. Every call may come a second time, after a death, and has to bear it.

    Versions only grow. A rotator that was stopped for long may set or disable one that was overtaken: where the service
    has a place for a note, note the version there, and look at it first.

    Raises a ServerError, a SecretUnavailable or RotationFailed; what a message says never holds a value.
    """

    def create(self, current: Secret[bytes] | None) -> Secret[bytes]:
        """A new value; current: the one in force, None for a secret that is made. The service is not told yet."""
        ...

    def set(self, found: Found) -> None:
        """The service takes this value from now on, and those it took before still."""
        ...

    def test(self, found: Found) -> None:
        """Logs in with it, everywhere. Raises RotationFailed, which says where it was refused."""
        ...

    def disable(self, found: Found) -> None:
        """The service refuses this value from now on, and that has been tried; others it takes as before."""
        ...


def password(entropy: Callable[[int], bytes]) -> Secret[bytes]:
    """A new password. entropy: so many bytes that nobody can guess; ``os.urandom``."""
    letters = ""
    while len(letters) < PASSWORD_LENGTH:
        # Bytes beyond the last multiple of 62 are left out, or the first letters would come more often.
        letters += "".join(_ALPHABET[byte % 62] for byte in entropy(64) if byte < 248)
    return Secret(letters[:PASSWORD_LENGTH].encode())
