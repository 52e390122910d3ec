# SPDX-License-Identifier: Apache-2.0
"""``holdfast run``: the consumers of a module, in one process or in several."""

from __future__ import annotations

from pathlib import Path

import click

from .context import records_option, server_options, settings
from .params import ADDRESS, DURATION


@click.command()
@click.argument("app", metavar="MODULE:NAME")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="worker processes")
@click.option("--reload", is_flag=True, help="for development: start again when a .py file beside the module changes")
@click.option("--uvloop/--no-uvloop", default=None, help="the event loop  [default: uvloop where it is installed]")
@click.option("--health", type=ADDRESS, help="serve /live, /ready and /metrics here")
@click.option("--metrics", type=ADDRESS, help="serve /metrics here")
@click.option("--drain", "drain_s", type=DURATION, default="10s", show_default=True,
              help="how long running handlers may still take after SIGTERM")
@click.option("--limits", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="TOML file of limits; its numbers may change while it runs")
@records_option
@server_options()
def command(*, app: str, processes: int, reload: bool, uvloop: bool | None, health: tuple[str, int] | None,
            metrics: tuple[str, int] | None, drain_s: float, limits: Path | None) -> int:
    """Run the consumers of MODULE:NAME, a Holdfast, until SIGTERM or Ctrl-C.

    Stopping takes no new work, hands back what has not started, lets running handlers finish within --drain, and
    settles. With several processes a crashed one is replaced; one that crashes at once, again and again, ends the run
    with 1. --url may name another broker, amqp:// or kafka://: what that cannot do is said first.
    """
    from .plan import Plan
    from .supervise import supervise
    from .work import run_alone

    over, unless = settings().named()
    plan = Plan(app=app, processes=processes, reload=reload, uvloop=uvloop, health=health, metrics=metrics,
                drain_s=drain_s, limits=None if limits is None else str(limits), over=over, unless=unless,
                debug=settings().debug)
    return supervise(plan) if processes > 1 or reload else run_alone(plan)
