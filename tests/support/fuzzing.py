# SPDX-License-Identifier: Apache-2.0
"""Requests that an OpenAPI document describes, and requests that it does not, for whoever serves it.

schemathesis makes them from the document, sound ones and unsound ones. Beside them stand some by hand, of what breaks
servers: bytes that are no text, numbers that fit nowhere, nesting without end, types and encodings that lie.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

BASE = "http://localhost"
NASTY_TEXT = ["\0", "a\0b", "\ufffe", "\U0010ffff", "<script>alert(1)</script>", "' or 1=1 --", "%s%n{0}{{7*7}}",
              "\u202e", "x" * 70_000, "../../etc/passwd", " ", "\r\nX-Injected: 1", "🦀" * 300, "%00", "%"]
NASTY_NUMBERS: list[Any] = [-1, 0, 1 << 53, 1 << 63, 1 << 64, -(1 << 63) - 1, 1e308, -0.0, 5e-324, 1.5]
NASTY_VALUES: list[Any] = [None, True, [], {}, [[]], {"": {}}, "", *NASTY_NUMBERS, *NASTY_TEXT]

Request = tuple[str, str, dict[str, str], bytes]


def described(document: dict[str, Any], path: str, method: str, *, sound: bool, many: int, seed: int
              ) -> list[Request]:
    """So many requests of one operation: as it is described, or as it is not. The same for the same seed."""
    operation = schemathesis.openapi.from_dict(document)[path][method]
    mode = GenerationMode.POSITIVE if sound else GenerationMode.NEGATIVE
    found: list[Request] = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=many, database=None, deadline=None, phases=[Phase.generate], derandomize=True,
              suppress_health_check=list(HealthCheck))
    def collect(case: Any) -> None:
        found.append(_prepared(case))

    random.seed(seed)
    with contextlib.suppress(Unsatisfiable):  # without a parameter and a body nothing can be wrong about a request
        collect()
    return found


def _prepared(case: Any) -> Request:
    told = case.as_transport_kwargs(base_url=BASE)
    one = requests.Request(told["method"], told["url"], params=told.get("params"), json=told.get("json"),
                           data=told.get("data"), headers=dict(told.get("headers") or {})).prepare()
    body = one.body.encode() if isinstance(one.body, str) else one.body or b""
    assert one.url is not None
    return str(one.method), one.url.removeprefix(BASE), {str(k): _text(v) for k, v in one.headers.items()}, bytes(body)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def by_hand(method: str, path: str, schema: dict[str, Any] | None, sample: dict[str, Any]) -> Iterator[Request]:
    """Of one operation. schema: of its body, if it takes one, resolved; sample: a body that is sound."""
    for tail in ("?" + "a=1&" * 2_000, "?limit=1&limit=x", "?limit=%00", "?limit=" + "9" * 5_000, "?text=%ed%a0%80",
                 "?text=%ff%fe", "?since_ms=9223372036854775808", "?version=1e9", "?state=", "?%00=%00", "?;;&&=="):
        yield method, path + tail, {}, json.dumps(sample).encode() if schema else b""
    if schema is None:
        yield method, path, {"content-type": "application/json"}, b"{}"
        return
    yield from _bodies(method, path, json.dumps(sample).encode())
    for name in schema.get("properties", {}):
        for value in NASTY_VALUES:
            yield method, path, _JSON, json.dumps({**sample, name: value}).encode()
        for raw in (b'"\\ud800"', b"1" * 5_000, b"-" + b"9" * 400, b"1e999", b"NaN", b"Infinity", b"[" * 5_000):
            yield method, path, _JSON, _with(sample, name, raw)


_JSON = {"content-type": "application/json"}


def _with(sample: dict[str, Any], name: str, raw: bytes) -> bytes:
    rest = [b",%s:%s" % (json.dumps(k).encode(), json.dumps(v).encode()) for k, v in sample.items() if k != name]
    return b"{%s:%s%s}" % (json.dumps(name).encode(), raw, b"".join(rest))


def _bodies(method: str, path: str, sound: bytes) -> Iterator[Request]:
    text = sound.decode()
    for body in (b"", b"\0", b"\xff\xfe\x00", b"null", b"[]", b"0", b'"x"', b"{", b"[" * 100_000, b'{"a":' * 50_000,
                 sound + b"\0", sound * 2, b'{"\\ud800": 1}', b'{"' + b"k" * 100_000 + b'": 1}', b'{"__proto__": {}}',
                 text.encode("utf-16"), text.encode("utf-32"), b"\xef\xbb\xbf" + sound):
        yield method, path, _JSON, body
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "/",
                 "application/xml", "application/json; charset=utf-16", "application/json; charset=nonsense",
                 "application/jso\x7fn"):
        yield method, path, {"content-type": kind}, sound
    yield method, path, {**_JSON, "content-encoding": "gzip"}, sound
    yield method, path, {**_JSON, "content-length": "99999999999999999999"}, sound
    yield method, path, {**_JSON, "content-length": "-1"}, sound
    yield method, path, {**_JSON, "transfer-encoding": "chunked"}, sound


def odd_paths(path: str) -> Iterator[str]:
    """Places that are none, around one that is: its parameters are in braces."""
    for value in ("%00", "%ff", "%ed%a0%80", "..", "%2e%2e", "%2f", "x" * 8_000, "%0d%0aX-Injected:1", "a%20b", ";",
                  "*", "%F0%9F%A6%80", "{letter_id}", "1" * 65, "-1", "null"):
        yield path.replace("{letter_id}", value).replace("{job_id}", value)
