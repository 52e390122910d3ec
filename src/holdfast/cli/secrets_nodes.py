# SPDX-License-Identifier: Apache-2.0
"""``holdfast secrets nodes``: shares on nodes. Who holds them and who may ask is a circle: a file that all have.

The other commands ask the nodes with ``--nodes CIRCLE --caller NAME --identity FILE``.
"""

from __future__ import annotations

import base64
import binascii
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from .._base.typed import from_json
from ..errors import ConfigurationError
from .output import json_option, print_json, print_table, say, show
from .params import ADDRESS
from .plan import Address
from .secrets import wanted

if TYPE_CHECKING:
    from .._base.secret import Secret
    from ..secrets.nodes import Caller, Circle, Holder, SharesStore
    from ..secrets.vault.seals import Shares

_file = click.Path(dir_okay=False, path_type=Path)
_folder = click.Path(file_okay=False, path_type=Path)
_KEY: Final = 32
#: Of what nodes are asked, what a policy calls it.
_ACTIONS: Final = {"read": "read", "list": "list", "write": "write", "destroy": "destroy", "reshare": "policy",
                   "audit": "policy"}


def circle_in(path: Path) -> Circle:
    """Of a file. Raises ConfigurationError."""
    from ..secrets.nodes import Circle

    try:
        return from_json(path.read_bytes(), Circle).checked()
    except OSError as error:
        raise ConfigurationError(f"the circle {path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError):
        raise ConfigurationError(f"{path} is no circle: make one with `secrets nodes circle`") from None


def seed_in(path: Path) -> Secret[bytes]:
    """Of an identity. Raises ConfigurationError."""
    from .._base.secret import Secret
    from ..secrets.nodes.keys import SEED_BYTES

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the identity {path} cannot be read: {error.strerror}") from None
    if len(raw) != SEED_BYTES:
        raise ConfigurationError(f"{path} is no identity: make one with `secrets nodes identity`")
    return Secret(raw)


@contextmanager
def shares_on(circle: Path | None) -> Iterator[SharesStore]:
    """The nodes of a circle, asked as the options of the group say."""
    from .._base.clock import SystemClock
    from ..secrets.nodes import SharesStore

    said = wanted()
    if circle is None or said.caller is None or said.identity is None:
        raise click.UsageError("say --nodes CIRCLE --caller NAME --identity FILE, before the command")
    with closing(SharesStore(circle_in(circle), said.caller, seed_in(said.identity), SystemClock(), os.urandom,
                             told=lambda node, why: say(f"{node} {why}"))) as store:
        yield store


def asked() -> AbstractContextManager[SharesStore]:
    """The nodes of ``--nodes``."""
    return shares_on(wanted().nodes)


def root_on(circle: Path, *, new: bool) -> Shares:
    """What opens a vault whose root key is in shares on nodes. new: it is made, and kept there."""
    from .._base.secret import Secret
    from ..secrets.nodes import RootInShares
    from ..secrets.vault.seals import Shares

    if new:
        with shares_on(circle) as store:
            RootInShares(store).keep(Secret(os.urandom(_KEY)))

    def rebuilt() -> Secret[bytes]:
        with shares_on(circle) as store:
            return RootInShares(store).rebuild()

    return Shares(rebuilt)


@click.group("nodes")
def nodes() -> None:
    """Secrets whose keys are in shares on nodes: any k of n give them back, and fewer know nothing."""


# -- making a circle --------------------------------------------------------------------------------------------------

@nodes.command("identity")
@click.argument("file", type=_file)
def identity(*, file: Path) -> None:
    """Make the keys of a node, or of who asks, in FILE, and print what others know them by."""
    from .._base.secret import Secret
    from ..secrets.nodes import Identity

    raw = os.urandom(_KEY)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{file} is there already: an identity is not written over") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as made:
        made.write(raw)
    show(_public(Identity(Secret(raw))))


def _public(found: Any) -> str:
    return base64.b64encode(found.box_key + found.sign_key).decode()


def _keys(text: str, whose: str) -> tuple[bytes, bytes]:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 2 * _KEY:
        raise click.UsageError(f"{whose} is written with what `secrets nodes identity` printed for it at its end")
    return raw[:_KEY], raw[_KEY:]


def _holder(text: str, index: int) -> Holder:
    from ..secrets.nodes import Holder

    name, _, rest = text.partition("=")
    address, _, public = rest.partition("=")
    if not name or not public:
        raise click.UsageError("--node is written NAME=HOST:PORT=PUBLIC")
    host, port = ADDRESS.convert(address, None, click.get_current_context())
    box_key, sign_key = _keys(public, f"--node {name}=…")
    return Holder(index, name, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", box_key, sign_key)


def _caller(text: str) -> Caller:
    from ..secrets.nodes import ACTIONS, Caller

    name, _, rest = text.partition("=")
    who, _, may = name.partition(":")
    if not who or not rest:
        raise click.UsageError("--caller is written NAME=PUBLIC, or NAME:read,list=PUBLIC")
    return Caller(who, _keys(rest, f"--caller {who}=…")[1], tuple(may.split(",")) if may else ACTIONS)


@nodes.command("circle")
@click.argument("file", type=_file)
@click.option("--k", type=click.IntRange(1, 255), required=True, help="so many nodes give a secret back")
@click.option("--node", "holders", multiple=True, required=True, metavar="NAME=HOST:PORT=PUBLIC",
              help="who holds shares, several times")
@click.option("--caller", "callers", multiple=True, required=True, metavar="NAME[:read,…]=PUBLIC",
              help="who may ask: read, list, write, destroy, reshare, audit; without a list all of them")
@click.option("--after", type=_file, metavar="CIRCLE",
              help="the one in force: this one follows it, by `reshare`; --identity signs it")
def circle(*, file: Path, k: int, holders: Sequence[str], callers: Sequence[str], after: Path | None) -> None:
    """Write a circle into FILE: who holds shares, and who may ask for what. All nodes and all who ask have a copy."""
    from ..secrets.nodes import Circle, Identity, signed

    before = None if after is None else circle_in(after)
    known = {one.name: one.index for one in before.holders} if before else {}
    free = iter(sorted(set(range(1, 256)) - set(known.values())))
    named = [text.partition("=")[0] for text in holders]
    made = Circle(os.urandom(16) if before is None else before.id, 1 if before is None else before.epoch + 1, k,
                  tuple(_holder(text, known.get(name) or next(free))
                        for text, name in zip(holders, named, strict=True)),
                  tuple(map(_caller, callers))).checked()
    if before is not None:
        said = wanted()
        if said.caller is None or said.identity is None:
            raise click.UsageError("a circle that follows another one is signed: say --caller NAME --identity FILE of "
                                   "who may reshare, before the command")
        made = signed(made, said.caller, Identity(seed_in(said.identity)))
    try:
        with file.open("xb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    except FileExistsError:
        raise ConfigurationError(f"{file} is there already: a circle is not written over") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None


@nodes.command("serve")
@click.argument("folder", type=_folder)
@click.option("--name", required=True, help="of this node, in the circle")
@click.option("--bind", type=ADDRESS, required=True, metavar="HOST:PORT", help="where to listen")
@click.option("--circle", "circle_file", type=_file, metavar="CIRCLE", help="for a FOLDER that is not there yet")
@click.option("--identity", "identity_file", type=_file, metavar="FILE", help="for a FOLDER that is not there yet")
@click.option("--joining", is_flag=True, help="the circle is the next one, and shares come by `reshare`")
@click.option("--policy", type=_file, metavar="FILE",
              help="this node's own rule, besides the circle's: who asks has the role of its name")
def serve(*, folder: Path, name: str, bind: Address, circle_file: Path | None, identity_file: Path | None,
          joining: bool, policy: Path | None) -> int:
    """Hold shares in FOLDER and give them to whom this node decides to, until SIGTERM or Ctrl-C."""
    from .._base.clock import SystemClock
    from .._base.undumped import undumped
    from ..secrets.nodes import Disk, Node, Serving, Standing

    undumped()
    if not (folder / "identity").exists():
        if circle_file is None or identity_file is None:
            raise click.UsageError(f"{folder} is no node's folder yet: give --circle and --identity, for it to be made")
        found = circle_in(circle_file)
        if found.holder(name) is None:
            raise ConfigurationError(f"{circle_file} has no node {ascii(name)[:80]}: there is "
                                     + ", ".join(one.name for one in found.holders))
        Disk.make(folder, seed_in(identity_file), Standing(found, writes=not joining))
    decide = _rule(policy) if policy is not None else lambda *_: None
    host, port = bind
    serving = Serving(Node(folder, name, SystemClock(), os.urandom, decide), host, port)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        show(serving.address)
        sys.stdout.flush()
        ended.wait()
    finally:
        serving.close()
    return 0


def _rule(path: Path) -> Callable[[str, str, str], str | None]:
    from .._base.clock import SystemClock
    from ..secrets.access import Action, Asked, PolicyFile

    policy, clock = PolicyFile(path), SystemClock()

    def decide(caller: str, action: str, name: str) -> str | None:
        verdict = policy.judge(Asked(caller, frozenset({caller}), Action(_ACTIONS[action]), name or "all"),
                               clock.wall_ms())
        return None if verdict.allowed else f"this node's policy: {verdict.why}"

    return decide


# -- asking them ------------------------------------------------------------------------------------------------------

@nodes.command("status")
@json_option
def status(*, as_json: bool) -> int:
    """Ask every node whether it is there. Exit code 1: too few are, or no more of them may fail."""
    from ..secrets.nodes.words import Names

    with asked() as store:
        found, replies = store.asking.circle, store.asking.all(Names())
    rows = [{"node": holder.name, "address": holder.address, "answers": replies[holder.name].error != "down",
             "why": replies[holder.name].why} for holder in found.holders]
    there = sum(bool(row["answers"]) for row in rows)
    if as_json:
        print_json({"epoch": found.epoch, "k": found.k, "n": found.n, "answering": there, "nodes": rows})
    else:
        print_table(("node", "address", "answers", "why"), [
            (row["node"], row["address"], "yes" if row["answers"] else "no", row["why"]) for row in rows])
        say(f"{there} of {found.n} answer; {found.k} are needed")
    return 0 if there > found.k or there == found.n else 1


@nodes.command("verify")
def verify() -> int:
    """Compare the ledgers of all nodes. Exit code 1: one was changed, cut or forked; it is named."""
    from ..secrets.nodes import examine

    with asked() as store:
        found, (ledgers, silent) = store.asking.circle, _ledgers(store)
    for name, why in sorted(silent.items()):
        say(f"{name} does not show its ledger: {why}")
    faults = examine(ledgers, found.holders)
    for fault in faults:
        say(f"{fault.node}, entry {fault.number}: {fault.why}")
    show(f"{sum(map(len, ledgers.values())):,} entries of {len(ledgers)} nodes")
    return 1 if faults or silent else 0


def _ledgers(store: SharesStore) -> tuple[dict[str, list[bytes]], dict[str, str]]:
    """What each node shows, page by page; and why some do not."""
    from ..secrets.nodes.words import Lines, unpack

    ledgers: dict[str, list[bytes]] = {holder.name: [] for holder in store.asking.circle.holders}
    silent: dict[str, str] = {}
    wanted_of = dict.fromkeys(ledgers, 1)
    while wanted_of:
        replies = store.asking.all({name: Lines(since) for name, since in wanted_of.items()})
        for name, reply in replies.items():
            page = [] if reply.error else unpack(reply.body, list[bytes])
            if reply.error:
                silent[name] = reply.why
                ledgers.pop(name)
            if not page:
                del wanted_of[name]
                continue
            ledgers[name] += page
            wanted_of[name] += len(page)
    return ledgers, silent


@nodes.command("reshare")
@click.argument("to", type=_file, metavar="CIRCLE")
def reshare(*, to: Path) -> None:
    """Deal all shares anew to the nodes of CIRCLE, which follows the one in force; the old ones are useless then.

    Cut short anywhere, run it again: the old circle is in force, or the new one.
    """
    from ..secrets.nodes import Reshare

    new = circle_in(to)
    with asked() as store:
        names = Reshare(store.asking, new).run()
    say(f"{len(names)} secrets are held by the {new.n} nodes of {to}: hand it to all who ask")


@nodes.command("refresh")
@click.argument("names", nargs=-1)
def refresh(*, names: Sequence[str]) -> None:
    """Deal new shares of NAMES, or of all, to the same nodes: what was stolen from fewer than k is useless then."""
    with asked() as store:
        for name in names or store.names():
            store.refresh(name)
            say(f"{name}: new shares")


COMMANDS: dict[str, click.Command] = {"nodes": nodes}
