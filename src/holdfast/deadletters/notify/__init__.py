# SPDX-License-Identifier: Apache-2.0
"""Telling people of dead letters that need them: an incident a category and source, not a page a letter.

::

    rules = Rules(Path("rules.yaml"), events, notify=plan_of)          # with a section `notify`
    notifier = Notifier(desk, lambda: rules.current.notify, events=events)
    service = Service(server, desk, wanted, rules, teller=notifier)
    await asyncio.gather(service.run(), notifier.run(stop))

Inside::

    incidents.py   what is told when, and how often at most. Open this one first
    plan.py        the section of the file; words.py: messages; limits.py: what a provider takes
    channels/      PagerDuty, DingTalk, WeCom, Slack, e-mail, webhooks
    tables.py, store.py   at the desk, where instances share them
    post.py        on the way; notifier.py: all of it at work
"""

from __future__ import annotations

from .incidents import Incident, Notice
from .notifier import Notifier
from .plan import Plan, Route, plan_of
from .post import Post

__all__ = ["Incident", "Notice", "Notifier", "Plan", "Post", "Route", "plan_of"]
