# SPDX-License-Identifier: Apache-2.0
"""PagerDuty, DingTalk, WeCom, Slack, a webhook and a mail server on this machine, which hold to the providers' rules.

Whoever breaks one gets the provider's own refusal, and the breach is written down: ``broken`` is empty when all was
well. ``fault`` makes them fail, by name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

#: Stands in each address and key, and must be found in nothing that is printed.
PLANTED = "pl4nt3d-k3y"
KEY, TOKEN, SIGN = f"{PLANTED}-routing", f"{PLANTED}-token", f"{PLANTED}-sign"
PER_MINUTE = 20


@dataclass
class Providers:
    """All of them. taken: what each accepted, in order. fault: by name, a status, or ``hang`` or ``drop``."""

    taken: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    broken: list[str] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    fault: dict[str, Any] = field(default_factory=dict)
    arrived: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        providers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = urlsplit(self.path).path.strip("/")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = providers.answer(name, self.path, dict(self.headers), body)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "7")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.port = self._server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- what to configure ----------------------------------------------------------------------------------------

    def channel(self, kind: str, name: str = "", **more: Any) -> dict[str, Any]:
        """The words for a channel of this kind."""
        url = f"http://127.0.0.1:{self.port}/{name or kind}"
        if kind == "pagerduty":
            return {"kind": kind, "key": KEY, "url": url, **more}
        if kind == "dingtalk":
            return {"kind": kind, "url": f"{url}?access_token={TOKEN}", "sign": SIGN, **more}
        if kind == "webhook":
            return {"kind": kind, "url": f"{url}?token={TOKEN}", "sign": SIGN, **more}
        return {"kind": kind, "url": f"{url}?key={TOKEN}", **more}

    # -- what they do ---------------------------------------------------------------------------------------------

    def answer(self, name: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.asked[name] += 1
            fault = self.fault.get(name)
        if fault == "drop":  # it took the message, and nobody hears of it
            self.take(name, body)
            return 0, b""
        if fault is not None:
            return int(fault), b"{}"
        kind = name.partition("-")[0]
        with self.lock:
            return getattr(self, f"_{kind}")(name, parse_qs(urlsplit(path).query), headers, body)

    def take(self, name: str, body: bytes) -> None:
        self.taken[name].append(json.loads(body))

    def _refuse(self, name: str, why: str) -> None:
        self.broken.append(f"{name}: {why}")

    def _pagerduty(self, name: str, _: Any, __: Any, body: bytes) -> tuple[int, bytes]:
        event = json.loads(body)
        wrong = [why for why, is_wrong in (
            ("routing key", event.get("routing_key") != KEY),
            ("action", event.get("event_action") not in ("trigger", "acknowledge", "resolve")),
            ("dedup key", not 0 < len(event.get("dedup_key", "")) <= 255),
            ("payload", event.get("event_action") == "trigger" and not (
                0 < len(event["payload"]["summary"]) <= 1024 and event["payload"]["source"]
                and event["payload"]["severity"] in ("critical", "error", "warning", "info")))) if is_wrong]
        if wrong:
            self._refuse(name, ", ".join(wrong))
            return 400, b'{"status":"invalid event"}'
        self.take(name, body)
        return 202, b'{"status":"success"}'

    def _is_over_limit(self, name: str) -> bool:
        now = time.monotonic()
        self.arrived[name] = [at for at in self.arrived[name] if at > now - 60] + [now]
        return len(self.arrived[name]) > PER_MINUTE

    def _dingtalk(self, name: str, query: Any, _: Any, body: bytes) -> tuple[int, bytes]:
        stamp = query.get("timestamp", ["0"])[0]
        wanted = base64.b64encode(hmac.new(SIGN.encode(), f"{stamp}\n{SIGN}".encode(), hashlib.sha256).digest())
        if query.get("access_token") != [TOKEN] or query.get("sign", [""])[0] != wanted.decode() or abs(
                int(stamp) / 1000 - time.time()) > 3600:
            self._refuse(name, "signature")
            return 200, b'{"errcode":310000,"errmsg":"sign not match"}'
        if self._is_over_limit(name):
            self._refuse(name, "20 a minute")
            return 200, b'{"errcode":130101,"errmsg":"send too fast"}'
        if len(body) > 20_000:
            self._refuse(name, "size")
            return 200, b'{"errcode":460101}'
        self.take(name, body)
        return 200, b'{"errcode":0,"errmsg":"ok"}'

    def _wecom(self, name: str, query: Any, _: Any, body: bytes) -> tuple[int, bytes]:
        said = json.loads(body)
        kind = said.get("msgtype")
        size = len(said[kind]["content"].encode()) if kind in ("text", "markdown") else 0
        if query.get("key") != [TOKEN] or not 0 < size <= {"text": 2048, "markdown": 4096}.get(kind, 0):
            self._refuse(name, "key or size")
            return 200, b'{"errcode":40058}'
        if self._is_over_limit(name):
            self._refuse(name, "20 a minute")
            return 200, b'{"errcode":45009}'
        self.take(name, body)
        return 200, b'{"errcode":0}'

    def _slack(self, name: str, query: Any, _: Any, body: bytes) -> tuple[int, bytes]:
        if query.get("key") != [TOKEN] or not json.loads(body).get("text"):
            self._refuse(name, "no text")
            return 400, b"no_text"
        self.take(name, body)
        return 200, b"ok"

    def _webhook(self, name: str, _: Any, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        said = dict(part.split("=", 1) for part in headers.get("X-Holdfast-Signature", "t=0,v1=").split(","))
        wanted = hmac.new(SIGN.encode(), f"{said['t']}.".encode() + body, hashlib.sha256).hexdigest()
        if said["v1"] != wanted or abs(int(said["t"]) - time.time()) > 300:
            self._refuse(name, "signature")
            return 401, b""
        self.taken[name].append({**json.loads(body), "idempotency": headers["Idempotency-Key"]})
        return 204, b""


class MailServer:
    """Takes mail, and passwords, without encryption, and offers none. refuses: a verb and what it answers to it."""

    def __init__(self, *, refuses: str = "") -> None:
        self.mails: list[str] = []
        self.heard: list[str] = []
        mails, heard = self.mails, self.heard

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 here\r\n")
                while line := self.rfile.readline().decode().strip():
                    heard.append(line)
                    verb = line[:4].upper()
                    if refuses and verb == refuses[:4]:
                        self.wfile.write(f"{refuses[5:]}\r\n".encode())
                    elif verb == "EHLO":
                        self.wfile.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
                    elif verb == "DATA":
                        self.wfile.write(b"354 go on\r\n")
                        lines = []
                        while (text := self.rfile.readline().decode()) != ".\r\n":
                            lines.append(text)
                        mails.append("".join(lines))
                        self.wfile.write(b"250 taken\r\n")
                    else:
                        self.wfile.write(b"221 bye\r\n" if verb == "QUIT" else b"250 yes\r\n")
                        if verb == "QUIT":
                            return

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
