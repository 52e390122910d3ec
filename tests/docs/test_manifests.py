# SPDX-License-Identifier: Apache-2.0
"""The manifests for Kubernetes: by Kubernetes' own schemas, and by what they say of each other and of our commands.

No cluster is asked. The schemas are those that kubernetes-validate carries, in which unknown fields are errors.
"""

from __future__ import annotations

import copy
import os

import click
import kubernetes_validate
import pytest
import yaml

from holdfast.cli import main
from holdfast.cli.id_serve import TOKEN_VARIABLE
from holdfast.ids import named
from tests.docs.commands import parsed
from tests.support.manifests import KUBERNETES

#: The oldest that knows sidecars and sleep in preStop, and the newest there is a schema for.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
FILES = sorted(KUBERNETES.glob("*.yaml"))
DOCUMENTS = [(file.name, each) for file in FILES for each in yaml.safe_load_all(file.read_text())]
WORKLOADS = [(file, each) for file, each in DOCUMENTS if each["kind"] in ("Deployment", "StatefulSet")]


def shown(value):
    return f"{value['kind']}/{value['metadata']['name']}" if isinstance(value, dict) else str(value)


def all_of(kind):
    return {each["metadata"]["name"]: each for _, each in DOCUMENTS if each["kind"] == kind}


def labels(workload):
    return workload["spec"]["template"]["metadata"]["labels"].items()


def pod(workload):
    return workload["spec"]["template"]["spec"]


def containers(workload):
    return [*pod(workload).get("initContainers", ()), *pod(workload)["containers"]]


def ports(container):
    return {port["name"]: port["containerPort"] for port in container.get("ports", ())}


def said(container, flag):
    args = container.get("args", ())
    return args[args.index(flag) + 1] if flag in args else None


each_document = pytest.mark.parametrize(("file", "document"), DOCUMENTS, ids=shown)
each_workload = pytest.mark.parametrize(("file", "workload"), WORKLOADS, ids=shown)


def test_there_is_one_of_each_scheme():
    assert {file.name for file in FILES} >= {
        "deployment-variable.yaml", "statefulset.yaml", "worker-ids-lease.yaml", "init-container.yaml"}


@pytest.mark.parametrize("version", VERSIONS)
@each_document
def test_it_is_what_kubernetes_takes(file, document, version):
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_would_see_a_word_that_is_none():
    document = copy.deepcopy(all_of("Deployment")["ids"])
    pod(document)["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


@each_workload
def test_a_selector_finds_its_own_pods_and_nobody_elses(file, workload):
    wanted = workload["spec"]["selector"]["matchLabels"].items()
    assert [shown(other) for _, other in WORKLOADS if wanted <= labels(other)] == [shown(workload)]


@pytest.mark.parametrize("service", all_of("Service").values(), ids=shown)
def test_a_service_leads_to_a_port_of_its_pods(service):
    wanted = service["spec"]["selector"].items()
    found = [each for _, each in WORKLOADS if wanted <= labels(each)]
    assert found
    for workload in found:
        offered = set().union(*(ports(container) for container in containers(workload)))
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= offered


def test_a_statefulsets_service_is_there_and_has_no_address_of_its_own():
    sets, services = all_of("StatefulSet"), all_of("Service")
    assert sets
    for each in sets.values():
        assert services[each["spec"]["serviceName"]]["spec"]["clusterIP"] == "None"


def test_parts_of_the_sets_do_not_overlap_and_leave_room_for_their_pods():
    parts = []
    for each in all_of("StatefulSet").values():
        environ = {entry["name"]: entry.get("value") for entry in pod(each)["containers"][0]["env"]}
        offset, count = int(environ[named.OFFSET]), int(environ[named.COUNT])
        assert each["spec"]["replicas"] <= count
        parts.append(range(offset, offset + count))
    numbers = [number for part in parts for number in part]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 1024


@each_workload
def test_probes_ask_ports_that_are_there_and_readiness_is_asked(file, workload):
    for container in containers(workload):
        assert "readinessProbe" in container
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["port"] in ports(container)
        assert container["readinessProbe"]["httpGet"]["path"] != container["livenessProbe"]["httpGet"]["path"]


@each_workload
def test_a_pod_may_do_little_and_says_what_it_takes(file, workload):
    spec = pod(workload)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "automountServiceAccountToken" in spec
    for container in containers(workload):
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                "capabilities": {"drop": ["ALL"]}}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        name, _, tag = container["image"].rpartition(":")
        assert name
        assert tag != "latest"


