# SPDX-License-Identifier: Apache-2.0
"""``holdfast gossip agent``: a member of a cluster, from its start until it has left.

::

    listen for RPC ─ listen for members ─ join: the address is printed ─ SIGTERM, Ctrl-C or `leave` ─ leave ─ 0

A second Ctrl-C ends it at once, and the others find out that it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .._base.events import Events
from ..errors import GossipError
from .context import environment, resolver, secrets_option, settings, token_option
from .edge import INTERRUPTED
from .gossip_ask import TOKEN_VARIABLE
from .gossip_http import JsonServer
from .gossip_identity import native_of, unlock_option
from .gossip_rpc import Agent, routes
from .listening import logged, measured_if_installed
from .output import json_option, one_line, print_json_line, say, show
from .params import ADDRESS, DURATION, LOOPBACK

if TYPE_CHECKING:
    from ..gossip.agent import Change, Cluster, Event, Missed
    from ..gossip.agent.feed import Feed
    from ..gossip.keys import Keyring
    from ..gossip.keys.rotation_run import RotationRun
    from ..ids.service import Tokens
    from .plan import Address

    _PairType = click.ParamType[tuple[str, str]]
else:  # as of click 8.3 it is generic
    _PairType = click.ParamType

#: Seconds for what happened last to be printed.
TELL_S: Final = 1.0


class _Tag(_PairType):
    """``NAME=VALUE``; the value may be empty."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, rest = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r}: NAME=VALUE is wanted", param, ctx)
        return name, rest


TAG = _Tag()


@click.command("agent")
@click.option("--name", required=True, help="of this member; no other may have it, at most 128 bytes")
@click.option("--bind", default="127.0.0.1:7946", show_default=True, metavar="HOST:PORT",
              help="where other members reach it, by UDP and TCP; port 0 picks a free one")
@click.option("--advertise", metavar="HOST:PORT", help="where they reach it, if that is elsewhere")
@click.option("--join", "join", multiple=True, metavar="HOST:PORT",
              help="a member of the cluster to enter, several times if need be; one that answers is enough")
@click.option("--join-within", "join_within_s", type=DURATION, default="10s", show_default=True,
              help="how long to try")
@click.option("--keep-trying", is_flag=True, help="go on alone while none of them answers, and try on")
@click.option("--key", envvar="HOLDFAST_GOSSIP_KEY", metavar="BASE64",
              help="16, 24 or 32 bytes that all members share, or secret://name, see --secrets; others can see what "
                   "stands on a command line, so better by  [HOLDFAST_GOSSIP_KEY]")
@click.option("--keyring", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="keeps the keys, so that those that come by a key change are there after a restart; where it is not "
                   "there yet, it begins with --key. A JSON list as Serf's, or sealed, see --keyring-key")
@click.option("--keyring-key", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="32 random bytes or more that seal --keyring")
@click.option("--tag", "tags", multiple=True, type=TAG, metavar="NAME=VALUE",
              help="what it shows of itself, 512 bytes in all")
@click.option("--label", default="", help="keeps clusters apart that share a network; the same for all members")
@click.option("--delegate", type=click.Choice(["serf", "none"]), default="serf", show_default=True,
              help="none: memberlist alone, as Alertmanager has it: no tags, events, queries and keys")
@click.option("--profile", type=click.Choice(["lan", "wan", "local"]), default="lan", show_default=True,
              help="how fast it is; the same for all members")
