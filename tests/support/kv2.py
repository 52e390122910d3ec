# SPDX-License-Identifier: Apache-2.0
"""A server that does what Vault's and OpenBao's documents say of KV version 2, AppRole, tokens and leases."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


def written(seconds):
    at = datetime.fromtimestamp(seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond * 1000:09d}Z"


class Refused(Exception):
    def __init__(self, code, *errors, **more):
        self.code, self.body = code, {"errors": list(errors), **more}


class Kv2:
    """token_s: for how long a login is good. asked: each request, verb and path."""

    def __init__(self, *, token_s=3600, renewable=True, now=time.time):
        self.now, self.token_s, self.renewable = now, token_s, renewable
        self.tokens = {"root": None}
        self.role = {"role_id": "app", "secret_id": "planted-secret-id"}
        self.kept, self.leases, self.asked, self.sealed, self.denied = {}, {}, [], False, set()
        self._lock, self._serial = threading.RLock(), 0

    def answer(self, verb, target, body, token, content_type):
        path, _, query = target.removeprefix("/v1/").partition("?")
        path = unquote(path)
        self.asked.append(f"{verb} {path}")
        with self._lock:
            if self.sealed:
                raise Refused(503, "Vault is sealed")
            if path == "auth/approle/login":
                return self._login(body)
            if token not in self.tokens or (self.tokens[token] or 1e18) <= self.now():
                raise Refused(403, "permission denied")
            if path == "auth/token/lookup-self":
                return {"data": {"renewable": self.renewable}}
            if path == "auth/token/renew-self":
                return self._renewed(token)
            if path.startswith("sys/leases/"):
                return self._lease(path.removeprefix("sys/leases/"), body)
            if path.startswith("database/creds/"):
                return self._creds()
            mount, what, name = (*path.split("/", 2), "")[:3]
            if mount != "secret" or any(name.startswith(each) for each in self.denied):
                raise Refused(403, "permission denied")
            if what == "metadata" and verb == "PATCH" and content_type != "application/merge-patch+json":
                raise Refused(415, "unsupported media type")
            return getattr(self, f"_{what}_{verb.lower()}")(name, body, parse_qs(query))

    # -- logins and leases

    def _login(self, body):
        if body != self.role:
            raise Refused(400, "invalid role or secret ID")
        self._serial += 1
        token = f"token-{self._serial}"
        self.tokens[token] = self.now() + self.token_s
        return {"auth": {"client_token": token, "lease_duration": self.token_s, "renewable": self.renewable}}

    def _renewed(self, token):
        if not self.renewable or self.tokens[token] is None:
            raise Refused(400, "lease is not renewable")
        self.tokens[token] = self.now() + self.token_s
        return {"auth": {"client_token": token, "lease_duration": self.token_s, "renewable": True}}

    def _creds(self):
        self._serial += 1
        id_ = f"database/creds/app/{self._serial}"
        self.leases[id_] = self.now() + 60
        return {"lease_id": id_, "lease_duration": 60, "renewable": True,
                "data": {"username": f"v-app-{self._serial}", "password": f"planted-{self._serial}"}}

    def _lease(self, what, body):
        if self.leases.get(body["lease_id"], 0) <= self.now():
            raise Refused(400, "lease not found")
        if what == "revoke":
            del self.leases[body["lease_id"]]
            return None
        self.leases[body["lease_id"]] = self.now() + body["increment"]
        return {"lease_id": body["lease_id"], "lease_duration": body["increment"], "renewable": True}

    # -- the engine

    def _data_get(self, name, _, query):
        meta = self._meta(name)
        number = int(query.get("version", ["0"])[0]) or meta["current_version"]
        one = meta["versions"].get(number)
        if one is None:
            raise Refused(404)
        data = {"data": one["data"], "metadata": {
            "version": number, "custom_metadata": meta["custom_metadata"], **self._shown(one)}}
        if one["deletion_time"] or one["destroyed"]:
            raise Refused(404, data=data | {"data": None})
        return {"data": data}

    def _data_post(self, name, body, _):
        meta = self.kept.setdefault(name, self._new())
        cas = body.get("options", {}).get("cas")
        if cas is not None and cas != meta["current_version"]:
            raise Refused(400, "check-and-set parameter did not match the current version")
        meta["current_version"] += 1
        one = {"created_time": written(self.now()), "deletion_time": "", "destroyed": False, "data": body["data"]}
        meta["versions"][meta["current_version"]] = one
        return {"data": {"version": meta["current_version"], **self._shown(one)}}

    def _metadata_get(self, name, _, __):
        meta = self._meta(name)
        return {"data": meta | {"versions": {str(n): self._shown(one) for n, one in meta["versions"].items()}}}

    def _metadata_post(self, name, body, _):
        self.kept.setdefault(name, self._new())["custom_metadata"] = dict(body["custom_metadata"])

    def _metadata_patch(self, name, body, _):
        custom = dict(self._meta(name)["custom_metadata"] or {})
        for key, value in body["custom_metadata"].items():
            custom.pop(key, None)
            if value is not None:
                custom[key] = value
        self.kept[name]["custom_metadata"] = custom

    def _metadata_list(self, name, _, __):
        folder = name.rstrip("/") + "/" if name.strip("/") else ""
        below = {each.removeprefix(folder) for each in self.kept if each.startswith(folder)}
        keys = sorted({key.partition("/")[0] + ("/" if "/" in key else "") for key in below})
        if not keys:
            raise Refused(404)
        return {"data": {"keys": keys}}

    def _delete_post(self, name, body, _):
        for number in body["versions"]:
            self._meta(name)["versions"][number]["deletion_time"] = written(self.now())

    def _undelete_post(self, name, body, _):
        for number in body["versions"]:
            self._meta(name)["versions"][number]["deletion_time"] = ""

    def _destroy_post(self, name, body, _):
        for number in body["versions"]:
            self._meta(name)["versions"][number] |= {"destroyed": True, "data": None}

    def _meta(self, name):
        if name not in self.kept:
            raise Refused(404)
        return self.kept[name]

    @staticmethod
    def _new():
        return {"current_version": 0, "versions": {}, "custom_metadata": None}

    @staticmethod
    def _shown(one):
        return {key: one[key] for key in ("created_time", "deletion_time", "destroyed")}


@contextlib.contextmanager
def serving(there):
    """Its address."""
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self):
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size) or b"null")
            try:
                said, code = there.answer(self.command, self.path, body, self.headers.get("X-Vault-Token"),
                                          self.headers.get("Content-Type")), 200
            except Refused as error:
                said, code = error.body, error.code
            data = b"" if said is None else json.dumps(said).encode()
            self.send_response(code if data else 204)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://{urlsplit(f'//{server.server_address[0]}:{server.server_port}').netloc}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
