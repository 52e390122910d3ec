# SPDX-License-Identifier: Apache-2.0
"""Locks on a real etcd: what only etcd has. What it shares with ZooKeeper is in ``test_locks_sessions``."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess

import pytest

from holdfast._coord import etcd_words as words
from holdfast._coord.etcd import Etcd
from holdfast.errors import NotAuthorized
from holdfast.locks.authority import EtcdAuthority
from holdfast.locks.etcd import EtcdLocks
from holdfast.testing import wait_until_async
from holdfast.testing.etcd import EtcdServer

SOON_S = 15.0
USER, PASSWORD = "app", "only for this test"


@pytest.fixture(scope="module")
def server():
    with EtcdServer() as running:
        yield running


@contextlib.asynccontextmanager
async def locks_at(endpoint, **settings):
    locks = EtcdLocks([endpoint], **({"ttl_s": 4.0, "watch_s": 60.0} | settings))
    try:
        yield locks
    finally:
        await locks.close()


def test_what_is_written_to_etcd_itself_is_guarded_by_its_own_transaction(server, stream, arun):
    async def write(locks, held, value):
        put = words.step("put", words.put(stream.encode(), value))
        return bool((await locks.etcd.txn([locks.compare(held)], [put])).get("succeeded"))

    async def main():
        async with locks_at(server.endpoint) as one, locks_at(server.endpoint) as other:
            for side in ("lock", "write", "read"):
                def lock(locks, side=side):
                    return locks.lock(stream) if side == "lock" else getattr(locks.read_write(stream), side)

                held = await lock(one).acquire()
                assert await write(one, held, b"first")
                await one.etcd.delete(one.key_of(held).encode())
                taken = await lock(other).acquire(wait_s=SOON_S)
                assert not await write(one, held, b"late"), "guard: the condition holds as long as the key does"
                assert await write(other, taken, b"second")
                assert (await one.etcd.get(stream.encode())).value == b"second"
                held.lose("server")
                await lock(other).release(taken)

    arun(main())


def test_the_token_is_the_revision_that_made_the_key(server, stream, arun):
    async def main():
        async with locks_at(server.endpoint) as locks, locks.lock(stream).hold() as held:
            found = await locks.etcd.get(locks.key_of(held).encode())
            assert found.create_revision == held.fencing_token
            assert found.lease == held.session.lease
            assert held.acquisition in found.value.decode()

    arun(main())


def test_a_hundred_held_locks_are_looked_at_with_one_question(server, stream, arun):
    async def main():
        async with locks_at(server.endpoint, ttl_s=2.0) as locks:
            held = [await locks.lock(f"{stream}-{n}").acquire() for n in range(120)]
            asked, txn = [], locks.etcd.txn

            async def counted(conditions, then, *rest, **settings):
                asked.append(len(then))
                return await txn(conditions, then, *rest, **settings)

            locks.etcd.txn = counted
            await wait_until_async(lambda: len(asked) >= 4, SOON_S, "two rounds")
            assert asked[:4] == [100, 20, 100, 20]
            await locks.etcd.delete(locks.key_of(held[110]).encode())
            await wait_until_async(lambda: held[110].over, SOON_S, "it is told")
            assert [each.over for each in held].count(True) == 1

    arun(main())


def test_more_waiters_than_connections_are_served_one_after_another(server, stream, arun, monkeypatch):
    monkeypatch.setattr("holdfast._coord.etcd.WATCHES_MAX", 3)

    async def main():
        async with locks_at(server.endpoint, timeout_s=0.5) as locks:
            granted = []

            async def take(number):
                async with locks.lock(stream).hold():
                    granted.append(number)

            await asyncio.gather(*(take(number) for number in range(12)))
            assert len(granted) == 12

    arun(main())


# -- users and certificates ---------------------------------------------------------------------------------------


async def with_users(endpoint):
    """Switches authentication on, with a user who may read and write under ``holdfast/``."""
    etcd = Etcd([endpoint])
    call = etcd._gateway.call
    await call("/v3/auth/user/add", {"name": "root", "password": PASSWORD})
    await call("/v3/auth/role/add", {"name": "root"})
    await call("/v3/auth/user/grant", {"user": "root", "role": "root"})
    await call("/v3/auth/user/add", {"name": USER, "password": PASSWORD})
    await call("/v3/auth/role/add", {"name": "locks"})
    range_ = {"key": words.text(b"holdfast/"), "range_end": words.text(b"holdfast0"), "permType": "READWRITE"}
    await call("/v3/auth/role/grant", {"name": "locks", "perm": range_})
    await call("/v3/auth/user/grant", {"user": USER, "role": "locks"})
    await call("/v3/auth/enable", {})
    await etcd.close()


def test_a_user_with_rights_under_our_prefix_is_enough_and_a_token_that_etcd_forgot_is_drawn_anew(stream, arun):
    async def main(server):
        await with_users(server.endpoint)
        user = (USER, PASSWORD)
        async with locks_at(server.endpoint, user=user, watch_s=2.0, ttl_s=20.0) as one, \
                locks_at(server.endpoint, user=user, watch_s=2.0, ttl_s=20.0) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await asyncio.wait((waiting,), timeout=0.5)
            await asyncio.to_thread(server.restart)  # its tokens are in its memory
            held.check()
            async with asyncio.timeout(SOON_S * 2):
                assert await one.lock(stream).release(held) is True
                assert (await waiting).fencing_token > held.fencing_token
            authority = EtcdAuthority([server.endpoint], user=user)
            assert await authority.next(stream) > held.fencing_token
            await authority.close()
        for user in ((USER, "wrong"), ("nobody", PASSWORD), None):
            async with locks_at(server.endpoint, user=user) as locks:
                with pytest.raises(Exception, match="user") as caught:
                    await locks.lock(stream).acquire(wait_s=0)
                assert user is None or isinstance(caught.value, NotAuthorized)
        async with locks_at(server.endpoint, user=(USER, PASSWORD), prefix="elsewhere/") as locks:
            with pytest.raises(NotAuthorized, match="permission denied"):
                await locks.lock(stream).acquire(wait_s=0)

    with EtcdServer() as server:
        arun(main(server))


class SecureEtcd(EtcdServer):
    """Speaks https alone, and asks for a certificate."""

    @property
    def endpoint(self):
        return super().endpoint.replace("http://", "https://")

    def _command(self):
        for name in ("cert.pem", "key.pem"):
            shutil.copy(self.made / name, self.folder / name)
        return [*super()._command(), "--cert-file", "cert.pem", "--key-file", "key.pem", "--trusted-ca-file",
                "cert.pem", "--client-cert-auth"]

    def _answers(self):
        context = ssl.create_default_context(cafile=self.made / "cert.pem")
        context.load_cert_chain(self.made / "cert.pem", self.made / "key.pem")
        with socket.create_connection(self.address, 1) as plain, \
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return b'"health":"true"' in secure.recv(4096)


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=here",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out",
                    str(tmp_path / "cert.pem")], check=True, capture_output=True)
    return tmp_path


def test_certificates_of_both_sides(certificate, stream, arun):
    context = ssl.create_default_context(cafile=certificate / "cert.pem")
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    async def main(server):
        async with locks_at(server.endpoint, verify=context) as one, \
                locks_at(server.endpoint, verify=context) as other:
            held = await one.lock(stream).acquire()
            waiting = asyncio.create_task(other.lock(stream).acquire())
            await asyncio.wait((waiting,), timeout=0.3)
            await one.lock(stream).release(held)
            assert (await waiting).fencing_token > held.fencing_token
        async with locks_at(server.endpoint) as stranger:
            with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.lock(stream).acquire(wait_s=0)

    server = SecureEtcd()
    server.made = certificate
    with server:
        arun(main(server))
