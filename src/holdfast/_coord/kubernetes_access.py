# SPDX-License-Identifier: Apache-2.0
"""Where the API server is and who we are: given, or as every pod finds it.

https://kubernetes.io/docs/tasks/run-application/access-api-from-pod: two variables name the API server, and a folder
has the service account's token, the certificate to trust, and the namespace. The token is replaced in its file before
it runs out, after an hour by default, so it is read again for each request.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigurationError, NotAuthorized

#: Where Kubernetes mounts them.
FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN, CERTIFICATES, NAMESPACE = "token", "ca.crt", "namespace"


@dataclass(frozen=True)
class Access:
    """base_url: ``https://host:port``. token: gives the present one; empty for none. verify: the certificates to trust;
    None: those that the system trusts."""

    base_url: str
    namespace: str
    token: Callable[[], str] = field(default=str, repr=False)
    verify: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{self.base_url!r} is no API server: https://host:port")
        object.__setattr__(self, "base_url", self.base_url.rstrip("/"))


def token_in(file: Path) -> Callable[[], str]:
    """Reads it whenever it is asked for. NotAuthorized when it cannot be read."""
    def read() -> str:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise NotAuthorized(f"no service account token in {file}: {error.strerror}; let the pod have one "
                                "(automountServiceAccountToken)") from error

    return read


def in_cluster(environ: Mapping[str, str], *, namespace: str = "", folder: Path = FOLDER) -> Access:
    """As a pod finds it. namespace: another one than the pod's own. ConfigurationError outside of a cluster."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigurationError("KUBERNETES_SERVICE_HOST is not set: this is no pod. Say where the API server is")
    try:
        namespace = namespace or (folder / NAMESPACE).read_text().strip()
        verify = ssl.create_default_context(cafile=str(folder / CERTIFICATES))
    except OSError as error:
        raise ConfigurationError(f"{folder}: {error.strerror or error}: no service account is mounted there "
                                 "(automountServiceAccountToken)") from error
    shown = f"[{host}]" if ":" in host else host  # an IPv6 cluster
    return Access(f"https://{shown}:{port}", namespace, token_in(folder / TOKEN), verify)
