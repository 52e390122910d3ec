# SPDX-License-Identifier: Apache-2.0
"""An OpenAPI document held against what is answered: each status is described, and each body is as its schema says."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from jsonschema_rs import Draft202012Validator


class Truth:
    """Checks answers. Records may not hold more than the document says, though it does not forbid it to whoever reads
    them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._components = copy.deepcopy(document["components"])
        for schema in self._components["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._paths = [(re.compile(re.sub(r"\\{[a-z_]+\\}", "[^/]+", re.escape(path))), ways)
                       for path, ways in sorted(document["paths"].items(), key=lambda pair: pair[0].count("{"))]
        self._validators: dict[str, Draft202012Validator] = {}

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of each."""
        for path, ways in self.document["paths"].items():
            for method, operation in ways.items():
                yield method.upper(), path, operation

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The one that answers there."""
        for pattern, ways in self._paths:
            if pattern.fullmatch(path) and method.lower() in ways:
                return dict(ways[method.lower()])
        return None

    def check(self, method: str, path: str, answer: Any) -> None:
        """Fails for an answer that the document does not describe."""
        operation = self.operation(method, path)
        assert operation is not None, f"guard: no answer beside the document: {method} {path}"
        told, status = operation["responses"], str(answer.status_code)
        assert status in told, f"guard: each status is described: {method} {path}: {status} {answer.text[:200]}"
        content = told[status].get("content", {})
        if not content:
            assert not answer.content, f"{method} {path}: {status} has a body"
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in content, f"guard: each kind of answer is described: {method} {path}: {status} {kind}"
        if kind.endswith("json"):
            found = sorted(error.message[:200] for error in
                           self._validator(content[kind]["schema"]).iter_errors(answer.json()))
            assert not found, f"guard: answers are as the document says: {method} {path}: {status}: {found[:3]}"

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        name = repr(schema)
        if name not in self._validators:
            self._validators[name] = Draft202012Validator({**schema, "components": self._components})
        return self._validators[name]
