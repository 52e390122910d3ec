# SPDX-License-Identifier: Apache-2.0
"""Each algorithm gives the published answers, and takes one form of each key and each signature."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError
from holdfast.gossip.signing import Algorithm, PrivateKey, PublicKey, key_id
from holdfast.gossip.signing.algorithms import P256_ORDER
from tests.unit.gossip.signing.vectors import (
    ED25519,
    P256_MESSAGE,
    P256_PUBLIC,
    P256_R,
    P256_S,
    P256_SECRET,
    RSA_MESSAGE,
    RSA_PUBLIC,
    RSA_SIGNATURE,
)

FIELD = 2**255 - 19
D = -121665 * pow(121666, -1, FIELD) % FIELD


@pytest.fixture(scope="module")
def rsa():
    return PrivateKey.generate(Algorithm.RSA_PSS, rsa_bits=2048)


def p256(r, s):
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(("seed", "public", "message", "signature"), ED25519, ids=["empty", "one", "two"])
def test_ed25519_gives_the_answers_of_rfc_8032(seed, public, message, signature):
    key = PrivateKey(Algorithm.ED25519, bytes.fromhex(seed))
    assert key.public.data.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert key.public.verify(bytes.fromhex(signature), bytes.fromhex(message))
    assert not key.public.verify(bytes.fromhex(signature), bytes.fromhex(message) + b"\0")


def test_p256_verifies_the_answer_of_rfc_6979_with_the_lower_s_only():
    key = PublicKey(Algorithm.ECDSA_P256, bytes.fromhex(P256_PUBLIC))
    assert P256_S > P256_ORDER // 2
    assert key.verify(p256(P256_R, P256_ORDER - P256_S), P256_MESSAGE)
    assert not key.verify(p256(P256_R, P256_S), P256_MESSAGE), "the higher s is a second form of the same signature"
    assert not key.verify(p256(P256_R, P256_ORDER - P256_S), b"Sample")


def test_p256_signs_with_the_lower_s():
    key = PrivateKey(Algorithm.ECDSA_P256, bytes.fromhex(P256_SECRET))
    for number in range(16):
        signature = key.sign(bytes([number]))
        assert len(signature) == 64
        assert int.from_bytes(signature[32:], "big") <= P256_ORDER // 2
        assert key.public.verify(signature, bytes([number]))


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, p256(0, 1), p256(1, 0), p256(P256_ORDER, 1), b"\xff" * 64,
                                       p256(P256_R, P256_ORDER - P256_S) + b"\0", p256(P256_R, P256_S)[:63]],
                         ids=["empty", "zeros", "r0", "s0", "order", "ones", "longer", "shorter"])
def test_p256_refuses_what_is_no_signature(signature):
    assert not PublicKey(Algorithm.ECDSA_P256, bytes.fromhex(P256_PUBLIC)).verify(signature, P256_MESSAGE)


def test_rsa_pss_verifies_what_another_library_signed():
    key = PublicKey(Algorithm.RSA_PSS, bytes.fromhex(RSA_PUBLIC))
    assert key.verify(bytes.fromhex(RSA_SIGNATURE), RSA_MESSAGE)
    assert not key.verify(bytes.fromhex(RSA_SIGNATURE), RSA_MESSAGE + b"!")
    assert not key.verify(b"\0" + bytes.fromhex(RSA_SIGNATURE), RSA_MESSAGE)


def test_rsa_takes_pss_with_its_salt_and_nothing_else(rsa):
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    key = load_der_private_key(rsa.reveal(), None)
    pss = PSS(mgf=MGF1(SHA256()), salt_length=20)
    assert rsa.public.verify(rsa.sign(b"x"), b"x")
    assert not rsa.public.verify(key.sign(b"x", PKCS1v15(), SHA256()), b"x")
    assert not rsa.public.verify(key.sign(b"x", pss, SHA256()), b"x")


@pytest.mark.parametrize("bits", [1024, 1536])
def test_rsa_keys_that_are_too_short_are_refused(bits):
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = generate_private_key(65537, bits)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigurationError):
        PublicKey(Algorithm.RSA_PSS, public)
    with pytest.raises(ConfigurationError):
        PrivateKey(Algorithm.RSA_PSS, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigurationError):
        PrivateKey.generate(Algorithm.RSA_PSS, rsa_bits=bits)


def test_an_odd_exponent_of_rsa_is_refused(rsa):
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    n = load_der_public_key(rsa.public.data).public_numbers().n
    three = RSAPublicNumbers(3, n).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ConfigurationError):
        PublicKey(Algorithm.RSA_PSS, three)


def test_a_public_key_has_one_form(rsa):
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes.fromhex(P256_PUBLIC))
    for algorithm, data in (
            (Algorithm.ECDSA_P256, point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)),
            (Algorithm.ECDSA_P256, b"\x02" + b"\xff" * 32),
            (Algorithm.RSA_PSS, rsa.public.data + b"\0"),
            (Algorithm.RSA_PSS, point.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
            (Algorithm.ED25519, bytes.fromhex(ED25519[0][1])[:31]),
            (Algorithm.ED25519, bytes.fromhex(ED25519[0][1]) + b"\0"),
            (Algorithm.ED25519, (FIELD + 3).to_bytes(32, "little")),
            (Algorithm.ED25519, b"")):
        with pytest.raises(ConfigurationError):
            PublicKey(algorithm, data)


def small_points():
    """The eight points whose order divides 8, by the curve's own law: multiples of what a point times the order is."""
    order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 100):
        x2 = (y * y - 1) * pow(D * y * y + 1, -1, FIELD) % FIELD
        x = pow(x2, (FIELD + 3) // 8, FIELD)
        if x * x % FIELD != x2:
            x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
        if x * x % FIELD != x2:
            continue
        point = times(order, (x, y))
        found = {times(number, point) for number in range(8)}
        if len(found) == 8:
            return found
    raise AssertionError("no point of order 8")


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2
    return ((x1 * y2 + x2 * y1) * pow(1 + product, -1, FIELD) % FIELD,
            (y1 * y2 + x1 * x2) * pow(1 - product, -1, FIELD) % FIELD)


def times(number, point):
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def test_keys_of_small_order_are_refused_since_they_sign_everything():
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    neutral = (1).to_bytes(32, "little")
    for message in (b"yes", b"no"):
        Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), message)  # the library takes it
    for x, y in small_points():
        for sign in (x & 1, 1 - (x & 1)):
            with pytest.raises(ConfigurationError):
                PublicKey(Algorithm.ED25519, (y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda one: one.name)
def test_a_key_comes_back_from_its_material_and_does_not_show_it(algorithm):
    key = PrivateKey.generate(algorithm, rsa_bits=2048)
    again = PrivateKey(algorithm, key.reveal())
    assert again.public == key.public
    assert again.public.verify(key.sign(b"x"), b"x")
    assert repr(key) == f"PrivateKey({algorithm.name}, {key.public.id.hex()[:16]})"


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda one: one.name)
def test_what_is_no_private_key_is_refused_and_not_quoted(algorithm):
    for material in (b"", b"secret", bytes(31), bytes(200), PrivateKey.generate(
            Algorithm.ED25519 if algorithm is Algorithm.ECDSA_P256 else Algorithm.ECDSA_P256).reveal()):
        with pytest.raises(ConfigurationError) as refused:
            PrivateKey(algorithm, material)
        assert "secret" not in str(refused.value)


def test_an_id_names_the_algorithm_too():
    ids = {key_id(algorithm, b"the same bytes") for algorithm in Algorithm}
    assert len(ids) == len(Algorithm)
    assert key_id(Algorithm.ED25519, bytes.fromhex(ED25519[0][1])).hex() == (
        "6d9b0577ac99f0dfbf76d7f335fff8a1b24f573c60fc60070c4f8848b63b56f7")


@pytest.mark.parametrize("algorithm", list(Algorithm), ids=lambda one: one.name)
def test_a_key_may_come_as_a_secret(algorithm, rsa):
    """As a store of secrets gives it."""
    key = rsa if algorithm is Algorithm.RSA_PSS else PrivateKey.generate(algorithm)
    again = PrivateKey(algorithm, Secret(key.reveal()))
    assert key.public.verify(again.sign(b"news"), b"news")
    assert again.public == key.public
