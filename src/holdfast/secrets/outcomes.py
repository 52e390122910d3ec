# SPDX-License-Identifier: Apache-2.0
"""What came of asking a store, in one word: in events and in the audit alike."""

from __future__ import annotations

from typing import Final

from ..errors import (
    HoldfastError,
    SecretDenied,
    SecretMoved,
    SecretNotFound,
    SecretsDamaged,
    SecretsSealed,
    SecretsUnreachable,
)

OUTCOMES: Final = ((SecretNotFound, "missing"), (SecretDenied, "denied"), (SecretsSealed, "sealed"),
                   (SecretsDamaged, "damaged"), (SecretMoved, "moved"), (SecretsUnreachable, "unreachable"))


def outcome_of(error: HoldfastError) -> str:
    """Its word; empty for an error that has none of its own."""
    return next((word for kind, word in OUTCOMES if isinstance(error, kind)), "")
