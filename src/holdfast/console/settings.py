# SPDX-License-Identifier: Apache-2.0
"""What a console is told, and whether it may be served so. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .._base.letter import DEFAULT_PREFIX
from .._base.secret import Secret
from ..deadletters.people import FieldRule
from ..errors import ConfigurationError
from .headers import LOCAL_NAMES, is_loopback
from .roles import Role

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """allow_changes: without it nothing can be changed, whatever the role. secure: cookies travel by TLS alone.

    hosts: names it answers to. proxy_header: whom a reverse proxy let in, believed from ``proxy_addresses``
    alone; roles: theirs by name, others are viewers. rules: fields that roles do not see. undo_ms: for how long
    a discard can be taken back. live_s: between two counts of ``/api/live``, and two points of a chart; live_max: how
    many may listen at once, live_each: of one person; live_whole_s: then a listener has to ask again.

    body_max: so many characters of a payload are shown; the whole of it is there to be had. approve_above: replay jobs
    of more letters wait for a second person. jobs_max: jobs that run here at once. letter_prefix: what letters'
    metadata begins with. erase_key: of the marks that erased keys leave (see ``people.erase``); without it each is
    drawn anew.
    """

    allow_changes: bool = False
    secure: bool = False
    hosts: Collection[str] = LOCAL_NAMES
    proxy_header: str = ""
    proxy_addresses: Collection[str] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    rules: tuple[FieldRule, ...] = ()
    undo_ms: int = DAY_MS
    live_s: float = 2.0
    live_max: int = 20
    live_each: int = 5
    live_whole_s: float = 3_600.0
    body_max: int = 65_536
    approve_above: int | None = None
    jobs_max: int = 4
    letter_prefix: str = DEFAULT_PREFIX
    erase_key: Secret[bytes] | None = None


def check_bind(host: str, *, sign_in: bool, tls: bool, proxy: bool) -> None:
    """Raises ConfigurationError for an address that others can reach, unless they sign in and nobody listens in."""
    if not is_loopback(host) and not (proxy or (sign_in and tls)):  # guard: loopback only unless safe
        raise ConfigurationError(
            f"--bind {host or '*'} can be reached from other machines: give --users or --password-file together with "
            "--tls-cert and --tls-key, or --trust-proxy-header with --proxy-address; or bind to 127.0.0.1")
