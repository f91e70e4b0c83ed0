"""A small certificate authority for a home's MQTT broker, and certificates for the broker and its clients.

Certificates are by RFC 5280 to the letter, so that the strictest verifier takes them (X509_V_FLAG_X509_STRICT of
OpenSSL, the default of Python 3.13). A client's role is kept in its certificate, as organizational unit.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Literal, Self, get_args

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=825)  # the longest that Apple's devices take from a private authority (HT210176)
RENEWED_FROM = CERTIFICATE_LASTS / 3  # left: nearly a year to get round to it
BACKDATED = timedelta(days=1)  # a Raspberry Pi without a clock starts in the past
BROKER_NAME = "MQTT broker"  # who it is stands in the subject alternative names

Role = Literal["site", "reader", "operator", "provider"]
"""site: a hemsd; reader: sees all that is told; operator: gives orders too, as Home Assistant does; provider: sees
half-hours and sums, and may tell of demand response."""
ROLES: tuple[Role, ...] = get_args(Role)
Key = ec.EllipticCurvePrivateKey

_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_CLIENT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a common name has 64 letters at most (ub-common-name)


class PkiError(Exception):
    """A certificate cannot be made, or is not what it should be; the text says what to do."""


class Authority:
    """Signs certificates; see create() and load()."""

    def __init__(self, certificate: x509.Certificate, key: Key) -> None:
        self.certificate = certificate
        self.key = key

    @classmethod
    def create(cls, key: Key, now: datetime) -> Self:
        """A new one that signs for 10 years; it may not make further authorities."""
        name = _name(f"hemsd home authority {secrets.token_hex(4)}")  # two of one name could not be told apart
        builder = _builder(name, name, key.public_key(), key, now, now + AUTHORITY_LASTS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> Self:
        """From its two files. Raises PkiError."""
        certificate, key = load_certificate(certificate_pem), load_key(key_pem)
        if key.public_key() != certificate.public_key():
            raise PkiError("the authority's key beside it does not belong to it")
        return cls(certificate, key)

    def server(self, hosts: Sequence[str], key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """A certificate for a broker under these names and addresses. Raises PkiError."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = self._leaf(_name(BROKER_NAME), key, now, ExtendedKeyUsageOID.SERVER_AUTH)
        return builder.add_extension(names, critical=False).sign(self.key, hashes.SHA256())

    def client(self, name: str, role: Role, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
        """A certificate for a client that is called this, by common name. Raises PkiError."""
        check_client(name, role)
        builder = self._leaf(_name(name, role), key, now, ExtendedKeyUsageOID.CLIENT_AUTH)
        return builder.sign(self.key, hashes.SHA256())

    def made(self, certificate: x509.Certificate) -> bool:
        """Whether it is one of ours."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _leaf(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, purpose: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        end = min(now + CERTIFICATE_LASTS, self.certificate.not_valid_after_utc)
        if end <= now:
            raise PkiError(f"the authority ended on {end:%Y-%m-%d}: make a new one in another directory")
        builder = _builder(subject, self.certificate.subject, key, self.key, now, end)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        return builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)


def new_key() -> Key:
    """A private key on the curve P-256, which everything that speaks TLS knows."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """PKCS #8 in PEM form, without passphrase: nobody would be there to type it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> Key:
    """The private key in a file. Raises PkiError."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise PkiError("this is no private key in PEM form without passphrase") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError("this is not a key that hemsd made")
    return key


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """In PEM form."""
    return certificate.public_bytes(Encoding.PEM)


def load_certificate(pem: bytes) -> x509.Certificate:
    """The certificate in a file, with a key like ours. Raises PkiError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise PkiError("this is no certificate in PEM form") from None
    public_key(certificate)
    return certificate


def public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The key in a certificate. Raises PkiError where it is of another kind than ours."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise PkiError("this is not a certificate that hemsd made")
    return key


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses that a broker's certificate is for. Raises PkiError."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise PkiError("this is not a broker's certificate that hemsd made") from None
    return tuple(str(name.value) for name in names)


def client_of(certificate: x509.Certificate) -> tuple[str, Role]:
    """Name and role in a client's certificate. Raises PkiError."""
    texts = {each.oid: str(each.value) for each in certificate.subject}
    name, unit = texts.get(NameOID.COMMON_NAME, ""), texts.get(NameOID.ORGANIZATIONAL_UNIT_NAME)
    for role in ROLES:
        if role == unit:
            return name, role
    raise PkiError("this is not a client's certificate that hemsd made")


def wants_renewal(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of its time is left."""
    return certificate.not_valid_after_utc - now < RENEWED_FROM


def normal_host(host: str) -> str:
    """A name in lower case, an address as the standards write it. Raises PkiError."""
    return str(_general_name(host).value)


def check_client(name: str, role: Role) -> None:
    """Raise PkiError where a client cannot be called this."""
    if not _CLIENT.fullmatch(name):
        raise PkiError(f"a client cannot be called {name!r}: 1 to 64 of A-Z, a-z, 0-9, dot, _ and hyphen")
    if role == "site":
        site_of(name)


def site_of(client: str) -> str:
    """The site of a hemsd by its usual client id, hemsd-<site>. Raises PkiError."""
    if not (found := re.fullmatch("hemsd-([a-z0-9-]{1,58})", client)):
        raise PkiError(
            f"a hemsd is called hemsd-<site>, with a-z, 0-9 and hyphen in it, not {client!r}; its site stands in "
            "[site] id or in the first line of its log. Other clients are named by --reader or --operator"
        )
    return found[1]


def _general_name(host: str) -> x509.DNSName | x509.IPAddress:
    with suppress(ValueError):
        if "%" not in host:  # a zone means something on one machine only
            return x509.IPAddress(ipaddress.ip_address(host))
    if not _HOST.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
        raise PkiError(f"{host!r} is neither a host's name nor an address")
    return x509.DNSName(host.lower())


def _name(common: str, unit: str = "") -> x509.Name:
    found = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*found, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, signer: Key, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(end)
    return builder.add_extension(own, critical=False).add_extension(above, critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
        **dict.fromkeys(others, False),
    )
