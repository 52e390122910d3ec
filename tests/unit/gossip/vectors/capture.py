# SPDX-License-Identifier: Apache-2.0
"""Writes the golden vectors beside it anew: what real members send to one of ours on loopback.

    PYTHONPATH=src python tests/unit/gossip/vectors/capture.py [plain | encrypted | bare]...

Wanted: Debian's ``serf`` (0.9.4, memberlist 0.2.2) and, for ``bare``, ``prometheus-alertmanager`` (0.25). A member that
knows just enough, ``Witness``, is joined by the agents, answers pings, exchanges and queries about keys, asks what
nobody asks by himself, and keeps the raw bytes of whatever arrives. A vector is one line, ``udp HEX`` or ``tcp HEX``;
of each sort of packet the first few are kept. Each file opens with the commands that made it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import shlex
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Self

from holdfast.errors import BadPacket
from holdfast.gossip.keys import Key, Keyring
from holdfast.gossip.messages import (
    BARE_VERSIONS,
    SERF_VERSIONS,
    Ack,
    Alive,
    IndirectPing,
    Message,
    NodeState,
    Ping,
    PushPull,
    Suspect,
    User,
)
from holdfast.gossip.serf.key_queries import KeyDesk, step_of
from holdfast.gossip.serf.messages import Exchange, Join, KeyRequest, Query, QueryResponse
from holdfast.gossip.wire import Framing, StreamReader, encode, serf, write

HERE = Path(__file__).resolve().parent
LOOPBACK = bytes([127, 0, 0, 1])
OF_EACH_SORT = 4


def key(name: str) -> bytes:
    """The same key in every run: vectors are to be read again."""
    return hashlib.sha256(name.encode()).digest()


def nonce() -> bytes:
    return os.urandom(12)


def free_port() -> int:
    """Free for datagrams and streams both, as far as can be known."""
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", tcp.getsockname()[1]))
        return int(tcp.getsockname()[1])


class Witness(asyncio.DatagramProtocol):
    """A member that keeps what it hears."""

    def __init__(self, framing: Framing, *, serf_layer: bool) -> None:
        self.framing, self.serf_layer = framing, serf_layer
        self.port = free_port()
        self.lines: list[str] = []
        self.seen: Counter[str] = Counter()
        self.ltime = 1
        self.ring = framing.keys if isinstance(framing.keys, Keyring) else None
        self.acked: set[int] = set()
        self.done: set[tuple[int, int]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.udp, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", self.port))
        self.tcp = await asyncio.start_server(self.stream, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.udp.close()
        self.tcp.close()

    # -- what is heard ----------------------------------------------------------------------------------------------

    def keep(self, way: str, data: bytes, messages: list[Message]) -> None:
        sort = way + ",".join(sorted({self.sort(message) for message in messages}))
        self.seen[sort] += 1
        if self.seen[sort] <= OF_EACH_SORT:
            self.lines.append(f"{way} {data.hex()}")

    def sort(self, message: Message) -> str:
        name = type(message).__name__
        if isinstance(message, User) and self.serf_layer:
            with contextlib.suppress(BadPacket):
                inner = serf.decode(message.payload)
                more = getattr(inner, "name", "") or (getattr(inner, "payload", b"") or b"")[:1].hex()
                return f"{name}/{type(inner).__name__}/{more}"
        return name

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            messages = self.framing.messages(data).messages
        except BadPacket as error:
            print("not read:", error, data.hex())
            self.lines.append(f"udp {data.hex()}")
            return
        self.keep("udp", data, messages)
        for message in messages:
            self.answer(message, addr)

    def answer(self, message: Message, addr: tuple[str, int]) -> None:
        if isinstance(message, Ack):
            self.acked.add(message.seq_no)
        if isinstance(message, Ping):
            self.send(Ack(message.seq_no, None), addr[1])
        if isinstance(message, User) and self.serf_layer:
            inner = serf.decode(message.payload)
            step = step_of(inner.name) if isinstance(inner, Query) else None
            if step is not None and inner.source_node != "witness" and (inner.ltime, inner.id) not in self.done:
                self.done.add((inner.ltime, inner.id))
                said = serf.encode(KeyDesk(self.ring).answer(step, inner.payload or b""))
                self.send(User(serf.encode(QueryResponse(inner.ltime, inner.id, "witness", 0, said))), inner.port)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await self.read("tcp", reader)
        if isinstance(message, PushPull):
            writer.write(write(self.state(join=False), self.framing, nonce))
            await writer.drain()
        writer.close()

    async def read(self, way: str, reader: asyncio.StreamReader) -> Message | None:
        steps, data, message = StreamReader(self.framing), b"", None
        while message is None and (more := await reader.read(65536)):
            data += more
            try:
                message = steps.feed(more)
            except BadPacket as error:
                print("not read:", error, data.hex())
                break
        if data:
            self.keep(way, data, [message] if message else [])
        return message

    # -- what is said -----------------------------------------------------------------------------------------------

    def state(self, *, join: bool) -> PushPull:
        versions = SERF_VERSIONS if self.serf_layer else BARE_VERSIONS
        meta = serf.tags_to_meta({"role": "witness"}) if self.serf_layer else b""
        me = NodeState("witness", LOOPBACK, self.port, meta, 1, 0, versions)
        said = serf.encode(Exchange(1, {"witness": 1}, (), 1, (), 1)) if self.serf_layer else b""
        return PushPull((me,), said, join)

    def send(self, message: Message, port: int, **framed: bool) -> None:
        self.udp.sendto(self.framing.packet(encode(message), nonce, **framed), ("127.0.0.1", port))

    async def ask_stream(self, message: Message | bytes, port: int) -> Message | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(message if isinstance(message, bytes) else write(message, self.framing, nonce))
        await writer.drain()
        answer = await self.read("tcp", reader)
        writer.close()
        return answer

    def ask(self, name: str, payload: bytes, port: int, **query: object) -> None:
        self.ltime += 1
        asked = Query(100 + self.ltime, self.ltime, LOOPBACK, self.port, "witness", name, payload,
                      timeout_ns=5_000_000_000, **query)
        self.send(User(serf.encode(asked)), port)


class Agents:
    """Agents and what was said to them."""

    def __init__(self, folder: str) -> None:
        self.folder, self.log, self.codes = folder, [], []
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self.ports: dict[str, int] = {}
        self.rpc: dict[str, int] = {}

    def note(self, command: list[str]) -> None:
        shown = shlex.join(command)
        for port, name in {**{v: f"BIND_{k}" for k, v in self.ports.items()},
                           **{v: f"RPC_{k}" for k, v in self.rpc.items()}}.items():
            shown = shown.replace(f":{port}", f":{name}")
        self.log.append(shown.replace(self.folder, "TMP"))

    async def start(self, name: str, command: list[str], port: int) -> None:
        self.ports[name] = port
        self.note(command)
        quiet = asyncio.subprocess.DEVNULL
        self.running[name] = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)

    async def serf(self, name: str, *more: str, join: int) -> None:
        port, self.rpc[name] = free_port(), free_port()
        self.ports.setdefault("witness", join)
        command = ["serf", "agent", f"-node={name}", f"-bind=127.0.0.1:{port}", f"-rpc-addr=127.0.0.1:{self.rpc[name]}",
                   *(word for other in self.ports.values() for word in ("-retry-join", f"127.0.0.1:{other}")), *more]
        await self.start(name, command, port)

    async def say(self, name: str, *words: str) -> str:
        command = ["serf", words[0], f"-rpc-addr=127.0.0.1:{self.rpc[name]}", *words[1:]]
        self.note(command)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE,
                                                       stderr=asyncio.subprocess.STDOUT)
        said = (await asyncio.wait_for(process.communicate(), 60))[0].decode()
        self.codes.append(process.returncode)
        print(f"$ {shlex.join(words)} ({process.returncode})\n{said}")
        return said

    async def members(self, name: str, wanted: int) -> None:
        async with asyncio.timeout(30):
            while (await self.say(name, "members")).count("alive") < wanted:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.5)
        self.log = list(dict.fromkeys(self.log))

    async def stop(self) -> None:
        for process in self.running.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


async def ask_around(witness: Witness, port: int, other: int) -> None:
    """What agents say only when they are asked."""
    witness.send(Ping(7001, "a", LOOPBACK, witness.port, "witness"), port)
    witness.send(Ping(70_002, "a"), port, checksum=True)
    witness.send(IndirectPing(7003, LOOPBACK, other, "b", True, LOOPBACK, witness.port, "witness"), port)
    witness.send(IndirectPing(7004, LOOPBACK, free_port(), "nobody", True, LOOPBACK, witness.port, "witness"), port)
    witness.send(Suspect(1, "a", "witness"), port)
    await witness.ask_stream(Ping(70_005, "a"), port)
    await witness.ask_stream(witness.state(join=True), port)
    if witness.serf_layer:
        witness.send(User(serf.encode(Join(3, "witness"))), port)
        for name, payload in (("_serf_ping", b""), ("_serf_conflict", b"b"), ("_serf_list-keys", b""),
                              ("_serf_install-key", serf.encode(KeyRequest(key("other")))),
                              ("_serf_use-key", serf.encode(KeyRequest(key("unknown"))))):
            witness.ask(name, payload, port, flags=1)
            await asyncio.sleep(0.3)
        witness.ask("relayed", b"", port, flags=1, relay_factor=2)
    await asyncio.sleep(2)


async def plain(agents: Agents) -> Witness:
    """Two agents and a third that dies, nothing encrypted, nothing compressed."""
    async with Witness(Framing(), serf_layer=True) as witness:
        more = ("-disable-compression", "-profile=local")
        await agents.serf("a", "-tag", "role=web", "-tag", "zone=é", *more, join=witness.port)
        await agents.serf("b", "-tag", "role=db", *more, join=witness.port)
        await agents.serf("c", *more, join=witness.port)
        await agents.members("a", 4)
        await agents.say("a", "event", "deploy", "v1.2.3")
        await agents.say("a", "event", "-coalesce=false", "bare")
        await agents.say("a", "event", "large", "x" * 400)
        await agents.say("a", "tags", "-set", "build=42", "-delete", "zone")
        await agents.say("a", "query", "-timeout=1s", "-relay-factor=2", "-node=b", "-node=witness", "-tag",
                         "role=w.*", "load", "now")
        await agents.say("a", "query", "-timeout=1s", "-no-ack", "uptime")
        await ask_around(witness, agents.ports["a"], agents.ports["b"])
        agents.running["c"].kill()
        await asyncio.sleep(8)
        await agents.say("a", "force-leave", "-prune", "c")
        await agents.say("b", "leave")
        await asyncio.sleep(3)
        await witness.ask_stream(witness.state(join=True), agents.ports["a"])
        await witness.ask_stream(b"\x0a\x00\x00\x00\x01\x01", agents.ports["a"])
        await agents.say("a", "leave")
        return witness


async def encrypted(agents: Agents) -> Witness:
    """Two agents, encrypted and compressed, through a change of keys."""
    ring = Keyring([Key(key("first"))])
    async with Witness(Framing(keys=ring), serf_layer=True) as witness:
        first, second = (base64.b64encode(key(name)).decode() for name in ("first", "second"))
        for name in ("a", "b"):
            await agents.serf(name, "-profile=local", f"-encrypt={first}", "-tag", f"role={name}", join=witness.port)
        await agents.members("a", 3)
        await agents.say("a", "event", "deploy", "again and " * 45)
        for step in ("-install", "-use", "-remove"):
            await agents.say("a", "keys", step, first if step == "-remove" else second)
        await agents.say("a", "keys", "-list")
        await ask_around(witness, agents.ports["a"], agents.ports["b"])
        unencrypted = Witness(Framing(), serf_layer=True)
        await witness.ask_stream(write(unencrypted.state(join=True), unencrypted.framing, nonce), agents.ports["a"])
        witness.framing = Framing(keys=ring, version=0)
        witness.send(Ping(7100, "a", LOOPBACK, witness.port, "witness"), agents.ports["a"])
        witness.framing = Framing(keys=ring, compress=True)
        witness.send(Ping(7101, "a", LOOPBACK, witness.port, "witness" * 20), agents.ports["a"], checksum=True)
        await witness.ask_stream(witness.state(join=True), agents.ports["a"])
        await asyncio.sleep(1)
        print("answered:", sorted(witness.acked))
        await agents.say("b", "leave")
        await agents.say("a", "leave")
        return witness


async def bare(agents: Agents) -> Witness:
    """Alertmanager: memberlist with somebody else above it."""
    async with Witness(Framing(), serf_layer=False) as witness:
        agents.ports["witness"] = witness.port
        for name in ("a", "b"):
            port, web = free_port(), free_port()
            agents.ports[name], agents.ports[f"web_{name}"] = port, web
            await agents.start(name, [
                "prometheus-alertmanager", f"--cluster.listen-address=127.0.0.1:{port}",
                f"--cluster.peer=127.0.0.1:{witness.port}", f"--web.listen-address=127.0.0.1:{web}",
                f"--storage.path={agents.folder}/{name}", f"--config.file={agents.folder}/am.yml",
                "--cluster.pushpull-interval=2s"], port)
        await asyncio.sleep(8)
        known = await witness.ask_stream(witness.state(join=True), agents.ports["a"])
        witness.send(Ping(1, next((s.node for s in known.states if s.port == agents.ports["a"]), "")),
                     agents.ports["a"])
        witness.send(Alive(2, "witness", LOOPBACK, witness.port), agents.ports["a"])
        await asyncio.sleep(2)
        agents.running["b"].terminate()
        await asyncio.sleep(3)
        return witness


async def run(name: str, agents: Agents) -> Witness:
    """One run, after which nothing runs any more."""
    try:
        return await {"plain": plain, "encrypted": encrypted, "bare": bare}[name](agents)
    finally:
        await agents.stop()


def capture(name: str) -> None:
    """One file."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "am.yml").write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
        agents = Agents(folder)
        witness = asyncio.run(run(name, agents))
    head = [f"# SPDX-License-Identifier: Apache-2.0\n# Written by capture.py {name}; the agents were told:"]
    head += [f"#   {line}" for line in agents.log]
    (HERE / f"{name}.hex").write_text("\n".join([*head, *witness.lines]) + "\n")
    print(name, len(witness.lines), "vectors", dict(witness.seen))


if __name__ == "__main__":
    for chosen in sys.argv[1:] or ["plain", "encrypted", "bare"]:
        capture(chosen)
