# SPDX-License-Identifier: Apache-2.0
"""What the screens show and the API answers, as frozen records: plain functions of a ``Console``, without HTTP."""

from __future__ import annotations

from .jobs import Progress, job, jobs
from .letters import Comment, Count, Detail, Text, Whole, count, detail, groups, letters, log, payload, queue
from .standing import HoldView, Overview, Rate, WorkerView, courses, locks, overview, workers

__all__ = [
    "Comment", "Count", "Detail", "HoldView", "Overview", "Progress", "Rate", "Text", "Whole", "WorkerView", "count",
    "courses", "detail", "groups", "job", "jobs", "letters", "locks", "log", "overview", "payload", "queue", "workers",
]
