# SPDX-License-Identifier: Apache-2.0
"""Dead-letter metadata as other systems write it, to and from ours.

::

    letter = from_format("rabbitmq", headers, at_ms=now_ms)       # letter.fields, letter.lost, letter.rest
    theirs = to_format("spring-kafka", metadata, keep_rest=True)  # theirs.fields, theirs.lost

``form`` says what a format is, ``codecs`` how single values are written, ``crossing`` what is lost on the way. Each
other file is one system, or one family, with its sources. But for RabbitMQ's they were tried on no real broker of
their kind, only on the headers that their sources and documents show.
"""

from __future__ import annotations

from .codecs import Table
from .crossing import FORMATS, from_format, to_format
from .form import Form, Mapped

__all__ = ["FORMATS", "Form", "Mapped", "from_format", "to_format"]


def page(example: dict[str, str]) -> str:
    """The part of the reference page that lists formats and what each leaves out of ``example``, a full letter."""
    lines = [("`holdfast.deadletters.from_format` and `to_format` read and write these, and `holdfast dlq map` on the "
              "command line ([how-to](../how-to/borders.md)):"), ""]
    for name, form in FORMATS.items():
        carried = sorted(set(example) - set(to_format(name, example).lost))
        lines.append(f"- **{name}**: {form.says}.")
        if isinstance(form, Table):
            lines.append("  " + "; ".join(f"`{theirs}` is `{ours}`" for theirs, ours, _ in form.rows) + ".")
        else:
            lines.append(f"  {len(carried)} of {len(example)} fields of a full letter come back: "
                         + ("all of them." if len(carried) == len(example)
                            else ", ".join(f"`{field}`" for field in carried) + "."))
    return "\n".join(lines)
