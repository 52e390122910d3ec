# SPDX-License-Identifier: Apache-2.0
"""Spans written in the field's formats, a trace at a time, so that a file of any size passes through.

::

    spans.py     a flat JSON object a line; loses nothing
    csv_.py      the same as a table
    otlp.py      OTLP's file exporter: a request a line
    jaeger.py    what Jaeger's page loads and saves
    zipkin.py    Zipkin v2: one array

``form.py`` says what a writer is. What a format cannot hold is counted, by what it is, and never left out in silence.
"""

from __future__ import annotations

from . import csv_, jaeger, otlp, spans, zipkin
from .form import Form, Written, write

#: By the name that ``--to`` takes.
FORMS: dict[str, Form] = {form.name: form for form in (csv_.FORM, jaeger.FORM, otlp.FORM, spans.FORM, zipkin.FORM)}

__all__ = ["FORMS", "Form", "Written", "write"]
