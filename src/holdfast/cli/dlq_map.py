# SPDX-License-Identifier: Apache-2.0
"""``holdfast dlq map``: dead-letter metadata of other systems into ours, and ours into theirs, line by line."""

from __future__ import annotations

import base64
import binascii
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from .context import letter_option, settings
from .output import print_json_line, say

if TYPE_CHECKING:
    from .._base.letter_maps import Mapped

#: The names of ``letter_maps.FORMATS``, written out so that ``--help`` opens no room.
SYSTEMS = ("spring-kafka", "kafka-connect", "kafka-streams", "kafka-share-group", "rabbitmq", "rabbitmq-amqp-1.0",
           "azure-service-bus", "pulsar", "nservicebus", "cloudevents", "redis-json")
#: The longest line that is read: a broker's largest message with room to spare.
LINE_BYTES_MAX = 64 * 1024 * 1024


@click.command("map")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--from", "source", type=click.Choice(SYSTEMS), help="the lines are headers of this system")
@click.option("--to", "target", type=click.Choice(SYSTEMS), help="the lines are letters of ours: say them in its words")
@click.option("--stream", default="", help="with --from: where the letters died, if their headers do not say it")
@click.option("--group", default="", help="with --from: in which group, queue or subscription, if they do not say it")
@click.option("--keep-rest", is_flag=True, help="with --to: what has no place there goes along under our own names")
@letter_option
def map_(*, file: IO[bytes], source: str | None, target: str | None, stream: str, group: str, keep_rest: bool) -> int:
    """Translate the metadata of dead letters. FILE holds JSON lines (- or nothing: stdin); each gives one line.

    With --from a line is an object of headers, or a message that has them as `headers` or `properties`, as kcat -J and
    RabbitMQ's management print it. It gives {"metadata", "lost", "rest"}: rest holds, as they were, headers that have
    no place or would not come back exactly. With --to a line is an object of metadata, one that --from gave, or a
    letter of `dlq export`. It gives {"headers", "lost"}. Bytes that are no text are {"b64": "…"} both ways. Nothing is
    sent anywhere. Answers 1 when a line could not be read; the others are done.
    """
    if (source is None) == (target is None):
        raise click.UsageError("say either --from SYSTEM or --to SYSTEM")
    lost: Counter[str] = Counter()
    done = bad = 0
    for number, line in lines(file):
        try:
            found = _from(source, line, stream, group) if source else _to(target or "", line, keep_rest=keep_rest)
        except ValueError as error:
            bad += 1
            say(f"line {number}: {error}")
            continue
        done += 1
        lost.update(found.lost)
    _told(done, bad, lost)
    return int(bad > 0)


def lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, blank ones left out; one that is too long comes in pieces."""
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if line.strip():
            yield number, line


def _told(done: int, bad: int, lost: Counter[str]) -> None:
    sys.stdout.flush()
    say(f"{done} translated" + (f", {bad} not read" if bad else ""))
    for name, count in lost.most_common(20):
        say(f"lost in {count}: {name}")
    if len(lost) > 20:
        say(f"lost as well: {len(lost) - 20} other names")


def _from(name: str, line: bytes, stream: str, group: str) -> Mapped:
    from .._base.letter_maps import from_format
    from .._base.letter_maps.form import plain

    given = object_of(line)
    headers, at_ms = headers_of(given), moment_of(given)
    found = from_format(name, headers, at_ms=int(time.time() * 1000) if at_ms is None else at_ms, stream=stream,
                        group=group, prefix=_prefix())
    print_json_line({"metadata": found.fields, "lost": found.lost,
                     "rest": [[header, plain(value)] for header, value in found.rest]})
    return found


def _to(name: str, line: bytes, *, keep_rest: bool) -> Mapped:
    from .._base.letter_maps import to_format
    from .._base.letter_maps.form import plain

    found = to_format(name, metadata_of(object_of(line), line), keep_rest=keep_rest, prefix=_prefix())
    print_json_line({"headers": plain(found.fields), "lost": found.lost})
    return found


def _prefix() -> str:
    from .._base.letter import DEFAULT_PREFIX, checked_prefix

    return checked_prefix(settings().letter_prefix or DEFAULT_PREFIX)


def object_of(line: bytes) -> dict[str, Any]:
    """The JSON object of a line. ValueError for anything else."""
    import msgspec

    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"longer than {LINE_BYTES_MAX} bytes")
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - what is wrong is the line
    return found


def headers_of(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The headers of a line: its ``headers`` (an object, pairs, or kcat's flat list), those in its ``properties``, the
    properties themselves, or the line as a whole. ValueError when they are none of these."""
    properties = given.get("properties")
    inner = properties if isinstance(properties, dict) else {}
    found = given.get("headers", inner.get("headers", inner or given))
    if isinstance(found, dict):
        return [(name, given_value(value)) for name, value in found.items()]
    if isinstance(found, list) and all(isinstance(one, list) and len(one) == 2 for one in found):
        return [(str(name), given_value(value)) for name, value in found]
    if isinstance(found, list) and len(found) % 2 == 0 and all(isinstance(name, str) for name in found[::2]):
        return [(name, given_value(value)) for name, value in zip(found[::2], found[1::2], strict=True)]
    raise ValueError("its headers are neither an object nor a list of names and values")


def given_value(value: Any) -> Any:
    """A value as it was before it was JSON: ``{"b64": …}`` is bytes."""
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            return value
    return value


def moment_of(given: Mapping[str, Any]) -> int | None:
    """When the message was written, by ``at_ms`` or by kcat's ``ts``; None when the line does not say."""
    for name in ("at_ms", "ts"):
        at = given.get(name)
        if isinstance(at, int) and not isinstance(at, bool) and at >= 0:
            return at
    return None


def metadata_of(given: Mapping[str, Any], line: bytes) -> dict[str, str]:
    """Our metadata of a line: its ``metadata``, that of an exported letter, or the line as a whole, with prefix or
    without. ValueError when a value is no text."""
    from .._base.letter_lineage import split
    from ..deadletters.export import fields_of

    prefix = _prefix()
    if isinstance(given.get("fields"), list):
        try:
            return split(fields_of(line), prefix)[0]
        except (TypeError, KeyError, ValueError, AttributeError):
            raise ValueError("its fields are not those of an exported letter") from None
    found = given.get("metadata", given)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("its metadata is no object of texts")
    return {name.removeprefix(prefix): value for name, value in found.items()}


COMMANDS: dict[str, click.Command] = {"map": map_}
