"""What Prometheus gets: names and units to the letter, nothing that is not known, through a real HTTP server."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.pki import free_port

from hemsd.gateway import exporter
from hemsd.gateway.config import MetricsConfig
from hemsd.gateway.exporter import Exporter, MetricsError, MetricsMissing
from hemsd.gateway.metrics import METRICS, Metrics
from hemsd.hub.hub import Hub
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Domain,
    Health,
    Link,
    Message,
    MeterReading,
    MeterStatus,
    RadioHealth,
    SiteAggregate,
)
from hemsd.hub.routes import DOORS_6_4_3, Exposure

AT = datetime(2026, 1, 15, 3, 30, tzinfo=UTC)
BASE_UNITS = ("seconds", "joules", "watts", "amperes", "celsius", "bytes", "ratio", "dbm")
COUNTED = ("records", "half_hours", "requests", "silences", "sessions", "recoveries", "datagrams", "counter")
STATES = ("info", "online", "fresh", "quality", "ok", "connected", "on", "fault")


def reading(**values: Any) -> MeterReading:
    return MeterReading(meter="m1", measured_at=AT, **values)


def status(online: bool = True, fresh: bool = True, **more: Any) -> MeterStatus:
    told = {"stage": "online", "since": AT, "last_heard_at": AT, "read_at": AT, **more}
    return MeterStatus(meter="m1", online=online, fresh=fresh, **told)


def appliance(online: bool = True, **more: Any) -> ApplianceStatus:
    place = {"network": "home", "address": "192.0.2.1", "eoj": "013001", "since": AT}
    return ApplianceStatus(
        appliance="ac-1", name="エアコン", kind="home_air_conditioner", online=online, **place, **more
    )


def told(*messages: Message, now: float = 0.0) -> dict[tuple[str, ...], Any]:
    """Name and labels of every sample, and its value."""
    metrics = Metrics("home")
    for message in messages:
        metrics.hear(message, 0.0)
    return {(name, *labels): value for name, (labels, value) in metrics.samples(now)}


def test_names_follow_the_conventions() -> None:
    """A prefix, a base unit or what is counted at the end, no `_total` in the table, no unit that is none."""
    for name, kind in METRICS.items():
        assert re.fullmatch("hemsd_[a-z_]+", name)
        assert not name.endswith("_total")
        assert name.endswith((*BASE_UNITS, *COUNTED, *STATES)), name
        assert kind.text.endswith(".")
        assert not re.search("kwh|kilo|_w$|percent|milli|minutes", name)


def test_a_meter() -> None:
    """Power and currents as they are, registers in joules, times since 1970."""
    found = told(
        status(link=Link(lqi=180, rssi_dbm=-60.5)),
        reading(power_w=-250, current_r_a=2.5, energy_import_kwh=12345.6, states={"energy_export_kwh": "absent"}),
    )
    assert found["hemsd_meter_power_watts", "m1"] == -250
    assert found["hemsd_meter_phase_current_amperes", "m1", "r"] == 2.5
    assert found["hemsd_meter_energy_import_joules", "m1"] == pytest.approx(44_444_160_000)
    assert found["hemsd_meter_read_timestamp_seconds", "m1"] == AT.timestamp()
    assert (found["hemsd_meter_link_quality", "m1"], found["hemsd_meter_signal_dbm", "m1"]) == (180, -60.5)
    assert not {each for each in found if each[0] == "hemsd_meter_energy_export_joules" or each[-1] == "t"}


@pytest.mark.parametrize(
    ("state", "now"), [(status(fresh=False), 0.0), (status(online=False), 0.0), (status(), 601.0)]
)
def test_values_that_are_no_longer_current_are_not_there(state: MeterStatus, now: float) -> None:
    """Never an old value that looks like a new one, and never a zero; since when it is old is told."""
    found = told(reading(power_w=400, energy_import_kwh=1.0), state, now=now)
    assert found["hemsd_meter_fresh", "m1"] is False
    assert found["hemsd_meter_read_timestamp_seconds", "m1"] == AT.timestamp()
    assert ("hemsd_meter_power_watts", "m1") not in found
    assert ("hemsd_meter_energy_import_joules", "m1") not in found


def test_the_radio() -> None:
    """Counters of the way to the meter; recoveries by the step that brought it back."""
    radio = RadioHealth(requests=10, silences=2, loss=0.25, recoveries={"rejoin": 3, "scan": 1}, dropped={"port": 4})
    found = told(status(radio=radio))
    assert found["hemsd_meter_requests", "m1"] == 10
    assert found["hemsd_meter_loss_ratio", "m1"] == 0.25
    assert found["hemsd_meter_recoveries", "m1", "rejoin"] == 3
    assert found["hemsd_meter_dropped_datagrams", "m1", "port"] == 4


def test_the_site_and_the_parts_of_hemsd() -> None:
    """A sum of which nothing is known is not there, one that is old neither; stocks have metrics of their own."""
    aggregate = SiteAggregate(at=AT, grid_w=-100, pv_w=500)
    found = told(aggregate)
    assert found["hemsd_site_grid_watts",] == -100
    assert ("hemsd_site_ev_watts",) not in found
    assert ("hemsd_site_grid_watts",) not in told(aggregate, now=601.0)
    found = told(
        Health(at=AT, source=Domain.HISTORY, ok=True, counters={"missing": 7, "contradicted": 1}),
        Health(at=AT, source=Domain.GATEWAY, ok=False, counters={"behind": 12}),
        Health(at=AT, source=Domain.GATEWAY, part="provider", ok=True, counters={"behind": 3}),
    )
    assert found["hemsd_history_missing_half_hours",] == 7
    assert found["hemsd_domain_counter", "history", "contradicted"] == 1
    assert found["hemsd_domain_ok", "gateway"] is False
    assert found["hemsd_gateway_connected",] is False
    assert found["hemsd_gateway_backlog_records",] == 12
    assert found["hemsd_domain_ok", "provider"] is True
    assert found["hemsd_provider_connected",] is True
    assert found["hemsd_provider_backlog_records",] == 3


def test_an_appliance() -> None:
    """What it tells while it is there; nothing once it is forgotten."""
    values: dict[str, Any] = {"on": True, "mode": "heat", "power_w": 800, "soc_percent": 55, "energy_import_kwh": 2}
    state = ApplianceState(appliance="ac-1", at=AT, values=values)
    found = told(appliance(), state)
    assert found["hemsd_appliance_online", "ac-1", "エアコン", "home_air_conditioner"] is True
    assert found["hemsd_appliance_charge_ratio", "ac-1"] == pytest.approx(0.55)
    assert found["hemsd_appliance_energy_import_joules", "ac-1"] == 7_200_000
    assert {each[0] for each in told(appliance(online=False), state)} == {
        "hemsd_build_info",
        "hemsd_appliance_online",
    }
    assert {each[0] for each in told(appliance(), state, appliance(forgotten=True))} == {"hemsd_build_info"}


def test_no_flood_of_names_grows_it() -> None:
    """Meters, appliances and counters are bounded."""
    metrics = Metrics("home")
    for number in range(3000):
        metrics.hear(MeterReading(meter=f"m{number}", measured_at=AT, power_w=1), 0.0)
        metrics.hear(appliance().__class__(**{**_fields(appliance()), "appliance": f"a{number}"}), 0.0)
    counters = {f"c{number}": 1 for number in range(3000)}
    metrics.hear(Health(at=AT, source=Domain.CONTROL, ok=True, counters=counters), 0.0)
    assert len(list(metrics.samples(0.0))) < 64 * 4 + 1024 + 256 + 10


def _fields(message: ApplianceStatus) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


# --- served ---------------------------------------------------------------------------------------------------


async def closed(writer: asyncio.StreamWriter) -> None:
    """Hang up."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


