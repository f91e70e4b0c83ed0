"""Trouble with a broker, in words that say what to look at; and no secret in any of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from support.clock import run
from support.gateway import House, bridging
from support.mosquitto import PASSWORD, USER, Mosquitto, Pki

from hemsd.gateway.client import Client
from hemsd.gateway.config import BrokerConfig
from hemsd.gateway.connection import BrokerError, Connection, Version, connect
from hemsd.gateway.requests import SIZE_MAX
from hemsd.gateway.topics import Publication, Topics

pytestmark = [
    pytest.mark.needs("mosquitto"),
    # paho leaves a socket to the garbage collector when the TLS handshake fails on it
    pytest.mark.filterwarnings("ignore:unclosed <.*(SSL|Pinned)Socket:ResourceWarning"),
]
WILL = Topics("hemsd", "home-1").availability(False)


@pytest.fixture(autouse=True)
def _impatient_and_tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("hemsd.gateway.connection.ANSWER_WITHIN_S", 0.5)
    yield
    gc.collect()


async def trouble(config: BrokerConfig, version: Version = "5") -> str:
    """What is wrong when connecting; nothing if it goes well."""
    try:
        async with connect(config, version, "test", WILL):
            return ""
    except BrokerError as error:
        return str(error)


def guarded(broker: Mosquitto, tmp_path: Path, password: str) -> BrokerConfig:
    path = tmp_path / "password"
    path.write_text(password + "\n")
    url = f"mqtt://127.0.0.1:{broker.ports.guarded}"
    return BrokerConfig(url=url, username=USER, password_file=str(path))


def tls(broker: Mosquitto, pki: Pki, client: str | None = USER, **changes: Any) -> BrokerConfig:
    files = {"ca_file": "ca.crt"}
    if client:
        files |= {"cert_file": f"{client}.crt", "key_file": f"{client}.key"}
    paths = {name: str(pki.directory / file) for name, file in files.items()}
    return BrokerConfig(**{"url": f"mqtts://localhost:{broker.ports.tls}", **paths, **changes})


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_wrong_password(broker: Mosquitto, tmp_path: Path, version: Version) -> None:
    """A refused password is said so, with the keys to look at; the right one is let in."""
    wrong = await trouble(guarded(broker, tmp_path, "guess"), version)
    assert "refused us: see username and password_file" in wrong
    assert await trouble(guarded(broker, tmp_path, PASSWORD), version) == ""


async def test_a_password_is_in_no_log(broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it is right or wrong, a password shows up in no log at any level and in no repr."""
    caplog.set_level(logging.DEBUG)
    for password in ("wrong-horse", PASSWORD):
        config = guarded(broker, tmp_path, password)
        async with bridging(House(), config), asyncio.timeout(10):
            while f"{broker.ports.guarded}" not in caplog.text:
                await asyncio.sleep(0.01)
        assert password not in caplog.text + repr(config)
        caplog.clear()


