# SPDX-License-Identifier: Apache-2.0
"""A pipeline's file: what it reads, how, and where it goes. All that is wrong is said at once, each with its key.

::

    state = "app.state"                       # checkpoint, spool and dead lines; a path is relative to this file
    files = ["/var/log/app/*.log"]

    [parser]
    format = "json"

    [sink]
    kind = "sql"
    url = "secret://logs-db"                  # file `logs-db` in the folder of --secrets
    columns = {status = "integer"}

YAML says the same. Durations are ``"500ms"``, ``"90s"``, ``"15m"``, ``"2h"``, ``"3d"`` or seconds; sizes ``"64MiB"``,
``"1GB"`` or bytes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from .._base.durations import seconds
from .._base.secret import SCHEME, Secret, SecretRef
from ..consume.backoff import Exponential
from ..errors import ConfigurationError, MissingExtra
from .assemble import Multiline
from .burial import BurialSettings
from .config_words import MISSING, Faults, Section, flag, kind_of, number, ratio, size, text, texts, words
from .dead import Quota
from .delivery import DeliverySettings
from .flood import FloodSettings
from .joining import joining
from .parse.parser import FORMATS, Parser, parser_called
from .pipeline import PipelineSettings
from .sinks import SINKS
from .tail.settings import TailSettings
from .transform import Transform, cast, drop, keep, only, rename

__all__ = ["DEAD_KINDS", "Config", "Place", "load", "read"]

#: Longer files are refused, in bytes.
FILE_MAX: Final = 1 << 20
#: Where dead lines can be kept.
DEAD_KINDS: Final = ("file", "queue", "sql", "stream")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A sink, or a place for dead lines: its kind, and what its class is called with."""

    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """A pipeline as its file says.

    parser: makes one. transforms: each one as it is, or as ``module:name`` where it is a function of the user's, for
    whoever may import it. state: folder of checkpoint, spool and the file of last resort.
    """

    name: str
    files: tuple[str, ...]
    state: Path
    multiline: Multiline | None
    parser: Callable[[], Parser]
    transforms: tuple[Transform | str, ...]
    sink: Place
    dead: Place
    quota: Quota
    settings: PipelineSettings

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's file."""
        return self.state / "checkpoint"

    @property
    def emergency(self) -> Path:
        """The file of last resort."""
        return self.state / "emergency.jsonl"


def load(path: Path) -> Config:
    """The pipeline of a TOML or YAML file, by how its name ends. ConfigurationError says all that is wrong, a line
    each."""
    try:
        raw = path.read_bytes()
        said = raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"{path} cannot be read: {why}") from error
    if len(raw) > FILE_MAX:
        raise ConfigurationError(f"{path}: {len(raw)} bytes are too many for a configuration: at most {FILE_MAX}")
    return read(_tables(path, said), origin=path.name, name=path.stem, folder=path.parent)


def _tables(path: Path, said: str) -> Any:
    if path.suffix == ".toml":
        try:
            return tomllib.loads(said)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path.name} is not TOML: {error}") from error
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigurationError(f"{path.name}: a configuration is TOML or YAML: name the file ….toml or ….yaml")
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("dlq", "a configuration in YAML") from error
    try:
        return yaml.safe_load(said)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else type(error).__name__
        # guard: not the line itself, which may hold a password
        raise ConfigurationError(f"{path.name} is not YAML: {getattr(error, 'problem', None) or 'nothing'}, {where}"
                                 ) from None


def read(said: Any, *, origin: str = "configuration", name: str = "logs", folder: Path = Path()) -> Config:
    """The pipeline of tables that were read already. ``folder``: what paths are relative to."""
    faults = Faults(origin)
    top = Section(said, "", faults)
    known = top.take("name", text, name)
    state = folder / top.take("state", text, f"{known}.state")
    found = dict(
        name=known, state=state, files=tuple(str(folder / one) for one in top.take("files", texts, ())),
        multiline=_multiline(top),
        parser=_parser(top.section("parser")), transforms=_transforms(top), sink=_sink(top.section("sink"), folder),
        **_dead(top.section("dead"), folder, state), settings=_machinery(top))
    if not found["files"] and "files" not in top:
        faults.add("files", "is missing: paths or patterns of the files that are read")
    top.done()
    if faults.found:  # guard: all or nothing
        raise ConfigurationError("\n".join(faults.found))
    return Config(**found)


