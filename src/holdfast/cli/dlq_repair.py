# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq repair``: what repairs make of a letter, shown, kept at the desk, or sent back."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from .._base.typed import from_json
from .context import desk_option, run, server_options, settings, sql_option
from .dlq import letters_of, shelf
from .dlq_act import effects, who
from .output import json_option, print_json, say, show

if TYPE_CHECKING:
    from ..deadletters import LetterInfo, Shelf
    from ..deadletters.desk import Case, Desk
    from ..deadletters.handling import Mending
    from ..deadletters.repairs import Trial

_UNCHANGED = 1


@click.command("repair")
@letters_of
@click.argument("letter_id", metavar="LETTER")
@click.option("--with", "repairs", metavar="NAME[:OPTIONS]", multiple=True, required=True,
              help="a repair, with its options as name=value,… or as JSON; several times, they follow one another")
@click.option("--type", "type_name", metavar="MODULE:TYPE", help="what its handler takes: what comes out has to be one")
@click.option("--dry-run", is_flag=True, help="only show what would change")
@click.option("--replay", "back", is_flag=True, help="send it back, mended")
@click.option("--force", is_flag=True, help="with --replay: also an old letter, or one that came back too often")
@click.option("--by", help="who repairs  [default: the user]")
@json_option
@sql_option
@desk_option
@server_options()
def repair(*, stream: str, group: str, letter_id: str, repairs: tuple[str, ...], type_name: str | None, dry_run: bool,
           back: bool, force: bool, by: str | None, as_json: bool) -> int:
    """Mend a dead letter's message: show the diff, and keep it at the desk or send it back.

    With --desk both bodies are kept there by their hash. A letter that the desk has in hand is sent back by the
    service, by its rules. The diff shows the message, with secrets masked. Answers 1 when no repair changed anything.
    """
    if not dry_run and not back and not settings().desk:
        raise click.UsageError("say --dry-run, or --replay, or name the --desk that is to keep it")
    if (here := str(Path.cwd())) not in sys.path:  # for repairs of yours, as `holdfast run` has it for handlers
        sys.path.insert(0, here)
    wanted = [parsed(text) for text in repairs]
    if type_name:
        from ..deadletters.handling import Mending

        wanted.append(Mending("validate", {"type": type_name}))
    return run(_repaired(stream, group, letter_id, wanted, _How(by or who(), dry_run, back, force, as_json)))


@dataclass(frozen=True)
class _How:
    """What is to be done with what repairs made."""

    by: str
    dry_run: bool
    back: bool
    force: bool
    as_json: bool


def parsed(text: str) -> Mending:
    """``name``, ``name:a=1,b=2``, ``name:{"a": 1}``; a name may be ``module:function``. Raises UsageError."""
    from ..deadletters.handling import Mending
    from ..deadletters.repairs import BUILTIN

    name, _, said = text.partition(":")
    if name not in BUILTIN:
        function, _, rest = said.partition(":")
        if function.isidentifier():
            name, said = f"{name}:{function}", rest
    return Mending(name, _options(said, name))


def _options(said: str, name: str) -> dict[str, Any]:
    if not said:
        return {}
    try:
        if said.startswith("{"):
            return from_json(said, dict[str, Any])
        pairs = [part.partition("=") for part in said.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError
    except (msgspec.DecodeError, ValueError):
        raise click.UsageError(f"--with {name}: options are name=value,name=value or a JSON object") from None
    return {option: _value(value) for option, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


async def _repaired(stream: str, group: str, letter_id: str, wanted: list[Mending], how: _How) -> int:
    from ..deadletters.repairs import Repairs, draft_of

    async with shelf(stream, group) as found:
        letter = await found.get(letter_id)
        trial = Repairs().tried(draft_of(letter), wanted)
        done: dict[str, Any] = {"kept": False, "outcome": ""}
        if trial.is_changed and not how.dry_run:
            done |= await (_at_the_desk if settings().desk else _sent_back)(letter, trial, found, how)
    _report(letter, trial, done, how)
    return 0 if trial.is_changed else _UNCHANGED


async def _sent_back(letter: LetterInfo, trial: Trial, found: Shelf, how: _How) -> dict[str, Any]:
    from ..deadletters import Order, Replayer

    order = Order(by=how.by, body=trial.after.body, force=how.force)
    async with effects(found, "") as applied:
        sent = await Replayer(found, applied=applied).one(letter.id, order)
    return {"outcome": sent.outcome, "to": sent.to}


async def _at_the_desk(letter: LetterInfo, trial: Trial, found: Shelf, how: _How) -> dict[str, Any]:
    """Kept first, then sent back: by the service if it has the letter in hand, else from here."""
    from ..deadletters.desk import keep
    from ..deadletters.desk.kept import ORIGINAL, SENT
    from ..errors import LetterNotFound
    from .desk import opened_desk

    async with opened_desk() as desk:
        done = {"kept": True, "original": await keep(desk, letter.id, ORIGINAL, trial.before.body),
                "sent": await keep(desk, letter.id, SENT, trial.after.body)}
        try:
            case = await desk.get(letter.id)
        except LetterNotFound:
            return {**done, **(await _sent_back(letter, trial, found, how) if how.back else {})}
        await _handed_over(desk, case, str(done["sent"]), how)
        return {**done, "outcome": "scheduled" if how.back else ""}


async def _handed_over(desk: Desk, case: Case, sent: str, how: _How) -> None:
    """The body that is to be sent in the place of the letter's own, by a person's word."""
    from ..deadletters.desk import Actor, may_move
    from ..errors import CaseMoved

    if not may_move(case.state, "manual"):
        raise CaseMoved(f"letter {case.letter_id} is {case.state} at the desk: look again when it waits for somebody",
                        state=case.state)
    by = Actor(how.by, person=True)
    if case.state != "manual":
        case = await desk.move(case, "manual", by, what="assigned", due_ms=0)
    if how.back:
        await desk.move(case, "scheduled", by, what="repaired", edited=sent, action="retry", due_ms=await desk.now_ms())
    else:
        await desk.move(case, "manual", by, what="repaired", edited=sent)


def _report(letter: LetterInfo, trial: Trial, done: dict[str, Any], how: _How) -> None:
    from ..deadletters.repairs import masked, unified

    if how.as_json:
        print_json({"letter": letter.id, "changed": trial.changed, "patch": masked(trial.patch), "dry_run": how.dry_run,
                    **done})
    elif trial.is_changed:
        show(unified(trial).rstrip("\n"))
    said = f"{letter.id}: {trial.why}"
    if done["outcome"]:
        said += f"; {done['outcome']}"
    kept = "; kept at the desk" if done["kept"] else ""
    say(said + (" (nothing was written)" if how.dry_run and trial.is_changed else kept))


COMMANDS: dict[str, click.Command] = {"repair": repair}
