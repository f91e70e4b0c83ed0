"""Whom hemsd trusts over TLS: a broker with the pinned key, whatever else its certificate says, and no other."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate
from support.mosquitto import PASSWORD, USER, Mosquitto, Pki

from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import BrokerError, connect
from hemsd.gateway.tls import pin_of
from hemsd.gateway.topics import Topics

pytestmark = [
    pytest.mark.needs("mosquitto"),
    # paho leaves a socket to the garbage collector when the TLS handshake fails on it
    pytest.mark.filterwarnings("ignore:unclosed <.*(SSL|Pinned)Socket:ResourceWarning"),
]
DOCUMENT = Path(__file__).parents[2] / "docs" / "mqtt.md"
WILL = Topics("hemsd", "home-1").availability(False)


@pytest.fixture(autouse=True)
def _impatient_and_tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("hemsd.gateway.connection.ANSWER_WITHIN_S", 0.5)
    yield
    gc.collect()


async def trouble(config: BrokerConfig) -> str:
    """What is wrong when connecting; nothing if it goes well."""
    try:
        async with connect(config, "5", "test", WILL):
            return ""
    except BrokerError as error:
        return str(error)


def tls(broker: Mosquitto, pki: Pki, **changes: Any) -> BrokerConfig:
    files = {"ca_file": "ca.crt", "cert_file": f"{USER}.crt", "key_file": f"{USER}.key"}
    paths = {name: str(pki.directory / file) for name, file in files.items()}
    return BrokerConfig(**{"url": f"mqtts://localhost:{broker.ports.tls}", **paths, **changes})


def pin_from_openssl(port: int) -> str:
    """The pin of a broker, got as docs/mqtt.md says."""
    [command] = re.findall(r"^openssl s_client .*$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    command = command.replace("broker.home:8883", f"localhost:{port}")
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.needs("openssl")
async def test_a_pin_in_place_of_an_authority(broker: Mosquitto, pki: Pki) -> None:
    """The pinned key is enough, whatever authority, name or time, and no other; the documented command tells it."""
    pin = pin_from_openssl(broker.ports.tls)
    own = load_pem_x509_certificate((pki.directory / "server.crt").read_bytes())
    assert pin == pin_of(own)
    url = f"mqtts://127.0.0.1:{broker.ports.tls}"
    assert await trouble(tls(broker, pki, ca_file=None, pin=pin, url=url)) == ""
    other = pin_of(load_pem_x509_certificate((pki.directory / "viewer.crt").read_bytes()))
    wrong = await trouble(tls(broker, pki, ca_file=None, pin=other))
    assert f"cannot be trusted: its key is not the one of pin, but {pin}" in wrong


async def test_a_broker_under_another_name(broker: Mosquitto, pki: Pki) -> None:
    """The name that its certificate has is checked, whatever it is reached by; any other is refused."""
    url = f"mqtts://127.1:{broker.ports.tls}"  # 127.0.0.1, in a way that no certificate has
    assert "cannot be trusted" in await trouble(tls(broker, pki, url=url))
    assert await trouble(tls(broker, pki, url=url, server_name="localhost")) == ""
    assert "cannot be trusted" in await trouble(tls(broker, pki, url=url, server_name="broker.home"))


async def test_the_name_is_asked_for(pki: Pki) -> None:
    """By Server Name Indication (RFC 6066, 3), which balancers in front of a cluster of brokers go by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.directory / "server.crt", pki.directory / "server.key")
    asked: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        url = f"mqtts://127.1:{server.sockets[0].getsockname()[1]}"
        for name in (None, "broker.example.net"):
            config = BrokerConfig(url=url, ca_file=str(pki.directory / "ca.crt"), server_name=name)
            assert "cannot be trusted" in await trouble(config)
    assert asked == ["127.1", "broker.example.net"]


async def test_a_pin_besides_an_authority(broker: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """Both have to be right."""
    pin = pin_of(load_pem_x509_certificate((pki.directory / "server.crt").read_bytes()))
    other = pin_of(load_pem_x509_certificate((pki.directory / "viewer.crt").read_bytes()))
    stranger = str(Pki(tmp_path / "other").directory / "ca.crt")
    assert await trouble(tls(broker, pki, pin=pin)) == ""
    assert "its key is not the one of pin" in await trouble(tls(broker, pki, pin=other))
    assert "see ca_file" in await trouble(tls(broker, pki, pin=pin, ca_file=stranger))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_nothing_is_said_to_a_broker_of_another_key(pki: Pki, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Not even CONNECT, in which there would be the password; control: with the right pin there is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.directory / "server.crt", pki.directory / "server.key")
    context.minimum_version = context.maximum_version = version
    (tmp_path / "password").write_text(PASSWORD)
    password = {"username": USER, "password_file": str(tmp_path / "password")}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def heard() -> bytes:
            accepted, _ = server.accept()
            accepted.settimeout(10)
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    return connection.recv(1000)
            except OSError:  # the other hung up within the handshake
                return b""

        for name in ("viewer", "server"):
            pin = pin_of(load_pem_x509_certificate((pki.directory / f"{name}.crt").read_bytes()))
            config = BrokerConfig(url=f"mqtts://localhost:{server.getsockname()[1]}", pin=pin, **password)
            told, failed = await asyncio.gather(asyncio.to_thread(heard), trouble(config))
            assert failed != ""
            assert (PASSWORD.encode() in told) is (name == "server")