# -- settings that are dataclasses ----------------------------------------------------------------------------------

S = TypeVar("S")
_READERS: Final = {"int": number, "float": ratio, "str": text, "bool": flag}


def _settings(section: Section, kind: Callable[..., S], skip: Sequence[str] = (), **also: Any) -> S:
    """A frozen dataclass from a table. ``scan_s`` is written ``scan = "500ms"``, ``line_bytes_max`` ``"16MiB"``.

    also: values of its that come from elsewhere.
    """
    given = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name not in {*skip, *also}:
            word, reader = _word(each.name, str(each.type))
            value = section.take(word, reader, None)
            if value is not None:
                given[each.name] = value
    section.done()
    return section.faults.trying(section.place, lambda: kind(**given, **also), kind(**also))


def _word(name: str, annotation: str) -> tuple[str, Callable[[Any], Any]]:
    if name.endswith("_s"):
        return name.removesuffix("_s"), seconds
    if "bytes" in name.split("_"):
        return name, size
    return name, _READERS.get(annotation.removesuffix(" | None"), text)


def _machinery(top: Section) -> PipelineSettings:
    flood = _settings(top.section("flood"), FloodSettings)
    retry = top.section("retry")
    first, cap = retry.take("first", seconds, 0.2), retry.take("cap", seconds, 5.0)
    backoff = retry.faults.trying(retry.place, lambda: Exponential(first, cap, jitter="equal"),
                                  Exponential(0.2, 5.0, jitter="equal"))
    delivery = _settings(retry, DeliverySettings, ("breaker", "fault_attempts"), backoff=backoff)
    burial = _settings(top.section("burial"), BurialSettings, backoff=backoff, flood=flood)
    spool = top.section("spool")
    spool_bytes = spool.take("bytes_max", _size_or_none, 1 << 30)
    spool.done()
    return _settings(top.section("pipeline"), PipelineSettings, tail=_settings(top.section("tail"), TailSettings),
                     delivery=delivery, burial=burial, spool_bytes_max=spool_bytes)


def _size_or_none(value: Any) -> int:
    """Bytes, or ``"none"``."""
    return 0 if value in ("none", 0) else size(value)


# -- from bytes to records ------------------------------------------------------------------------------------------


def _multiline(top: Section) -> Multiline | None:
    if "multiline" not in top:
        return None
    section = top.section("multiline")
    rule = {key: section.take(key, text, "") for key in ("preset", "starts", "goes_on")}
    given: dict[str, Any] = {"wait_s": section.take("wait", seconds, 1.0),
                             "lines_max": section.take("lines_max", number, 1_000),
                             "bytes_max": section.take("bytes_max", size, 1 << 20)}
    section.done()
    return section.faults.trying("", lambda: Multiline(joins=joining(**rule), **given), None)  # it names the section


def _parser(section: Section) -> Callable[[], Parser]:
    known = section.one_of("format", tuple(FORMATS))
    given: dict[str, Any] = {"required": section.take("required", texts, ()),
                             "time_field": section.take("time_field", text, ""),
                             "require_time": section.take("require_time", flag, False)}
    options: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "pattern": ("text", text), "columns": ("csv", texts), "delimiter": ("csv", text), "unsigned": ("json", flag)}
    for key, (format_, reader) in options.items():
        if key in section:
            given[key] = section.take(key, reader, None)
            if known != format_:
                section.faults.add(section.at(key), f"goes with format = {format_!r}")
                del given[key]
    section.done()

    def make() -> Parser:
        return parser_called(known, **given)

    if known is not MISSING:
        section.faults.trying(section.place, make, None)
    return make


def _transforms(top: Section) -> tuple[Transform | str, ...]:
    said = top.take("transform", _tables_of, [])
    steps = [_transform(Section(one, f"transform[{n}]", top.faults)) for n, one in enumerate(said, 1)]
    return tuple(step for step in steps if step is not None)