@each_workload
def test_there_is_time_to_end_in_good_order(file, workload):
    for container in containers(workload):
        before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        linger_s = int((said(container, "--linger") or "0s").removesuffix("s"))
        left_s = pod(workload)["terminationGracePeriodSeconds"] - before_s - linger_s
        assert left_s >= 10, "requests in flight, and 2 s at most to give the worker id back"
        assert before_s or linger_s or container.get("restartPolicy") == "Always", "load balancers need some time"


@each_workload
def test_volumes_that_are_mounted_are_there(file, workload):
    there = {volume["name"] for volume in pod(workload).get("volumes", ())}
    mounted = {mount["name"] for container in containers(workload) for mount in container.get("volumeMounts", ())}
    assert mounted == there


@each_workload
def test_whoever_asks_the_api_server_has_an_account_a_role_and_a_token(file, workload):
    asks = [container for container in containers(workload) if said(container, "--scheme") == "kubernetes"]
    spec = pod(workload)
    if not asks:
        assert spec["automountServiceAccountToken"] is False
        return
    account = spec["serviceAccountName"]
    assert account in all_of("ServiceAccount")
    (binding,) = [each for each in all_of("RoleBinding").values()
                  if {"kind": "ServiceAccount", "name": account} in each["subjects"]]
    assert binding["roleRef"]["name"] in all_of("Role")
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    for container in asks:
        mounted = folder in {mount["mountPath"] for mount in container.get("volumeMounts", ())}
        assert spec["automountServiceAccountToken"] is not mounted, "one of the two"


def commands():
    return [pytest.param(container, id=f"{shown(workload)}:{container['name']}") for _, workload in WORKLOADS
            for container in containers(workload) if container.get("command", [""])[0] == "holdfast"]


@pytest.mark.parametrize("container", commands())
def test_a_command_of_ours_is_one_that_there_is_and_its_ports_are_those_of_the_container(container, monkeypatch):
    for entry in container.get("env", ()):
        monkeypatch.setenv(entry["name"], entry.get("value", "NAME:secret"))
    command, context = parsed([*container["command"][1:], *container["args"]])
    assert command.name in {"serve", "hold"}
    listens = context.params.get("port") or context.params["health"][1]
    assert set(ports(container).values()) == {listens}
    assert {"--window", "--pool"} <= set(container["args"])


@pytest.mark.parametrize("container", commands())
def test_every_path_that_is_probed_is_served(container):
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == ({"/readyz", "/healthz"} if "serve" in container["command"] else {"/ready", "/live"})


def test_there_are_commands_of_ours_and_one_with_a_wrong_flag_would_be_seen():
    assert len(commands()) == 2
    with pytest.raises(click.NoSuchOption):
        parsed(["id", "serve", "--prot", "8080"])


def test_every_variable_is_one_that_somebody_reads():
    flags = {variable for command in walk(main) for parameter in command.params
             for variable in ([parameter.envvar] if isinstance(parameter.envvar, str) else parameter.envvar or ())}
    known = flags | {TOKEN_VARIABLE, named.VARIABLE, named.INDEX, named.OFFSET, named.COUNT, "POD_NAME",
                     "WORKER_ID_FILE"}
    used = {entry["name"] for _, workload in WORKLOADS for container in containers(workload)
            for entry in container.get("env", ())}
    assert used <= known
    assert "HOLDFAST_URL" in used


def walk(command):
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from walk(command.get_command(context, name))


def test_files_say_what_they_are_and_warn_of_what_goes_wrong():
    for file in FILES:
        assert file.read_text().startswith("# SPDX-License-Identifier: Apache-2.0" + os.linesep)
    text = (KUBERNETES / "deployment-variable.yaml").read_text()
    assert "WARNING" in text
    assert all_of("Deployment")["billing-7"]["spec"]["replicas"] == 1
    assert all_of("Deployment")["billing-7"]["spec"]["strategy"]["type"] == "Recreate"
