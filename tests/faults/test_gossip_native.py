# SPDX-License-Identifier: Apache-2.0
"""A native cluster of eleven processes: its key changes under a thousand messages while one member is stopped, and who
is expelled reads nothing after it."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast._base.clock import WallMs
from holdfast.errors import BadPacket
from holdfast.gossip.keys import KeyFile
from holdfast.gossip.trust import Anchor, Credential, Identity, Opener, Trust, issue, kept
from holdfast.testing import wait_until

LABEL = "works"
MESSAGES = 1000
#: Who talks, besides the one who leads, the one who is stopped and the one who is expelled.
TALKERS = 8


class Member:
    """One process. ask: a line to it, and what it answers."""

    def __init__(self, folder: Path, name: str, issuer: Identity, *roles: str) -> None:
        self.folder, self.name = folder, name
        self.identity = Identity.generate(os.urandom)
        now_ms = time.time_ns() // 1_000_000
        self.credential = Credential(issue(
            issuer, LABEL.encode(), name, self.identity.signing, self.identity.sealing, serial=os.urandom(16),
            not_before_ms=WallMs(now_ms - 1000), not_after_ms=WallMs(now_ms + 86_400_000), roles=roles), None)
        kept.write_identity(folder / f"{name}.id", self.identity, self.credential, KeyFile(folder / "seal"), os.urandom)
        self.issuer = issuer
        self.address = ""

    def start(self, join: list[str]) -> None:
        wanted = {"name": self.name, "identity": str(self.folder / f"{self.name}.id"), "label": LABEL, "join": join,
                  "seal": str(self.folder / "seal"), "issuer": self.issuer.signing.hex()}
        worker = Path(__file__).parent / "workers" / "gossip_native.py"
        self.error = (self.folder / f"{self.name}.err").open("wb")
        self.process = subprocess.Popen([sys.executable, str(worker), json.dumps(wanted)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.error)

    def read(self) -> Any:
        line = self.process.stdout.readline()
        assert line, (self.folder / f"{self.name}.err").read_text()
        return json.loads(line)

    def say(self, *words: object) -> None:
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def ask(self, *words: object) -> Any:
        self.say(*words)
        return self.read()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.error):
            pipe.close()


@pytest.fixture
def works(tmp_path: Path) -> Iterator[dict[str, Member]]:
    """Eleven members that all know each other: the first leads, the last is not to be trusted."""
    (tmp_path / "seal").write_bytes(os.urandom(32))
    (tmp_path / "seal").chmod(0o600)
    issuer = Identity.generate(os.urandom)
    names = ["lead", *(f"m{number}" for number in range(TALKERS)), "sleeper", "bad"]
    members = {name: Member(tmp_path, name, issuer, *(["rotate", "revoke"] if name == "lead" else []))
               for name in names}
    begun = []
    try:
        for name, member in members.items():
            member.start([members["lead"].address] if name != "lead" else [])
            begun.append(member)
            if name == "lead":
                member.address = member.read()["address"]
        for member in members.values():
            member.address = member.address or member.read()["address"]
        wait_until(lambda: all(set(one.ask("heard")["members"].values()) == {"alive"}
                               and len(one.ask("heard")["members"]) == len(names) for one in members.values()), 20,
                   "all members know each other")
        yield members
    finally:
        for member in begun:
            member.end()


def test_a_key_changes_under_a_thousand_messages_and_who_is_expelled_reads_nothing(works):
    talkers = [works[f"m{number}"] for number in range(TALKERS)]
    live = [works["lead"], *talkers, works["bad"]]
    each = MESSAGES // TALKERS
    for talker in talkers:
        talker.ask("tell", talker.name, each, 20)
    works["sleeper"].process.send_signal(signal.SIGSTOP)
    assert sum(talker.ask("heard")["telling"] for talker in talkers) == TALKERS  # messages are under way
    changed = works["lead"].ask("rotate")
    assert changed.get("epoch") == 2, changed
    still = sum(talker.ask("heard")["telling"] for talker in talkers)
    wanted = {f"{talker.name}-{number}" for talker in talkers for number in range(each)}

    # each message is received by every live member
    wait_until(lambda: all(wanted <= set(member.ask("heard")["heard"]) for member in live), 30,
               "every live member heard all")
    assert all(member.ask("heard")["epoch"] == 2 for member in live)

    # who slept catches up
    works["sleeper"].process.send_signal(signal.SIGCONT)
    wait_until(lambda: works["sleeper"].ask("heard")["epoch"] == 2, 15, "the sleeper has the new key")
    works["m0"].ask("tell", "morning", 1, 100)
    wait_until(lambda: "morning-0" in works["sleeper"].ask("heard")["heard"], 15, "the sleeper hears what is told")

    # who is expelled reads nothing
    stolen = base64.b64decode(works["bad"].ask("state"))
    expelled = works["lead"].ask("revoke", "bad")
    assert expelled.get("epoch") == 3, expelled
    rest = [works["lead"], *talkers, works["sleeper"]]
    wait_until(lambda: all(found["epoch"] == 3 and found["revocations"] == 1
                           for found in (member.ask("heard") for member in rest)), 15, "all others have the next key")
    caught = [bytes.fromhex(data) for data in works["m1"].ask("catch", 1.0)]
    wait_until(lambda: all("not for everybody" in member.ask("heard")["heard"] for member in rest), 15,
               "all others read it")
    assert "not for everybody" not in works["bad"].ask("heard")["heard"]
    assert works["bad"].ask("heard")["epoch"] == 2
    assert len(caught) > 5
    for held in (stolen, base64.b64decode(works["bad"].ask("state"))):
        assert opened(works["bad"], held, caught) == []
    assert len(opened(works["m1"], base64.b64decode(works["m1"].ask("state")), caught)) == len(caught)
    print(json.dumps({"rotated_s": changed["took_s"], "expelled_s": expelled["took_s"], "still_telling": still}))


def opened(who: Member, state: bytes, packets: list[bytes]) -> list[bytes]:
    """What the holder of these keys can read."""
    trust = Trust(Anchor(LABEL, [who.issuer.signing]), who.identity, who.credential, os.urandom)
    trust.restore(state, WallMs(time.time_ns() // 1_000_000))
    read, opener = [], Opener(LABEL.encode())
    assert len(trust.epochs) >= 1
    for data in packets:
        try:
            read.append(opener.open(trust.epochs, data[2 + len(LABEL):]).data)
        except BadPacket:
            continue
    return read
