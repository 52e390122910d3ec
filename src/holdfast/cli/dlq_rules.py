# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq rules``: is a file of rules valid, and what would it do with the letters there are?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import letter_option, run, server_options
from .dlq import shelf
from .output import json_option, print_json, print_table, say

if TYPE_CHECKING:
    from ..deadletters import LetterInfo
    from ..deadletters.handling import RuleSet

_INVALID = 1


@click.group("rules")
def rules() -> None:
    """Rules by which dead letters are dealt with."""


@rules.command("test")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("stream", required=False)
@click.option("--group", help="the group of STREAM whose letters are judged")
@click.option("--letter", "letter_files", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              metavar="FILE.json", help="judge this letter, as `dlq export` writes one; several times if need be")
@click.option("--limit", type=click.IntRange(min=1), default=1_000, show_default=True, help="letters at most")
@json_option
@letter_option
@server_options()
def test(*, file: Path, stream: str | None, group: str | None, letter_files: tuple[Path, ...], limit: int,
         as_json: bool) -> int:
    """Say whether a file of rules is valid, and what it would do with each letter. Nothing is changed.

    Answers 1 when the file is not valid, and says all that is wrong with it.
    """
    if bool(stream) is not bool(group):
        raise click.UsageError("STREAM and --group go together")
    from ..deadletters.handling import load_rules
    from ..deadletters.notify.plan import plan_of
    from ..errors import ConfigurationError, MissingExtra
    from .dlq_serve import mender

    try:
        found = load_rules(file, check=mender().check, notify=plan_of)
    except MissingExtra:
        raise
    except ConfigurationError as error:
        return _invalid(str(error), as_json)
    letters = [_read(path) for path in letter_files]
    if stream and group:
        letters += run(_some(stream, group, limit))
    _report(found, [_judged(found, letter, stream or "") for letter in letters], as_json)
    return 0


def _invalid(said: str, as_json: bool) -> int:
    faults = said.splitlines()
    if as_json:
        print_json({"valid": False, "faults": faults, "rules": [], "letters": []})
    for fault in faults:
        say(f"error: {fault}")
    return _INVALID


async def _some(stream: str, group: str, limit: int) -> list[LetterInfo]:
    async with shelf(stream, group) as found:
        return [letter async for letter in found.letters(newest_first=True, limit=limit)]


def _read(path: Path) -> LetterInfo:
    """A line of ``dlq export``, which may be laid out over several."""
    import msgspec

    from ..deadletters.export import fields_of
    from ..deadletters.letters import letter_info
    from ..errors import ConfigurationError

    try:
        said = msgspec.json.decode(path.read_bytes())
        raw = fields_of(msgspec.json.encode(said))
        return letter_info(said["stream"], said["group"], said["entry_id"].encode(), raw)
    except (msgspec.MsgspecError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path.name} is no letter as `dlq export` writes one: "
                                 f"{type(error).__name__}") from error


def _judged(found: RuleSet, letter: LetterInfo, stream: str) -> dict[str, Any]:
    from ..deadletters.handling import facts_of

    facts = facts_of(letter, stream=stream)
    verdict = found.judge(facts)
    return {"letter": letter.id, "error_type": letter.error_type, "reason": letter.reason, "rule": verdict.rule,
            "category": verdict.category, "severity": verdict.severity, "action": verdict.action,
            "retry": str(verdict.strategy) if verdict.sends_back else "",
            "repairs": [mending.name for mending in verdict.repairs], "notify": verdict.notify, "label": verdict.label}


def _report(found: RuleSet, judged: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"valid": True, "faults": [], "rules": [rule.name for rule in found.rules], "letters": judged})
        return
    if judged:
        print_table(["letter", "error", "reason", "rule", "category", "severity", "action", "retry"],
                    [[one[name] for name in ("letter", "error_type", "reason", "rule", "category", "severity", "action",
                                             "retry")] for one in judged])
    say(f"{found.origin}: {len(found.rules)} rules, valid" + (f"; {len(judged)} letters judged" if judged else ""))


COMMANDS: dict[str, click.Command] = {"rules": rules}
