"""The development PKI: one CA and the leaf certificates of a stack on this machine.

For the simulated networks of test mode only; real links get their files from their network's CA.
Leaves are short-lived and renewed by the next start, so that an expired one is never met.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chassis.durable import write_durably
from chassis.tls import Role

CA_STEM = "ca"
CA_LIFE = timedelta(days=3_650)
LEAF_LIFE = timedelta(days=30)
RENEW_BEFORE = timedelta(days=10)
BACKDATE = timedelta(days=1)  # a clock stepped back must not make our certificates unborn

_AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Turnout development CA")])
_PURPOSE = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}


def development_pki(
    directory: Path, names: Mapping[str, tuple[str, Role]], *, now: datetime | None = None
) -> None:
    """Make `ca.pem`, and `<stem>.pem` with `<stem>.key` for each name, where they are missing.

    Idempotent: files that still serve are left alone. A leaf is made anew when it is missing,
    carries another name or purpose, was issued by another CA or ends within ten days. Every file
    is 0600 and the folder 0700; each appears whole or not at all.

    Args:
        directory: the folder of the PKI, made if missing.
        names: file stem to (DNS name of the subject, "server" or "client").
        now: the instant to judge lifetimes by, aware UTC; default the clock.

    Raises:
        OSError: the folder is not writable.
        ValueError: a file there holds something else than we wrote.
    """
    now = now or datetime.now(UTC)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca_certificate, ca_key = _authority(directory, now)
    for stem, (name, role) in names.items():
        pem, key_file = directory / f"{stem}.pem", directory / f"{stem}.key"
        if pem.exists() and key_file.exists():
            old = x509.load_pem_x509_certificate(pem.read_bytes())
            if _serves(old, ca_certificate, name, role, now):
                continue
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(name, role, key.public_key(), ca_certificate, ca_key, now)
        write_durably(key_file, _key_pem(key))
        write_durably(pem, leaf.public_bytes(serialization.Encoding.PEM))


def holds_development_certificate(pem: bytes) -> bool:
    """Whether any certificate in a PEM file is a development CA's, or was issued by one.

    Raises:
        ValueError: there is no certificate in it.
    """
    return any(each.issuer == _AUTHORITY for each in x509.load_pem_x509_certificates(pem))


def _authority(
    directory: Path, now: datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Load the CA, or make it."""
    pem, key_file = directory / f"{CA_STEM}.pem", directory / f"{CA_STEM}.key"
    if pem.exists() and key_file.exists():
        certificate = x509.load_pem_x509_certificate(pem.read_bytes())
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_file}: not an elliptic-curve key")
        return certificate, loaded
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_AUTHORITY, _AUTHORITY, key.public_key(), key.public_key(), now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_durably(key_file, _key_pem(key))
    write_durably(pem, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _leaf(
    name: str,
    role: Role,
    public_key: ec.EllipticCurvePublicKey,
    ca_certificate: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _builder(subject, ca_certificate.subject, public_key, ca_key.public_key(), now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([_PURPOSE[role]]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    """What CA and leaves have in common; strict checks want both key identifiers (RFC 5280)."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _serves(
    leaf: x509.Certificate, ca: x509.Certificate, name: str, role: Role, now: datetime
) -> bool:
    """Whether a leaf is what we would make now, with time left."""
    try:
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
        return False
    return (
        names.get_values_for_type(x509.DNSName) == [name]
        and list(purposes) == [_PURPOSE[role]]
        and leaf.not_valid_after_utc - now > RENEW_BEFORE
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
