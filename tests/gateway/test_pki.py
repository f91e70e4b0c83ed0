"""Certificates of `hemsd pki` in real use: mosquitto with exactly its files, and OpenSSL at its strictest."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import aiomqtt
import pytest
from support.gateway import AVAILABILITY, LIVE, METER_AVAILABILITY, ROOT, House, bridging
from support.pki import config_for, free_port, hemsd_pki, included, strict

from hemsd.gateway.config import check
from hemsd.gateway.connection import BrokerError, Version, connect
from hemsd.gateway.pki import Authority, PkiError, Role, certificate_pem, key_pem, new_key
from hemsd.gateway.topics import Topics

pytestmark = [
    pytest.mark.needs("mosquitto"),
    # paho leaves a socket to the garbage collector when the TLS handshake fails on it
    pytest.mark.filterwarnings("ignore:unclosed <.*(SSL|Pinned)Socket:ResourceWarning"),
]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WILL = Topics("hemsd", "home-1").availability(False)
NOT_AUTHORIZED = 0x87  # MQTT 5, 2.4


class Site(NamedTuple):
    """A directory of `hemsd pki`, and the port of the broker that runs with it."""

    directory: Path
    port: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory, port = tmp_path_factory.mktemp("site") / "pki", free_port()
    names = (
        "--client",
        "hemsd-home-1",
        "--client",
        "hemsd-other",
        "--reader",
        "panel",
        "--operator",
        "homeassistant",
        "--provider",
        "energy",
    )
    made = hemsd_pki(directory, "--broker", "localhost", "--broker", "127.0.0.1", *names, "--port", str(port))
    assert made.code == 0, made.err
    with included(directory / "mosquitto.conf", directory.parent / "etc", port):
        yield Site(directory, port)


@pytest.fixture(autouse=True)
def _impatient_and_tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("hemsd.gateway.connection.ANSWER_WITHIN_S", 1.0)
    yield
    gc.collect()


async def trouble(site: Site, client: str | None, version: Version = "5", **changes: str) -> str:
    """What is wrong when connecting; nothing if it goes well."""
    try:
        async with connect(config_for(site.directory, client, site.port, **changes), version, "hemsd-home-1", WILL):
            return ""
    except BrokerError as error:
        return str(error)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_hemsd_gets_in(site: Site, version: Version) -> None:
    """With what the command made, checked as `hemsd config check` does, by name and by address."""
    assert check(config_for(site.directory, "hemsd-home-1", site.port)) == []
    assert await trouble(site, "hemsd-home-1", version) == ""
    assert await trouble(site, "hemsd-home-1", version, url=f"mqtts://127.0.0.1:{site.port}") == ""


async def test_nobody_else_gets_in(site: Site, tmp_path: Path) -> None:
    """Not without a certificate, and not with one of another authority, though it bears the same name."""
    assert "without a certificate" in await trouble(site, None)
    assert hemsd_pki(tmp_path, "--broker", "localhost", "--client", "hemsd-home-1").code == 0
    own = {
        name: str(tmp_path / "clients" / f"hemsd-home-1.{kind}")
        for name, kind in (("cert_file", "crt"), ("key_file", "key"))
    }
    assert "refused our certificate" in await trouble(site, "hemsd-home-1", **own)
    assert "cannot be trusted" in await trouble(site, "hemsd-home-1", ca_file=str(tmp_path / "ca.crt"))


async def test_a_client_s_certificate_is_no_server_s(site: Site) -> None:
    """Nobody can play broker with a stolen client certificate: its purpose is another."""
    client = site.directory / "clients" / "panel"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{client}.crt", f"{client}.key")
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        told = await trouble(site, "hemsd-home-1", url=f"mqtts://localhost:{port}")
    assert "cannot be trusted: unsuitable certificate purpose" in told


def panel(site: Site, client: str = "panel") -> aiomqtt.Client:
    """A client of MQTT 5, with TLS as strict as can be."""
    tls = strict(site.directory, client)
    return aiomqtt.Client("localhost", site.port, tls_context=tls, protocol=aiomqtt.ProtocolVersion.V5)


async def test_the_bridge_works_with_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """What hemsd publishes passes the access rules, its last word too, and a reader sees it."""
    house, seen = House(), set[str]()
    async with panel(site) as view, asyncio.timeout(10):
        await view.subscribe(f"{ROOT}/#", qos=1)
        async with bridging(house, config_for(site.directory, "hemsd-home-1", site.port)):
            house.status()
            house.read(power_w=423)
            async for message in view.messages:
                seen.add(str(message.topic))
                if seen >= {AVAILABILITY, METER_AVAILABILITY, LIVE}:
                    break
        async for message in view.messages:
            if (str(message.topic), message.payload) == (AVAILABILITY, b"offline"):
                break
    assert "refused" not in caplog.text


async def acknowledged(site: Site, client: str, topic: str) -> int:
    """The reason code of the acknowledgement of a publication."""
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with panel(site, client) as mqtt, asyncio.timeout(5):
        mqtt._client.on_publish = lambda _, __, ___, code, ____: done.set_result(int(code.value))
        mqtt._client.publish(topic, b"x", 1)
        return await done


@pytest.mark.parametrize(
    ("client", "topic", "allowed"),
    [
        ("hemsd-home-1", f"{ROOT}/meter/m1/live", True),
        ("hemsd-home-1", "hemsd/v1/other/meter/m1/live", False),
        ("hemsd-home-1", "homeassistant/device/hemsd-home-1/site/config", True),
        ("hemsd-home-1", "homeassistant/device/hemsd-other/site/config", False),
        ("hemsd-home-1", "homeassistant/status", False),
        ("panel", f"{ROOT}/request/set", False),
        ("homeassistant", f"{ROOT}/request/set", True),
        ("homeassistant", f"{ROOT}/appliance/ac/set", True),
        ("homeassistant", f"{ROOT}/meter/m1/live", False),
        ("homeassistant", "homeassistant/status", True),
        ("energy", f"{ROOT}/request/dr-event", True),
        ("energy", f"{ROOT}/request/set", False),
        ("energy", f"{ROOT}/appliance/ac/set", False),
        ("energy", f"{ROOT}/meter/m1/interval", False),
    ],
)
async def test_who_may_publish_what(site: Site, client: str, topic: str, allowed: bool) -> None:
    """A denial is one: the acknowledgement says Not authorized."""
    assert (await acknowledged(site, client, topic) != NOT_AUTHORIZED) is allowed


@pytest.mark.parametrize(
    ("reader", "writer", "topic", "allowed"),
    [
        ("hemsd-home-1", "homeassistant", f"{ROOT}/request/set", True),
        ("hemsd-home-1", "homeassistant", f"{ROOT}/appliance/ac/set", True),
        ("hemsd-home-1", "homeassistant", "homeassistant/status", True),
        ("hemsd-home-1", "homeassistant", "hemsd/v1/other/request/set", False),
        ("hemsd-home-1", "hemsd-other", "hemsd/v1/other/meter/m1/live", False),
        ("panel", "hemsd-other", "hemsd/v1/other/meter/m1/live", True),
        ("panel", "homeassistant", "homeassistant/status", False),
        ("homeassistant", "hemsd-other", "hemsd/v1/other/response/set", True),
        ("homeassistant", "hemsd-other", "homeassistant/device/hemsd-other/site/config", True),
    ],
)
async def test_who_hears_what(site: Site, reader: str, writer: str, topic: str, allowed: bool) -> None:
    """A site hears its own orders only; control: everybody hears what is published last."""
    last = f"{ROOT}/request/last"
    async with (
        panel(site, reader) as ear,
        panel(site, writer) as mouth,
        panel(site, "homeassistant") as control,
        asyncio.timeout(10),
    ):
        await ear.subscribe([(topic, 1), (last, 1)])
        await mouth.publish(topic, b"x", 1)
        await control.publish(last, b"x", 1)
        assert str((await anext(aiter(ear.messages))).topic) == (topic if allowed else last)


STRICTEST = ("openssl", "verify", "-x509_strict", "-purpose")


@pytest.mark.needs("openssl")
def test_openssl_at_its_strictest_takes_them(tmp_path: Path) -> None:
    """Each certificate for its purpose, and none for the other's; the authority makes no further authorities."""
    assert hemsd_pki(tmp_path, "--broker", "broker.home", "--client", "hemsd-home-1").code == 0
    server, client = tmp_path / "server.crt", tmp_path / "clients/hemsd-home-1.crt"
    for path, purpose, good in (
        (server, "sslserver", True),
        (server, "sslclient", False),
        (client, "sslclient", True),
        (client, "sslserver", False),
    ):
        ran = subprocess.run([*STRICTEST, purpose, "-CAfile", tmp_path / "ca.crt", path], capture_output=True)
        assert (ran.returncode == 0) is good, ran.stderr
    shown = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "ca.crt", "-noout", "-text"], capture_output=True, text=True, check=True
    ).stdout
    assert "CA:TRUE, pathlen:0" in shown
    assert "Certificate Sign, CRL Sign" in shown


