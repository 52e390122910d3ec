# SPDX-License-Identifier: Apache-2.0
"""The manifests for KEDA: by the shapes that it documents, by what they say of each other, by what a server answers.

KEDA's own schemas are in no wheel, so the part of them that is used here is written out below, and strict: a word that
is none is an error. No cluster is asked.
"""

from __future__ import annotations

import asyncio
import copy

import jsonschema
import kubernetes_validate
import pytest
import yaml

from holdfast import Fixed, Holdfast, Retry
from holdfast.testing import wait_until_async
from tests.docs.commands import parsed
from tests.house.tree import ROOT

FOLDER = ROOT / "ops" / "keda"
FILES = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS = [(file.name, each) for file in FILES for each in yaml.safe_load_all(file.read_text())]


def closed(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
#: Numbers of a trigger are text.
NUMBER = {"type": "string", "pattern": "^[0-9]+$"}
METADATA = {
    "redis-streams": closed(
        ["stream"], address=TEXT, addressFromEnv=TEXT, stream=TEXT, consumerGroup=TEXT, pendingEntriesCount=NUMBER,
        streamLength=NUMBER, lagCount=NUMBER, activationLagCount=NUMBER, databaseIndex=NUMBER, enableTLS=TEXT,
        unsafeSsl=TEXT, passwordFromEnv=TEXT, usernameFromEnv=TEXT),
    "prometheus": closed(
        ["serverAddress", "query", "threshold"], serverAddress=TEXT, query=TEXT, threshold=NUMBER,
        activationThreshold=NUMBER, namespace=TEXT, ignoreNullValues=TEXT, unsafeSsl=TEXT, authModes=TEXT),
}
NAME = closed(["name"], name=TEXT, labels={"type": "object"}, namespace=TEXT)
KINDS = {
    "ScaledObject": closed(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": "keda.sh/v1alpha1"}, kind=TEXT, metadata=NAME,
        spec=closed(
            ["scaleTargetRef", "triggers"],
            scaleTargetRef=closed(["name"], name=TEXT, kind=TEXT, apiVersion=TEXT, envSourceContainerName=TEXT),
            pollingInterval=COUNT, cooldownPeriod=COUNT, initialCooldownPeriod=COUNT, idleReplicaCount=COUNT,
            minReplicaCount=COUNT, maxReplicaCount=COUNT,
            fallback=closed(["failureThreshold", "replicas"], failureThreshold=COUNT, replicas=COUNT, behavior=TEXT),
            advanced=closed(
                restoreToOriginalReplicaCount={"type": "boolean"},
                horizontalPodAutoscalerConfig=closed(name=TEXT, behavior={"type": "object"})),
            triggers={"type": "array", "minItems": 1, "items": closed(
                ["type", "metadata"], type={"enum": list(METADATA)}, name=TEXT, metadata={"type": "object"},
                useCachedMetrics={"type": "boolean"}, metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                authenticationRef=closed(["name"], name=TEXT, kind=TEXT))})),
    "TriggerAuthentication": closed(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion={"const": "keda.sh/v1alpha1"}, kind=TEXT, metadata=NAME,
        spec=closed(secretTargetRef={"type": "array", "items": closed(
            ["parameter", "name", "key"], parameter=TEXT, name=TEXT, key=TEXT)})),
}


def validated(document):
    """Raises what is wrong with a document, whoever's kind it is."""
    if document["kind"] not in KINDS:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        return
    jsonschema.validate(document, KINDS[document["kind"]])
    behavior = document["spec"].get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get("behavior")
    if behavior is not None:  # Kubernetes' own: checked by its schema, in an autoscaler around it
        kubernetes_validate.validate({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 1, "behavior": behavior}},
            kubernetes_validate.latest_version(), strict=True)
    for trigger in document["spec"].get("triggers", ()):
        jsonschema.validate(trigger["metadata"], METADATA[trigger["type"]])


def shown(value):
    return value["kind"] if isinstance(value, dict) else str(value)


