# SPDX-License-Identifier: Apache-2.0
"""Secrets in the engine KV, version 2, of Vault and of OpenBao.

A secret there is a map; its value is the field ``value``, or, where it is no text, ``value_base64``. There are no
labels: they are kept beside the versions, in ``custom_metadata``. What others write is in force at once, as it is for
them; a version that waits is *held*: it is written down so before it is written, by the number it is sure to have
(check-and-set), and whoever reads here passes it over. Other programs see the latest one, held or not: give them
``version=``.

Built after the documented interface and tried against a server of our own that follows it, on no real one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec

from ..._base.clock import Clock, SystemClock, WallMs
from ..._base.secret import Secret
from ...errors import SecretMoved, SecretNotFound, SecretUnavailable
from ..contract import Ability, Found, State, Version
from ..labels import check_latest, check_move
from ..names import CURRENT, PREVIOUS, check_label, check_name, check_prefix, check_value, is_name
from .kv2_session import Login, Session, Words, path_of

_LABEL: Final = "holdfast_"
_HELD: Final = "holdfast-held"
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")


class Marks(msgspec.Struct, frozen=True):
    """What is kept beside the versions. pinned: the version that was put in force here last, 0 for none."""

    labels: Mapping[str, int]
    held: frozenset[int]

    @classmethod
    def of(cls, custom: Mapping[str, str] | None) -> Marks:
        """From ``custom_metadata``. What is no number is nobody's mark."""
        there = custom or {}
        labels = {key.removeprefix(_LABEL): int(value) for key, value in there.items()
                  if key.startswith(_LABEL) and value.isascii() and value.isdigit()}
        return cls(labels, frozenset(int(one) for one in there.get(_HELD, "").split(",") if one.isdigit()))

    def current(self, latest: int) -> int:
        """The version in force, by the latest number there is."""
        pinned = self.labels.get(CURRENT, 0)
        return next((number for number in range(latest, pinned, -1) if number not in self.held), pinned)

    def at(self, label: str, latest: int) -> int:
        """The version that bears the label; 0: none."""
        return self.current(latest) if label == CURRENT else self.labels.get(label, 0)

    def of_version(self, number: int, latest: int) -> tuple[str, ...]:
        """Its labels."""
        own = {label for label, at in self.labels.items() if at == number and label != CURRENT}
        return tuple(sorted(own | ({CURRENT} if number == self.current(latest) else set())))


