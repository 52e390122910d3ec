# SPDX-License-Identifier: Apache-2.0
"""No decoder of the room is left out of the table by which all of them are fuzzed.

A decoder is a public function or method that takes ``bytes`` under one of the names that decoders give to what came
from elsewhere. What the table's entries really run is looked at while they run, so an entry cannot merely claim it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys

import holdfast.gossip
from tests.unit.gossip.fuzz.decoders import DECODERS

#: Names of what came from elsewhere.
NAMES = frozenset({"data", "body", "payload", "box", "packet", "raw", "user_state", "meta", "shown"})
#: Simulated attackers, and the shell, which hands on what it is given: its parts are here each by itself.
LEFT_OUT = ("holdfast.gossip.sim", "holdfast.gossip.agent.")
BUT = ("holdfast.gossip.agent.snapshot", "holdfast.gossip.agent.voice")
#: What looks like a decoder and is none, and why.
NO_DECODERS = {
    "core.core Core.__init__": "shows its own meta", "core.node Node.__init__": "shows its own meta",
    "agent.voice Reader.feed": "a protocol", "agent.voice Voice.heard": "a protocol",
    "defence.boxes seal": "writes", "defence.equivocation first_of": "given what was encoded here",
    "keys.key Key.seal": "seals", "wire.seal Key.seal": "a protocol",
    "wire.seal seal": "seals", "trust.packets Sealer.seal": "seals", "native.frames stream": "writes",
    "native.evidence Evidence.sign": "signs its own", "signing.signer Signer.vouch": "signs its own",
    "native.voice NativeVoice.open_stream": "writes", "native.letters Letters.say": "signs its own",
    "native.voice NativeVoice.say": "signs its own", "native.exchange encode": "writes",
    "native.letters Letters.proof_of": "looks up what was heard", "serf.effects Spread.__init__": "a record",
    "serf.effects Send.__init__": "a record", "serf.layer Layer.event": "says its own",
    "serf.layer Layer.query": "asks its own", "serf.layer Layer.respond": "answers its own",
    "signing.envelope carried": "writes",
    "signing.envelope signed_part_of": "given what decode has read", "signing.signer Signer.sign": "signs its own",
    "wire.label put": "writes", "wire.lzw deflate": "writes", "wire.packet Framing.packet": "writes",
    "wire.wrapping compressed": "writes", "wire.wrapping checksummed": "writes",
    "trust.records signing_input": "puts together what is signed",
}


def modules():
    for found in pkgutil.walk_packages(holdfast.gossip.__path__, "holdfast.gossip."):
        if not found.name.startswith(LEFT_OUT) or found.name in BUT:
            yield importlib.import_module(found.name)


def functions(module):
    """(where, function) of what a module shows."""
    for name, held in vars(module).items():
        if getattr(held, "__module__", "") != module.__name__:
            continue
        members = {name: held} if inspect.isfunction(held) else {
            f"{name}.{inner}": getattr(each, "__func__", each) for inner, each in vars(held).items()
        } if inspect.isclass(held) else {}
        for where, function in members.items():
            shown = all(not part.startswith("_") or part in ("__init__", "__call__") for part in where.split("."))
            if shown and inspect.isfunction(function) and function.__module__ == module.__name__:
                yield f"{module.__name__.removeprefix('holdfast.gossip.')} {where}", function


def decoders():
    """By where it is: its code, or None for a record's, which is made without any."""
    found = {}
    for module in modules():
        for where, function in functions(module):
            given = inspect.signature(function).parameters.values()
            if any(one.name in NAMES and one.annotation in ("bytes", bytes) for one in given):
                found[where] = function.__code__
    return found


def ran():
    """The code of everything that the table's entries run."""
    seen = set()

    def watch(frame, event, _):
        if event == "call":
            seen.add(frame.f_code)

    for decoder in DECODERS.values():
        originals = decoder.originals  # what made them is not watched
        sys.setprofile(watch)
        try:
            for data in originals:
                decoder.call(data)
        finally:
            sys.setprofile(None)
    return seen


def test_every_decoder_is_fuzzed():
    found, seen = decoders(), ran()
    assert len(found) > 60
    missing = sorted(where for where, code in found.items() if code not in seen and where not in NO_DECODERS)
    assert missing == [], "each wants an entry in decoders.py, or a reason in NO_DECODERS"


def test_what_is_said_to_be_no_decoder_is_there():
    assert sorted(NO_DECODERS.keys() - decoders().keys()) == []


def test_a_decoder_that_nobody_fuzzes_is_found(monkeypatch):
    from holdfast.gossip.wire import compound

    def unpack(data: bytes) -> bytes:
        return data

    unpack.__module__ = compound.__name__
    monkeypatch.setattr(compound, "unpack", unpack, raising=False)
    assert "wire.compound unpack" in decoders()
    assert unpack.__code__ not in ran()