@click.option("--snapshot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="remembers who was there, to find the cluster again after a restart")
@click.option("--defend", is_flag=True,
              help="limit what each member and all strangers may send, score members, and ban for a while who sends "
                   "garbage. Needs a key; always on with --native")
@click.option("--audit", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="with --defend or --native: what was decided, appended; see `holdfast gossip audit verify`")
@click.option("--rpc", type=ADDRESS, metavar="HOST:PORT",
              help="serve the RPC of `holdfast gossip members` and the others, /live, /ready and /metrics here")
@click.option("--rotate", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="change the key of the whole cluster by itself; FILE remembers a change under way. Needs --keyring. "
                   "Every member may have it, the one with the lowest name leads")
@click.option("--rotate-after", "rotate_after_s", type=DURATION, default="30d", show_default=True,
              help="the age at which a key is changed; and before 2^32 packets are sealed with it, in any case")
@click.option("--rotate-grace", "grace_s", type=DURATION, default="1h", show_default=True,
              help="how long the old key opens after everybody seals with the new one, for members that were away")
@click.option("--native", is_flag=True,
              help="a cluster of identities: each member signs what it says, the key is sealed to each, and one can be "
                   "expelled. Wants --identity, --issuer-key and --label; no Serf agent takes part")
@click.option("--identity", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="who this is, with its certificate; see `holdfast gossip identity`")
@click.option("--issuer-key", "issuer_keys", multiple=True, metavar="BASE64", help="of an issuer that is believed")
@click.option("--invite", envvar="HOLDFAST_GOSSIP_INVITE", metavar="TOKEN",
              help="in the place of a certificate and --issuer-key: join at the agent that made it. What stands on a "
                   "command line others can see, so better secret://name, or by  [HOLDFAST_GOSSIP_INVITE]")
@click.option("--trust-state", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="keeps the keys it holds and who was expelled, sealed as the identity")
@unlock_option
@click.option("--watch", is_flag=True, help="print what becomes of members, and events, a line each")
@json_option
@secrets_option
@token_option
def agent(*, key: str | None, keyring: Path | None, keyring_key: Path | None, rpc: Address | None, watch: bool,
          as_json: bool, keep_trying: bool, rotate: Path | None, rotate_after_s: float, grace_s: float, native: bool,
          identity: Path | None, issuer_keys: Sequence[str], trust_state: Path | None, seal: Path | None,
          invite: str | None, defend: bool, **wanted: Any) -> int:
    """Be a member of a cluster until SIGTERM or Ctrl-C, and then leave it.

    It speaks memberlist's protocol and Serf's, so Serf agents are members like any other. It prints its address once it
    has joined. Without --key and --keyring, whoever reaches it can read and change everything. Beyond this machine the
    RPC wants tokens: --token-file or HOLDFAST_TOKEN.
    """
    tokens = _tokens()
    if rpc is not None and tokens is None and rpc[0] not in LOOPBACK:  # guard: nobody else by mistake
        raise click.UsageError(f"--rpc {rpc[0]}:{rpc[1]} lets others command this agent: give --token-file or "
                               f"{TOKEN_VARIABLE}, or listen on 127.0.0.1")
    if keyring_key is not None and keyring is None:
        raise click.UsageError("--keyring-key seals a --keyring: name its file")
    if rotate is not None and (keyring is None or wanted["delegate"] == "none"):
        raise click.UsageError("--rotate needs --keyring, or a restart would lose the new key; and not --delegate none")
    if wanted["audit"] is not None and not (defend or native):
        raise click.UsageError("--audit writes what defences decide: say --defend, too")
    from ..gossip.agent import DEFENDED, Cluster

    key, invite = _resolved(key), _resolved(invite)
    if native:
        if identity is None or not (issuer_keys or invite) or key or keyring:
            raise click.UsageError("--native wants --identity and --issuer-key, or --invite, and neither --key nor "
                                   "--keyring")
        wanted["native"] = native_of(identity, seal, issuer_keys, wanted.pop("label"), trust_state, token=invite)
    elif identity is not None or trust_state is not None or issuer_keys:
        raise click.UsageError("--identity, --issuer-key and --trust-state belong to --native")
    ring, first = _keyring(keyring, keyring_key, key) if keyring else None, None if keyring else key
    tags = dict(wanted.pop("tags"))
    events = Events()
    cluster = Cluster(must_join=not keep_trying, key=first, keyring=ring, tags=tags, events=events,
                      defences=DEFENDED if defend and not native else None, **wanted)
    telling = Telling(as_json, wanted["delegate"] == "serf") if watch else None
    life = Life(cluster, rpc, tokens, events, telling=telling)
    if rotate is not None and ring is not None:
        life.rotating = partial(_rotating, ring, rotate, rotate_after_s, grace_s)
    with asyncio.Runner() as runner:
        return runner.run(life.run())


def _resolved(said: str | None) -> str | None:
    """A key, or what a reference stands for."""
    from .._base.secret import resolve

    found = resolve(said, resolver())
    return None if found is None else found.reveal()


def _rotating(ring: Keyring, record: Path, age_s: float, grace_s: float, cluster: Cluster) -> RotationRun:
    from ..gossip.keys.rotation_record import Settings
    from ..gossip.keys.rotation_run import RotationRun

    return RotationRun(cluster, ring, record, settings=Settings(age_s=age_s, grace_s=grace_s))


def _keyring(path: Path, sealed_by: Path | None, key: str | None) -> Any:
    """The keyring of the file; one that is not there yet begins with the key."""
    from ..errors import ConfigurationError
    from ..gossip.keys import Key, KeyFile, open_keyring, open_serf, write_serf

    first = None if key is None else Key.from_text(key)
    if sealed_by is not None:
        return open_keyring(path, KeyFile(sealed_by), os.urandom, first)
    try:
        if first is not None and not path.exists():
            write_serf(path, (first,))
        return open_serf(path)
    except FileNotFoundError:
        raise ConfigurationError(f"--keyring {path} is not there yet: give --key once, for it to begin with") from None
    except OSError as error:
        raise ConfigurationError(f"--keyring {path} cannot be used: {error.strerror or error}") from error


def _tokens() -> Tokens | None:
    """Those of the file, else that of the environment, else None."""
    from ..ids.service import Tokens, tokens_in
    from ..ids.service.access import token_of

    file = settings().token_file
    if file is not None:
        return tokens_in(file)
    said = environment().get(TOKEN_VARIABLE)
    return None if said is None else Tokens([token_of(said, TOKEN_VARIABLE)])


@dataclass(frozen=True)
class Telling:
    """What happens, as lines on stdout."""

    as_json: bool
    layer: bool

    def begin(self, cluster: Cluster) -> list[asyncio.Task[None]]:
        """From now on, until the member has gone. Call it before the cluster is entered, to have the first ones."""
        feeds: list[Feed[Any]] = [cluster.changes()]
        if self.layer:
            feeds.append(cluster.events())
        return [asyncio.create_task(self._read(feed)) for feed in feeds]

    async def _read(self, feed: Feed[Any]) -> None:
        with contextlib.suppress(GossipError):  # the process ends with it
            async for happened in feed:
                self._line(_record(happened))

    def _line(self, record: dict[str, Any]) -> None:
        if self.as_json:
            print_json_line(record)
        else:
            tags = record.pop("tags", {})
            show(one_line(" ".join(map(str, [*record.values(), *(f"{tag}={value}" for tag, value in tags.items())]))))
        sys.stdout.flush()


def _record(happened: Change | Event | Missed) -> dict[str, Any]:
    from ..gossip.agent import Event, Missed

    if isinstance(happened, Missed):
        return {"what": "missed", "count": happened.count}
    if isinstance(happened, Event):
        return {"what": "event", "name": happened.name, "payload": happened.payload.decode("utf-8", "backslashreplace")}
    member = happened.member
    return {"what": happened.what, "name": member.name, "addr": member.addr, "port": member.port,
            "status": member.status, "tags": dict(member.tags)}


class Life:
    """One agent from its start to its leave."""

    def __init__(self, cluster: Cluster, rpc: Address | None, tokens: Tokens | None, events: Events, *,
                 telling: Telling | None = None) -> None:
        self._cluster, self._telling, self._rpc, self._tokens = cluster, telling, rpc, tokens
        self._events = events
        #: Makes what changes keys by itself, if that is wanted.
        self.rotating: Callable[[Cluster], RotationRun] | None = None
        self._stop = asyncio.Event()
        self._agent = Agent(self._stop.set)

    async def run(self) -> int:
        """Until a signal, or a command to leave. Raises what no waiting would mend."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        where = ""
        logged(self._events)
        metrics = measured_if_installed(self._events)
        async with contextlib.AsyncExitStack() as stack:
            if self._rpc is not None:
                server = JsonServer(routes(self._agent, metrics), self._tokens)
                stack.push_async_callback(server.close)
                where = f", RPC at {await server.start('--rpc', self._rpc)}"
            being = asyncio.create_task(self._being(where))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait((being, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if self._agent.cluster is None:
                being.cancel()  # it still tries to join
            with contextlib.suppress(asyncio.CancelledError):
                await being
        return 0

    async def _being(self, where: str) -> None:
        """A member, from its joining to its leaving."""
        telling = self._telling.begin(self._cluster) if self._telling is not None else []
        try:
            async with self._cluster as cluster, contextlib.AsyncExitStack() as within:
                if self.rotating is not None:
                    self._agent.rotation = await within.enter_async_context(self.rotating(cluster))
                self._agent.cluster = cluster
                say(one_line(f"member {cluster.name} at {cluster.address}{where}"))
                over = asyncio.create_task(cluster.stopped())
                stopping = asyncio.create_task(self._stop.wait())
                await asyncio.wait((over, stopping), return_when=asyncio.FIRST_COMPLETED)
                for task in (over, stopping):
                    task.cancel()
                self._agent.stopping = True
                if self._stop.is_set():
                    say("leaving")
        finally:
            for task in telling:
                await asyncio.wait((task,), timeout=TELL_S)
                task.cancel()

    def _signalled(self, number: int) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            say("interrupted: the others will find out that this member failed")
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        self._stop.set()
