# SPDX-License-Identifier: Apache-2.0
"""Where a job redirects to, and who may run it."""

from __future__ import annotations

import pytest

from holdfast.deadletters.jobs import Job, JobRefused, Plan
from holdfast.deadletters.jobs.target import check_reach, target_of
from holdfast.errors import ConfigurationError


@pytest.mark.parametrize(("said", "url", "kept"), [
    ("", "", ""), ("returns", "", "returns"), ("a@b", "", "a@b"), ("returns", "amqp://u:p@H/v", "returns@amqp://h:5672/v"),
    ("returns@kafka://b,a:1", "", "returns@kafka://a:1,b:9092"),
    ("returns@amqp://u:p@h", "", "returns@amqp://h:5672/"), ("x@y@amqps://h", "", "x@y@amqps://h:5671/"),
    ("returns@amqp://h", "amqp://u:p@h:5672/", "returns@amqp://h:5672/"),
    ("returns@amqp://u:p@kafka://@h", "", "returns@amqp://h:5672/"),
], ids=["none", "here", "at", "url", "in the name", "password", "two", "both", "odd password"])
def test_what_a_job_keeps_of_where_it_redirects_to(said, url, kept):
    assert target_of(said, url) == kept, "guard: no credentials at the desk"


@pytest.mark.parametrize(("said", "url"), [("@amqp://h", ""), ("x@amqp://h", "amqp://other"), ("x", "http://h"),
                                           ("x@amqp://", ""), ("x", "redis://h")])
def test_what_is_no_target_is_said(said, url):
    with pytest.raises(ConfigurationError):
        target_of(said, url)


def job(redirect_to):
    return Job(id="J", logical="s", group="g", asked="all", plan=Plan(redirect_to=redirect_to), by="ann")


@pytest.mark.parametrize(("to", "url"), [("x@amqp://h:5672/", "amqp://u:p@H"), ("x", ""), ("", "")])
def test_whoever_reaches_the_broker_may_run_it(to, url):
    check_reach(job(to), url)


@pytest.mark.parametrize(("to", "url", "told"), [
    ("x@amqp://h:5672/", "", "with --redirect-url amqp://h:5672/"),
    ("x@amqp://h:5672/", "amqp://other", "with --redirect-url amqp://h:5672/"),
    ("x", "amqp://h", "without --redirect-url"), ("", "kafka://h", "without --redirect-url")],
    ids=["none", "another", "here", "no redirect"])
def test_whoever_reaches_none_or_another_may_not(to, url, told):
    with pytest.raises(JobRefused, match="resume it " + told):
        check_reach(job(to), url)
