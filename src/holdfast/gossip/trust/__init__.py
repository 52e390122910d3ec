# SPDX-License-Identifier: Apache-2.0
"""Keys that belong to somebody: identities, admission, and a group's key that reaches members and nobody else.

Inside::

    identity.py     who a node is: two key pairs, and an id that follows. Open this first
    records.py      what is signed, in one form only
    admission.py    who belongs to the cluster: certificates and roles
    invites.py      how a node without a certificate gets one
    handshake.py    both sides of a join prove who they are
    revocations.py  who was expelled: a set that only grows
    boxes.py        a group's key, sealed to one member
    epochs.py       the group's keys, and which of them seals
    packets.py      what is sent, sealed by counters; window.py: each once
    machine.py      all of it as one member does it: (event, now, time of day, chance) → effects
    policy.py       its numbers, events and effects; messages.py: what members say
    leading.py      changing the key; sharing.py: who missed something asks; book.py: what both work on
    state.py        what a member knows, as bytes; kept.py: on disk. The only file here that touches one
"""

from __future__ import annotations

from .admission import Anchor, Certificate, Credential, Member, Vouched, issue
from .boxes import Box
from .epochs import Activation, Announcement, Cancellation, Epoch, Epochs, GroupKey, Retirement
from .handshake import Caller, Door
from .identity import Identity, node_id, short_id
from .invites import Invitations, Token
from .machine import Status, Trust
from .packets import Header, Opened, Opener, Sealer, peek
from .policy import Policy
from .revocations import Revocation, Revocations, revoke

__all__ = [
    "Activation",
    "Anchor",
    "Announcement",
    "Box",
    "Caller",
    "Cancellation",
    "Certificate",
    "Credential",
    "Door",
    "Epoch",
    "Epochs",
    "GroupKey",
    "Header",
    "Identity",
    "Invitations",
    "Member",
    "Opened",
    "Opener",
    "Policy",
    "Retirement",
    "Revocation",
    "Revocations",
    "Sealer",
    "Status",
    "Token",
    "Trust",
    "Vouched",
    "issue",
    "node_id",
    "peek",
    "revoke",
    "short_id",
]