def scaled():
    return [pytest.param(each, id=file) for file, each in DOCUMENTS if each["kind"] == "ScaledObject"]


def one(kind):
    return next(each for _, each in DOCUMENTS if each["kind"] == kind)


def by_lag():
    (found,) = [t["metadata"] for _, each in DOCUMENTS if each["kind"] == "ScaledObject"
                for t in each["spec"]["triggers"] if t["type"] == "redis-streams"]
    return found


@pytest.mark.parametrize(("file", "document"), DOCUMENTS, ids=shown)
def test_it_is_what_kubernetes_and_keda_take(file, document):
    validated(document)


@pytest.mark.parametrize("break_it", [
    lambda d: d["spec"].update(minReplicas=1),
    lambda d: d["spec"]["triggers"][0]["metadata"].update(lagcount="5"),
    lambda d: d["spec"]["triggers"][0]["metadata"].update(threshold=5, lagCount=5),
    lambda d: d["spec"].setdefault("advanced", {}).update(horizontalPodAutoscalerConfig={
        "behavior": {"scaleDown": {"window": 5}}}),
], ids=["a word that is none", "a trigger's word that is none", "a number that is no text", "a behaviour that is none"])
def test_the_schemas_would_see_what_is_wrong(break_it):
    document = copy.deepcopy(one("ScaledObject"))
    break_it(document)
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validated(document)


@pytest.mark.parametrize("document", scaled())
def test_it_scales_the_deployment_that_is_there_and_never_to_none(document):
    spec = document["spec"]
    deployment = one("Deployment")
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    assert 1 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
    assert "idleReplicaCount" not in spec
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_its_password_comes_from_the_secret_that_the_workers_use():
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    secret = container["env"][0]["valueFrom"]["secretKeyRef"]["name"]
    authentication = one("TriggerAuthentication")
    assert {ref["name"] for ref in authentication["spec"]["secretTargetRef"]} == {secret}
    triggers = [t for _, each in DOCUMENTS if each["kind"] == "ScaledObject" for t in each["spec"]["triggers"]]
    assert {t["authenticationRef"]["name"] for t in triggers if "authenticationRef" in t} == {
        authentication["metadata"]["name"]}


def test_the_command_is_ours_and_a_pod_has_longer_than_its_drain():
    pod = one("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, context = parsed([*container["command"][1:], *container["args"]])
    assert context.params["health"][1] == container["ports"][0]["containerPort"]
    assert pod["terminationGracePeriodSeconds"] > context.params["drain_s"] + 5
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] in {"/live", "/ready"}


def test_the_metric_it_asks_for_is_one_of_ours():
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    (query,) = [t["metadata"]["query"] for _, each in DOCUMENTS if each["kind"] == "ScaledObject"
                for t in each["spec"]["triggers"] if t["type"] == "prometheus"]
    assert "### `holdfast_group_lag`" in page
    assert "holdfast_group_lag{" in query


@pytest.mark.kinds("valkey")
def test_a_retry_that_waits_is_pending_and_no_lag_and_what_nobody_has_read_is_lag(backend, arun):
    """Why the manifest counts lag, and why it keeps one worker: asked as KEDA asks, XINFO GROUPS."""
    said = by_lag()
    assert "lagCount" in said
    assert "pendingEntriesCount" not in said

    def group():
        for found in backend.admin.xinfo_groups(said["stream"]):
            if found["name"] == said["consumerGroup"].encode():
                return found["lag"], found["pending"]
        return None

    async def live():
        async with Holdfast(backend.url) as hf:
            @hf.consumer(said["stream"], group=said["consumerGroup"], retry=Retry(attempts=2, backoff=Fixed(3600)))
            async def bill(body: dict) -> None:
                raise LookupError("later")

            await hf.publish(said["stream"], {})
            run = asyncio.create_task(hf.run(drain_s=1))
            await wait_until_async(lambda: group() == (0, 1), 60, "it waits")
            hf.stop()
            await run
            for _ in range(7):
                await hf.publish(said["stream"], {})
        assert group() == (7, 1)

    arun(live())
