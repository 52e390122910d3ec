# SPDX-License-Identifier: Apache-2.0
"""Lease objects over the API server's HTTP: what is sent, and what each answer means."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import sys
from contextlib import asynccontextmanager

import pytest

from holdfast._coord.kubernetes import Leases
from holdfast._coord.kubernetes_access import Access, in_cluster
from holdfast._coord.kubernetes_words import changed, lease_of, made
from holdfast.errors import ConfigurationError, MissingExtra, ServerRefused, ServerUnreachable
from holdfast.ids.scheme import Owner
from holdfast.ids.schemes.kubernetes import KubernetesWorkers
from holdfast.testing import ManualClock
from holdfast.testing.kubernetes import KubernetesServer

BODY = made("a", {}, {})


@pytest.fixture
def server():
    with KubernetesServer() as running:
        yield running


@asynccontextmanager
async def leases_of(server, **how):
    leases = Leases(Access(server.url, "default", lambda: server.token), **how)
    try:
        yield leases
    finally:
        await leases.close()


def test_a_change_carries_the_version_it_was_decided_on(server, arun):
    async def main():
        async with leases_of(server) as leases:
            read = await leases.create(BODY)
            server.edit("a", lambda found: found["metadata"].update(annotations={"seen": "yes"}))
            assert await leases.update(changed(read, {})) is None, "guard: resourceVersion"
            again = await leases.get("a")
            assert again.annotations["seen"] == "yes"
            server.delete("a")
            assert await leases.update(changed(again, {})) is None, "guard: uid. A PUT makes anew what was deleted"
            assert server.objects() == {}
            assert await leases.get("a") is None

    arun(main())


def test_a_name_that_is_taken_and_a_list_by_label(server, arun):
    async def main():
        async with leases_of(server) as leases:
            assert await leases.create(made("a", {"pool": "x"}, {})) is not None
            assert await leases.create(made("a", {"pool": "y"}, {})) is None
            await leases.create(made("b", {"pool": "y"}, {}))
            assert [found.name for found in await leases.list("pool=x")] == ["a"]
            (listed,) = await leases.list("pool=y")
            assert await leases.update(changed(listed, {"from": "a list"})) is not None

    arun(main())


@pytest.mark.parametrize(("status", "error", "done"), [
    (400, ServerRefused, None), (404, ServerRefused, None), (422, ServerRefused, None),
    (408, ServerUnreachable, True), (410, ServerUnreachable, True), (500, ServerUnreachable, True),
    (503, ServerUnreachable, True),
])
def test_answers_that_are_no_success_are_errors_that_say_what_may_have_been_done(server, arun, status, error, done):
    async def main():
        async with leases_of(server) as leases:
            server.answer(status, 1, "create")
            with pytest.raises(error, match="told to say so") as raised:
                await leases.create(BODY)
            assert getattr(raised.value, "maybe_done", None) is done
            assert (await leases.create(BODY)).name == "a"

    arun(main())


def test_a_busy_server_is_asked_again_when_it_wants_to_be_if_that_is_soon(server, arun):
    async def main():
        async with leases_of(server) as leases:
            server.answer(429, 3, "list", retry_after_s=0)
            assert await leases.list("a=b") == []
            server.answer(429, 1, "create", retry_after_s=30)
            with pytest.raises(ServerUnreachable, match="is busy and wants to be asked again in 30 s") as busy:
                await leases.create(BODY)
            assert not busy.value.maybe_done, "it was not begun"

    arun(main())


def test_a_server_that_is_away_or_silent_is_told_from_one_that_refuses(server, arun):
    async def main():
        leases = Leases(Access(server.url, "default", lambda: server.token), timeout_s=0.3)
        server.delay(1.0, 2, "create", "get")
        with pytest.raises(ServerUnreachable, match=r"did not answer within 0\.3 s") as silent:
            await leases.create(BODY)
        assert silent.value.maybe_done
        assert "a" in server.objects()
        with pytest.raises(ServerUnreachable) as silent:
            await leases.get("a")
        assert not silent.value.maybe_done, "a question changes nothing"
        server.stop()
        with pytest.raises(ServerUnreachable) as away:
            await leases.create(BODY)
        assert "cannot be reached" in str(away.value) or away.value.maybe_done
        await leases.close()
        with pytest.raises(ServerUnreachable, match="cannot be reached") as away:
            await leases.create(BODY)
        assert not away.value.maybe_done, "no connection came about"
        server.start()
        assert (await leases.get("a")).name == "a"
        await leases.close()

    arun(main())


# -- in a pod -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
            .add_extension(address, critical=True)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    folder = tmp_path_factory.mktemp("certificate")
    pem = made.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(pem)
    (folder / "server.pem").write_bytes(pem + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder


def test_a_pod_finds_the_api_server_its_namespace_and_whom_to_trust(certificate, tmp_path, arun):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "server.pem")

    async def main(server, workers):
        grant = await workers.claim(Owner("1", "pod-1"), 30_000)
        assert f"holdfast-ids.web.{grant.worker}" in server.objects("team-a")
        await workers.close()

    with KubernetesServer(tls=tls) as server:
        for name, text in (("token", server.token), ("namespace", "team-a\n"),
                           ("ca.crt", (certificate / "ca.crt").read_text())):
            (tmp_path / name).write_text(text)
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
        arun(main(server, KubernetesWorkers.from_cluster(environ, pool="web", folder=tmp_path, clock=ManualClock())))
        stranger = KubernetesWorkers(server.url, namespace="team-a", token=server.token, pool="web")
        with pytest.raises(ServerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            arun(stranger.claim(Owner("1", "pod-1"), 30_000))


def test_whoever_is_in_no_pod_is_told_so(tmp_path, certificate):
    with pytest.raises(ConfigurationError, match="KUBERNETES_SERVICE_HOST is not set: this is no pod"):
        KubernetesWorkers.from_cluster({})
    there = {"KUBERNETES_SERVICE_HOST": "fd00::1"}
    with pytest.raises(ConfigurationError, match="no service account is mounted there"):
        KubernetesWorkers.from_cluster(there, folder=tmp_path)
    (tmp_path / "namespace").write_text("team-a")
    (tmp_path / "ca.crt").write_text((certificate / "ca.crt").read_text())
    found = in_cluster(there, folder=tmp_path)
    assert (found.base_url, found.namespace) == ("https://[fd00::1]:443", "team-a")
    assert in_cluster(there, folder=tmp_path, namespace="shared").namespace == "shared"
    with pytest.raises(ConfigurationError, match="'kubernetes' is no API server"):
        KubernetesWorkers("kubernetes", namespace="default")


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtra, match=r"Kubernetes needs the extra 'http'"):
        KubernetesWorkers("http://127.0.0.1:1", namespace="default")


def test_a_lease_of_somebody_elses_making_is_read_as_far_as_it_goes():
    bare = lease_of({"metadata": {"name": "a"}})
    assert (bare.holder, bare.transitions, bare.renewed_ms, dict(bare.annotations)) == ("", 0, None, {})
