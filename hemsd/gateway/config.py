"""[gateway.broker], [gateway.provider]: where an MQTT broker is, how to get in, and whether the files are of use."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

PLAIN_PORT, TLS_PORT = 1883, 8883  # IANA: mqtt, secure-mqtt
EXPIRY_NOTICE = timedelta(days=30)

TopicPrefix = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,2}$",  # AWS IoT Core takes 7 slashes; ours add 5
        description="1 to 3 levels of A-Z, a-z, 0-9, _ and hyphen with / between them, in quotes",
    ),
]
ServerName = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$", description="a host name, in quotes"),
]
ClientId = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="1 to 64 of A-Z, a-z, 0-9, _ and hyphen, in quotes"),
]
Keepalive = Annotated[int, Meta(ge=5, le=3600, description="a whole number of seconds from 5 to 3600")]
Pace = Annotated[int, Meta(ge=1, le=3000, description="a whole number of records from 1 to 3000")]
Pin = Annotated[
    str,
    Meta(
        pattern="^sha256//[A-Za-z0-9+/]{43}=$",
        description='"sha256//" and the SHA-256 of the broker\'s public key in Base64, as `hemsd pki` shows it',
    ),
]


class HomeAssistantConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[gateway.home_assistant]: whether Home Assistant at the broker is told what there is."""

    enabled: bool = True
    prefix: TopicPrefix = "homeassistant"  # as discovery_prefix there


class LinkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MQTT broker, and how to get in; paths are absolute. Raises ValueError where keys contradict each other."""

    url: Annotated[str, Meta(description='an address like "mqtts://broker.home:8883" or "mqtt://192.168.1.10"')]
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None  # PEM; without it, and without pin, the system's certificate authorities
    pin: Pin | None = None  # of the broker's public key; instead of an authority, or besides
    cert_file: str | None = None  # PEM, with the chain where there is one
    key_file: str | None = None
    server_name: ServerName | None = None  # of its certificate, where that is not the host in url
    version: Literal["auto", "5", "3.1.1"] = "auto"  # auto: 5, and 3.1.1 where that is refused
    client_id: ClientId | None = None  # hemsd-<site> without it
    keepalive_s: Keepalive = 30
    base_topic: TopicPrefix = "hemsd"
    replay_days: Annotated[int, Meta(ge=0, le=36_500, description="a whole number of days from 0 to 36500")] = 99

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.password_file and not self.username:
            raise ValueError("password_file needs username beside it")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        if not self.tls and (self.ca_file or self.pin or self.cert_file or self.server_name):
            raise ValueError("ca_file, pin, cert_file, key_file and server_name are for TLS: write mqtts:// in url")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def exposed(self) -> bool:
        """Whether everything crosses a network in clear."""
        return not (self.tls or _is_loopback(self.host))

    @property
    def host(self) -> str:
        """The broker's name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port, given or by default."""
        return urlsplit(self.url).port or (TLS_PORT if self.tls else PLAIN_PORT)

    def read_password(self) -> str | None:
        """The password, or None where none is configured. Raises OSError, UnicodeDecodeError."""
        return Path(self.password_file).read_text("utf-8").rstrip("\r\n") if self.password_file else None


