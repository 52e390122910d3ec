# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of docs/reference that are read off the code, so that they cannot say anything else than it does.

``python docs/generate.py`` writes them, ``--check`` only compares and names the stale ones (exit code 1). To add a
page, write a function that returns its text and put it into ``PAGES``; nothing else knows the list.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- Written by docs/generate.py from {source}. Change that, then run `make docs`. -->"
#: Width of the help texts on the page, whatever terminal this runs in.
WIDTH = 100
HELP_NAMES = ["-h", "--help"]


def cli_page() -> str:
    """Every command of the command line, from its own ``--help``."""
    from holdfast.cli import main

    parts = [
        "# Command line", NOTE.format(source="the commands' own `--help`"),
        ("Data goes to stdout, talk to stderr. Exit codes: 0 done; 1 the answer is no (something lost, a check "
         "failed); 2 misuse; 3 what it needs cannot be reached."),
    ]
    for path, command in commands(main, ("holdfast",)):
        heading = "##" if len(path) < 3 else "###"
        parts.append(f"{heading} {' '.join(path)}\n\n```text\n{help_text(command, path)}\n```")
    return "\n\n".join(parts) + "\n"


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The command and everything below it, depth first, by name; hidden ones left out."""
    import click

    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1], help_option_names=HELP_NAMES)
        for name in sorted(command.list_commands(context)):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, (*path, name))


def help_text(command: click.Command, path: tuple[str, ...]) -> str:
    """What ``--help`` prints, at a width that does not depend on the terminal."""
    import click

    context = click.Context(command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH,
                            help_option_names=HELP_NAMES)
    command._help_option = None  # noqa: SLF001 - click keeps the names its first caller asked with
    lines = click.unstyle(command.get_help(context)).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip()


def keys_page() -> str:
    """The dictionary of keys, from the functions that make their names."""
    keys = importlib.import_module("holdfast._redis.keys")
    stream, group = keys.StreamKeys("hf", "orders"), keys.GroupKeys("hf", "orders", "billing")
    parts = [
        "# Keys on the server", NOTE.format(source="src/holdfast/_redis/keys.py"),
        ("The stream key is yours. Everything else is named beside it, in its slot: `{…}` holds the stream's own hash "
         "tag, the whole name when it has none. The names below are those of the stream `orders` and the group "
         "`billing` under the default prefix `hf`."),
        "## Of a stream", key_table(stream), "## Of a consumer group", key_table(group),
        "## Of a guarded key", key_table(keys.GuardKeys("hf", "refunds", "42")),
        "## Of Celery's dead tasks, while they are taken in", key_table(keys.CeleryKeys("hf")),
        "## Of a named lease", key_table(keys.LeaseKeys("hf", "reports")),
        "## Of a pool of worker ids", key_table(keys.WorkerKeys("hf", "default")),
        "## Of a counter", key_table(keys.CounterKeys("hf", "orders")),
        "## Of a lock", key_table(keys.LockKeys("hf", "nightly", sort="fair")),
        "## Of what is written under a lock", key_table(keys.FenceKeys("hf", "report:7")),
        "## Of who uses a secret", key_table(keys.SecretKeys("hf", "9f86d081884c7d65")),
    ]
    return "\n\n".join(parts) + "\n"


def key_table(keys: object) -> str:
    """One row a key: its name and what it holds. A property without a docstring is a building block, not a key."""
    rows = ["| key | holds |", "|---|---|"]
    for name, member in vars(type(keys)).items():
        if not inspect.getdoc(member) or name.startswith("_"):
            continue
        if isinstance(member, property):
            key = getattr(keys, name)
        elif inspect.isfunction(member) and inspect.signature(member).return_annotation == "bytes":
            arguments = list(inspect.signature(member).parameters)[1:]
            key = member(keys, *(f"<{argument.replace('_', ' ')}>" for argument in arguments))
        else:
            continue
        rows.append(f"| `{key.decode()}` | {prose(member)} |")
    return "\n".join(rows)


def errors_page() -> str:
    """The error tree and what each error says."""
    errors = importlib.import_module("holdfast.errors")
    tree = inspect.cleandoc(errors.__doc__ or "").split("::\n\n", 1)[1].split("\n\n", 1)[0]
    parts = [
        "# Errors", NOTE.format(source="src/holdfast/errors.py"),
        "`retry_may_help` says whether the same call, made again later, could succeed with nothing mended.",
        f"```text\n{inspect.cleandoc(tree)}\n```",
        "| error | what it says | a retry may help | exit code |\n|---|---|---|---|",
    ]
    for cls in filter(inspect.isclass, vars(errors).values()):
        if cls.__module__ != errors.__name__:
            continue
        may_help = "yes" if cls.retry_may_help else "no"
        parts[-1] += f"\n| `{cls.__name__}` | {prose(cls)} | {may_help} | {cls.exit_code} |"
    return "\n\n".join(parts) + "\n"


def letter_page() -> str:
    """The specification of a dead letter's metadata."""
    return importlib.import_module("holdfast._base.letter_page").page()


def letter_schema() -> str:
    """The same as a JSON Schema, for readers in other languages."""
    return importlib.import_module("holdfast._base.letter_check").schema_text()


