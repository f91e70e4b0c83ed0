"""TLS to the broker: whom to trust, by authority or by pin, and who we are.

A pin is the SHA-256 of the public key (SubjectPublicKeyInfo; RFC 7469, 2.4) as curl's --pinnedpubkey takes it.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
from typing import TYPE_CHECKING, Any

from hemsd.gateway.config import LinkConfig

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class WrongKey(ssl.SSLError):
    """The broker showed another public key than the pinned one; `pin` is what it would be pinned by."""

    def __init__(self, pin: str) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, f"the broker's key is {pin}")
        self.pin = pin


def context_for(config: LinkConfig) -> ssl.SSLContext:
    """What a connection is to be made with, read from its files anew. Raises OSError, ValueError.

    With a pin alone the certificate's signature, time and name do not matter: its key has to be the one. With
    ca_file too, both have to be right.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name = config.server_name
    if config.ca_file:
        context.load_verify_locations(config.ca_file)
    else:
        context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what ca_file names is trusted, root or not
    if config.cert_file:
        context.load_cert_chain(config.cert_file, config.key_file, password=_no_passphrase)
    if config.pin:
        if not config.ca_file:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.sslsocket_class = _pinned(config.pin)
    return context


def pin_of(certificate: Certificate) -> str:
    """What to pin a certificate by: it stays the same in a renewed one of the same key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode()


class _Context(ssl.SSLContext):
    """Asks for a server by another name than that of its host, and checks for this one, where one is set."""

    server_name: str | None = None

    def wrap_socket(self, *arguments: Any, server_hostname: Any = None, **settings: Any) -> ssl.SSLSocket:
        settings["server_hostname"] = self.server_name or server_hostname
        return super().wrap_socket(*arguments, **settings)


def _pinned(pin: str) -> type[ssl.SSLSocket]:
    """A socket whose handshake fails where the other's key is not the one, before anything is said over it."""

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, *arguments: Any) -> None:
            super().do_handshake(*arguments)
            if (found := _shown(self)) != pin:
                self.close()  # paho leaves that to the garbage collector
                raise WrongKey(found)

    return PinnedSocket


def _shown(connected: ssl.SSLSocket) -> str:
    from cryptography.x509 import load_der_x509_certificate

    shown = connected.getpeercert(binary_form=True)
    return pin_of(load_der_x509_certificate(shown)) if shown else ""


def _no_passphrase() -> str:
    raise ValueError("the key is locked with a passphrase")  # OpenSSL would ask for it on the terminal
