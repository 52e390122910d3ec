# SPDX-License-Identifier: Apache-2.0
"""A server in this process, with everything around it, and clients that know its authority."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from dataclasses import dataclass

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast._base.serving import address_of, listen
from holdfast.secrets.access import AuditLog, Holder, Tokens, policy_of
from holdfast.secrets.serve import Desk, Role, ServerStore, Terms, Tls, create_app, serve

AUDIT_KEY, TERM_KEY = Secret(bytes(range(32))), Secret(bytes(range(32, 64)))
POLICY = policy_of({"version": 1, "roles": {
    "all": [{"paths": ["**"], "actions": ["*"]}],
    "reader": [{"paths": ["shop/**"], "actions": ["read", "list"]}],
    "follower": [{"paths": ["holdfast/feed"], "actions": ["policy"]}],
    "careful": [{"paths": ["**"], "actions": ["read"], "approvals": 1}]}})
CLOCK = SystemClock()


@dataclass
class Place:
    """A server that runs. events: what it told."""

    address: str
    desk: Desk
    authority: object
    tokens: Tokens
    events: list
    audit: AuditLog

    def token(self, *roles, who="me", **more):
        return self.tokens.issue(who, frozenset(roles), **more)[1]

    def client(self, *roles, who="me", addresses=None, **more):
        """One with a token for these roles; none without."""
        token = {"token": self.token(*roles, who=who)} if roles else {}
        return ServerStore(addresses or self.address, ca=self.authority.ca, **token, **more)


@contextlib.contextmanager
def serving(folder, authority, store, *, clients=None, required=False, names=None, role=Role.PRIMARY, sealed=None,
            clock=CLOCK, head_s=10.0):
    """The store, served from a thread until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    events = []
    tokens = Tokens(folder / "tokens.json", clock.wall_ms, secrets.token_bytes)
    audit = AuditLog(folder / "audit", AUDIT_KEY, clock.wall_ms)
    desk = Desk(store, POLICY, audit, Terms(folder / "term", TERM_KEY, role), tokens=tokens, clock=clock,
                sealed=sealed if sealed is not None else (store if hasattr(store, "piece") else None),
                names={name: Holder(name, frozenset({"all"})) for name in names or ()}, tell=events.append)
    tls = Tls(*authority.issue("server", server=True), clients=clients.ca if clients else None, required=required)
    listening = listen("127.0.0.1", 0, backlog=1_024)
    started, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(
        serve(create_app(desk), listening, tls, stop, drain_s=5.0, head_s=head_s, started=started.set)))
    thread.start()
    try:
        assert started.wait(10)
        yield Place(address_of(listening, tls=True), desk, authority, tokens, events, audit)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
        listening.close()
        audit.close()
        assert not thread.is_alive()
