# SPDX-License-Identifier: Apache-2.0
"""What a cluster is told when it is made, checked as a whole before anything listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ..._base.secret import Resolver, Secret, SecretRef, resolve
from ...errors import ConfigurationError
from ..keys import Key, Keyring
from ..messages import BARE_VERSIONS, SERF_VERSIONS, Versions
from ..profiles import LAN, LOCAL, WAN, Profile
from ..wire import Framing
from ..wire.serf import tags_to_meta
from .address import host_and_port
from .arguments import kind
from .key_changes import as_key
from .voice import SharedVoice, Voice

#: Bytes of a member's name.
NAME_MAX: Final = 128
META_MAX: Final = 512
PROFILES: Final[Mapping[str, Profile]] = {"lan": LAN, "wan": WAN, "local": LOCAL}

Delegate = Literal["serf", "none"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """See ``Cluster``, which takes the same."""

    name: str
    bind: str
    advertise: str | None
    join: tuple[str, ...]
    join_within_s: float
    must_join: bool
    tags: Mapping[str, str]
    meta: bytes
    profile: Profile
    delegate: Delegate
    keyring: Keyring | None
    refuse_keys: str
    snapshot: Path | None
    rejoin_after_leave: bool
    replay_events: bool
    leave_on_exit: bool
    room: int

    def __post_init__(self) -> None:
        if not self.name or len(self.name.encode("utf-8", "surrogateescape")) > NAME_MAX:
            raise ConfigurationError(f"a member's name has 1 to {NAME_MAX} bytes: {self.name!r}")
        for where in (self.bind, *((self.advertise,) if self.advertise else ()), *self.join):
            host_and_port(where)
        if self.delegate not in ("serf", "none"):
            raise ConfigurationError(f'delegate is "serf" or "none", and not {self.delegate!r}')
        if self.delegate == "none" and self.tags:
            raise ConfigurationError("tags belong to Serf's layer, which delegate='none' leaves out: give meta=")
        if self.delegate == "serf" and self.meta:
            raise ConfigurationError("meta holds the tags in Serf's layer: give tags=, or delegate='none'")
        if self.delegate == "none" and len(self.meta) > META_MAX:
            raise ConfigurationError(f"meta has at most {META_MAX} bytes, and this {len(self.meta)}")
        if self.room < 1 or self.join_within_s < 0:
            raise ConfigurationError("room is at least 1, and join_within_s at least 0")
        meta_of(self.tags)

    @property
    def versions(self) -> Versions:
        """What is spoken."""
        return SERF_VERSIONS if self.delegate == "serf" else BARE_VERSIONS

    @property
    def first_meta(self) -> bytes:
        """What is shown at the start."""
        return meta_of(self.tags) if self.delegate == "serf" else self.meta


def meta_of(tags: Mapping[str, str]) -> bytes:
    """Tags as meta. Raises ConfigurationError."""
    given: list[tuple[object, object]] = [*tags.items()]
    wrong = [tag for tag, value in given if not isinstance(tag, str) or not isinstance(value, str)]
    if wrong:
        raise ConfigurationError(f"tags are texts and have texts as values: {wrong[0]!r} is none")
    try:
        return tags_to_meta(tags)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def profile_of(profile: Profile | str) -> Profile:
    """A profile, or that of the name. Raises ConfigurationError."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ConfigurationError(f"there is no profile {profile!r}: take one of {', '.join(PROFILES)}")
    return PROFILES[profile]


def keyring_of(key: Key | str | bytes | Secret[str] | SecretRef | None, keyring: Keyring | None,
               secrets: Resolver | None = None) -> Keyring | None:
    """A keyring of one key, or the one given. Raises ConfigurationError, SecretUnavailable."""
    if key is not None and keyring is not None:
        raise ConfigurationError("give a key or a keyring, not both: a keyring holds its keys already")
    if isinstance(key, str | Secret | SecretRef):
        found = resolve(key, secrets)
        key = None if found is None else found.reveal()
    return Keyring([as_key(key)]) if key is not None else keyring


def voice_of(voice: Voice | None, keyring: Keyring | None, label: str | bytes, *, compress: bool, encrypting: bool,
             insisting: bool) -> Voice:
    """The one given, or memberlist's. Raises ConfigurationError."""
    if voice is not None:
        if label or compress:
            raise ConfigurationError("label and compress are memberlist's way to speak: leave them out with voice=")
        return voice
    name = label.encode() if isinstance(label, str) else label
    return SharedVoice(Framing(label=name, keys=keyring, compress=compress, verify_outgoing=encrypting,
                               verify_incoming=insisting))


def places(join: Sequence[str]) -> tuple[str, ...]:
    """Where to join. Raises ConfigurationError for one text where a list was wanted."""
    if isinstance(join, str):
        raise ConfigurationError(f"join is a list of HOST:PORT: write join=[{join!r}]")
    found = tuple(join)
    for each in found:
        if not isinstance(each, str):
            raise ConfigurationError(f"join is a list of HOST:PORT, and one in it is of type {kind(each)}: write text")
    return found
