# SPDX-License-Identifier: Apache-2.0
"""``holdfast propagation run``: one real node, or a whole network of them on this machine.

::

    run --listen 0.0.0.0:7070 --peer …     a node, until SIGTERM or Ctrl-C
    run --nodes 50 --policy trickle        fifty processes on loopback; the numbers of `simulate`, of real sockets
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .._base.events import Events
from .._base.typed import from_json
from ..errors import ConfigurationError, MissingExtra
from .gossip_identity import unlock_of, unlock_option
from .output import json_option, one_line, print_fields, print_json, progress, say
from .output import show as show_line
from .params import ADDRESS, DURATION, LOOPBACK
from .propagation_presets import cell

if TYPE_CHECKING:
    from ..gossip.trust.identity import Identity
    from ..propagation.node import Node
    from ..propagation.rehearsal import Scenario
    from .plan import Address

#: What ``relay.named`` knows and ``peers`` can do, without opening the room for --help.
POLICIES: Final = ("flood", "announce", "sqrt", "trickle", "mesh", "mesh-idontwant", "reconcile", "dandelion")
STRATEGIES: Final = ("uniform", "latency", "diversity", "score")
#: How often the simulator runs a scenario beside which one real run is put: its own chance then plays no part.
TURNS: Final = 10


@click.command("run")
@click.option("--listen", type=ADDRESS, metavar="HOST:PORT", help="one node: where it takes calls; port 0: a free one")
@click.option("--peer", "peers", type=ADDRESS, multiple=True, metavar="HOST:PORT",
              help="a node that is always called; several times if need be. Others are found by asking")
@click.option("--identity", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="who this is, made where it is missing, see `holdfast gossip identity`; without it, somebody new at "
                   "each start")
@unlock_option
@click.option("--network", default="main", show_default=True, help="nodes of another one are not spoken to")
@click.option("--ledger", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="what each sender has at the beginning: JSON, a public key in hexadecimal and a number each")
@click.option("--maker", "makers", multiple=True, metavar="HEX",
              help="public key of somebody who may make blocks; the same ones for all nodes of a network")
@click.option("--make-blocks-every", "make_every_s", type=DURATION, default="0s", metavar="DURATION",
              help="make one so often, on average; this node is one of the makers")
@click.option("--label", default="", help="which part of the world it is in, so that others choose by it")
@click.option("--outbound", type=click.IntRange(0, 500), default=8, show_default=True,
              help="links that it opens by itself, besides --peer")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="diversity", show_default=True,
              help="whom it opens them to")
@click.option("--book", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="keeps the addresses that it knows")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="what it sees, a line each, appended")
@click.option("--metrics", type=ADDRESS, metavar="HOST:PORT",
              help="serves /metrics and /healthz; on loopback takes transactions, too")
@click.option("--policy", type=click.Choice(POLICIES), default="trickle", show_default=True,
              help="whom it tells what it heard, and when")
@click.option("--pace", type=click.FloatRange(0, 1000, min_open=True), default=1.0, show_default=True,
              help="the policy's timers are so many times as long")
@click.option("--nodes", type=click.IntRange(2, 500), metavar="N",
              help="instead of one node: so many on loopback, each in a process of its own")
@click.option("--degree", type=click.IntRange(2, 100), default=8, show_default=True, help="--nodes: links of each")
@click.option("--txs", type=click.IntRange(1, 10_000), default=10, show_default=True,
              help="--nodes: transactions that are made")
@click.option("--every", "every_s", type=DURATION, default="500ms", show_default=True, help="--nodes: how far apart")
@click.option("--latency", "latency_s", type=DURATION, default="150ms", show_default=True,
              help="--nodes: of a link, one way, on average; drawn as the simulator draws it, with a third of it as "
                   "standard deviation")
@click.option("--duration", "until_s", type=DURATION, default="60s", show_default=True,
              help="--nodes: how long the last transaction may take")
@click.option("--droppers", type=click.FloatRange(0, 0.9), default=0.0, show_default=True,
              help="--nodes: the part of them that pass nothing on")
@click.option("--journals", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
              help="--nodes: keeps each node's journal there")
@click.option("--beside", is_flag=True, help="--nodes: run the same in the simulator, and say how far apart they are")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True,
              help="--nodes: graph, latencies and where transactions are made")
@json_option
def run(*, nodes: int | None, listen: Address | None, journals: Path | None, beside: bool, as_json: bool,
        **wanted: Any) -> int:
    """Be a node of a network, or play a whole network on this machine.

    With --listen, until SIGTERM or Ctrl-C. With --nodes it prints the numbers of `propagation simulate`, read from the
    journals of real processes; exit code 1: some nodes never had a transaction.
    """
    if (nodes is None) == (listen is None):
        raise click.UsageError("give --listen for one node, or --nodes for a network on this machine")
    if nodes is None:
        if journals is not None or beside:
            raise click.UsageError("--journals and --beside go with --nodes; one node has --journal")
        asked = {name: wanted[name] for name in _Wanted.__annotations__ if name != "listen"}
        return asyncio.run(_one(_Wanted(listen or ("127.0.0.1", 0), **asked)))
    for name in ("peers", "identity", "seal", "book", "journal", "metrics", "ledger", "makers", "make_every_s"):
        if wanted[name]:
            option = {"make_every_s": "make-blocks-every", "metrics": name}.get(name, name.rstrip("s"))
            raise click.UsageError(f"--{option} goes with --listen, not with --nodes")
    return _network(_scenario(nodes, wanted), journals, beside=beside, as_json=as_json)


@click.command("pay")
@click.option("--identity", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE",
              help="who pays, made where it is missing, see `holdfast gossip identity`")
@unlock_option
@click.option("--show", is_flag=True, help="only print the public key, which ledgers and --maker name")
@click.option("--to", metavar="HEX", help="whom: a public key")
@click.option("--amount", type=click.IntRange(0), default=0, show_default=True, help="how much")
@click.option("--fee", type=click.IntRange(0), default=1000, show_default=True,
              help="for whoever puts it into a block; a transaction has some 150 bytes, and each is worth 1 or more")
@click.option("--nonce", type=click.IntRange(0), default=0, show_default=True,
              help="how many transactions this payer has made before")
@click.option("--network", default="main", show_default=True, help="in which it is to count")
@click.option("--node", type=ADDRESS, metavar="HOST:PORT", help="where a node of this machine serves its --metrics")
@json_option
def pay(*, identity: Path, seal: Path | None, show: bool, to: str | None, node: Address | None, network: str,
        as_json: bool, **numbers: int) -> int:
    """Sign a transaction and hand it to a node of this machine. Exit code 1: the node refused it, and says why."""
    from ..gossip.signing.algorithms import Algorithm, PrivateKey
    from ..gossip.trust.identity import KEY
    from ..propagation.node import money
    from .gossip_ask import ask

    payer = _identity(identity, seal)
    if show:
        if as_json:
            print_json({"key": payer.signing.hex()})
        else:
            show_line(payer.signing.hex())
        return 0
    if to is None or node is None:
        raise click.UsageError("give --to and --node, or --show")
    tx = money.pay(PrivateKey(Algorithm.ED25519, payer.reveal()[:KEY]), network, to=_key(to), **numbers)
    found = ask(node, "/v1/transactions", {"tx": money.encode(tx).hex()})
    if as_json:
        print_json(found)
    else:
        show_line(found["id"] if found["taken"] else f"refused: {found['why']}")
    return int(not found["taken"])


# -- one node ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    """What was asked of one node."""

    listen: Address
    peers: Sequence[Address]
    identity: Path | None
    seal: Path | None
    network: str
    ledger: Path | None
    label: str
    outbound: int
    strategy: str
    book: Path | None
    journal: Path | None
    makers: Sequence[str]
    make_every_s: float
    metrics: Address | None
    policy: str
    pace: float


async def _one(wanted: _Wanted) -> int:
    from ..propagation.mempool import Account
    from ..propagation.node import Journal, Links, Node, Settings
    from ..propagation.relay.named import named
    from .listening import logged, measured_if_installed

    identity, balances = _identity(wanted.identity, wanted.seal), _ledger(wanted.ledger)
    try:
        journal = Journal(wanted.journal, identity.id)
    except OSError as error:
        raise ConfigurationError(f"--journal {wanted.journal}: {error.strerror or error}") from error
    events = Events()
    logged(events)
    measured = measured_if_installed(events)
    host, port = wanted.listen
    settings = Settings(network=wanted.network, listen=(host or "0.0.0.0", port), calls=tuple(wanted.peers),  # noqa: S104 - it was asked for
                        label=wanted.label, links=Links(outbound=wanted.outbound, strategy=wanted.strategy),
                        book=wanted.book, makers=tuple(map(_key, wanted.makers)), make_every_s=wanted.make_every_s)
    node = Node(settings, identity, named(wanted.policy, wanted.pace),
                {sender: Account(balance, 0) for sender, balance in balances.items()}, journal=journal, events=events)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        await node.start()
        stack.push_async_callback(node.stop)
        where = ""
        if wanted.metrics is not None:
            where = f", metrics at {await _served(node, wanted.metrics, measured, stack)}"
        host, port = node.listens or settings.listen or ("", 0)
        say(one_line(f"node {identity.id} at {host}:{port}{where}"))
        await stopped.wait()
    return 0


async def _served(node: Node, address: Address, measured: Any, stack: contextlib.AsyncExitStack) -> str:
    """/metrics, /healthz, and on loopback /v1/node and /v1/transactions."""
    import msgspec

    from ..errors import BadPacket
    from ..propagation.node import money
    from .gossip_http import JsonServer, Route, fault
    from .health import Page

    def metrics(_: Any) -> Page:
        if measured is None:
            return fault(404, "metrics want `pip install 'holdfast[metrics]'`")
        return Page(200, *measured())

    def healthz(_: Any) -> Page:
        linked = bool(node.links) or not node.settings.calls
        return Page(200 if linked else 503, "text/plain; charset=utf-8", "ok\n" if linked else "no neighbours\n")

    def submit(given: dict[str, str]) -> Any:
        try:
            verdict = node.submit(money.decode(bytes.fromhex(given.get("tx", ""))))
        except (BadPacket, ValueError) as error:
            raise ConfigurationError(f"this is no transaction: {error}") from None
        return {"id": verdict.id.hex(), "taken": verdict.taken, "why": verdict.why}

    routes = {("GET", "/metrics"): Route(metrics, open=True), ("GET", "/healthz"): Route(healthz, open=True)}
    if address[0] in LOOPBACK:  # guard: transactions are taken from this machine only
        routes["GET", "/v1/node"] = Route(lambda _: msgspec.to_builtins(asdict(node.inspect())))
        routes["POST", "/v1/transactions"] = Route(submit, dict[str, str])
    server = JsonServer(routes)
    stack.push_async_callback(server.close)
    return await server.start("--metrics", address)


def _identity(path: Path | None, seal: Path | None) -> Identity:
    try:
        from ..gossip.trust import Identity
        from ..gossip.trust.kept import open_identity
    except ImportError as error:
        raise MissingExtra("gossip", "identities of nodes") from error
    if path is None:
        return Identity.generate(os.urandom)
    try:
        return open_identity(path, unlock_of(seal), os.urandom)[0]
    except OSError as error:
        raise ConfigurationError(f"--identity {path}: {error.strerror or error}") from error


def _key(text: str) -> bytes:
    """A public key, in hexadecimal. Raises ConfigurationError."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigurationError(f"{text!r} is no public key: one has 64 hexadecimal digits, see `propagation pay "
                                 "--show`")
    return key


