# SPDX-License-Identifier: Apache-2.0
"""The console's API, asked all that its own document describes and much that it does not, by somebody of every role.

Whatever is asked: nothing without a role, no 5xx, and no answer that the document does not describe.
"""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest

from holdfast.console import create_app
from holdfast.console.gate import OPEN
from tests.support.api_document import Truth
from tests.support.consoles import console_of, token
from tests.support.fuzzing import by_hand, described, odd_paths
from tests.support.planted import letter_id, plant

#: Many requests; some 40 s in all on a machine that has nothing else to do.
pytestmark = pytest.mark.timeout(300)
SEED = 20_26
SOUND, UNSOUND = 8, 6
#: Sound bodies, by the end of the path, that reach as far as they can.
SAMPLES = {
    "assign": {"assignee": "bo"}, "comment": {"words": "odd"}, "edit": {"body": '{"n": 2}'},
    "several": {"act": "assign", "ids": [letter_id(1), "nobody"]}, "take-next": {}, "pause": {"why": "tea"},
    "erase": {"stream": "s", "group": "billing", "key": "k0", "why": "asked"}, "cancel": {"why": "tea"},
    "jobs": {"ids": [letter_id(2)], "redirect_to": ""}, "session": {"name": "ana", "password": "x"},
}


class Fuzzed:
    """A console with letters, and what was answered to whom."""

    def __init__(self, loop, console, client, app):
        self.loop, self.console, self.client = loop, console, client
        self.truth = Truth(app.openapi())
        self.asked = 0
        self.statuses = set()
        self.job = ""

    def ask(self, request, name="approver.a"):
        method, target, headers, body = request
        headers = {key: value for key, value in headers.items() if key.lower() not in ("authorization", "cookie")}
        if name:
            headers["authorization"] = f"Bearer {token(name)}"
        url = httpx2.URL("http://localhost").copy_with(raw_path=target.encode("utf-8", "surrogatepass"))
        answer = self.loop.run(self._sent(method, url, headers, body))
        self.asked += 1
        self.statuses.add(answer.status_code)
        assert answer.status_code < 500, f"guard: no 5xx, whatever is asked: {method} {target[:200]} {body[:200]!r}"
        return answer

    async def _sent(self, method, url, headers, body):
        values = [(key.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                  for key, value in headers.items()]
        return await self.client.request(method, url, headers=values, content=body)

    def here(self, path):
        """A place that is there."""
        return path.replace("{letter_id}", letter_id(0)).replace("{job_id}", self.job)


@pytest.fixture
def fuzzed(backend, stream, tmp_path):
    """A console before a server and a desk with letters and a job."""
    plant(backend.admin, stream, 6, key=lambda n: f"k{n}")
    with asyncio.Runner() as loop:
        # Whoever listens is let go at once: an answer without end is not to be waited for here.
        console = console_of(backend.url, f"sqlite:///{tmp_path}/desk.db", live_whole_s=0.0, live_s=60.0)
        app = create_app(console)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        found = Fuzzed(loop, console, httpx2.AsyncClient(transport=transport, base_url="http://localhost"), app)
        while not found.ask(("GET", "/api/groups", {}, b"")).json():
            pass
        made = found.ask(("POST", "/api/jobs", JSON, b'{"ids": ["%s"], "approval": true}' % letter_id(5).encode()))
        found.job = made.json()["jobs"][0]["id"]
        yield found
        loop.run(found.client.aclose())
        loop.run(console.close())


def test_whatever_the_document_describes_is_answered_as_it_says(fuzzed):
    for method, path, _ in fuzzed.truth.operations():
        for sound in (True, False):
            for request in described(fuzzed.truth.document, path, method, sound=sound, many=SOUND if sound else UNSOUND,
                                     seed=SEED):
                for target in {request[1], _placed(request[1], path, fuzzed)}:
                    answer = fuzzed.ask((request[0], target, *request[2:]))
                    if answer.status_code not in (404, 405) or request[0] == method:
                        _told(fuzzed, request[0], target, answer)
    assert fuzzed.asked > 500
    assert fuzzed.statuses >= {200, 202, 204, 404, 409, 422}, fuzzed.statuses


def test_what_breaks_servers_is_refused_and_not_repeated(fuzzed):
    for method, path, operation in fuzzed.truth.operations():
        sample, schema = SAMPLES.get(path.rpartition("/")[2], {}), _schema(fuzzed.truth.document, operation)
        for request in by_hand(method, fuzzed.here(path), schema, sample):
            answer = fuzzed.ask(request)
            if path not in OPEN or method != "GET":
                _told(fuzzed, method, request[1], answer)
        for target in odd_paths(path) if "{" in path else ():
            answer = fuzzed.ask((method, target, JSON, json.dumps(sample).encode()))
            assert answer.status_code in {200, 202, 404, 405, 409, 422}, f"{target[:100]}: {answer.status_code}"
            assert "x-injected" not in answer.headers
    assert fuzzed.asked > 1_000


def test_nothing_is_answered_without_a_role(fuzzed):
    for method, path, operation in fuzzed.truth.operations():
        for request in described(fuzzed.truth.document, path, method, sound=True, many=3, seed=SEED):
            target = _placed(request[1], path, fuzzed)
            nobody = fuzzed.ask((request[0], target, *request[2:]), name="")
            if operation["security"]:
                assert nobody.status_code == 401, f"guard: nothing for nobody: {method} {path}"
                assert nobody.headers["content-type"] == "application/problem+json"
            needs = operation.get("description", "").rpartition("Takes the role ")[2].rstrip(".")
            for name in ("viewer.v", "operator.o") if needs in {"operator", "approver"} else ():
                answer = fuzzed.ask((request[0], target, *request[2:]), name=name)
                enough = needs == name.partition(".")[0]
                assert (answer.status_code == 403) is not enough, f"guard: no more than the role: {name} {path}"


JSON = {"content-type": "application/json"}


def _placed(target, path, fuzzed):
    """The same request at a place that is there."""
    return fuzzed.here(path) + (f"?{target.partition('?')[2]}" if "?" in target else "")


def _told(fuzzed, method, target, answer):
    path = target.partition("?")[0]
    if answer.status_code == 404 and fuzzed.truth.operation(method, path) is None:
        return  # a parameter with a slash in it is another place
    fuzzed.truth.check(method, path, answer)
    if answer.status_code == 422:
        assert len(answer.text) < 1_500


def _schema(document, operation):
    """Of the body, if it takes one."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return None
    (schema,) = (one["schema"] for one in content.values())
    return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
