# SPDX-License-Identifier: Apache-2.0
"""What members say to each other about keys. All of it may be heard: what is secret in it is in boxes.

::

    Install ─▶      ◀─ Acked (installed)       a rotation, step by step
    Activate ─▶     ◀─ Acked (active)
    Retire ─▶       ◀─ Acked (retired)
    Cancel ─▶
    Ask ─▶          ◀─ Told                    who missed one, and anti-entropy
    Have ─▶         ◀─ Entries                 lists of the revoked
"""

from __future__ import annotations

from typing import Final, TypeAlias

from .admission import Vouched
from .boxes import Box
from .records import Record
from .revocations import Digest

INSTALLED: Final = "installed"
ACTIVE: Final = "active"
RETIRED: Final = "retired"
STEPS: Final = (INSTALLED, ACTIVE, RETIRED)
#: Entries in one message: 600 bytes each.
ENTRIES_AT_ONCE: Final = 1000


class Install(Record, frozen=True, tag="m.install"):
    """said: an ``Announcement``."""

    said: Vouched
    box: Box


class Activate(Record, frozen=True, tag="m.activate"):
    """said: an ``Activation``."""

    said: Vouched


class Cancel(Record, frozen=True, tag="m.cancel"):
    """said: a ``Cancellation``."""

    said: Vouched


class Retire(Record, frozen=True, tag="m.retire"):
    """said: a ``Retirement``."""

    said: Vouched


class Ack(Record, frozen=True, tag="ack"):
    """This node has done this step of this epoch."""

    epoch: bytes
    step: str


class Acked(Record, frozen=True, tag="m.acked"):
    """said: an ``Ack``."""

    said: Vouched


class Question(Record, frozen=True, tag="question"):
    """What a member holds, to be told the rest.

    active, heads, noted: hashes of epochs; of those that were noted the key is not held. sealed: packets under the
    present key.
    """

    to: str
    nonce: bytes
    active: tuple[bytes, ...]
    heads: tuple[bytes, ...]
    noted: tuple[bytes, ...]
    digest: Digest
    sealed: int
    at_ms: int


class Ask(Record, frozen=True, tag="m.ask"):
    """said: a ``Question``."""

    said: Vouched


class Passed(Record, frozen=True, tag="passed"):
    """An epoch that is active: its ``Announcement`` and its ``Activation``."""

    said: Vouched
    active: Vouched


class Bundle(Record, frozen=True, tag="bundle"):
    """Epochs, boxes of those that the member may have, and who was revoked.

    followed: heads of his which the epoch in force follows, over steps that he missed.
    """

    passed: tuple[Passed, ...]
    boxes: tuple[Box, ...]
    followed: tuple[bytes, ...]
    entries: tuple[Vouched, ...]


class Answer(Record, frozen=True, tag="answer"):
    """nonce: of the question."""

    to: str
    nonce: bytes
    bundle: Bundle


class Told(Record, frozen=True, tag="m.told"):
    """said: an ``Answer``."""

    said: Vouched


class Have(Record, frozen=True, tag="m.have"):
    """marks: of the entries in one's list. back: this answers a ``Have``."""

    marks: tuple[bytes, ...]
    back: bool


class Entries(Record, frozen=True, tag="m.entries"):
    """Entries of the list of the revoked; each stands for itself."""

    entries: tuple[Vouched, ...]


KeyMessage: TypeAlias = Install | Activate | Cancel | Retire | Acked | Ask | Told | Have | Entries
