# SPDX-License-Identifier: Apache-2.0
"""A secret server as a process of its own: the primary of a vault, or a standby that follows one.

``python -m tests.support.secret_server SETTINGS`` with a file of JSON; it writes ``started`` when it listens, and what
it does at its end to ``steps``.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import msgspec

from holdfast._base.clock import SystemClock
from holdfast._base.secret import Secret
from holdfast._base.serving import listen
from holdfast.secrets.access import AuditLog, Tokens, policy_of
from holdfast.secrets.serve import Desk, Follower, Replica, Role, Terms, Tls, Wire, create_app, run
from holdfast.secrets.serve.vaulted import VaultFeed, vault_opener
from holdfast.secrets.vault import FilePin, KeyFile, Vault
from holdfast.testing import points

AUDIT_KEY, TERM_KEY = Secret(bytes(range(32))), Secret(bytes(range(32, 64)))
POLICY = policy_of({"version": 1, "roles": {"all": [{"paths": ["**"], "actions": ["*"]}]}})


class Settings(msgspec.Struct, kw_only=True):
    """folder: its own. vault: of a primary. primary: address, of a standby. common: what all know."""

    folder: Path
    common: Path
    port: int
    certificate: tuple[Path, Path]
    ca: Path
    vault: Path | None = None
    primary: str = ""
    token: str = ""


def main(settings: Settings) -> None:
    points.arm_from_env()
    clock, folder = SystemClock(), settings.folder
    seal = KeyFile(settings.common / "vault.key")
    tokens = Tokens(settings.common / "tokens.json", clock.wall_ms, secrets.token_bytes)
    audit = AuditLog(folder / "audit", AUDIT_KEY, clock.wall_ms)
    if settings.primary:
        terms = Terms(folder / "term", TERM_KEY, Role.STANDBY)
        store = Replica(folder / "replica", vault_opener(seal))
        follower = Follower(store, Wire([settings.primary], token=Secret(settings.token), ca=settings.ca), terms)
        follower.start()
        sealed = None
    else:
        terms, pin = Terms(folder / "term", TERM_KEY), FilePin(folder / "pins")
        path = settings.vault or folder / "vault"
        store = (Vault.open if path.exists() else Vault.create)(path, seal, pin=pin)
        sealed, follower = VaultFeed(store), None
    desk = Desk(store, POLICY, audit, terms, tokens=tokens, sealed=sealed, clock=clock)
    steps = (folder / "steps").open("a", buffering=1)

    def close() -> None:
        steps.write("answered\n")
        if follower is not None:
            follower.stop()
        store.close()
        audit.close()
        steps.write("closed\n")

    listening = listen("127.0.0.1", settings.port, backlog=256)
    run(create_app(desk), listening, Tls(*settings.certificate), close=close, drain_s=5.0,
        started=lambda: (folder / "started").write_text(str(os.getpid())))


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Settings, dec_hook=lambda kind, said: kind(said)))
