# SPDX-License-Identifier: Apache-2.0
"""A server gives its secrets to whom the policy lets have them, over TLS, and nothing to anybody else."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import ssl
import threading
import time

import pytest

from holdfast import errors
from holdfast._base.secret import Secret
from holdfast.errors import (
    ConfigurationError,
    HoldfastError,
    SecretDenied,
    SecretMoved,
    SecretsSealed,
    SecretsUnreachable,
    SecretUnavailable,
)
from holdfast.secrets.access import Action, entries_in, verify
from holdfast.secrets.memory import MemoryStore
from holdfast.secrets.names import VALUE_MAX
from holdfast.secrets.serve import NotPrimary, Role, ServerStore, Terms, Wire
from holdfast.secrets.serve.words import KNOWN, TERM_HEADER
from holdfast.testing import ManualClock
from holdfast.testing.certificates import Authority
from tests.integration.secrets.serve.town import AUDIT_KEY, CLOCK, TERM_KEY, serving

PLANTED = b"planted-4711-value"


@pytest.fixture
def all_(place, kept):
    kept.put("shop/db", Secret(PLANTED))
    with place.client("all") as client:
        yield client


def raw(place, verb, path, *, token=None, headers=None, body=None):
    """An answer to what is sent as it is: no library cleans the address up."""
    context = ssl.create_default_context(cafile=place.authority.ca)
    connection = http.client.HTTPSConnection(place.address.removeprefix("https://"), context=context, timeout=10)
    connection.putrequest(verb, path, skip_accept_encoding=True)
    if token is not None:
        connection.putheader("Authorization", f"Bearer {token.reveal()}")
    for key, value in (headers or {}).items():
        connection.putheader(key, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_each_reads_what_the_policy_lets_him_and_denials_are_counted_and_recorded(place, all_, tmp_path):
    all_.put("bank/db", Secret(PLANTED))
    with place.client("reader", who="shop") as reader:
        assert reader.get("shop/db").value.reveal() == PLANTED
        assert reader.names() == ("shop/db",)
        for _ in range(30):
            with pytest.raises(SecretDenied, match="shop may not read bank/db: no rule allows it"):
                reader.get("bank/db")
        with pytest.raises(SecretDenied):
            reader.put("shop/db", Secret(b"mine"))
    denied = [event for event in place.events if event.name == "secret_asked" and event.outcome == "denied"]
    assert [(event.who, event.action, event.secret) for event in denied] == 30 * [("shop", "read", "bank/db")] + [
        ("shop", "write", "shop/db")]
    found = [entry for entry in entries_in(tmp_path / "server" / "audit") if entry.outcome == "denied"]
    assert len(found) == 31
    assert {entry.who for entry in found} == {"shop"}
    place.audit.close()
    assert verify(tmp_path / "server" / "audit", AUDIT_KEY).broken is None


def test_nobody_without_a_token_or_with_one_that_is_none(place, all_):
    for token in (None, "hfs.x.y", "hfs." + "0" * 20 + "." + "A" * 43):
        with ServerStore(place.address, ca=place.authority.ca, token=token) as stranger, \
                pytest.raises(SecretDenied, match=r"have one issued|give a token"):
            stranger.get("shop/db")
    assert [event.action for event in place.events if event.outcome == "denied"] == 3 * ["enter"]
    assert raw(place, "GET", "/v1/secrets/shop%2Fdb")[0] == 401
    assert raw(place, "GET", "/v1/secrets/shop%2Fdb", headers={"Authorization": "Basic YTpi"})[0] in (401, 403)


def test_a_token_that_has_ended_says_so(tmp_path, authority, kept):
    clock = ManualClock()
    kept.put("shop/db", Secret(PLANTED))
    with serving(tmp_path, authority, kept, clock=clock) as place, place.client("all") as client:
        assert client.get("shop/db")
        clock.advance(86_400)
        with pytest.raises(SecretDenied, match=r"the token [0-9a-f]{20} of me ended at .*: have another one issued"):
            client.get("shop/db")


def test_a_client_with_a_certificate_is_who_it_says(tmp_path, authority, kept):
    kept.put("shop/db", Secret(PLANTED))
    clients, others = Authority(tmp_path / "clients", "Clients"), Authority(tmp_path / "others", "Others")
    with serving(tmp_path / "server", authority, kept, clients=clients, required=True, names=["shop"]) as place:
        with place.client(certificate=clients.issue("shop")) as client:
            assert client.get("shop/db").value.reveal() == PLANTED
            assert client.put("shop/db", Secret(b"more" * 1_000), expect=1).number == 2
        with place.client(certificate=clients.issue("nobody")) as client, \
                pytest.raises(SecretDenied, match="nobody is known here by the certificate of 'nobody'"):
            client.get("shop/db")
        for wrong in (others.issue("shop"), None):
            with place.client(certificate=wrong) as client, pytest.raises(HoldfastError) as error:
                client.get("shop/db")
            assert "certificate" in str(error.value)
        assert kept.get("shop/db").version.number == 2


def test_a_server_that_does_not_prove_who_it_is_is_asked_nothing(place, all_, tmp_path):
    other = Authority(tmp_path / "other", "Other")
    with ServerStore(place.address, ca=other.ca, token=place.token("all")) as client, \
            pytest.raises(SecretsUnreachable, match="did not prove who it is") as error:
        client.put("shop/db", Secret(PLANTED + b"2"))
    assert not error.value.maybe_done
    with pytest.raises(ConfigurationError, match="begins with https://"):
        ServerStore(place.address.replace("https", "http"))
    for missing in ({"ca": tmp_path / "none"}, {"certificate": (tmp_path / "none", tmp_path / "none")}):
        with pytest.raises(ConfigurationError, match="certificates cannot be used"):
            ServerStore(place.address, **missing)
    with socket.create_connection(("127.0.0.1", int(place.address.rpartition(":")[2]))) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(1_000)


NAMES = ["übung/秘密/🔑", "a%2Fb", "a/%2e%2e/b", "a?version=1", "a#b", "a&b=c", "a+b", "a;b", "a:b@c", "a/..b", "%",
         "a'b\"c", "history", "v1/secrets/a", "/".join("é" * 50 for _ in range(5))]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_all_kinds_come_back_as_they_were(place, name):
    with place.client("all") as client:
        client.put(name, Secret(PLANTED))
        assert client.get(name).value.reveal() == PLANTED
        assert client.names() == client.names(name) == (name,)
        client.put(name, Secret(b"two"), label="pending")
        client.label(name, "current", 2)
        assert [version.number for version in client.history(name)] == [2, 1]
        client.delete(name)
        client.undelete(name)
        client.destroy(name)
        assert client.names() == ()


@pytest.mark.parametrize("path", [
    "/v1/secrets/../../etc/passwd", "/v1/secrets/..%2F..%2Fetc%2Fpasswd", "/v1/secrets/shop%2F..%2Fbank%2Fdb",
    "/v1/secrets/shop/./db", "/v1/secrets//shop/db", "/v1/secrets/shop%2Fdb%2F", "/v1/secrets/",
    "/v1/secrets/shop%00db", "/v1/secrets/shop%5C..%5Cdb", "/v1/secrets/%2e%2e", "/v1/secrets/%252e%252e/x/../y",
    "/v1/secrets/%ff%fe",
    "/v1/secrets/shop%2F*", "/v1/secrets/a%20b", "/v1/names?prefix=..", "/v1/history/shop%2F..", "/v2/x", "/",
    "/v1/secrets/shop%2Fdb?version=x", "/v1/secrets/shop%2Fdb?version=1e3", "/v1/secrets/shop%2Fdb?version=" + "9" * 30,
    "/v1/secrets/shop%2Fdb?label=../x"], ids=ascii)
def test_an_address_that_leads_elsewhere_leads_nowhere(place, all_, path):
    status, body, headers = raw(place, "GET", path, token=place.token("all"))
    assert status in (400, 404), body
    assert b"ConfigurationError" in body or b"SecretNotFound" in body
    assert b"planted" not in body
    assert b"root:" not in body
    assert headers[TERM_HEADER]


def test_a_body_that_is_too_long_is_refused_before_it_is_read(place, all_, kept):
    token = place.token("all")
    for length in (VALUE_MAX + 1, 10 << 20, 1 << 50):
        begun = time.monotonic()  # of the body nothing is ever sent
        status, body, headers = raw(place, "PUT", "/v1/secrets/a", token=token, headers={"Content-Length": length})
        assert (status, headers["Connection"]) == (400, "close")
        assert b"a secret has 1 to 1,048,576 bytes" in body
        assert time.monotonic() - begun < 5
    for headers in ({"Transfer-Encoding": "chunked"}, {}):
        status, body, _ = raw(place, "PUT", "/v1/secrets/a", token=token, headers=headers)
        assert (status, b"send Content-Length" in body) == (400, True)
    assert raw(place, "PUT", "/v1/secrets/a", headers={"Content-Length": 5}, body=b"12345")[0] == 401
    with pytest.raises(ConfigurationError, match="a secret has 1 to"):
        all_.put("a", Secret(PLANTED * 600_000))
    assert all_.put("a", Secret(b"x" * VALUE_MAX)).size == VALUE_MAX
    assert all_.get("a").value.reveal() == b"x" * VALUE_MAX


class Failing(MemoryStore):
    """Raises what it is told."""

    error: BaseException | None = None

    def get(self, name, **more):
        if self.error is not None:
            raise self.error
        return super().get(name, **more)


CONTRACT = [errors.SecretNotFound("a is not there: ünï"), errors.SecretDenied("no"), errors.SecretsSealed("sealed"),
            errors.SecretsDamaged("it is damaged"), errors.SecretsUnreachable("away", maybe_done=True),
            errors.SecretsUnreachable("away"), errors.QuorumLost("too few", answered=2, wanted=3),
            errors.SecretUnavailable("no"), errors.SecretMoved("moved"), errors.SecretRefused("refused"),
            errors.RotationFailed("failed"), errors.ConfigurationError("wrong"), NotPrimary("a standby")]


@pytest.mark.parametrize("error", CONTRACT, ids=lambda error: type(error).__name__)
def test_an_error_of_the_store_is_the_same_here_as_there(tmp_path, authority, error):
    store = Failing(CLOCK.wall_ms)
    store.error = error
    with serving(tmp_path, authority, store) as place, place.client("all") as client, \
            pytest.raises(HoldfastError) as found:
        client.get("a/b")
    assert type(found.value) is type(error)
    assert str(found.value) == str(error)
    for name in ("maybe_done", "answered", "wanted"):
        assert getattr(found.value, name, None) == getattr(error, name, None)


def test_every_error_of_the_contract_is_known_on_both_sides():
    tree = [errors.SecretUnavailable, errors.SecretRefused]
    for kind in tree:
        tree += [sub for sub in kind.__subclasses__() if sub.__module__.startswith("holdfast")]
    assert {kind.__name__ for kind in tree} <= set(KNOWN)


def test_what_nobody_expected_says_nothing_of_a_value_anywhere(tmp_path, authority, caplog, capfd):
    store = Failing(CLOCK.wall_ms)
    store.error = ValueError(f"cannot parse {PLANTED.decode()}")
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, authority, store) as place, place.client("all") as client:
        with pytest.raises(SecretUnavailable, match="its log says how") as error:
            client.get("a/b")
        client.put("c", Secret(PLANTED))
        with pytest.raises(SecretMoved) as moved:
            client.put("c", Secret(PLANTED), expect=7)
    said = caplog.text + str(error.value) + str(moved.value) + "".join(capfd.readouterr()) + repr(place.events)
    assert "the secret server failed: ValueError" in caplog.text
    assert "planted" not in said
    assert "hfs." not in said
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"planted" not in path.read_bytes()


def test_sealed_is_alive_and_not_ready(place, kept, monkeypatch):
    def said(path):
        status, body, _ = raw(place, "GET", path)
        return status, body

    assert said("/healthz") == (200, b"ok\n")
    assert said("/readyz") == (200, b'{"ready":true,"why":[],"role":"primary","term":1}')
    monkeypatch.setattr(MemoryStore, "history", lambda *_: (_ for _ in ()).throw(SecretsSealed("it is sealed")))
    assert said("/readyz") == (503, b'{"ready":false,"why":["it is sealed"],"role":"primary","term":1}')
    assert said("/healthz") == (200, b"ok\n")


def test_two_hundred_read_at_once(place, all_):
    found, trouble, begin = [], [], threading.Barrier(200)
    clients = [place.client("all", timeout_s=60.0) for _ in range(20)]

    def read(at):
        begin.wait()
        try:
            found.append(clients[at % 20].get("shop/db").value.reveal())
        except HoldfastError as error:
            trouble.append(error)

    threads = [threading.Thread(target=read, args=(at,)) for at in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    assert (found, trouble) == ([PLANTED] * 200, [])


def test_what_others_have_to_approve_is_had_once_they_did(place, all_):
    with place.client("careful") as careful, place.client("all", who="you") as you:
        with pytest.raises(SecretDenied, match="wants 1 approvals"):
            careful.get("shop/db")
        with pytest.raises(SecretDenied, match="me may not approve"):
            careful.approve("you", Action.READ, "shop/db")
        assert you.approve("me", Action.READ, "shop/db") == 1
        assert careful.get("shop/db").value.reveal() == PLANTED
        with pytest.raises(SecretDenied, match="wants 1 approvals"):
            careful.get("shop/db")
    assert raw(place, "POST", "/v1/approvals/a?who=me&action=all", token=place.token("all"))[0] == 400


def test_a_store_that_is_no_file_cannot_be_followed(place):
    assert raw(place, "GET", "/v1/feed", token=place.token("all"))[0] == 404
    assert raw(place, "GET", "/v1/feed", token=place.token("reader"))[0] == 403


def test_a_standby_and_who_was_replaced_read_and_never_write(tmp_path, authority, kept):
    kept.put("shop/db", Secret(PLANTED))
    with serving(tmp_path, authority, kept, role=Role.STANDBY) as place, place.client("all") as client:
        assert client.get("shop/db").value.reveal() == PLANTED
        for change in (lambda: client.put("shop/db", Secret(b"x")), lambda: client.label("shop/db", "pending", 1),
                       lambda: client.delete("shop/db"), lambda: client.undelete("shop/db"),
                       lambda: client.destroy("shop/db")):
            with pytest.raises(NotPrimary, match="a standby and never writes"):
                change()
        assert kept.history("shop/db")[0].number == 1


def test_a_primary_that_hears_of_a_later_one_writes_no_more_and_whoever_knows_takes_nothing_from_it(
        tmp_path, authority, kept):
    later = Terms(tmp_path / "later", TERM_KEY, Role.STANDBY)
    later.promote()
    forged = Terms(tmp_path / "forged", AUDIT_KEY, Role.STANDBY)
    forged.promote()
    with serving(tmp_path / "server", authority, kept) as place, place.client("all") as client:
        for said in (forged.told, "2.x", "2", "x", "9" * 30, "-1", "2.ü".encode()):
            raw(place, "GET", "/v1/names", token=place.token("all"), headers={TERM_HEADER: said})
        client.put("a", Secret(b"1"))
        assert raw(place, "GET", "/v1/names", headers={TERM_HEADER: later.told})[0] == 401
        client.put("a", Secret(b"2"))  # of strangers nothing is heard
        raw(place, "GET", "/v1/names", token=place.token("reader"), headers={TERM_HEADER: later.told})
        with pytest.raises(NotPrimary, match="was the primary of term 1 and was replaced"):
            client.put("a", Secret(b"3"))
        assert Terms(tmp_path / "server" / "term", TERM_KEY).standing.role is Role.SUPERSEDED
        client._wire.term = later.told
        with pytest.raises(NotPrimary, match="is in term 1, and 2 has begun"):
            client.get("a")
    assert kept.get("a").version.number == 2


def test_reads_go_on_to_the_next_server_and_changes_do_not_unless_they_were_certainly_not_made(
        tmp_path, authority, kept):
    kept.put("shop/db", Secret(PLANTED))
    with socket.create_server(("127.0.0.1", 0)) as mute, serving(tmp_path, authority, kept) as place:
        gone = "https://127.0.0.1:1"
        dumb = f"https://127.0.0.1:{mute.getsockname()[1]}"  # takes connections and says nothing
        with place.client("all", addresses=[gone, place.address]) as client:
            assert client.get("shop/db").value.reveal() == PLANTED
            assert client.put("shop/db", Secret(b"2"), expect=1).number == 2
        with place.client("all", addresses=[dumb, place.address], timeout_s=0.5) as client:
            begun = time.monotonic()
            assert client.get("shop/db").value.reveal() == b"2"
            assert time.monotonic() - begun < 5
        with place.client("all", addresses=[gone]) as client:
            with pytest.raises(SecretsUnreachable, match="shop/db") as error:
                client.put("shop/db", Secret(PLANTED))
            assert not error.value.maybe_done
            assert "planted" not in str(error.value)


def test_a_change_that_may_have_been_made_is_not_made_again_elsewhere(tmp_path, authority, kept, monkeypatch):
    """The first server makes it and is too slow to say so."""
    slow, put = threading.Event(), MemoryStore.put

    def late(self, *args, **more):
        made = put(self, *args, **more)
        if self is kept:
            slow.wait(5)
        return made

    monkeypatch.setattr(MemoryStore, "put", late)
    other = MemoryStore(CLOCK.wall_ms)
    with serving(tmp_path / "1", authority, kept) as first, serving(tmp_path / "2", authority, other) as second:
        token = first.token("all")
        second.desk.tokens.issue("me", frozenset({"all"}))
        (tmp_path / "2" / "tokens.json").write_bytes((tmp_path / "1" / "tokens.json").read_bytes())
        with ServerStore([first.address, second.address], token=token, ca=authority.ca, timeout_s=0.5) as client:
            with pytest.raises(SecretsUnreachable, match="the change may have been made: look") as error:
                client.put("a", Secret(PLANTED), expect=0)
            assert error.value.maybe_done
            slow.set()
            assert (kept.names(), other.names()) == (("a",), ())
        with ServerStore(first.address, token=token, ca=authority.ca) as client, pytest.raises(SecretMoved):
            client.put("a", Secret(PLANTED), expect=0)


def hung_up(place, said):
    """What is answered until the server hangs up."""
    context = ssl.create_default_context(cafile=place.authority.ca)
    with socket.create_connection(("127.0.0.1", int(place.address.rpartition(":")[2])), timeout=20) as plain, \
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        connection.sendall(said)
        answer = b""
        with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
            while part := connection.recv(65_536):
                answer += part
        return answer


@pytest.mark.parametrize("said", [b"", b"GET /v1/na", b"GET /v1/names HTTP/1.1\r\nHost: x\r\n"])
def test_who_asks_nothing_has_no_place(said, tmp_path, authority, kept):
    with serving(tmp_path / "server", authority, kept, head_s=0.3) as place:
        assert hung_up(place, said) == b""
        with place.client("all") as client:
            assert client.names() == ()


def test_who_does_not_even_speak_tls_has_no_place(tmp_path, authority, kept):
    with serving(tmp_path / "server", authority, kept, head_s=0.5) as place:
        address = "127.0.0.1", int(place.address.rpartition(":")[2])
        with socket.create_connection(address, timeout=20) as plain, contextlib.suppress(ConnectionResetError):
            assert plain.recv(1) == b""
        with place.client("all") as client:
            assert client.names() == ()


@pytest.mark.parametrize(("said", "status"), [
    (b"GET /healthz HTTP/1.1", 200), (b"GET /readyz HTTP/1.1", 200), (b"GET /v1/names HTTP/1.1", 401),
    (b"GET /v1/names HTTP/1.1\r\nAuthorization: Bearer hfs.x", 403), (b"GET /none HTTP/1.1", 404),
    (b"PUT /v1/secrets/a HTTP/1.1\r\nContent-Length: 1000", 401), (b"GET /v1/names/ HTTP/1.1", 404)],
    ids=lambda value: str(value).partition("Bearer")[0])
def test_a_stranger_has_his_answer_and_keeps_no_connection(said, status, place):
    answer = hung_up(place, said + b"\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in answer.lower()


def test_who_is_known_keeps_his_connection_unless_what_he_sends_does_not_come(place, monkeypatch):
    monkeypatch.setattr("holdfast.secrets.serve.app.BODY_S", 0.3)
    token = place.token("all").reveal().encode()
    status, _, headers = raw(place, "GET", "/v1/names", token=place.token("all"))
    assert (status, headers.get("Connection")) == (200, None)
    answer = hung_up(place, b"PUT /v1/secrets/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token
                     + b"\r\nContent-Length: 10\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"did not come within" in answer


def test_an_answer_has_a_bound(place, all_):
    wire = Wire([place.address], token=place.token("all"), ca=place.authority.ca)
    try:
        whole = wire.ask("names", "GET", "/v1/names").content
        assert wire.ask("names", "GET", "/v1/names", most=len(whole)).content == whole
        with pytest.raises(SecretsUnreachable, match="says more than it may"):
            wire.ask("names", "GET", "/v1/names", most=len(whole) - 1)
    finally:
        wire.close()


def test_a_term_that_was_told_without_its_proof_is_handed_on_with_it_once_it_is_known(place, all_):
    """A sealed server has no key to prove it with."""
    wire = Wire([place.address], token=place.token("all"), ca=place.authority.ca)
    try:
        place.desk.terms.know(None)
        wire.ask("names", "GET", "/v1/names")
        assert wire.term == "1"
        place.desk.terms.know(TERM_KEY)
        wire.ask("names", "GET", "/v1/names")
        assert wire.term == place.desk.terms.told
    finally:
        wire.close()