def lock_backends_page() -> str:
    """What each back end of locks supports, from what its bench declares to the battery that checks it."""
    claims = runpy.run_path(str(ROOT / "tests" / "contract" / "lock_claims.py"), run_name="lock_claims")
    return str(claims["page"](NOTE.format(source="tests/contract/lock_claims.py")))


def metrics_page() -> str:
    """The metrics, from the table that makes them."""
    return importlib.import_module("holdfast.sinks.metrics_page").page()


def settings_page() -> str:
    """Every number that can be set, from the classes that hold them."""
    parts = [
        "# Settings", NOTE.format(source="the docstrings of the classes below"),
        ("Keyword arguments and frozen values; nothing reads the environment but the command line. How to choose the "
         "numbers: [Choose the numbers](../how-to/choose-numbers.md)."),
    ]
    for title, where, name, how in SETTINGS:
        cls = getattr(importlib.import_module(f"holdfast.{where}"), name)
        parts.append(f"## {title}\n\n{how}\n\n```text\n{inspect.getdoc(cls)}\n```\n\n{defaults(cls)}")
    return "\n\n".join(parts) + "\n"


def defaults(cls: type) -> str:
    """Names and defaults of what ``cls`` takes, in its order."""
    rows = ["| name | default |", "|---|---|"]
    made = {f.name: f.default_factory() for f in (dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ())
            if f.default_factory is not dataclasses.MISSING}
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            default = made.get(name, parameter.default)
            given = "required" if default is parameter.empty else f"`{default!r}`"
            rows.append(f"| `{name}` | {given} |")
    return "\n".join(rows)


#: Chapter, room and class of each kind of setting, and how it is given.
SETTINGS = (
    ("A Holdfast", "app", "Holdfast", "`Holdfast(url, …)`"),
    ("A stream's consumer", "streams.settings", "StreamSettings",
     "`Holdfast(settings=StreamSettings(…))` for all consumers, `@hf.consumer(…, settings=…)` for one."),
    ("RabbitMQ", "brokers.rabbitmq", "RabbitSettings", '`Holdfast("amqp://…", broker=RabbitSettings(…))`'),
    ("Kafka", "brokers.kafka", "KafkaSettings", '`Holdfast("kafka://…", broker=KafkaSettings(…))`'),
    ("Limits", "consume.limits_file", "Limits",
     ("`@hf.consumer(…, concurrency=50, timeout_s=None)`: each field is a keyword of its own. Or from a file, see "
      "[Change limits while it runs](../how-to/limits-file.md).")),
    ("Retries", "consume.policy", "RetryPolicy",
     "`@hf.consumer(…, retry=RetryPolicy(…))`, or `retry=Retry(attempts=…, …)` for the common ones."),
    ("The breaker", "consume.breaker", "BreakerSettings", "`@hf.consumer(…, breaker=BreakerSettings(…))`"),
    ("A message on its way out", "streams.entry", "Outgoing", "`hf.publish_many(stream, [Outgoing(…), …])`"),
    ('The database of `once="sql"`', "_sql", "Database", "`Holdfast(…, sql=Database(url, …))`, or the URL alone."),
    ("Its time limits", "_sql", "Timeouts", "`Database(url, timeouts=Timeouts(…))`"),
    ("Effects in Redis", "once", "in_redis", '`@hf.consumer(…, once=in_redis(…))`; `once="redis"` has the defaults.'),
    ("Effects in SQL", "once", "in_sql", '`@hf.consumer(…, once=in_sql(…))`; `once="sql"` has the defaults.'),
    ("Effects outside", "once", "outside", '`@hf.consumer(…, once=outside(…))`; `once="outside"` has the defaults.'),
    ("A lock around a handler", "once", "locked", "`@hf.consumer(…, once=locked(…))`"),
    ("A guard", "once", "Guard", "`hf.guard(namespace, …)`"),
    ("A relay of the outbox", "once", "Relay", "`await hf.relay(…)`; options of `holdfast outbox relay`"),
    ("Rules of a replay", "deadletters", "ReplayRules",
     "`Replayer(shelf, rules=ReplayRules(…))`; options of `holdfast dlq replay`"),
)


def prose(thing: object) -> str:
    """The thing's docstring as one line of Markdown, fit for a table's cell."""
    return " ".join((inspect.getdoc(thing) or "").split()).replace("``", "`").replace("|", "\\|")


#: Page, from the checkout's root, and the function that writes it.
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/keys.md": keys_page,
    "docs/reference/letter-spec.md": letter_page,
    "docs/reference/letter-v1.schema.json": letter_schema,
    "docs/reference/lock-backends.md": lock_backends_page,
    "docs/reference/metrics.md": metrics_page,
    "docs/reference/settings.md": settings_page,
}


def stale() -> list[str]:
    """Pages that are missing or no longer what the code says."""
    return [page for page, write in PAGES.items()
            if not (ROOT / page).is_file() or (ROOT / page).read_text() != write()]


def main(arguments: list[str] | None = None) -> int:
    """The command: see the file's docstring."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; name the stale pages, exit 1 if any")
    options = parser.parse_args(arguments)
    pages = stale()
    for page in pages:
        if options.check:
            print(f"{page} is stale: run `make docs`", file=sys.stderr)
        else:
            (ROOT / page).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / page).write_text(PAGES[page]())
            print(f"wrote {page}")
    return 1 if options.check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
