# SPDX-License-Identifier: Apache-2.0
"""Where a job redirects to, and who may run one that leaves this server. Pure.

The desk keeps no passwords, so it keeps a broker's name alone: whoever runs the job brings the URL. One that reaches
another broker, or none, must not: a stream of the same name may be there, and the letters would be gone.
"""

from __future__ import annotations

from typing import Final

from ...errors import ConfigurationError
from ..branch.origin import broker_of, named, shown
from .job import Job, JobRefused

__all__ = ["check_reach", "target_of"]

#: Between a stream and its broker.
_AT: Final = ("@amqp://", "@amqps://", "@kafka://")


def target_of(redirect_to: str, url: str = "") -> str:
    """A stream to redirect to as a job keeps it: of this server by its name, another broker's with that broker's. url:
    the broker's; otherwise it may stand in the name. What stands in it as a password is left out.

    Raises ConfigurationError.
    """
    at = min((found for scheme in _AT if (found := redirect_to.find(scheme)) >= 0), default=-1)
    if at < 0:
        return named(redirect_to, url) if url else redirect_to
    target = named(redirect_to[:at], redirect_to[at + 1:])  # guard: no credentials at the desk
    if not redirect_to[:at] or (url and broker_of(target) != shown(url)):
        raise ConfigurationError("name the stream, and its broker once: --redirect STREAM --redirect-url URL")
    return target


def check_reach(job: Job, url: str) -> None:
    """Raises JobRefused unless ``url`` is that of the broker to which the job redirects; empty: it needs none."""
    broker = broker_of(job.plan.redirect_to)
    if broker != (shown(url) if url else ""):  # guard: nothing goes to a stream of the same name elsewhere
        raise JobRefused(f"job {job.id} redirects to {broker or 'this server'}: resume it "
                         f"{'with --redirect-url ' + broker if broker else 'without --redirect-url'}")
