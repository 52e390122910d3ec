# SPDX-License-Identifier: Apache-2.0
"""Three ways to sign, and the keys for them.

=============  ====================================  ===============================================  ===============
algorithm      public key, as bytes                  signature                                        price
=============  ====================================  ===============================================  ===============
Ed25519        32 bytes (RFC 8032)                   64 bytes, deterministic                          the default
ECDSA P-256    33 bytes, compressed point (SEC 1)    64 bytes r ‖ s, s in the lower half (FIPS 186)   rests on nonces
RSA-PSS        DER, SubjectPublicKeyInfo; 2048 to    as long as the modulus; SHA-256, MGF1 with it,   long; signs ten
               4096 bits, exponent 65537             32 bytes of salt (RFC 8017)                      times as slowly
=============  ====================================  ===============================================  ===============

Each key has one form and each signature too: of ECDSA's two, s and n - s, the higher is refused, since anybody can make
it of the other and it would pass for a second message. ECDSA draws its nonce from key and message (RFC 6979) where
the library can, and from the system's randomness elsewhere; a nonce used twice would give the key away.

A key's id is the hash of its algorithm and its bytes. So the algorithm belongs to the key, and a message cannot ask
for a weaker one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from ..._base.secret import Secret
from ...errors import ConfigurationError, MissingExtra

RSA_BITS: Final = (2048, 4096)
RSA_EXPONENT: Final = 65537
SALT: Final = 32
#: Bytes of the longest public key: RSA with 4096 bits has 550.
KEY_MAX: Final = 600
SIGNATURE_MAX: Final = RSA_BITS[1] // 8
#: Order of P-256 (SEC 2).
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_FIELD: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
#: y of the points whose order divides 8: under such a key one signature holds for many messages.
_ED25519_SMALL: Final = frozenset({0, 1, _ED25519_FIELD - 1, _ORDER_8, _ED25519_FIELD - _ORDER_8})


class Algorithm(IntEnum):
    """How a key signs. The numbers are those of the wire."""

    ED25519 = 1
    ECDSA_P256 = 2
    RSA_PSS = 3


class _Scheme(NamedTuple):
    """What one algorithm does. read: bytes to a public key, ValueError for another form."""

    read: Callable[[Any, bytes], Any]
    load: Callable[[Any, bytes], Any]
    generate: Callable[[Any, int], Any]
    shown: Callable[[Any, Any], bytes]
    sign: Callable[[Any, Any, bytes], bytes]
    verify: Callable[[Any, Any, bytes, bytes], None]


def key_id(algorithm: Algorithm, public: bytes) -> bytes:
    """32 bytes that name a public key: the id of the node whose first key it is."""
    return hashlib.sha256(b"holdfast/gossip/key/v1\0" + bytes((algorithm,)) + public).digest()


def signature_fits(algorithm: Algorithm, size: int) -> bool:
    """Can a signature of this algorithm have so many bytes?"""
    return RSA_BITS[0] <= size * 8 <= RSA_BITS[1] if algorithm is Algorithm.RSA_PSS else size == 64


class PublicKey:
    """What verifies. data: as the table above says. Raises ConfigurationError for another form, MissingExtra."""

    __slots__ = ("_key", "_lib", "_scheme", "algorithm", "data", "id")

    def __init__(self, algorithm: Algorithm, data: bytes) -> None:
        self._lib, self._scheme = _library(), _SCHEMES[algorithm]
        try:
            self._key = self._scheme.read(self._lib, data)
        except (ValueError, TypeError, self._lib.UnsupportedAlgorithm):
            raise ConfigurationError(f"these {len(data)} bytes are no public key of {algorithm.name}") from None
        self.algorithm: Final = algorithm
        self.data: Final = data
        self.id: Final = key_id(algorithm, data)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Was this message signed by the key?"""
        try:
            self._scheme.verify(self._lib, self._key, signature, message)
        except (self._lib.InvalidSignature, ValueError):
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"PublicKey({self.algorithm.name}, {self.id.hex()[:16]})"


class PrivateKey:
    """What signs; it does not show itself.

    material: of Ed25519 the 32 bytes of its seed; of the others DER (PKCS #8), not encrypted; as a Secret where it
    comes from a store of secrets (``secrets.get("gossip/signing").value``). Raises ConfigurationError for another form,
    MissingExtra.
    """

    __slots__ = ("_key", "_lib", "_scheme", "public")

    def __init__(self, algorithm: Algorithm, material: bytes | Secret[bytes]) -> None:
        lib, scheme = _library(), _SCHEMES[algorithm]
        try:
            key = scheme.load(lib, material.reveal() if isinstance(material, Secret) else material)
        except (ValueError, TypeError, lib.UnsupportedAlgorithm):
            raise ConfigurationError(f"this is no private key of {algorithm.name}") from None
        self._lib, self._scheme, self._key = lib, scheme, key
        self.public: Final = PublicKey(algorithm, scheme.shown(lib, key.public_key()))

    @classmethod
    def generate(cls, algorithm: Algorithm = Algorithm.ED25519, *, rsa_bits: int = 3072) -> PrivateKey:
        """A new key, out of the library's own randomness, which is the system's. rsa_bits: of RSA only."""
        if not RSA_BITS[0] <= rsa_bits <= RSA_BITS[1]:
            raise ConfigurationError(f"an RSA key has {RSA_BITS[0]} to {RSA_BITS[1]} bits")
        lib = _library()
        return cls(algorithm, _material(lib, algorithm, _SCHEMES[algorithm].generate(lib, rsa_bits)))

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return self._scheme.sign(self._lib, self._key, message)

    def reveal(self) -> bytes:
        """Its material, to be kept sealed. Pass it on at once."""
        return _material(self._lib, self.public.algorithm, self._key)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.algorithm.name}, {self.public.id.hex()[:16]})"


