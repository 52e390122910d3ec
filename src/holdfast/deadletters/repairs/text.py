# SPDX-License-Identifier: Apache-2.0
"""The repair ``encoding``: bodies that are not the UTF-8 they should be. Pure.

``charset`` is what the producer really wrote, and is declared, never guessed: most bytes are text in any of a dozen
charsets. A body that is UTF-8 already stays as it is, but for a byte order mark, which no JSON begins with.

``mojibake`` is for text that was read in the wrong charset once and written as UTF-8 then (``MÃ¼ller``): each text that
goes back through that charset and comes out as UTF-8 is put right, the others stay.
"""

from __future__ import annotations

import codecs
from dataclasses import replace
from typing import Any, Final

from ...errors import ConfigurationError, RepairRefused
from .draft import Draft
from .fields import Repair, of_value
from .options import Options

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
                 (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def encoding(options: Options) -> Repair:
    """``charset``: of a body that is not UTF-8. ``mojibake``: the charset in which UTF-8 was read once too often."""
    charset = _known(options.text("charset", "what the producer wrote, such as cp1252", ""))
    wrong = _known(options.text("mojibake", "the charset it was read in by mistake, such as cp1252", ""))
    back = of_value(lambda value: _put_right(value, wrong))

    def repair(draft: Draft) -> Draft:
        read = _as_utf8(draft.body, charset)
        now = draft if read == draft.body else replace(draft, body=read)
        return back(now) if wrong else now

    return repair


def _as_utf8(body: bytes, charset: str) -> bytes:
    for mark, marked in _MARKS:
        if body.startswith(mark):
            return _read(body[len(mark):], marked)
    try:
        if b"\0" not in body:  # JSON has none, and UTF-16 of plain English is UTF-8 with many
            body.decode()
            return body  # guard: what is UTF-8 is not read in another charset
    except UnicodeDecodeError:
        pass
    if not charset:
        raise RepairRefused("the body is not UTF-8 and has no byte order mark: say in which `charset` it was written")
    return _read(body, charset)


def _read(body: bytes, charset: str) -> bytes:
    try:
        return body.decode(charset).encode()
    except UnicodeError:
        raise RepairRefused(f"the body is not {charset} either") from None


def _put_right(value: Any, wrong: str) -> Any:
    if isinstance(value, dict):
        return {_put_right(name, wrong): _put_right(one, wrong) for name, one in value.items()}
    if isinstance(value, list):
        return [_put_right(one, wrong) for one in value]
    if not isinstance(value, str) or value.isascii():
        return value
    try:
        return value.encode(wrong).decode()
    except UnicodeError:  # it was never read wrongly
        return value


def _known(charset: str) -> str:
    if not charset:
        return ""
    try:
        "".encode(charset)
    except LookupError:
        raise ConfigurationError(f"the repair encoding: there is no charset {charset!r}") from None
    return charset
