"""What a Compute's server proves who it is with, and its users who they are: TLS material and a token, in a Secret."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import secrets
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from skytorch_operator.api import Object

LIFETIME = dt.timedelta(days=3650)
#: New ones are made when the certificate has less than that left.
MARGIN = dt.timedelta(days=60)
#: Clocks differ.
BACKDATED = dt.timedelta(hours=1)
KEYS = ("token", "ca.crt", "tls.crt", "tls.key")


def names(name: str, namespace: str) -> list[str]:
    """What a server is called inside the cluster; the first is its full name."""
    return [f"{name}.{namespace}.svc.cluster.local", f"{name}.{namespace}.svc", f"{name}.{namespace}", name]


def fresh(name: str, namespace: str) -> dict[str, str]:
    """
    New data of the Secret of a Compute, base64 as Kubernetes keeps it.

    The authority signs this one certificate and is forgotten: its key is kept nowhere.
    """
    now = dt.datetime.now(dt.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # A common name has room for 64 characters; clients look at the alternative names.
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of a Compute")])
    authority = (
        _certificate(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(other) for other in (*names(name, namespace), "localhost")]
    alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    certificate = (
        _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), authority_name, key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    parts = {
        "token": secrets.token_hex(32).encode(),
        "ca.crt": authority.public_bytes(serialization.Encoding.PEM),
        "tls.crt": certificate.public_bytes(serialization.Encoding.PEM),
        "tls.key": private,
    }
    return {part: base64.b64encode(value).decode() for part, value in parts.items()}


def good(secret: Object, name: str, namespace: str) -> bool:
    """Whether a Secret has all that the server needs, for that name and for long enough."""
    data = secret.get("data") or {}
    if not all(data.get(part) for part in KEYS):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return left > MARGIN and names(name, namespace)[0] in alternatives.get_values_for_type(x509.DNSName)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