class BrokerConfig(LinkConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[gateway.broker]: the broker of the house. Raises ValueError where the keys contradict each other."""

    plain: bool = False  # without TLS over a network, by choice

    def __post_init__(self) -> None:
        LinkConfig.__post_init__(self)
        if self.tls and self.plain:
            raise ValueError("plain = true is for mqtt://, and url begins with mqtts://: take one of them away")
        if self.exposed and not self.plain:
            raise ValueError(
                "mqtt:// to another machine sends everything in clear: write mqtts:// in url, for which `hemsd pki` "
                "makes what a broker needs, or plain = true beside url to have it so all the same"
            )


class ProviderConfig(LinkConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[gateway.provider]: a provider's broker, never without TLS. Raises ValueError as LinkConfig does."""

    health: bool = False  # also tell how hemsd and the meter are doing
    replay_per_minute: Pace = 6  # a day in 8 minutes
    keepalive_s: Keepalive = 300  # a million pings in 30 s would be most of what the broker has to do

    def __post_init__(self) -> None:
        LinkConfig.__post_init__(self)
        if self.exposed:
            raise ValueError("mqtt:// to another machine sends everything in clear: write mqtts:// in url")


class MetricsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[gateway.metrics]: where Prometheus may ask. Raises ValueError where `listen` is no address with a port."""

    listen: Annotated[str, Meta(description='an address of this machine and a port, like "127.0.0.1:9850"')]

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.host)
            valid = (":" in self.host) == self.listen.startswith("[")
        except ValueError:
            valid = False
        if not valid or not 0 < self.port < 65536:
            raise ValueError('listen must be an address and a port, like "127.0.0.1:9850" or "[fd00::1]:9850"')

    @property
    def host(self) -> str:
        """The address, without brackets."""
        return self.listen.rpartition(":")[0].removeprefix("[").removesuffix("]")

    @property
    def port(self) -> int:
        """The TCP port."""
        digits = self.listen.rpartition(":")[2]
        return int(digits) if re.fullmatch("[0-9]{1,5}", digits) else 0

    @property
    def on_lan(self) -> bool:
        """Whether it is any address (0.0.0.0, ::) of the interface to the home network, and none by name."""
        return ipaddress.ip_address(self.host).is_unspecified


def check(config: LinkConfig, now: datetime | None = None) -> list[str]:
    """What would keep a connection from being made, one plain sentence each: files that are missing or of no use."""
    return [*_password_problems(config), *_tls_problems(config, now or datetime.now(UTC))]


def advice(config: LinkConfig, now: datetime | None = None) -> list[str]:
    """What works and should be changed all the same, one plain sentence each."""
    found = list(_lax_files(config))
    if config.exposed:
        what = "everything, with the password," if config.password_file else "everything"
        found.append(f"{what} crosses the network to {config.host} in clear (plain = true): use mqtts:// if it can")
    if config.cert_file:
        certificates, _ = _certificates("cert_file", config.cert_file)
        ends = [certificate.not_valid_after_utc for certificate in certificates[:1]]
        today = now or datetime.now(UTC)
        found += [_expiry(config.cert_file, end) for end in ends if today < end <= today + EXPIRY_NOTICE]
    return found


def _check_url(url: str) -> None:
    """The text of an error never repeats the URL: someone may have put the password into it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("the port or address in url is not valid") from error
    if parts.scheme not in ("mqtt", "mqtts"):
        raise ValueError("url must begin with mqtt:// or mqtts://")
    if "@" in parts.netloc:
        raise ValueError("url may not hold a user or password: use username and password_file")
    if not _is_host(parts) or port == 0:
        raise ValueError('url must name a host and perhaps a port, like "mqtts://broker.home:8883"')
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("url may have nothing after host and port")


def _is_host(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    labels = host.removesuffix(".").split(".")
    return ":" in host or all(0 < len(label) < 64 and label.isprintable() and " " not in label for label in labels)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _password_problems(config: LinkConfig) -> Iterator[str]:
    try:
        if config.read_password() == "":
            yield f"password_file {config.password_file} is empty"
    except OSError as error:
        yield _unreadable("password_file", str(config.password_file), error)
    except UnicodeDecodeError:
        yield f"password_file {config.password_file} is not UTF-8 text"


def _tls_problems(config: LinkConfig, now: datetime) -> Iterator[str]:
    if config.ca_file:
        certificates, problem = _certificates("ca_file", config.ca_file)
        if problem:
            yield problem
        elif all(certificate.not_valid_after_utc < now for certificate in certificates):
            yield _expiry(config.ca_file, certificates[0].not_valid_after_utc, "expired")
    if config.cert_file and config.key_file:
        certificates, problem = _certificates("cert_file", config.cert_file)
        if problem:
            yield problem
            return
        own = certificates[0]
        if now > own.not_valid_after_utc:
            yield _expiry(config.cert_file, own.not_valid_after_utc, "expired")
        if now < own.not_valid_before_utc:
            yield f"the certificate {config.cert_file} is valid from {own.not_valid_before_utc:%Y-%m-%d} only"
        yield from _key_problems(config.key_file, own)


def _key_problems(path: str, own: Certificate) -> Iterator[str]:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except OSError as error:
        yield _unreadable("key_file", path, error)
    except TypeError:
        yield f"key_file {path} is locked with a passphrase, and nobody is there to type it: store it without one"
    except ValueError:
        yield f"key_file {path} holds no private key in PEM form"
    else:
        if key.public_key() != own.public_key():
            yield f"key_file {path} does not belong to the certificate in cert_file"


def _certificates(name: str, path: str) -> tuple[list[Certificate], str]:
    """The certificates in a PEM file, or none and what is wrong with it."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(Path(path).read_bytes()), ""
    except OSError as error:
        return [], _unreadable(name, path, error)
    except ValueError:
        return [], f"{name} {path} holds no certificate in PEM form"


def _lax_files(config: LinkConfig) -> Iterator[str]:
    for name, path in (("password_file", config.password_file), ("key_file", config.key_file)):
        if path and Path(path).exists() and Path(path).stat().st_mode & 0o007:
            yield f"{name} {path} is open to everyone: chmod o= {path}"


def _expiry(path: str, end: datetime, verb: str = "expires") -> str:
    return f"the certificate {path} {verb} on {end:%Y-%m-%d}"


def _unreadable(name: str, path: str, error: OSError) -> str:
    return f"{name} {path}: {(error.strerror or str(error)).lower()}"
