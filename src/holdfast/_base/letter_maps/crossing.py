# SPDX-License-Identifier: Apache-2.0
"""Crossing a border, either way, and saying what would not come back.

Both ways write, read back and compare, so one rule holds for every format: **what is not named as lost comes back as it
was**. Headers so named are handed over as they were given; nothing is dropped. What comes out of ``from_format`` keeps
to the specification whatever went in: values that break it are left out, and are in ``rest``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ...errors import ConfigurationError
from ..fingerprint import fingerprint_of
from ..letter import BY_NAME, DEFAULT_PREFIX, SPEC_VERSION
from ..letter_check import check
from ..letter_error import Redact, masked
from ..letter_facts import category_of
from ..letter_fit import Limits, fit
from ..letter_lineage import letter_id, with_death
from ..letter_text import cut, iso, ms_of, pairs, readable
from ..redact import DEFAULT_REDACTOR
from .azure import SERVICE_BUS
from .form import Form, Mapped, text_of
from .kafka import CONNECT, SHARE_GROUP, SPRING, STREAMS
from .nservicebus import NSERVICEBUS
from .plainly import CloudEvent, OneField
from .pulsar import PULSAR
from .rabbitmq import AMQP_0_9_1, AMQP_1_0

#: Every format by name.
FORMATS: Final[dict[str, Form]] = {
    "spring-kafka": SPRING, "kafka-connect": CONNECT, "kafka-streams": STREAMS, "kafka-share-group": SHARE_GROUP,
    "rabbitmq": AMQP_0_9_1, "rabbitmq-amqp-1.0": AMQP_1_0, "azure-service-bus": SERVICE_BUS, "pulsar": PULSAR,
    "nservicebus": NSERVICEBUS, "cloudevents": CloudEvent(), "redis-json": OneField(),
}
#: Stands where a letter must have something and nobody says it.
UNKNOWN: Final = "unknown"

Headers = Mapping[str, Any] | Iterable[tuple[str, Any]]
_LIMITS: Final = Limits()
_MASKED: Final = ("exception-message", "exception-stacktrace")
_LISTS: Final = ("truncated-fields", "redacted")


def to_format(name: str, metadata: Mapping[str, str], *, keep_rest: bool = False,
              prefix: str = DEFAULT_PREFIX) -> Mapped:
    """Metadata in another system's words. ``lost`` are our fields that could not be said there, or not exactly; with
    ``keep_rest`` these go along under our own prefix, which costs a header each, and only what breaks the specification
    is lost.

    Raises ConfigurationError for a format that is not in ``FORMATS``.
    """
    form = _form(name)
    headers = form.write(metadata)
    lost = _unlike(form, headers, metadata, prefix)
    if keep_rest:
        headers |= {prefix + ours: metadata[ours] for ours in lost}
        lost = _unlike(form, headers, metadata, prefix)
    return Mapped(headers, lost)


def _unlike(form: Form, headers: Mapping[str, Any], metadata: Mapping[str, str], prefix: str) -> tuple[str, ...]:
    back = _understood(form, list(headers.items()), prefix, DEFAULT_REDACTOR)
    return tuple(sorted(name for name, value in metadata.items()
                        if value and back.get(name) != value))  # guard: what does not come back is named


def from_format(name: str, headers: Headers, *, at_ms: int, stream: str = "", group: str = "",
                prefix: str = DEFAULT_PREFIX, redactor: Redact = DEFAULT_REDACTOR) -> Mapped:
    """Another system's metadata in our words, as a letter that keeps to the specification.

    headers: a mapping, or pairs where names may repeat. ``at_ms`` is the record's own time and stands for the time of
    failure where the format has none; ``stream`` and ``group`` stand where it does not say where the message died.
    redactor: masks messages and stacks, as in letters of our own; what was masked is in ``rest`` as it was.

    ``lost`` and ``rest`` are headers without a place here, or that would not come back exactly. The letter id follows
    from the headers, so that importing twice makes one letter, as long as they, or ``at_ms``, say the same time.

    Raises ConfigurationError for a format that is not in ``FORMATS``, and for headers that are neither.
    """
    form, given = _form(name), _pairs(headers)
    found = _understood(form, given, prefix, redactor)
    rest = tuple(_not_carried(form, given, found, prefix))
    told = sorted(f"{n}={text_of(v)}" for n, v in given if not n.startswith(prefix))
    whole = _completed(found, [name, group, *told], at_ms, cut(stream, 512), cut(group, 256))
    return Mapped(whole, tuple(sorted({n for n, _ in rest})), rest)


def _form(name: str) -> Form:
    if name not in FORMATS:
        raise ConfigurationError(f"there is no letter format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def _pairs(headers: Headers) -> list[tuple[str, Any]]:
    try:
        found = [*headers.items()] if isinstance(headers, Mapping) else [(n, v) for n, v in headers]
    except (TypeError, ValueError):
        raise ConfigurationError("the headers of a message are a mapping, or pairs of a name and a value, and not "
                                 f"{type(headers).__name__}") from None
    return [(text_of(n), v) for n, v in found]


def _understood(form: Form, given: Sequence[tuple[str, Any]], prefix: str, redactor: Redact) -> dict[str, str]:
    """What the headers say, as far as it keeps to the specification; our own headers before theirs."""
    counted = dict(given[at] for at in _counted(form, given))
    own = {n.removeprefix(prefix): text_of(v) for n, v in counted.items() if n.startswith(prefix) and v is not None}
    theirs = form.read({n: v for n, v in counted.items() if not n.startswith(prefix)})
    told = {n: masked(theirs[n], redactor) for n in _MASKED if theirs.get(n) and n not in own}
    values = {**theirs, **told, **own}
    broken = {p.field for p in check(values) if p.level == "error" and p.kind in ("type", "version")}
    values = {n: v for n, v in values.items() if n not in broken}  # guard: what breaks the specification stays out
    return _fitted(values, [n for n in told if told[n] != theirs[n]], prefix)


def _fitted(values: Mapping[str, str], changed: Sequence[str], prefix: str) -> dict[str, str]:
    """Within the specification's caps; what was cut or masked before stays named."""
    fitted = {readable(n).removeprefix(prefix): readable(v)
              for n, v in pairs(fit(values, prefix, _LIMITS, changed))}
    for name in _LISTS:
        names = [*values.get(name, "").split(","), *fitted.get(name, "").split(",")]
        if said := ",".join(dict.fromkeys(filter(None, names))):
            fitted[name] = said if len(said) <= BY_NAME[name].max_bytes else cut(said, BY_NAME[name].max_bytes)
    return fitted | ({"original-headers": values["original-headers"]} if values.get("original-headers") else {})