def test_how_long_they_last() -> None:
    """The authority ten years, others 825 days but never longer than it; all from a day before."""
    authority = Authority.create(new_key(), NOW)
    key = new_key().public_key()
    assert authority.certificate.not_valid_after_utc - NOW == timedelta(days=3650)
    assert authority.certificate.not_valid_before_utc == NOW - timedelta(days=1)
    assert authority.server(["b"], key, NOW).not_valid_after_utc - NOW == timedelta(days=825)
    late = NOW + timedelta(days=3600)
    assert authority.client("a", "reader", key, late).not_valid_after_utc == NOW + timedelta(days=3650)
    with pytest.raises(PkiError, match="ended on 2035-12-30: make a new one"):
        authority.client("a", "reader", key, NOW + timedelta(days=3651))


@pytest.mark.parametrize(
    "host", ["", "a b", "a..b", "*.home", "-a", "300.1.1.1", "x" * 64, "fe80::1%eth0", "br\u00f6ker"]
)
def test_hosts_that_are_none(host: str) -> None:
    """Neither a name nor an address; nothing is made for it."""
    authority = Authority.create(new_key(), NOW)
    with pytest.raises(PkiError, match="neither a host's name nor an address"):
        authority.server([host], new_key().public_key(), NOW)


@pytest.mark.parametrize(
    ("name", "role", "words"),
    [
        ("home", "site", "hemsd-<site>"),
        ("hemsd-Home", "site", "hemsd-<site>"),
        ("hemsd-" + "x" * 59, "site", "hemsd-<site>|cannot be called"),
        ("../x", "reader", "cannot be called"),
        (".x", "operator", "cannot be called"),
        ("a\nb", "reader", "cannot be called"),
        ("+", "reader", "cannot be called"),
        ("x" * 65, "reader", "cannot be called"),
    ],
)
def test_clients_that_cannot_be_called_so(name: str, role: Role, words: str) -> None:
    """A name is a file's name and a user of the access rules, so it cannot lead out of either."""
    with pytest.raises(PkiError, match=words):
        Authority.create(new_key(), NOW).client(name, role, new_key().public_key(), NOW)