def _tables_of(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{kind_of(value)} stands here, and a list of tables is wanted")
    return value


def _transform(section: Section) -> Transform | str | None:
    made: dict[str, Callable[[Any], Transform | str]] = {
        "call": _name_of, "cast": lambda v: cast(words(v)), "drop": lambda v: drop(texts(v)),
        "keep": lambda v: keep(texts(v)), "only": _only, "rename": lambda v: rename(words(v))}
    there = [key for key in made if key in section]
    if len(there) != 1:
        section.faults.add(section.place, f"one of {', '.join(made)} is wanted")
        return None
    step: Transform | str | None = section.take(there[0], made[there[0]], None)
    section.done()
    return step


def _name_of(value: Any) -> str:
    module, _, name = text(value).partition(":")
    if not module or not name:
        raise ConfigurationError(f"{value!r} names no function: write module:name")
    return str(value)


def _only(value: Any) -> Transform:
    if not isinstance(value, Mapping) or not set(value) <= {"field", "values", "inverted"} or "field" not in value:
        raise ConfigurationError("a table is wanted: field, and values, or inverted = true")
    values = value.get("values", [])
    if not isinstance(values, list):
        raise ConfigurationError("values: a list is wanted")
    return only(text(value["field"]), values, inverted=flag(value.get("inverted", False)))


# -- where it goes --------------------------------------------------------------------------------------------------


def address(value: Any) -> Secret[str] | SecretRef:
    """An address may hold a password: it does not show itself. ``secret://name`` is where one is kept."""
    found = text(value)
    return SecretRef(found) if found.startswith(SCHEME) else Secret(found)


def _headers(value: Any) -> dict[str, Secret[str] | SecretRef]:
    return {name: address(one) for name, one in words(value).items()}


def _plain(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{kind_of(value)} stands here, and a table is wanted")
    return dict(value)


_Reader = Callable[[Any], Any]
#: What each kind takes: those it must have, and those it may. Words with ``_s`` are written without.
_SINK: Final[dict[str, tuple[dict[str, _Reader], dict[str, _Reader]]]] = {
    "duckdb": ({"path": text}, {"table": text, "columns": words}),
    "elastic": ({"url": address, "index": text}, {"headers": _headers, "timeout_s": seconds}),
    "file": ({"path": text}, {"remembered": number}),
    "otlp": ({"url": address}, {"headers": _headers, "resource": _plain, "request_max": number,
                                "timeout_s": seconds}),
    "parquet": ({"folder": text}, {"columns": words}),
    "queue": ({"url": address, "stream": text}, {"limit_bytes": size}),
    "sql": ({"url": address}, {"table": text, "columns": words}),
    "stream": ({"stream": text}, {"url": address, "prefix": text, "window_s": seconds, "partitions": number,
                                  "limit_bytes": size}),
}
_DEAD: Final[dict[str, tuple[dict[str, _Reader], dict[str, _Reader]]]] = {
    "file": ({}, {"folder": text, "segment_bytes": size}),
    "queue": ({"url": address, "stream": text}, {"group": text}),
    "sql": ({"url": address}, {}),
    "stream": ({"stream": text}, {"url": address, "prefix": text}),
}


def _sink(section: Section, folder: Path) -> Place:
    kind = section.one_of("kind", tuple(SINKS))
    return _place(section, kind, _SINK, folder)


def _place(section: Section, kind: str, table: Mapping[str, tuple[dict[str, _Reader], dict[str, _Reader]]],
           folder: Path) -> Place:
    must, may = table.get(kind, ({}, {}))
    options = {}
    for key, reader in {**must, **may}.items():
        found = section.take(key.removesuffix("_s"), reader, MISSING if key in must else None)
        if found is not None and found is not MISSING:
            options[key] = str(folder / found) if key in ("path", "folder") else found
    if kind in table:
        section.done()
    return Place(kind=kind, options=options)


def _dead(section: Section, folder: Path, state: Path) -> dict[str, Any]:
    kind = section.one_of("kind", DEAD_KINDS, "file")
    quota = _quota(section.section("quota"))
    place = _place(section, kind, _DEAD, folder)
    if kind == "file":
        place = Place(kind=kind, options={"folder": str(state / "dead"), **place.options})
    return {"dead": place, "quota": quota}


def _quota(section: Section) -> Quota:
    given: dict[str, Any] = {"bytes_max": section.take("bytes", size, None),
                             "age_s": section.take("age", seconds, None),
                             "full": section.one_of("full", ("stop", "drop_oldest"), "stop")}
    section.done()
    return section.faults.trying(section.place, lambda: Quota(**given), Quota())