def _ledger(path: Path | None) -> dict[bytes, int]:
    """Balances by public key. Raises ConfigurationError."""
    import msgspec

    if path is None:
        return {}
    try:
        found = from_json(path.read_bytes(), dict[str, int])
        balances = {bytes.fromhex(sender): balance for sender, balance in found.items()}
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ConfigurationError(f'--ledger {path}: {error}; it is JSON as {{"public key": 1000}}') from None
    if any(len(sender) != 32 or balance < 0 for sender, balance in balances.items()):
        raise ConfigurationError(f"--ledger {path}: a sender is a public key, of 64 hexadecimal digits, and has 0 or "
                                 "more")
    return balances


# -- many -------------------------------------------------------------------------------------------------------------


def _scenario(nodes: int, wanted: dict[str, Any]) -> Scenario:
    from ..propagation.rehearsal import Scenario
    from ..propagation.sim.network import Latency

    latency_s = wanted["latency_s"]
    return Scenario(nodes, wanted["degree"], wanted["policy"], wanted["pace"], Latency(latency_s, latency_s / 3),
                    wanted["txs"], wanted["every_s"], wanted["droppers"], wanted["seed"], wanted["until_s"],
                    5 * wanted["pace"] if wanted["policy"].startswith("mesh") else 0.0)