async def test_a_broker_with_another_authority(broker: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """A certificate that our authority did not sign is not trusted; control: the right authority is."""
    other = Pki(tmp_path / "other")
    wrong = await trouble(tls(broker, pki, ca_file=str(other.directory / "ca.crt")))
    assert "cannot be trusted" in wrong
    assert "see ca_file" in wrong
    assert await trouble(tls(broker, pki)) == ""


async def test_a_broker_with_another_name(broker: Mosquitto, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate for another host than the one in url is not trusted."""
    original = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda address, *a, **k: original(("127.0.0.1", address[1]), *a, **k)
    )
    wrong = await trouble(tls(broker, pki, url=f"mqtts://broker.example:{broker.ports.tls}"))
    assert "cannot be trusted: Hostname mismatch" in wrong


@pytest.mark.parametrize(
    ("client", "words"),
    [(None, "refused us without a certificate: see cert_file"), ("late", "refused our certificate")],
)
async def test_a_client_certificate_that_is_not_taken(
    broker: Mosquitto, pki: Pki, client: str | None, words: str
) -> None:
    """A missing or outdated certificate of ours is said so, though TLS 1.3 tells only after the handshake."""
    assert words in await trouble(tls(broker, pki, client))


async def test_the_wrong_kind_of_port(broker: Mosquitto, pki: Pki) -> None:
    """Plain to a TLS port, and TLS to a plain one, give the hint that this is what to look at."""
    hint = "mqtt:// is plain and mqtts:// is TLS"
    assert hint in await trouble(BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.tls}"))
    assert hint in await trouble(tls(broker, pki, url=f"mqtts://localhost:{broker.ports.open}"))


async def test_no_broker(broker: Mosquitto) -> None:
    """A port where nothing listens."""
    broker.stop()
    assert "is the broker running?" in await trouble(BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}"))


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS trouble names the name."""

    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await trouble(BrokerConfig(url="mqtt://broker.example", plain=True)) == (
        "the name broker.example cannot be resolved: see url, and the network's DNS"
    )


async def test_a_host_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection attempt that times out is told from a broker that does not answer."""

    def never(*_: Any, **__: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", never)
    assert "cannot be reached: timed out" in await trouble(BrokerConfig(url="mqtt://192.0.2.1", plain=True))


async def test_a_broker_that_is_frozen_from_the_start(broker: Mosquitto) -> None:
    """A broker whose kernel accepts and which says nothing."""
    broker.freeze()
    assert "no answer to CONNECT" in await trouble(BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}"))
    broker.thaw()


async def test_a_broker_that_says_why_it_hangs_up(caplog: pytest.LogCaptureFixture) -> None:
    """The reason in the broker's DISCONNECT is told in words, here that another client has our id; and only once."""
    greetings = 0

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal greetings
        greetings += 1
        await reader.read(4096)
        writer.write(bytes.fromhex("20 03 00 00 00"))  # CONNACK
        await reader.read(4096)
        writer.write(bytes.fromhex("E0 01 8E"))  # DISCONNECT: session taken over
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with bridging(House(), config), asyncio.timeout(10):
            while greetings < 3:
                await asyncio.sleep(0.05)
    assert caplog.text.count("give one of them another client_id") == 1


@pytest.mark.parametrize(("version", "why"), [("5", "its access rules do not allow it to us"), ("3.1.1", "")])
async def test_a_topic_that_is_denied(broker: Mosquitto, pki: Pki, version: Version, why: str) -> None:
    """MQTT 5 tells it with the acknowledgement; in 3.1.1 there is no word for it."""
    async with connect(tls(broker, pki), version, "test", WILL) as connection:
        assert await connection.publish(Publication("elsewhere/x", b"", 1, False)) == why
        assert await connection.publish(Publication("hemsd/x", b"", 1, False)) == ""
        assert await connection.publish(Publication("elsewhere/x", b"", 0, False)) == ""


@pytest.mark.parametrize(("connack", "in_flight"), [("20 03 00 00 00", 65_534), ("20 06 00 00 03 21 00 0A", 9)])
async def test_how_many_a_broker_takes_at_once(connack: str, in_flight: int) -> None:
    """MQTT 5, 3.2.2.3.3: Receive Maximum in CONNACK; one of them is for what is published beside records."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(bytes.fromhex(connack))
        await reader.read(4096)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with connect(config, "5", "test", WILL) as connection:
            assert connection.in_flight == in_flight


@pytest.mark.parametrize(
    ("reason", "words"),
    [("9F", "too many new connections"), ("95", "too large"), ("8C", "another way"), ("83", "0x83")],
)
async def test_a_broker_that_says_why_it_lets_nobody_in(reason: str, words: str) -> None:
    """The reason code of its CONNACK (MQTT 5, 3.2.2.2), known to us or not, is told; another version is no remedy."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(bytes.fromhex(f"20 03 00 {reason} 00"))
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        config = BrokerConfig(url=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(BrokerError, match=words) as caught:
            await connect(config, "5", "test", WILL).__aenter__()
    assert not caught.value.try_other_version


@pytest.mark.parametrize("kind", ["mqtt", "mqtts"])
async def test_a_broker_that_does_not_keep_up(
    broker: Mosquitto, pki: Pki, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What is sent goes to the kernel at once; what it has no room for waits, in order, until the broker reads on."""
    monkeypatch.setattr("hemsd.gateway.connection.ANSWER_WITHIN_S", 10.0)
    config = tls(broker, pki) if kind == "mqtts" else BrokerConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}")
    written: list[int] = []
    async with connect(config, "5", "test", WILL) as connection:
        assert await connection.publish(Publication("hemsd/a", b"", 0, False)) == ""
        broker.freeze()
        for number in range(200):
            answered = partial(lambda number, _: written.append(number), number)
            connection.send(Publication("hemsd/a", bytes(200_000), 0, False), answered)
        assert 0 < len(written) < 200
        broker.thaw()
        assert await connection.publish(Publication("hemsd/v1/home-1/availability", b"", 1, False)) == ""
        assert written == list(range(200))
        assert await connection.publish(Publication("hemsd/a", b"", 0, False)) == ""


async def test_a_password_file_that_is_gone(broker: Mosquitto, tmp_path: Path) -> None:
    """What `hemsd config check` would have said is also said where it is found out later."""
    config = guarded(broker, tmp_path, PASSWORD)
    Path(str(config.password_file)).unlink()
    assert f"password_file {config.password_file}: no such file" in await trouble(config)


async def test_a_locked_key_is_not_asked_for(broker: Mosquitto, pki: Pki, tmp_path: Path) -> None:
    """A key with a passphrase is refused; OpenSSL would ask for it on the terminal."""
    key = load_pem_private_key((pki.directory / "hemsd.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    wrong = await trouble(tls(broker, pki, key_file=str(locked)))
    assert "the key is locked with a passphrase" in wrong


async def test_renewed_certificates_are_used(broker: Mosquitto, pki: Pki) -> None:
    """Files are read at each connection, so a renewal needs no restart."""
    pki.issue("renewed", valid=timedelta(days=-1))
    config = tls(broker, pki, "renewed")
    assert await trouble(config) != ""
    pki.issue("renewed")
    assert await trouble(config) == ""


async def test_what_comes_too_fast_is_dropped_and_counted() -> None:
    """The queue of incoming messages has a bound; what does not fit is not mistaken for a fault."""
    client = Client("h", max_queued_incoming_messages=2)
    for number in range(5):
        client._on_message(None, None, MQTTMessage(topic=b"a/%d" % number))
    assert Connection(client, BrokerConfig(url="mqtts://h"), "5").dropped == client.dropped == 3
    assert [str((await anext(client.messages)).topic) for _ in range(2)] == ["a/0", "a/1"]


async def test_no_more_is_kept_of_a_long_message_than_refuses_it() -> None:
    """What waits for us is bounded in bytes, too, whatever a broker lets through."""
    client = Client("h", max_queued_incoming_messages=2)
    for size in (SIZE_MAX, 10 * SIZE_MAX):
        message = MQTTMessage(topic=b"a/b")
        message.payload = bytes(size)
        client._on_message(None, None, message)
    kept = [(await anext(client.messages)).payload for _ in range(2)]
    assert [len(payload) for payload in kept if isinstance(payload, bytes)] == [SIZE_MAX, SIZE_MAX + 1]


@pytest.mark.parametrize(("keepalive_s", "looks"), [(30, 12), (60, 6), (1, 60)])
def test_pings_do_not_wake_the_process_every_second(keepalive_s: int, looks: int) -> None:
    """Whether one is due is looked at six times in a keepalive, at most once a second, until the connection ends."""

    class Paho:
        keepalive, looks = keepalive_s, 0

        def loop_misc(self) -> MQTTErrorCode:
            self.looks += 1
            over = asyncio.get_running_loop().time() >= began + 60
            return MQTTErrorCode.MQTT_ERR_CONN_LOST if over else MQTTErrorCode.MQTT_ERR_SUCCESS

    began = 0.0

    async def scenario() -> int:
        nonlocal began
        began = asyncio.get_running_loop().time()
        client = Client("h")
        client._client = paho = Paho()  # type: ignore[assignment]
        await client._misc_loop()
        return paho.looks

    assert run(scenario()) == looks + 1


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([ReasonCode(PacketTypes.SUBACK, identifier=1)], ""),
        ([ReasonCode(PacketTypes.SUBACK, identifier=0x87)], "access rules"),
        ((1,), ""),
        ((0x80,), "does not say why"),
    ],
)
async def test_a_subscription_that_is_refused(answers: Any, says: str) -> None:
    """Told by its reason code (MQTT 5) or as a mere failure (3.1.1); mosquitto itself never refuses one."""

    class Refusing:
        async def subscribe(self, *_: object) -> Any:
            return answers

    config = BrokerConfig(url="mqtts://h")
    connection = Connection(Refusing(), config, "5" if isinstance(answers, list) else "3.1.1")  # type: ignore[arg-type]
    why = await connection.subscribe("a/+")
    assert says in why if says else why == ""
