# SPDX-License-Identifier: Apache-2.0
"""E-mail by SMTP: the message, and its sending in a thread."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

from ...._base.secret import Secret
from ..words import Said, text, title
from .channel import Answer, Given

#: Seconds for each step with the server.
TIMEOUT_S: Final = 8.0
Tls = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Mail:
    """secrets: ``password`` of ``user``, if the server asks for one. tls: starttls (port 587), tls (465), or none, to
    which no password is given. Messages of one incident are a thread to mail programs."""

    secrets: Mapping[str, Given]
    host: str
    sender: str
    to: tuple[str, ...]
    port: int = 587
    user: str = ""
    tls: Tls = "starttls"
    per_minute: int = 20
    kind: str = "email"
    keyed: bool = False
    gathers: bool = True
    acknowledges: bool = False

    def message(self, said: Said, now_ms: int) -> EmailMessage:
        """What is sent."""
        mail, domain = EmailMessage(), self.sender.rpartition("@")[2]
        mail["From"], mail["To"], mail["Subject"] = self.sender, ", ".join(self.to), title(said)[:200]
        mail["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
        mail["Message-ID"] = f"<{said.key.replace(':', '.') or 'test'}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        if len(said.incidents) == 1 and said.what != "test":
            mail["References"] = f"<{said.incident.id}@{domain}>"
        mail.set_content(text(said) + "\n")
        return mail

    def send(self, said: Said, known: Mapping[str, Secret[str]], now_ms: int) -> Answer:
        """Sends it. It blocks."""
        mail, begun, taken = self.message(said, now_ms), False, False
        try:
            with self._connected() as server:
                if self.user:
                    server.login(self.user, known["password"].reveal())
                begun = True
                server.send_message(mail, self.sender, list(self.to))
                taken = True
        except (smtplib.SMTPException, OSError) as error:
            return Answer("sent") if taken else _why(error, begun)
        return Answer("sent")

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.tls == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_S, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_S)
        if self.tls == "starttls":
            try:
                server.starttls(context=context)  # guard: no password in the clear
            except BaseException:
                server.close()
                raise
        return server


def _why(error: Exception, begun: bool) -> Answer:
    """Without the server's words, which may repeat addresses."""
    if isinstance(error, smtplib.SMTPResponseException):
        return Answer("failed" if 400 <= error.smtp_code < 500 else "refused", f"SMTP {error.smtp_code}")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return Answer("refused", "no recipient was accepted")
    return Answer("failed", type(error).__name__, doubt=begun)
