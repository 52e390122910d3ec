# SPDX-License-Identifier: Apache-2.0
"""Alerts of the dead-letter service where they will live: a real Prometheus scrapes a real ``holdfast dlq serve``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from holdfast.testing.ports import free_port
from holdfast.testing.waiting import wait_until
from tests.cli.test_dlq_serve import GROUP, Serving, cases
from tests.support.dying import bury

RULES = Path(__file__).resolve().parents[2] / "ops/alerts/holdfast-dlq.rules.yml"
NEW, WAITS = "HoldfastDlqNewError", "HoldfastDlqWaitsForPerson"


def hurried(rules):
    """The same rules, for a test's patience: what is waited for, and looked back at, is seconds."""
    quick = re.sub(r"for: \d+[mh]", "for: 1s", rules).replace("> 86400", "> 1")
    return quick.replace("[15m]", "[8s]").replace("offset 15m", "offset 8s")


class Prometheus:
    """One server that scrapes ``target`` each second, until the block ends."""

    def __init__(self, folder, target):
        found = shutil.which("prometheus")
        if found is None:
            reason = "prometheus is not installed: apt-get install prometheus"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        self.folder, self.port = folder, free_port()
        (folder / "dlq.rules.yml").write_text(hurried(RULES.read_text()))
        (folder / "prometheus.yml").write_text(json.dumps({  # YAML holds JSON
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["dlq.rules.yml"],
            "scrape_configs": [{"job_name": "dlq", "static_configs": [{"targets": [target]}]}]}))
        self.command = [found, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                        f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.http = httpx2.Client(trust_env=False, timeout=10, base_url=f"http://127.0.0.1:{self.port}")

    def __enter__(self):
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.http.get("/-/ready").status_code == 200, 30, "Prometheus is ready",
                   errors=(httpx2.TransportError,))
        return self

    def __exit__(self, *_):
        self.http.close()
        self.process.kill()
        self.process.wait()

    def query(self, expr):
        return self.http.get("/api/v1/query", params={"query": expr}).json()["data"]["result"]

    def alerts(self):
        """Those that are pending or firing: name → state and labels."""
        return {alert["labels"]["alertname"]: (alert["state"], alert["labels"])
                for alert in self.http.get("/api/v1/alerts").json()["data"]["alerts"]}

    def firing(self, name):
        return self.alerts().get(name, ("",))[0] == "firing"


def test_an_unknown_error_is_an_alert_until_somebody_deals_with_it(at, backend, stream, arun, tmp_path):
    with Serving(tmp_path, backend.url, "--all") as serving, \
            Prometheus(tmp_path, serving.address.removeprefix("http://")) as prometheus:
        wait_until(serving.ready, 20, "the service is ready")
        wait_until(lambda: prometheus.query("holdfast_dlq_service_ready == 1"), 20, "Prometheus has seen it")
        assert prometheus.alerts() == {}, "nothing is wrong"
        arun(bury(backend.url, stream, GROUP, [{"n": 1}]))
        wait_until(lambda: prometheus.firing(NEW), 20, "the error is new, and its counter came with it")
        assert prometheus.alerts()[NEW][1].items() >= {"stream": stream, "group": GROUP, "severity": "warning"}.items()
        wait_until(lambda: prometheus.firing(WAITS), 30, "nobody has touched the letter")
        (case,) = cases(at, tmp_path, "--open")
        desk = f"sqlite:///{tmp_path}/desk.db"
        assert at("dlq", "throw-away", case["letter_id"], "--desk", desk, "--by", "ana").code == 0
        wait_until(lambda: prometheus.alerts() == {}, 30, "it is dealt with, and the error is no longer new")
