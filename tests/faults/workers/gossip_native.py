# SPDX-License-Identifier: Apache-2.0
"""A member of a native cluster in a process of its own, told what to do a line at a time.

``tell PREFIX COUNT PER_S`` tells events while it goes on listening; ``heard`` prints what it knows; ``rotate`` and
``revoke NAME`` change the key; ``catch SECONDS`` prints, as hex, the datagrams that it sends meanwhile, and that an
event it tells then is among them; ``state`` prints all keys it holds, as a thief would have them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

from holdfast.errors import GossipError
from holdfast.gossip import LOCAL, Cluster
from holdfast.gossip.keys import KeyFile
from holdfast.gossip.native import Native
from holdfast.gossip.trust import Policy, kept

#: Deaths are found in seconds, and loopback bears larger packets than Ethernet.
QUICK = replace(LOCAL, push_pull_interval_s=3.0, gossip_interval_s=0.05, suspicion_mult=2, packet_bytes=4000,
                stream_timeout_s=5.0)
QUICKLY = Policy(age_s=None, sealed_max=None, grace_s=1.0, hold_s=20.0, urgent_hold_s=10.0, retry_s=0.5, stall_s=2.0,
                 patience_s=60.0, backoff_s=1.0, takeover_s=20.0, stagger_s=2.0, sync_s=2.0, ask_s=0.3)


class Worker:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.heard = cluster, set()
        self.telling: set[asyncio.Task] = set()

    async def listen(self, feed) -> None:
        async for event in feed:
            self.heard.add(event.payload.decode())

    async def tell(self, prefix: str, count: int, per_s: float) -> None:
        began = time.monotonic()
        for number in range(count):
            await self.cluster.event("count", f"{prefix}-{number}".encode(), coalesce=False)
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))

    async def catch(self, seconds: float) -> list[str]:
        transport, caught = self.cluster._transport, []
        send = transport.send
        transport.send = lambda data, to: (caught.append(data.hex()), send(data, to))
        await self.cluster.event("secret", b"not for everybody")
        await asyncio.sleep(seconds)
        transport.send = send
        return caught

    async def do(self, line: list[str]) -> object:
        word = line[0]
        if word == "tell":
            task = asyncio.create_task(self.tell(line[1], int(line[2]), float(line[3])))
            self.telling.add(task)
            return "telling"
        if word in ("rotate", "revoke"):
            began = time.monotonic()
            try:
                epoch = await (self.cluster.rotate(within_s=40.0) if word == "rotate" else
                               self.cluster.revoke(line[1], reason="a test", within_s=40.0))
            except GossipError as error:
                return {"error": str(error)}
            return {"epoch": epoch, "took_s": round(time.monotonic() - began, 3)}
        if word == "catch":
            return await self.catch(float(line[1]))
        if word == "state":
            return base64.b64encode(self.cluster._resident.trust.state()).decode()
        status = self.cluster.key_status()
        return {"heard": sorted(self.heard), "epoch": self.cluster.epoch, "held": status.held,
                "revocations": status.revocations, "telling": sum(not task.done() for task in self.telling),
                "members": {one.name: one.status for one in self.cluster.members()},
                "counts": dict(self.cluster.inspect().counts)}


async def main(wanted: dict) -> None:
    identity, credential = kept.read_identity(Path(wanted["identity"]), KeyFile(Path(wanted["seal"])))
    native = Native(label=wanted["label"], identity=identity, certificate=credential, policy=QUICKLY,
                    issuers=[bytes.fromhex(wanted["issuer"])])
    cluster = Cluster(wanted["name"], native=native, join=wanted["join"], profile=QUICK, leave_on_exit=False,
                      room=4096, join_within_s=30.0)
    feed = cluster.events()
    async with cluster:
        worker = Worker(cluster)
        listening = asyncio.create_task(worker.listen(feed))
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print(json.dumps({"address": cluster.address}), flush=True)
        while line := (await reader.readline()).decode().split():
            print(json.dumps(await worker.do(line)), flush=True)
        listening.cancel()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(main(json.loads(sys.argv[1])))
