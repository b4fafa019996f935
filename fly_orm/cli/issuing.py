"""An authority for the certificates of one application, in a folder. Needs the package cryptography."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import ConfigurationError

#: Days for which an authority is valid.
AUTHORITY_DAYS = 3650
#: Certificates are valid from a while before they are made, as the clocks of machines differ.
_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Issues certificates. Its own is the file ``ca.pem`` of a folder, and its key ``ca.key``."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def in_folder(cls, folder: Path) -> Authority:
        """The authority whose files the folder has, or a new one; ConfigurationError if they cannot be used."""
        certificate, key = folder / "ca.pem", folder / "ca.key"
        if not certificate.exists() and not key.exists():
            return cls._new(folder)
        try:
            return cls._loaded(certificate.read_bytes(), key.read_bytes())
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"{error.filename} is missing: to issue more certificates of this authority, put it back; to begin "
                "with a new authority, choose another folder"
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"{certificate} and {key} are not those of an authority: {error}") from error

    @classmethod
    def _loaded(cls, certificate: bytes, key: bytes) -> Authority:
        found = x509.load_pem_x509_certificate(certificate)  # the first, if there are those of older authorities
        private = serialization.load_pem_private_key(key, None)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != found.public_key():
            raise ValueError("the key is another one's")
        return cls(certificate=found, key=private)

    @classmethod
    def _new(cls, folder: Path) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("fly-orm authority")
        certificate = (
            _builder(name, name, key, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(folder / "ca.key", _pem(key), mode=0o600)
        _write(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
        return cls(certificate=certificate, key=key)

    def issue(self, folder: Path, name: str, *, days: float) -> None:
        """Write a certificate for servers and clients to ``NAME.pem``, and its key to ``NAME.key``.

        Files that exist are replaced, each at once.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.key.public_key()
        certificate = (
            _builder(_name(name), self.certificate.subject, key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        _write(folder / f"{name}.key", _pem(key), mode=0o600)
        _write(folder / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + timedelta(days=days)) - _CLOCKS_DIFFER)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Replace the file as a whole, so that a process which loads it never finds half of it."""
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    made.replace(path)