class Kv2Store:
    """address: ``https://host:8200``. mount: of the engine. field: of the map.

    Its ``label`` looks at ``expect`` and then writes, in two steps; ``put`` compares in one.
    """

    scheme: ClassVar[str] = "kv2"
    abilities: Ability = Ability.WRITE | Ability.LIST | Ability.VERSIONS | Ability.UNDELETE | Ability.DESTROY

    def __init__(self, address: str, login: Login, *, mount: str = "secret", field: str = "value", namespace: str = "",
                 ca: str | None = None, timeout_s: float = 5.0, clock: Clock | None = None) -> None:
        self._mount, self._field, self._wall = mount, field, (clock or SystemClock()).wall_ms
        self._session = Session(address, login, namespace=namespace, ca=ca, timeout_s=timeout_s, clock=clock)

    def get(self, name: str, *, version: int | None = None, label: str = CURRENT) -> Found:
        """See ``SecretStore``."""
        check_name(name), check_label(label)
        said = self._data(name, version)
        meta = said.get("metadata") or {}
        marks, latest = Marks.of(meta.get("custom_metadata")), _count(meta.get("version"))
        wanted = version
        if version is None:
            wanted = marks.at(label, latest)
            if wanted == 0:
                raise SecretNotFound(f"{name} has no version labelled {label!r}")
            if wanted != latest:
                said = self._data(name, wanted)
                meta = said.get("metadata") or {}
        value = self._value(name, wanted, said.get("data"))
        labels = marks.of_version(_count(wanted), latest) if version is None else ()
        return Found(name, Version(_count(meta.get("version")), _ms(meta.get("created_time")), labels,
                                   size=len(value)), Secret(value))

    def put(self, name: str, value: Secret[bytes], *, label: str = CURRENT, expect: int | None = None) -> Version:
        """See ``SecretStore``."""
        check_name(name), check_label(label)
        shown = check_value(value.reveal())
        try:
            data = {self._field: shown.decode()}
        except UnicodeDecodeError:
            data = {f"{self._field}_base64": base64.b64encode(shown).decode()}
        while True:
            latest, marks = _marks(self._meta(name))
            check_latest(name, latest, expect)
            number, before = latest + 1, marks.current(latest)
            if label != CURRENT:
                # guard: held before it is there
                self._mark(name, marks, {label: number, CURRENT: before}, hold=[number])
            try:
                made = self._session.ask(name, "POST", self._path("data", name),
                                         {"options": {"cas": latest}, "data": data}).get("data") or {}
            except SecretMoved:
                if expect is not None:
                    raise
                continue
            if label == CURRENT:
                self._mark(name, marks, {CURRENT: number, PREVIOUS: before})
            return Version(number, _ms(made.get("created_time")), (label,), size=len(shown))

    def label(self, name: str, label: str, version: int | None, *, expect: int | None = None) -> None:
        """See ``SecretStore``; with ``expect`` it is looked at first, not compared in the same step."""
        check_label(label)
        meta = self._meta(name)
        past, (latest, marks) = _versions(name, meta, self._wall()), _marks(meta)
        held = marks.at(label, latest)
        check_move(name, label, version, held=held, expect=expect, live=lambda number: any(
            one.number == number and one.state is State.LIVE for one in past))
        if version is None:
            return self._mark(name, marks, {label: 0})
        if label != CURRENT:
            return self._mark(name, marks, {label: version})
        moved = {CURRENT: version} | ({PREVIOUS: held} if held not in (0, version) else {})
        return self._mark(name, marks, moved, hold=range(version + 1, latest + 1), free=[version])

    def names(self, prefix: str = "") -> tuple[str, ...]:
        """See ``SecretStore``. A request for each folder, and one for each name."""
        prefix = check_prefix(prefix)
        found = {prefix, *self._listed(prefix)}  # what is called as the folder is not listed in it
        return tuple(sorted(name for name in found if is_name(name) and self._alive(name)))

    def history(self, name: str) -> tuple[Version, ...]:
        """See ``SecretStore``. Those that the server still keeps."""
        return _versions(name, self._meta(check_name(name)), self._wall())

    def delete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn("delete", name, version, State.LIVE)

    def undelete(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn("undelete", name, version, State.DELETED)

    def destroy(self, name: str, *, version: int | None = None) -> None:
        """See ``SecretStore``."""
        self._turn("destroy", name, version, State.LIVE, State.DELETED)

    def close(self) -> None:
        """See ``SecretStore``."""
        self._session.close()

    def _alive(self, name: str) -> bool:
        try:
            return any(one.state is State.LIVE for one in self.history(name))
        except SecretNotFound:
            return False

    def _data(self, name: str, version: int | None) -> Words:
        path = self._path("data", name) + (f"?version={version}" if version is not None else "")
        if version is not None and version < 1:  # the server takes 0 for the latest
            raise SecretNotFound(f"{name} has no version {version}")
        answer = self._session.ask(name, "GET", path, missing_ok=True)
        found = answer.get("data")
        if not isinstance(found, dict):
            raise SecretNotFound(f"there is no secret {name}" + (f" of version {version}" if version else ""))
        return found

    def _value(self, name: str, version: int | None, data: object) -> bytes:
        if not isinstance(data, dict):
            raise SecretNotFound(f"version {version} of {name} was deleted")
        text, coded = data.get(self._field), data.get(f"{self._field}_base64")
        if isinstance(text, str):
            return text.encode()
        try:
            if isinstance(coded, str):
                return base64.b64decode(coded, validate=True)
        except binascii.Error:
            raise SecretUnavailable(f"{self._field}_base64 of {name} is no base64") from None
        raise SecretNotFound(f"{name} has no text in a field {self._field!r}: say which field is meant, with field=")

    def _meta(self, name: str) -> Words:
        """What is kept beside the versions; empty where there is nothing of that name."""
        found = self._session.ask(name, "GET", self._path("metadata", name), missing_ok=True).get("data")
        return found if isinstance(found, dict) else {}

    def _mark(self, name: str, marks: Marks, labels: Mapping[str, int], *, hold: Iterable[int] = (),
              free: Iterable[int] = ()) -> None:
        """Labels at 0 are taken away."""
        in_force = labels.get(CURRENT, marks.labels.get(CURRENT, 0))
        held = sorted(number for number in (marks.held | set(hold)) - set(free) if number > in_force)
        custom: dict[str, str | None] = {_LABEL + label: str(number) if number else None
                                         for label, number in labels.items()}
        body = {"custom_metadata": custom | {_HELD: ",".join(map(str, held)) or None}}
        answer = self._session.ask(name, "PATCH", self._path("metadata", name), body, merge=True, missing_ok=True)
        if answer.get("missing"):  # nobody wrote to it yet
            self._session.ask(name, "POST", self._path("metadata", name), {"custom_metadata": {
                key: value for key, value in body["custom_metadata"].items() if value is not None}})

    def _turn(self, verb: str, name: str, version: int | None, *states: State) -> None:
        past = self.history(name)
        if version is not None and not any(one.number == version for one in past):
            raise SecretNotFound(f"{name} has no version {version}")
        if version is not None and any(one.number == version and one.state is State.DESTROYED for one in past):
            raise SecretNotFound(f"version {version} of {name} was destroyed")
        numbers = [one.number for one in past if one.state in states and version in (None, one.number)]
        if numbers:
            self._session.ask(name, "POST", self._path(verb, name), {"versions": numbers})

    def _listed(self, folder: str) -> Iterable[str]:
        answer = self._session.ask(folder or "secrets", "LIST", self._path("metadata", folder) + "/", missing_ok=True)
        for key in (answer.get("data") or {}).get("keys") or ():
            name = f"{folder}/{key}".lstrip("/")
            if name.endswith("/"):
                yield from self._listed(name.rstrip("/"))
            else:
                yield name

    def _path(self, what: str, name: str) -> str:
        return path_of(self._mount, what, name)


def _marks(meta: Words) -> tuple[int, Marks]:
    """The latest version's number, and what is marked."""
    return _count(meta.get("current_version")), Marks.of(meta.get("custom_metadata"))


def _versions(name: str, meta: Words, now: WallMs) -> tuple[Version, ...]:
    """The latest first. Raises SecretNotFound where there are none."""
    latest, marks = _marks(meta)
    found = [Version(int(number), _ms(one.get("created_time")), marks.of_version(int(number), latest), _state(one, now))
             for number, one in (meta.get("versions") or {}).items()]
    if not found:
        raise SecretNotFound(f"there is no secret {name}")
    return tuple(sorted(found, key=lambda one: one.number, reverse=True))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _state(one: Mapping[str, Any], now: WallMs) -> State:
    if one.get("destroyed"):
        return State.DESTROYED
    ends = one.get("deletion_time")  # known from the first where versions are deleted after a while
    return State.DELETED if ends and _ms(ends) <= now else State.LIVE


def _ms(text: Any) -> WallMs:
    """A time as the server writes it, with nanoseconds. 0 for none."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return WallMs(0)
    seconds = datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
    return WallMs(int(seconds) * 1000 + int(((found[2] or "") + "000")[:3]))
