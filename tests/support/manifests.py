# SPDX-License-Identifier: Apache-2.0
"""The manifests for Kubernetes, and what a kubelet makes of them."""

from __future__ import annotations

from pathlib import Path

KUBERNETES = Path(__file__).parents[2] / "ops" / "kubernetes"


def environment_of(owner: dict, pod: str, index: int) -> dict[str, str]:
    """The environment of a pod's first container: values, and fields through the downward API; secrets as a word."""
    fields = {"metadata.name": pod, "metadata.labels['apps.kubernetes.io/pod-index']": str(index)}
    found = {"HOSTNAME": pod}
    for entry in owner["spec"]["template"]["spec"]["containers"][0].get("env", ()):
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            found[entry["name"]] = fields[source["fieldRef"]["fieldPath"]]
        else:
            found[entry["name"]] = entry.get("value", "secret")
    return found
