# SPDX-License-Identifier: Apache-2.0
"""One process of the lab: ``python -m holdfast.labs.secrets_worker ASSIGNMENT.json``. A node, a server, a standby."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
from pathlib import Path

import msgspec

from .._base.clock import SystemClock
from .._base.events import Event
from .._base.secret import Secret
from .._base.serving import listen
from .._base.typed import from_json
from ..secrets.access import Tokens, policy_of
from ..secrets.nodes import Node, Serving
from ..secrets.serve import Desk, Replica, Role, Terms, Tls, Wire, create_app, run
from ..secrets.serve.gate import Gate
from ..secrets.serve.opening import of_copies, of_vault
from ..secrets.vault import FilePin, KeyFile, Vault

POLICY = policy_of({"version": 1, "roles": {"all": [{"paths": ["**"], "actions": ["*"]}]}})


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """role: ``node``, ``server``, ``standby``. folder: its disk. name: of a node. common: what servers are given from
    elsewhere: tokens, certificate, key. follows: the primary's address."""

    role: str
    folder: str
    port: int
    name: str = ""
    common: str = ""
    follows: str = ""
    token: str = ""


def main(told: Assignment) -> None:
    """Until it is killed."""
    if told.role == "node":
        serving = Serving(Node(Path(told.folder), told.name, SystemClock(), os.urandom), port=told.port)
        _ready()
        try:
            threading.Event().wait()
        finally:
            serving.close()
    else:
        _serve(told, Path(told.folder), Path(told.common))


def _serve(told: Assignment, folder: Path, common: Path) -> None:
    """As ``holdfast secrets serve`` does it: the keys of audit and terms are in the vault."""
    clock, seal, audit = SystemClock(), KeyFile(common / "key"), folder / "audit"

    def tell(event: Event) -> None:
        """Nobody measures it but the lab, from outside."""

    if told.role == "standby":
        terms = Terms(folder / "term", role=Role.STANDBY)
        gate = Gate(of_copies(folder / "copies", audit, terms, lambda: Wire(
            [told.follows], token=Secret(told.token), ca=common / "authority" / "ca.pem"), clock=clock, tell=tell),
            scheme=Replica.scheme, abilities=Replica.abilities)
    else:
        terms, pin = Terms(folder / "term"), FilePin(folder / "pins")
        Vault.create(folder / "vault", seal, pin=pin).close()
        gate = Gate(of_vault(folder / "vault", audit, terms, pin=pin, clock=clock, entropy=os.urandom, tell=tell),
                    scheme=Vault.scheme, abilities=Vault.abilities)
    gate.unseal(seal)
    desk = Desk(gate.store, POLICY, gate.audit, terms, tokens=Tokens(common / "tokens", clock.wall_ms,
                secrets.token_bytes), sealed=gate.feed, clock=clock, gate=gate)
    certificate = Tls(common / "authority" / "server.pem", common / "authority" / "server.key")
    run(create_app(desk), listen("127.0.0.1", told.port, backlog=256), certificate, drain_s=1.0, started=_ready)


def _ready() -> None:
    sys.stdout.write(json.dumps({"event": "ready"}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(from_json(Path(sys.argv[1]).read_bytes(), Assignment))