def test_only_what_the_authority_signed_is_its_own() -> None:
    """By signature, not by name alone."""
    authority = Authority.create(new_key(), NOW)
    certificate = authority.server(["b"], new_key().public_key(), NOW)
    forger = Authority(authority.certificate, new_key())
    assert authority.made(certificate)
    assert not authority.made(forger.server(["b"], new_key().public_key(), NOW))
    assert not Authority.create(new_key(), NOW).made(certificate)
    with pytest.raises(PkiError, match="does not belong to it"):
        Authority.load(certificate_pem(authority.certificate), key_pem(new_key()))


@pytest.mark.parametrize(
    ("topic", "allowed"),
    [
        (f"{ROOT}/meter/m1/interval", True),
        (f"{ROOT}/site/day", True),
        (f"{ROOT}/bridge/info", True),
        (f"{ROOT}/meter/m1/live", False),
        (f"{ROOT}/appliance/ac/state", False),
        (f"{ROOT}/bridge/event", False),
        (f"{ROOT}/response/set", False),
    ],
)
async def test_what_a_provider_hears(site: Site, topic: str, allowed: bool) -> None:
    """Half-hours and sums of the house; control: it hears what is published last."""
    last = f"{ROOT}/site/month"
    async with panel(site, "energy") as ear, panel(site, "hemsd-home-1") as mouth, asyncio.timeout(10):
        await ear.subscribe([(topic, 1), (last, 1)])
        await mouth.publish(topic, b"x", 1)
        await mouth.publish(last, b"x", 1)
        assert str((await anext(aiter(ear.messages))).topic) == (topic if allowed else last)


async def test_another_base_topic(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Rules and what is said to write into hemsd.toml go by it; hemsd and a reader work with that."""
    directory, port, base = tmp_path / "pki", free_port(), "house/energy"
    names = ("--client", "hemsd-home-1", "--reader", "panel", "--base-topic", base, "--port", str(port))
    made = hemsd_pki(directory, "--broker", "localhost", *names)
    assert f'  base_topic = "{base}"' in made.out.splitlines()
    house = House()
    with included(directory / "mosquitto.conf", tmp_path / "etc", port):
        config = config_for(directory, "hemsd-home-1", port, base_topic=base)
        async with panel(Site(directory, port)) as view, asyncio.timeout(10), bridging(house, config):
            await view.subscribe(f"{base}/v1/home-1/#", qos=1)
            house.interval(1)
            async for message in view.messages:
                if str(message.topic) == f"{base}/v1/home-1/meter/m1/interval":
                    break
    assert "refused" not in caplog.text
    for wrong in ("a/b/c/d", "a b", "#", ""):
        with pytest.raises(SystemExit):
            hemsd_pki(directory, "--base-topic", wrong)