class Server:
    """A hub with an exporter at it."""

    def __init__(self, level: Exposure) -> None:
        self.hub = Hub(DOORS_6_4_3[level])
        self.port = free_port()
        self.now = 0.0
        config = MetricsConfig(listen=f"127.0.0.1:{self.port}")
        self._exporter = Exporter(self.hub.seat(Domain.GATEWAY), config, "home", clock=lambda: self.now)

    def say(self, *messages: tuple[Domain, Message]) -> None:
        for domain, message in messages:
            seat = self.hub.seat(domain)
            seat.publish(message)
            seat.close()

    async def ask(self, request: bytes) -> tuple[int, str, str]:
        """Status, head and body of the answer to bytes of a request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        answer = (await reader.read()).decode()
        await closed(writer)
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split(" ")[1]) if head else 0, head, body

    async def scrape(self) -> dict[str, Any]:
        """Every family, by name, as prometheus_client itself reads the answer."""
        _, _, body = await self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        return {family.name: family for family in text_string_to_metric_families(body)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        task = asyncio.create_task(self._exporter.run())
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                await closed(writer)
                break
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


EVERYTHING: tuple[tuple[Domain, Message], ...] = (
    (Domain.ROUTEB, status()),
    (Domain.ROUTEB, reading(power_w=423, energy_import_kwh=1.5)),
    (Domain.CONTROL, SiteAggregate(at=AT, grid_w=423)),
    (Domain.HISTORY, Health(at=AT, source=Domain.HISTORY, ok=True, counters={"missing": 2})),
    (Domain.GATEWAY, Health(at=AT, source=Domain.GATEWAY, ok=True)),
    (Domain.APPLIANCES, appliance()),
    (Domain.APPLIANCES, ApplianceState(appliance="ac-1", at=AT, values={"power_w": 800})),
)


@pytest.mark.parametrize("level", ["aggregates", "appliances"])
async def test_what_is_scraped(level: Exposure) -> None:
    """The whole way; a counter has its `_total`, each sample its site; single appliances are there by level only."""
    server = Server(level)
    async with server.running():
        server.say(*EVERYTHING)
        found = await server.scrape()
    [energy] = found["hemsd_meter_energy_import_joules"].samples
    assert (energy.name, energy.labels, energy.value) == (
        "hemsd_meter_energy_import_joules_total",
        {"site": "home", "meter": "m1"},
        5_400_000,
    )
    assert found["hemsd_meter_power_watts"].type == "gauge"
    assert found["hemsd_gateway_connected"].samples[0].value == 1
    appliances = {name for name in found if name.startswith("hemsd_appliance")}
    assert appliances == (
        {"hemsd_appliance_online", "hemsd_appliance_power_watts"} if level == "appliances" else set()
    )
    assert set(found) <= set(METRICS)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /metrics?name=x HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /metrics/../etc HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET http://x/metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
)
async def test_requests(request_: bytes, code: int) -> None:
    """Only what is asked for properly is answered with metrics, and a HEAD with their head."""
    server = Server("aggregates")
    async with server.running():
        answered, head, body = await server.ask(request_)
    assert answered == code
    assert "Connection: close" in head
    assert bool(body) is not request_.startswith(b"HEAD")
    if code == 200:
        assert "Content-Type: text/plain; version=" in head


async def test_those_who_hold_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most there may be each is hung up on, and idle ones are ended: then there is room again."""
    monkeypatch.setattr(exporter, "WITHIN_S", 0.5)
    server = Server("aggregates")
    async with server.running(), asyncio.timeout(10):
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(exporter.CONNECTIONS_MAX)]
        held[0][1].write(b"GET /metrics HTT")
        with pytest.raises((ConnectionError, AssertionError)):
            assert (await server.ask(b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200
        for reader, _ in held:
            with suppress(ConnectionError):
                assert await reader.read() == b""
        assert (await server.ask(b"GET /metrics HTTP/1.1\r\n\r\n"))[0] == 200
        for _, writer in held:
            await closed(writer)


async def test_asking_often_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics are put into words once a second at most."""
    server = Server("aggregates")
    async with server.running():
        server.say((Domain.ROUTEB, status()), (Domain.ROUTEB, reading(power_w=1)))
        assert (await server.scrape())["hemsd_meter_power_watts"].samples[0].value == 1
        server.say((Domain.ROUTEB, reading(power_w=2)))
        assert (await server.scrape())["hemsd_meter_power_watts"].samples[0].value == 1
        server.now = 1.0
        assert (await server.scrape())["hemsd_meter_power_watts"].samples[0].value == 2


async def test_the_end_waits_for_nobody() -> None:
    """A connection that is open when hemsd stops holds nothing up."""
    server = Server("aggregates")
    async with asyncio.timeout(2):
        async with server.running():
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET ")
            await asyncio.sleep(0)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        await closed(writer)


async def test_a_place_that_is_taken_is_told() -> None:
    """Which, why, and where it is configured."""
    seat = Hub(DOORS_6_4_3["aggregates"]).seat(Domain.GATEWAY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = MetricsConfig(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(
            MetricsError, match=rf"at 127.0.0.1, port {config.port}: .*address already in use.*see listen"
        ):
            await Exporter(seat, config, "home").run()


async def test_any_address_wants_the_home_network() -> None:
    """It is never every network of this machine."""
    seat = Hub(DOORS_6_4_3["aggregates"]).seat(Domain.GATEWAY)
    with pytest.raises(MetricsError, match=r"name it in \[lan\], or an address in listen"):
        await Exporter(seat, MetricsConfig(listen="0.0.0.0:1"), "home").run()


async def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra has a name."""
    for name in [each for each in sys.modules if each.startswith("prometheus_client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    seat = Hub(DOORS_6_4_3["aggregates"]).seat(Domain.GATEWAY)
    with pytest.raises(MetricsMissing, match=r"pip install 'hemsd\[metrics\]'"):
        await Exporter(seat, MetricsConfig(listen="127.0.0.1:1"), "home").run()


@pytest.mark.parametrize(
    ("listen", "parts"),
    [("127.0.0.1:9850", ("127.0.0.1", 9850)), ("[fd00::1]:1", ("fd00::1", 1)), ("0.0.0.0:65535", ("0.0.0.0", 65535))],
)
def test_listen(listen: str, parts: tuple[str, int]) -> None:
    """An address and a port; any address is one of the home network's."""
    config = MetricsConfig(listen=listen)
    assert (config.host, config.port) == parts
    assert config.on_lan is (parts[0] == "0.0.0.0")


@pytest.mark.parametrize(
    "listen",
    ["", "9850", ":9850", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:99999", "fd00::1:9850", "pi.home:1"],
)
def test_listen_that_is_of_no_use(listen: str) -> None:
    """A name may lead anywhere, and an address without a port nowhere."""
    with pytest.raises(ValueError, match="an address and a port"):
        MetricsConfig(listen=listen)


def test_every_metric_is_documented() -> None:
    """docs/mqtt.md lists them, as Prometheus shows them, in the order of the code."""
    document = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text("utf-8").partition("## Metrics")[2]
    rows = re.findall(r"^\| `(hemsd_\w+)` \| (.*?) \| (.+) \|$", document, re.MULTILINE)
    assert rows == [
        (
            f"{name}_total" if kind.type == "counter" else name,
            ", ".join(f"`{label}`" for label in kind.labels),
            kind.text.removesuffix("."),
        )
        for name, kind in METRICS.items()
    ]
