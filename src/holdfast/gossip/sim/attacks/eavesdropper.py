# SPDX-License-Identifier: Apache-2.0
"""Somebody listens: on the way of all packets, or as a member.

Ten secrets are told, each for three named members. What counts as read is a secret whose text the listener has. Outside
it has the packets; inside it has, besides, what every member has: the group's key and all that is passed on.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from ...._base.chance import Chance
from ....errors import BadPacket
from ...defence.boxes import open_box, public_key, seal
from ...messages import User
from ...wire import Framing
from ..world import name_of
from .defences import Defences
from .outcome import QUIET_S, Outcome, outcome
from .plays import text_of
from .scene import Scene

SECRETS, RECIPIENTS, TOPIC = 10, 3, "secrets"


class Listener:
    """Reads what passes, as far as it is legible."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._plain = Framing()

    def passes(self, scene: Scene, sender: int, receiver: int, data: bytes) -> bytes | None:
        self.heard.append(data)
        with suppress(BadPacket):  # it cannot be read so; the bytes were kept, in case a secret stands in them
            self.heard += [message.payload for message in self._plain.messages(data).messages
                           if isinstance(message, User)]
        return data

    def has(self, secret: bytes) -> bool:
        """Does it have this text?"""
        return any(secret in data for data in self.heard)


def run(defences: Defences, members: int, chance: Chance, *, inside: bool) -> Outcome:
    """A cluster in which secrets are told."""
    scene = Scene(members, chance, defences=defences)
    listener, insider = Listener(), members - 1
    scene.paths.append(listener)
    private = {index: scene.cluster.drawn(32) for index in range(members)}
    secrets = [text_of(number) for number in range(SECRETS)]
    told: dict[bytes, bytes] = {}
    opened: list[bool] = []
    for number, secret in enumerate(secrets):
        by, to = number, [(number * 5 + step) % (members - 1) for step in (1, 2, 3)]
        told[secret] = _sealed(scene, secret, by, to, private) if defences.sealed else secret
        scene.at(QUIET_S + number * 0.5, partial(scene.say, by, told[secret]))
    scene.run(QUIET_S + SECRETS * 0.5 + 10.0)
    if inside:
        listener.heard += [text for text, letter in scene.said.items() if insider in letter.accepted]
    if defences.sealed:
        opened = [_opened(told[secret], secret, number, (number * 5 + 1) % (members - 1), private)
                  for number, secret in enumerate(secrets)]
    if not all(opened):
        raise AssertionError("a recipient could not open what was sealed to it")
    return outcome(scene, read=sum(map(listener.has, secrets)) / SECRETS)


def _sealed(scene: Scene, secret: bytes, by: int, to: list[int], private: dict[int, bytes]) -> bytes:
    return seal(secret, sender=name_of(by), sender_private=private[by], topic=TOPIC, entropy=scene.cluster.drawn,
                recipients={name_of(index): public_key(private[index]) for index in to})


def _opened(box: bytes, secret: bytes, by: int, to: int, private: dict[int, bytes]) -> bool:
    return open_box(box, name=name_of(to), private=private[to], sender=name_of(by), topic=TOPIC,
                    sender_public=public_key(private[by])).payload == secret
