# SPDX-License-Identifier: Apache-2.0
"""``holdfast id serve``: ids over HTTP, from the first claim of a worker id until it is given back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .context import environment, settings, token_option
from .id_scheme import scheme_of, scheme_options
from .params import DURATION, LOOPBACK

if TYPE_CHECKING:
    from ..ids.service import Quota

    _PairType = click.ParamType[tuple[str, str]]
else:  # as of click 8.3 it is generic
    _PairType = click.ParamType

#: Names of tags stand in URLs, and on labels of metrics.
_TAG = "letters, digits, dots, dashes and underscores"
KINDS = ("snowflake", "segment")
TOKEN_VARIABLE = "HOLDFAST_TOKEN"  # noqa: S105 - the name of it


class _Pair(_PairType):
    """``NAME=VALUE``."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, rest = str(value).partition("=")
        if not equals or not rest or not name.isascii() or not name.replace(".", "").replace("-", "").isidentifier():
            self.fail(f"{value!r}: NAME=… is wanted, the name of {_TAG}", param, ctx)
        return name, rest


_PAIR = _Pair()


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="where to listen")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 picks a free one")
@click.option("--tag", "tags", multiple=True, type=_PAIR, metavar="NAME=KIND",
              help="what can be asked for, several times if need be. KIND: snowflake (a worker id and the time), or "
                   "segment (a counter at --sql)  [default: ids=snowflake]")
@click.option("--quota", "quotas", multiple=True, type=_PAIR, metavar="TAG=RATE[/BURST]",
              help="ids a second of a tag, for all callers together, and how many at once (default: RATE)")
@click.option("--client-quota", "client_quotas", multiple=True, type=_PAIR, metavar="TAG=RATE[/BURST]",
              help="the same for each caller: by its token's name, else by X-Client-Id")
@click.option("--batch-max", default=10_000, show_default=True, type=click.IntRange(1, 1_000_000),
              help="most ids in one request")
@click.option("--in-flight-max", default=256, show_default=True, type=click.IntRange(1),
              help="most requests at work; the others are refused at once")
@click.option("--linger", "linger_s", type=DURATION, default="0s", show_default=True,
              help="after SIGTERM, how long to serve on while /readyz says no: until load balancers have noticed")
@click.option("--allow-anyone", is_flag=True, help="listen beyond this machine without tokens")
@click.option("--name", default="", help="who this is; whoever had a worker id under the same name gets it again where "
                                         "it can  [default: host/pid]")
@click.option("--layout", default="snowflake", show_default=True, help="of snowflake tags; see `holdfast id layouts`")
@click.option("--window", "window_s", default=30.0, show_default=True, type=click.FloatRange(0.2),
              help="seconds for which a worker id is claimed at a time; for so long the store can be away")
@token_option
@scheme_options
def serve(*, host: str, port: int, tags: Sequence[tuple[str, str]], quotas: Sequence[tuple[str, str]],
          client_quotas: Sequence[tuple[str, str]], **more: Any) -> int:
    """Serve ids over HTTP until SIGTERM or Ctrl-C.

    It prints its address once ids can be had. A store that is away at the start is waited for. Stopping answers what is
    in flight and gives the worker id back; whoever has it next begins behind the last id that was made. Several
    instances need nothing of each other; quotas are those of one instance.
    """
    from .id_service import Wanted, serving

    kinds = dict(tags or [("ids", "snowflake")])
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise click.BadParameter(f"{name}={kind}: {kind!r} is none of {', '.join(KINDS)}", param_hint="--tag")
    tokens = _tokens()
    if tokens is None and host not in LOOPBACK and not more["allow_anyone"]:  # guard: nobody else by mistake
        raise click.UsageError(f"--host {host} lets others ask: give --token-file or {TOKEN_VARIABLE}, or say "
                               "--allow-anyone")
    plan = Wanted(host=host, port=port, kinds=kinds, quotas=_quotas(quotas, kinds, "--quota"), tokens=tokens,
                  client_quotas=_quotas(client_quotas, kinds, "--client-quota"), layout=more["layout"],
                  window_s=more["window_s"], batch_max=more["batch_max"], in_flight_max=more["in_flight_max"],
                  linger_s=more["linger_s"], name=more["name"], scheme=more["scheme"], pool=more["pool"],
                  sql=settings().sql, make=scheme_of)
    if "segment" in kinds.values() and plan.sql is None:
        raise click.UsageError("a tag of kind segment needs --sql, or HOLDFAST_SQL")
    from .work import loop_factory

    with asyncio.Runner(loop_factory=loop_factory(None)) as runner:
        return runner.run(serving(plan))


def _tokens() -> Any:
    """Those of the file, else that of the environment, else None: whoever reaches the service may ask."""
    from ..ids.service import Tokens, tokens_in
    from ..ids.service.access import token_of

    file: Path | None = settings().token_file
    if file is not None:
        return tokens_in(file)
    said = environment().get(TOKEN_VARIABLE)
    return None if said is None else Tokens([token_of(said, TOKEN_VARIABLE)])


def _quotas(said: Sequence[tuple[str, str]], kinds: dict[str, str], flag: str) -> dict[str, Quota]:
    from ..ids.service import Quota

    found = {}
    for name, text in said:
        rate, _, burst = text.partition("/")
        try:
            found[name] = Quota(float(rate), int(burst) if burst else max(1, int(float(rate))))
        except (ValueError, OverflowError):
            raise click.BadParameter(f"{name}={text}: RATE or RATE/BURST is wanted, in ids", param_hint=flag) from None
        if name not in kinds:
            raise click.BadParameter(f"{name}={text}: there is no tag {name!r}", param_hint=flag)
    return found