def _counted(form: Form, given: Sequence[tuple[str, Any]]) -> list[int]:
    """The places of the headers that count, one a name."""
    places: dict[str, int] = {}
    for at, (name, _) in enumerate(given):
        if name not in places or name not in form.firsts:
            places[name] = at
    return list(places.values())


def _not_carried(form: Form, given: Sequence[tuple[str, Any]], found: Mapping[str, str], prefix: str
                 ) -> Iterable[tuple[str, Any]]:
    """Headers that writing what was understood would not give back."""
    again, counted = form.write(found), set(_counted(form, given))
    for at, (name, value) in enumerate(given):
        ours = name.startswith(prefix) and value is not None
        back = (found.get(name.removeprefix(prefix)) == text_of(value) if ours
                else name in again and form.alike(name, value, again[name]))
        if at not in counted or not back:  # guard: what is not carried is handed over
            yield name, value


def _completed(found: Mapping[str, str], told: Sequence[str], at_ms: int, stream: str, group: str) -> dict[str, str]:
    """The letter: what was understood, and what every letter has."""
    said_ms = ms_of(found.get("failure-timestamp", ""))
    failed_ms = at_ms if said_ms is None else said_ms
    origin = found.get("original-topic") or stream or UNKNOWN
    whole = {"spec-version": str(SPEC_VERSION), "letter-id": letter_id(told, failed_ms),
             "burial-timestamp": iso(at_ms), "failure-timestamp": iso(failed_ms), "failure-reason": "rejected",
             "original-topic": origin,
             "consumer-group": group or cut(found.get("consumer-service") or origin, 256), **found}
    return {**_told_apart(whole), **found}


def _told_apart(whole: dict[str, str]) -> dict[str, str]:
    """A fingerprint, a category and a history where they can be had, so that imported letters gather as ours do."""
    types = [whole[n] for n in ("exception-type", "root-cause-type") if whole.get(n)]
    if types or whole.get("exception-message"):
        whole["exception-fingerprint"] = fingerprint_of(types or [whole["failure-reason"]],
                                                        message=whole.get("exception-message", ""))
    category = category_of(whole["failure-reason"], None)
    if category != "unknown":
        whole["error-category"] = category
    failed_ms = ms_of(whole["failure-timestamp"]) or 0
    whole["deaths"] = with_death("", group=whole["consumer-group"], reason=whole["failure-reason"],
                                 fingerprint=whole.get("exception-fingerprint", ""), at_ms=failed_ms)
    return whole