def _read_ed25519(lib: Any, data: bytes) -> Any:
    y = int.from_bytes(data, "little") & (2**255 - 1)
    if y >= _ED25519_FIELD or y in _ED25519_SMALL:  # guard: keys of small order sign everything
        raise ValueError("a point of small order, or in another form")
    return lib.Ed25519PublicKey.from_public_bytes(data)


def _verify_ed25519(_lib: Any, key: Any, signature: bytes, message: bytes) -> None:
    key.verify(signature, message)


def _read_p256(lib: Any, data: bytes) -> Any:
    if len(data) != 33:
        raise ValueError("not compressed")
    return lib.EllipticCurvePublicKey.from_encoded_point(lib.SECP256R1(), data)


def _load_p256(lib: Any, material: bytes) -> Any:
    key = lib.load_der_private_key(material, None)
    if not isinstance(key, lib.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("another kind of key")
    return key


def _sign_p256(lib: Any, key: Any, message: bytes) -> bytes:
    try:
        how = lib.ECDSA(lib.SHA256(), deterministic_signing=True)
    except lib.UnsupportedAlgorithm:  # OpenSSL before 3.2
        how = lib.ECDSA(lib.SHA256())
    r, s = lib.decode_dss_signature(key.sign(message, how))
    return bytes(r.to_bytes(32, "big") + min(s, P256_ORDER - s).to_bytes(32, "big"))


def _verify_p256(lib: Any, key: Any, signature: bytes, message: bytes) -> None:
    if len(signature) != 64:
        raise ValueError("not r and s")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if s > P256_ORDER // 2:  # guard: the lower s. Anybody can make the higher one of it
        raise ValueError("the higher s")
    key.verify(lib.encode_dss_signature(r, s), message, lib.ECDSA(lib.SHA256()))


def _checked_rsa(key: Any, numbers: Any) -> None:
    if not RSA_BITS[0] <= key.key_size <= RSA_BITS[1] or key.key_size % 8 or numbers.e != RSA_EXPONENT:
        raise ValueError("a size or an exponent that is not taken")


def _read_rsa(lib: Any, data: bytes) -> Any:
    if len(data) > KEY_MAX:
        raise ValueError("too long")
    key = lib.load_der_public_key(data)
    if not isinstance(key, lib.RSAPublicKey) or _shown_der(lib, key) != data:
        raise ValueError("another kind of key, or in another form")
    _checked_rsa(key, key.public_numbers())
    return key


def _load_rsa(lib: Any, material: bytes) -> Any:
    key = lib.load_der_private_key(material, None)
    if not isinstance(key, lib.RSAPrivateKey):
        raise TypeError("another kind of key")
    _checked_rsa(key, key.public_key().public_numbers())
    return key


def _pss(lib: Any) -> Any:
    return lib.PSS(mgf=lib.MGF1(lib.SHA256()), salt_length=SALT)


def _shown_der(lib: Any, key: Any) -> bytes:
    return bytes(key.public_bytes(lib.Encoding.DER, lib.PublicFormat.SubjectPublicKeyInfo))


def _material(lib: Any, algorithm: Algorithm, key: Any) -> bytes:
    if algorithm is Algorithm.ED25519:
        return bytes(key.private_bytes_raw())
    return bytes(key.private_bytes(lib.Encoding.DER, lib.PrivateFormat.PKCS8, lib.NoEncryption()))


_SCHEMES: Final = {
    Algorithm.ED25519: _Scheme(
        read=_read_ed25519,
        load=lambda lib, seed: lib.Ed25519PrivateKey.from_private_bytes(seed),
        generate=lambda lib, _bits: lib.Ed25519PrivateKey.generate(),
        shown=lambda _lib, key: bytes(key.public_bytes_raw()),
        sign=lambda _lib, key, message: bytes(key.sign(message)),
        verify=_verify_ed25519,
    ),
    Algorithm.ECDSA_P256: _Scheme(
        read=_read_p256,
        load=_load_p256,
        generate=lambda lib, _bits: lib.generate_private_key(lib.SECP256R1()),
        shown=lambda lib, key: bytes(key.public_bytes(lib.Encoding.X962, lib.PublicFormat.CompressedPoint)),
        sign=_sign_p256,
        verify=_verify_p256,
    ),
    Algorithm.RSA_PSS: _Scheme(
        read=_read_rsa,
        load=_load_rsa,
        generate=lambda lib, bits: lib.generate_rsa(RSA_EXPONENT, bits),
        shown=_shown_der,
        sign=lambda lib, key, message: bytes(key.sign(message, _pss(lib), lib.SHA256())),
        verify=lambda lib, key, signature, message: key.verify(signature, message, _pss(lib), lib.SHA256()),
    ),
}


def _library() -> Any:
    """What is used of ``cryptography``. Raises MissingExtra."""
    try:
        from . import _primitives as found
    except ImportError as error:
        raise MissingExtra("gossip", "signing what members tell each other") from error
    return found
