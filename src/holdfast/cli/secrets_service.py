# SPDX-License-Identifier: Apache-2.0
"""The process of ``holdfast secrets serve``: wired, watched, and ended in good order. A second Ctrl-C ends it at
once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .listening import Measured, address_of, logged, measured_if_installed
from .output import say
from .secrets_server import Server
from .work import INTERRUPTED, loop_factory

if TYPE_CHECKING:
    from .._base.events import Events
    from ..secrets.access import Holder, PolicyFile
    from ..secrets.serve import Desk, Terms, Tls
    from ..secrets.serve.gate import Gate
    from ..secrets.standing import Standing
    from ..secrets.vault import FilePin, Seal
    from .plan import Address

#: Seconds between two looks at how the store stands, and at whether it can be read, for ``--probes``.
STAND_S: Final = 60.0
LOOK_S: Final = 1.0
BACKLOG: Final = 1_024


@dataclass(frozen=True)
class Plan:
    """What the command line asks for. primary: whom a standby follows, and follower: who it is there; empty: this is
    one itself. place: the vault's file, or the folder of a standby's copies. seal: None to begin sealed."""

    bind: Address
    certificate: Path
    key: Path
    clients: Path | None
    clients_required: bool
    holders: Mapping[str, Holder]
    policy: Path
    tokens: Path
    audit: Path
    term: Path
    probes: Address | None
    place: Path
    pin: FilePin | None
    primary: str
    follower: Server
    seal: Seal | None


def serving(plan: Plan) -> int:
    """Serves until a signal; answers the exit code. Raises what no waiting would mend."""
    from .._base.undumped import undumped
    from ..secrets.access import PolicyFile
    from ..secrets.serve import Tls
    from ..secrets.serve.serving import make_room
    from ..secrets.serve.terms import only_one

    undumped()
    make_room()
    tls = Tls(plan.certificate, plan.key, plan.clients, plan.clients_required)
    tls.context()  # what is wrong with files is said before anything is opened, or made
    policy = PolicyFile(plan.policy)
    _there(plan)
    with only_one(plan.term):
        _served(plan, tls, policy)
    return 0


def _there(plan: Plan) -> None:
    """A sealed server would find out only when it is unsealed, and a term would be made for a vault that is none."""
    from ..errors import ConfigurationError, SecretsUnreachable

    if not plan.primary:
        if not plan.place.exists():
            raise SecretsUnreachable(f"there is no vault {plan.place}: make one with `holdfast secrets init`")
        return
    try:
        plan.place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--copies {plan.place} cannot be made: {error.strerror}") from None


def _served(plan: Plan, tls: Tls, policy: PolicyFile) -> None:
    from .._base.clock import SystemClock
    from .._base.events import Events
    from .._base.serving import listen
    from ..secrets.access import Tokens
    from ..secrets.serve import Desk, Role, Terms
    from ..secrets.standing import Standing, ends_of_tokens

    clock, events = SystemClock(), Events()
    logged(events)
    metrics = measured_if_installed(events)
    terms = Terms(plan.term, role=Role.STANDBY if plan.primary else Role.PRIMARY)
    tokens = Tokens(plan.tokens, clock.wall_ms, os.urandom)
    if not plan.tokens.exists():
        say(f"there are no tokens in {plan.tokens} yet: make some with `secrets token create`, or say --tokens")
    gate = _gate(plan, terms, events)
    desk = Desk(gate.store, policy, gate.audit, terms, tokens=tokens, names=plan.holders, sealed=gate.feed, clock=clock,
                tell=events.emit, gate=gate)
    standing = Standing(gate.store, events, clock, ends=(gate.ends, ends_of_tokens(tokens)))
    try:
        if plan.seal is not None:
            gate.unseal(plan.seal)
        with contextlib.closing(listen(*plan.bind, backlog=BACKLOG, option="--bind: ")) as listening:
            life = Life(desk, gate, standing)
            with asyncio.Runner(loop_factory=loop_factory(None)) as runner:
                runner.run(life.run(tls, listening, plan.probes, metrics))
    finally:
        gate.seal()


def _gate(plan: Plan, terms: Terms, events: Events) -> Gate:
    from .._base.clock import SystemClock
    from ..secrets.serve import Replica, Wire
    from ..secrets.serve.gate import Gate
    from ..secrets.serve.opening import of_copies, of_vault
    from ..secrets.vault import Vault

    clock = SystemClock()
    if not plan.primary:
        return Gate(of_vault(plan.place, plan.audit, terms, pin=plan.pin, clock=clock, entropy=os.urandom,
                             tell=events.emit), scheme=Vault.scheme, abilities=Vault.abilities)
    said = plan.follower
    token, certificate = said.who()

    def wire() -> Wire:
        return Wire([plan.primary], token=token, ca=said.ca, certificate=certificate, timeout_s=said.timeout_s)

    wire().close()  # an address that is none is said at the start
    return Gate(of_copies(plan.place, plan.audit, terms, wire, clock=clock, tell=events.emit,
                          patient=plan.seal is not None),
                scheme=Replica.scheme, abilities=Replica.abilities)


class Life:
    """One service from its start to its orderly end."""

    def __init__(self, desk: Desk, gate: Gate, standing: Standing) -> None:
        self._desk, self._gate, self._standing = desk, gate, standing
        self._stop = asyncio.Event()
        self._ended = threading.Event()
        self._why = "it has just begun"

    async def run(self, tls: Any, listening: Any, probes: Address | None, metrics: Measured | None) -> None:
        """Serves until a signal."""
        from .._base import serving as sockets
        from ..secrets.serve import create_app, serve

        app = create_app(self._desk)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        stands = threading.Thread(target=self._stands, name="holdfast-standing", daemon=True)
        looks = asyncio.create_task(self._looks()) if probes is not None else None
        stands.start()
        standing = self._desk.terms.standing
        what = f"{standing.role.value} of term {standing.term}{', sealed' if self._gate.sealed else ''}"
        where = sockets.address_of(listening, tls=True)
        try:
            async with self._probes(probes, metrics):
                await serve(app, listening, tls, self._stop,
                            started=lambda: say(f"serving secrets at {where} ({what})"))
        finally:
            self._ended.set()
            self._gate.turned.set()
            if looks is not None:
                looks.cancel()
                await asyncio.gather(looks, return_exceptions=True)
            await asyncio.to_thread(stands.join)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            say("interrupted: what was in flight was not answered")
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        if not self._stop.is_set():
            say("stopping: what is in flight is answered")
        self._stop.set()

    def _stands(self) -> None:
        """Tells how the store stands, at once when it was sealed or unsealed."""
        while True:
            self._gate.turned.clear()
            if self._ended.is_set():
                return
            self._standing.look()
            self._gate.turned.wait(STAND_S)

    async def _looks(self) -> None:
        while True:
            self._why = await asyncio.to_thread(self._desk.why_not_ready)
            await asyncio.sleep(LOOK_S)

    @contextlib.asynccontextmanager
    async def _probes(self, probes: Address | None, metrics: Measured | None) -> AsyncIterator[None]:
        if probes is None:
            yield
            return
        from .health import Page, Readiness, live, ready, serve

        def measured() -> Page:
            if metrics is None:
                return Page(404, "text/plain; charset=utf-8", "there are no metrics: install holdfast[metrics]\n")
            return Page(200, *metrics())

        def readiness() -> Page:
            return ready(Readiness(ready=not self._why, why=[self._why] if self._why else []))

        probing = await serve("--probes", probes, {"/healthz": live, "/readyz": readiness, "/metrics": measured})
        say(f"probes and metrics at {address_of(probing)}")
        try:
            yield
        finally:
            probing.close()
