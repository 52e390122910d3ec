# SPDX-License-Identifier: Apache-2.0
"""What ``signing`` uses of the library ``cryptography``; importing this without the extra fails."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

__all__ = ["ECDSA", "MGF1", "PSS", "SECP256R1", "SHA256", "Ed25519PrivateKey", "Ed25519PublicKey",
           "EllipticCurvePrivateKey", "EllipticCurvePublicKey", "Encoding", "InvalidSignature", "NoEncryption",
           "PrivateFormat", "PublicFormat", "RSAPrivateKey", "RSAPublicKey", "UnsupportedAlgorithm",
           "decode_dss_signature", "encode_dss_signature", "generate_private_key", "generate_rsa",
           "load_der_private_key", "load_der_public_key"]
