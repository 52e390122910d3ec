# SPDX-License-Identifier: Apache-2.0
"""Masking of secrets and personal data in text that people will read: errors, stacks, log lines, events.

Two nets, one behind the other. The first knows values: every living ``Secret`` is looked for as it is. The second
knows shapes: passwords in URLs, ``password=…`` in its many spellings, authorization headers, keys of well-known
makers, private-key blocks, and as personal data e-mail addresses and payment cards. A text that slips through both is
still a leak: payloads are kept out of logs, spans and errors altogether, and this is the net below.

Every pattern runs in time linear in the text. They begin at something rare, repeat only within a bound, and never
offer two ways to match one character. It is better to mask a word too many than a password too few.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from .events import Event
from .secret import MASK, known_values

Replacement = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One shape. It is looked for only in texts that hold one of ``hints`` (lower case); no hints: always."""

    name: str
    regex: re.Pattern[str]
    replacement: Replacement
    hints: tuple[str, ...] = ()


def _luhn(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return "[card]" if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else match[0]


_KEYS = ("api", "access", "secret", "private", "account", "routing", "auth", "encryption", "signing")
_NAMES = ("password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "requirepass", "masterauth",
          "signature")
_NAMED = rf"(?:{'|'.join(_NAMES)}|(?<![^\W_])pass|(?:{'|'.join(_KEYS)})[_-]?key)"
_NAMED_HINTS = (*_NAMES, "pass=", "pass:", "pass'", 'pass"', "pass =",
                *(key + dash + "key" for key in _KEYS for dash in ("", "_", "-")))
# A quoted value up to its quote, escaped if that was, or to the end when the text was cut; a bare one up to what ends
# a word.
_VALUE = (r"(?:\\{1,3}\"[^\"\\]{0,4096}(?:\\{1,3}\")?|[bBrRuUfF]{0,2}(?:"
          r'"(?:[^"\\]|\\.){0,4096}"?|'
          r"'(?:[^'\\]|\\.){0,4096}'?|"
          r"[^\s,;&\"'(){}\[\]<>]{1,4096}))")

#: What is masked unless told otherwise, in this order.
PATTERNS: Final[tuple[Pattern, ...]] = (
    Pattern("private key", re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
                                      r"[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)"),
            "[private key]", ("private key",)),
    # First up to the last @ before the path, then, for passwords that hold a slash, up to the last @ of the word unless
    # what follows the colon is a port.
    Pattern("url password", re.compile(r"(://[^\s/?#@:\[]{0,256}:)(?:[^\s/?#\"'<>]{1,512}@|"
                                       r"(?!\d{1,5}(?:[/?#\s\"'<>,;)]|\Z))[^\s\"'<>]{1,512}@)"), rf"\1{MASK}@", ("://",)),
    Pattern("authorization", re.compile(r"(?i)\b((?:proxy-)?authorization\\{0,3}[\"']?\s{0,4}[:=]\s{0,4}\\{0,3}[\"']?"
                                        r"(?:(?:basic|bearer|digest|token|negotiate|apikey|aws4-hmac-sha256)\s{1,4})?)"
                                        r"[^\r\n\"'\\]{1,4096}"), rf"\1{MASK}", ("authorization",)),
    Pattern("bearer", re.compile(r"(?i)\b(bearer|basic)(\s{1,4})[a-z0-9._~+/=-]{8,4096}"), rf"\1\2{MASK}",
            ("bearer", "basic")),
    Pattern("cookie", re.compile(r"(?i)\b((?:set-)?cookie\\{0,3}[\"']?\s{0,4}[:=]\s{0,4})[^\r\n]{1,4096}"),
            rf"\1{MASK}", ("cookie",)),
    Pattern("named value", re.compile(rf"(?i)({_NAMED}[\w.-]{{0,32}}\\{{0,3}}[\"']?\]?\s{{0,4}}(?:=>|:=|[=:])\s{{0,4}})"
                                      rf"{_VALUE}"), rf"\1{MASK}", _NAMED_HINTS),
    Pattern("option", re.compile(r"(?i)(--?(?:pass(?:word|wd|phrase)?|secret|token|api-key|user)\s{1,4})(?![\s-])"
                                 r"[^\s\"']{1,4096}"), rf"\1{MASK}", ("-pass", "-secret", "-token", "-api", "-user")),
    Pattern("query key", re.compile(r"([?&](?:key|code|sig|auth)=)[^\s&\"'<>#]{1,4096}"), rf"\1{MASK}",
            ("key=", "code=", "sig=", "auth=")),
    Pattern("aws key id", re.compile(r"\b(?:AKIA|ASIA|AIDA|AROA)[0-9A-Z]{16}\b"), "[aws key id]",
            ("akia", "asia", "aida", "aroa")),
    Pattern("maker's key", re.compile(
        r"\b(?:gh[oprsu]_\w{20,255}|github_pat_\w{20,255}|glpat-[\w-]{16,64}|xox[abeoprs]-[\w-]{10,255}|"
        r"[rs]k_(?:live|test)_\w{16,128}|sk-[\w-]{20,200}|AIza[\w-]{35}|npm_\w{36}|pypi-[\w-]{16,512}|"
        r"hvs\.[\w-]{20,128})"),
            "[key]", ("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "glpat-", "xox", "k_live_", "k_test_",
                      "sk-", "aiza", "npm_", "pypi-", "hvs.")),
    Pattern("web token", re.compile(r"(?<![\w-])eyJ[\w-]{8,4096}\.[\w-]{4,8192}\.[\w-]{0,1024}"), "[token]", ("eyj",)),
    Pattern("webhook", re.compile(r"(hooks\.slack\.com/(?:services|workflows)/)[\w/-]{8,256}"), rf"\1{MASK}",
            ("hooks.slack.com",)),
    Pattern("e-mail", re.compile(
        r"(?<![\w.%+-])[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"), "[e-mail]", ("@",)),
    # By the makers' prefixes, so that times, entry ids and generated ids, a tenth of which pass Luhn, stay readable.
    Pattern("card", re.compile(
        r"(?<![\w.-])(?=[3-6]|2[2-7])(?:"
        r"3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|3(?:0[0-5]|[68]\d)\d[ -]?\d{6}[ -]?\d{4}|"
        r"(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|35\d{2}|6\d{3})(?:[ -]?\d{4}){3}|4\d{12})(?![\w-])"), _luhn),
)


