# SPDX-License-Identifier: Apache-2.0
"""Asking a gossip agent over its RPC, and turning what it answers back into records and errors."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from .. import errors
from ..errors import GossipError, HoldfastError, NotAuthorized, SecretUnavailable, ServerUnreachable
from .context import environment, settings, token_option
from .params import ADDRESS

if TYPE_CHECKING:
    from .plan import Address

F = TypeVar("F", bound=Callable[..., Any])

#: How long an agent may take beyond what it was asked to wait.
PATIENCE_S: Final = 15.0
TOKEN_VARIABLE: Final = "HOLDFAST_TOKEN"  # noqa: S105 - the name of it
#: What an agent may name as the kind of its error.
_KINDS: Final = ("ConfigurationError", "JoinFailed", "KeyRefused", "NameLost", "NotTrusted")


def rpc_options(command: F) -> F:
    """``--rpc`` and what opens it."""
    command = token_option(command)
    return click.option("--rpc", type=ADDRESS, required=True, envvar="HOLDFAST_GOSSIP_RPC", metavar="HOST:PORT",
                        help="where the agent serves its RPC  [HOLDFAST_GOSSIP_RPC]")(command)


def ask(rpc: Address, path: str, wanted: Mapping[str, Any] | None = None, *, wait_s: float = 0.0) -> Any:
    """What the agent answers, as JSON. wanted: what is sent; None: GET.

    Raises ServerUnreachable, NotAuthorized, and what the agent raised.
    """
    host, port = rpc
    where = f"[{host}]:{port}" if ":" in host else f"{host or '127.0.0.1'}:{port}"
    link = http.client.HTTPConnection(host or "127.0.0.1", port, timeout=PATIENCE_S + wait_s)
    headers = {"Content-Type": "application/json"}
    token = _token()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = None if wanted is None else msgspec.json.encode(wanted)
    try:
        link.request("GET" if body is None else "POST", path, body, headers)
        answer = link.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServerUnreachable(f"no gossip agent answers at {where} ({_why(error)}): start one with "
                                " `holdfast gossip agent --rpc`, or name another with --rpc") from error
    finally:
        link.close()
    return _read(answer.status, data, where)


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read(status: int, data: bytes, where: str) -> Any:
    try:
        found = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # ValueError: no UTF-8
        raise ServerUnreachable(f"what answers at {where} is no gossip agent of ours") from None
    if status == http.client.OK:
        return found
    said = found if isinstance(found, dict) else {}
    text = str(said.get("error") or f"the agent answered with status {status}")
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        raise NotAuthorized(text)
    if status == http.client.SERVICE_UNAVAILABLE:
        raise ServerUnreachable(text)
    kind = str(said.get("kind", ""))
    raised: type[HoldfastError] = getattr(errors, kind) if kind in _KINDS else GossipError
    raise raised(text)


def _token() -> str:
    """That of the environment, else the first of the file."""
    said = environment().get(TOKEN_VARIABLE, "")
    file: Path | None = settings().token_file
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise SecretUnavailable(f"the token cannot be read from {file}: {type(error).__name__}") from None
        said = next((line for line in lines if line and not line.startswith("#")), "")
    return said.rpartition(":")[2]