def _network(scenario: Scenario, journals: Path | None, *, beside: bool, as_json: bool) -> int:
    from ..propagation.analyse import summarise
    from ..propagation.rehearsal import compared, rehearsed, simulated

    with contextlib.ExitStack() as stack:
        folder = journals
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-run-")))
        elif folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(f"--journals {folder} is not empty: name a new folder, or two runs would be "
                                     "in it")
        folder.mkdir(parents=True, exist_ok=True)
        done = stack.enter_context(progress(scenario.policy, scenario.nodes * scenario.txs))
        spreads = asyncio.run(rehearsed(scenario, folder, done))
    summary = summarise(spreads, scenario.seed)
    found: dict[str, Any] = asdict(summary)
    if beside:
        found |= {"beside": asdict(compared(scenario.seed, spreads, simulated(scenario, TURNS)))}
    if as_json:
        print_json(found)
    else:
        print_fields([(name.replace("_", " "), cell(value)) for name, value in _flat(found)])
    return int(summary.reached < summary.nodes)


def _flat(found: dict[str, Any]) -> list[tuple[str, Any]]:
    beside = found.pop("beside", None)
    rows = list(found.items())
    if beside is not None:
        rows += [("distance from the simulator", beside["ks"]), ("half, against it", beside["t50"]),
                 ("90 %, against it", beside["t90"])]
    return rows


COMMANDS: dict[str, click.Command] = {"run": run, "pay": pay}