class Redactor:
    """Masks text; call it. ``extra`` patterns and ``words`` (masked literally) come on top of ``patterns``.

    ``secrets=False`` leaves living ``Secret`` values out. A shared one, ``DEFAULT_REDACTOR``, serves where none is
    given.
    """

    def __init__(self, extra: Iterable[Pattern] = (), *, words: Iterable[str] = (),
                 patterns: Iterable[Pattern] = PATTERNS, secrets: bool = True) -> None:
        self.patterns: Final = (*patterns, *extra)
        self._words = tuple(sorted((w for w in words if w), key=len, reverse=True))
        self._secrets = secrets

    def __call__(self, text: str) -> str:
        for value in (*self._words, *(known_values() if self._secrets else ())):
            if value in text:
                text = text.replace(value, MASK)
        low = text.lower()
        for pattern in self.patterns:
            if not pattern.hints or any(hint in low for hint in pattern.hints):
                text = pattern.regex.sub(pattern.replacement, text)
        return text


DEFAULT_REDACTOR: Final = Redactor()

E = TypeVar("E", bound=Event)


def redacted_event(event: E, redactor: Callable[[str], str] = DEFAULT_REDACTOR) -> E:
    """The event with its texts masked; the same object when there was nothing to mask."""
    changed = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, str) and (masked := redactor(value)) != value:
            changed[name] = masked
    return msgspec.structs.replace(event, **changed) if changed else event


_PLAIN_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class RedactingFilter(logging.Filter):
    """Masks log records: message with its arguments, traceback, stack, and texts added by ``extra``.

    Put it on a handler, where records of all loggers pass; on a logger it sees only that logger's own. It changes the
    record: the traceback becomes text, and ``exc_info`` goes, because a formatter of another make would print from it.
    """

    def __init__(self, redactor: Callable[[str], str] = DEFAULT_REDACTOR) -> None:
        super().__init__()
        self._redactor = redactor
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redactor(self._message(record)), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info) if record.exc_info[0] else None
        record.exc_info = None
        for name, value in vars(record).items():
            if isinstance(value, str) and (name not in _PLAIN_RECORD or name in ("exc_text", "stack_info")):
                setattr(record, name, self._redactor(value))
        return True

    @staticmethod
    def _message(record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except Exception as error:  # noqa: BLE001  logging itself would print the raw arguments to stderr
            return f"{record.msg} [arguments do not fit: {type(error).__name__}]"
