"""Three processes for three worlds: whichever dies, the others go on, and no half-hour is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from support.cli import hemsd
from support.mosquitto import PASSWORD, USER, Mosquitto, Pki, make_pki, observer
from support.netns import Namespace
from support.parts import HURRIED, JST, PARTS, WATCHED, House, eventually, house, last_boundary, street

from hemsd.hub.messages import (
    BackfillProgress,
    Domain,
    Event,
    Health,
    Message,
    MeterInterval,
    MeterProperty,
    MeterReading,
    MeterStatus,
    ReadMeter,
    Records,
    RecordsAfter,
    SiteAggregate,
)
from hemsd.hub.wire import connect

pytestmark = pytest.mark.needs("mosquitto")

ROOT = "hemsd/v1/home-1"
AVAILABILITY = f"{ROOT}/availability"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture
def broker(tmp_path: Path, pki: Pki) -> Iterator[Mosquitto]:
    directory = tmp_path / "mosquitto"
    directory.mkdir()
    with Mosquitto(directory, pki) as started:
        yield started


def bridged(broker: Mosquitto) -> str:
    return f'[gateway.broker]\nurl = "mqtt://127.0.0.1:{broker.ports.open}"\n'


async def test_each_part_killed_under_load_loses_no_half_hour(tmp_path: Path, broker: Mosquitto) -> None:
    """While the meter's memory is read, each process is killed and started again; the radio session stays up."""
    async with (
        street() as outside,
        house(tmp_path, outside.port, bridged(broker)) as home,
        observer(broker.ports.open, topic=f"{ROOT}/meter/+/interval", session="watch") as watch,
    ):
        for part in ("routeb", "gateway", "hub"):  # the hub may come last
            await home.start(part, HURRIED[part])
        for part in ("routeb", "gateway", "hub"):
            home.heard.clear()
            await home.hears(BackfillProgress, lambda progress: progress.day)
            await home.kill(part)
            home.heard.clear()
            await home.start(part, HURRIED[part])
            await home.hears(MeterReading)
        await home.hears(MeterStatus, lambda status: status.online)
        end = last_boundary()
        first = end.astimezone(JST).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
        wanted = {first + n * timedelta(minutes=30) for n in range(1, round((end - first) / timedelta(minutes=30)))}
        async with asyncio.timeout(30):
            while not wanted <= (await home.intervals()).keys():
                await asyncio.sleep(0.1)
        for at, interval in (await home.intervals()).items():
            energy = outside.household.energy(at.astimezone(JST).replace(tzinfo=None))
            assert energy is not None and interval.import_count == energy.imported_j // 360_000
        told = await watch.until(lambda seen: len({json.loads(m.payload)["end"] for m in seen}) >= len(wanted))
        assert told
        assert outside.joins == 1
        for part in ("gateway", "routeb", "hub"):
            assert await home.stop(part) == 0


async def test_a_half_hour_on_its_way_to_a_hub_that_dies_is_asked_of_the_meter(tmp_path: Path) -> None:
    """The meter told it once, and it was lost between two processes: the next hub has it from the meter's memory."""
    async with street() as outside, house(tmp_path, outside.port) as home:
        await home.start("hub")
        await home.start("routeb", HURRIED["routeb"])
        await home.hears(MeterReading)
        home.send("hub", signal.SIGSTOP)
        await outside.notify()
        await home.kill("hub")
        await home.start("hub", HURRIED["hub"])
        async with asyncio.timeout(30):
            while (kept := (await home.intervals()).get(outside.boundary)) is None:
                await asyncio.sleep(0.1)
        assert kept.source == "backfill"
        assert outside.joins == 1


async def test_a_meters_process_that_dies_is_told_and_comes_back_to_its_session(tmp_path: Path) -> None:
    """The house hears why there is no meter; `hemsd status` says it; the next process goes on with the session."""
    async with street() as outside, house(tmp_path, outside.port) as home:
        await home.start("hub", "import hemsd.daemon.guests as guests; guests.GRACE_S = 0.1\n")
        told = await home.hears(MeterStatus)
        assert (told.online, told.stage, told.meter) == (False, "stopped", None)
        assert "systemctl status hemsd-routeb" in told.detail
        await home.start("routeb")
        online = await home.hears(MeterStatus, lambda status: status.online and status.meter)
        await home.hears(MeterReading)  # the meter is asked nothing for a while
        await home.kill("routeb")
        gone = await home.hears(MeterStatus, lambda status: not status.online)
        assert (gone.meter, gone.stage, gone.fresh) == (online.meter, "stopped", False)
        assert (gone.identity, gone.since > online.since) == (online.identity, True)
        told = await hemsd(
            "status", "--config", str(tmp_path / "hemsd.toml"), env=dict(os.environ), directory=tmp_path
        )
        assert "does not run: see systemctl status hemsd-routeb" in told.out
        await home.start("routeb")
        await home.hears(MeterStatus, lambda status: status.online and status.fresh)
        assert outside.joins == 1
        (each,) = {message.meter for message in home.heard if isinstance(message, MeterStatus) and message.meter}
        assert each == online.meter


async def test_a_hub_that_stays_away_makes_the_gateway_tell_so(tmp_path: Path, broker: Mosquitto) -> None:
    """A short absence is none for the broker; after a long one it hears offline, and online when the hub is back."""
    patch = "import hemsd.daemon.gateway as gateway; gateway.AWAY_S = 2.0\n"
    async with (
        street() as outside,
        house(tmp_path, outside.port, bridged(broker)) as home,
        observer(broker.ports.open, topic=AVAILABILITY) as watch,
    ):
        await home.start("gateway", patch)
        await home.start("hub")
        assert await watch.payloads(AVAILABILITY, 1) == ["online"]
        await home.kill("hub")
        await home.start("hub")
        await eventually(lambda: home.log("gateway").count("the hub is there") == 2)
        await home.kill("hub")
        assert await watch.payloads(AVAILABILITY, 2) == ["online", "offline"]
        assert home.log("gateway").count("connected to the broker") == 1
        await home.start("hub")
        assert await watch.payloads(AVAILABILITY, 3) == ["online", "offline", "online"]
        await home.hears(Health, lambda health: health.source is Domain.GATEWAY and health.ok)
        assert await home.stop("gateway") == 0
        assert await watch.payloads(AVAILABILITY, 4) == ["online", "offline", "online", "offline"]


async def test_each_process_loads_and_opens_nothing_of_the_others(tmp_path: Path, broker: Mosquitto) -> None:
    """The credentials are opened by the meter's process alone, the broker's password by the gateway's."""
    port = broker.ports.guarded
    (tmp_path / "mqtt-password").touch(0o600)
    (tmp_path / "mqtt-password").write_text(PASSWORD)
    more = (
        f'[gateway.broker]\nurl = "mqtt://127.0.0.1:{port}"\nusername = "{USER}"\npassword_file = "mqtt-password"\n'
    )
    async with street() as outside, house(tmp_path, outside.port, more) as home:
        for part in PARTS:
            await home.start(part, WATCHED)
        await home.hears(MeterReading)
        await eventually(lambda: "connected to the broker" in home.log("gateway"))
        told = {}
        for part in PARTS:
            assert await home.stop(part) == 0
            told[part] = home.log(part).split("LOADED ")[1]
    loaded = {part: set(text.split(" OPENED ")[0].split()) for part, text in told.items()}
    opened = {part: {Path(path).name for path in text.split(" OPENED ")[1].split()} for part, text in told.items()}
    theirs = {
        "hub": {"hemsd.history", "hemsd.control", "sqlite3"},
        "routeb": {"hemsd.routeb", "hemsd.echonet", "drivers.module", "serial", "construct"},
        "gateway": {"hemsd.gateway.bridge", "aiomqtt"},
    }
    shared = {
        "appliances": {"hemsd.appliances", "cryptography", "prometheus_client"},
        "people": {"argparse", "difflib", "rich"},
    }
    for part, own in theirs.items():
        assert own <= loaded[part]
        for other, names in (theirs | shared).items():
            assert other == part or not names & loaded[part], (part, names & loaded[part])
    assert [part for part in PARTS if "credentials.toml" in opened[part]] == ["routeb"]
    assert [part for part in PARTS if "mqtt-password" in opened[part]] == ["gateway"]


async def test_a_second_process_of_a_part_ends_or_waits(tmp_path: Path, broker: Mosquitto) -> None:
    """75 where the state or the meter is taken; a gateway with a state of its own is refused by the hub."""
    async with street() as outside, house(tmp_path, outside.port, bridged(broker)) as home:
        for part in PARTS:
            await home.start(part)
        await home.hears(MeterReading)
        elsewhere = (tmp_path / "hemsd.toml").read_text().replace('"state"', '"state2"')
        (tmp_path / "elsewhere.toml").write_text(elsewhere)
        for part, config in (("routeb", "hemsd"), ("routeb", "elsewhere"), ("hub", "hemsd"), ("gateway", "hemsd")):
            assert await home.run(part, f"{config}.toml") == 75, (part, config)
        second = asyncio.create_task(home.run("gateway", "elsewhere.toml", for_s=2))
        assert await second == 0
        assert "another process is here as gateway" in home.log("gateway")
        assert home.log("gateway").count("connected to the broker") == 1


async def test_systemd_may_hand_over_the_sockets(tmp_path: Path) -> None:
    """By LISTEN_FDS and their names; they stay when the hub ends, and a peer waits for the next hub."""
    async with street() as outside, house(tmp_path, outside.port) as home:
        (tmp_path / "run").mkdir()
        names = ("routeb", "operator", "gateway", "riddle")
        listening = [socket.socket(socket.AF_UNIX) for _ in names]
        for name, each in zip(names, listening, strict=True):
            each.bind(str(tmp_path / f"run/{name}.sock"))
            each.listen()
        await home.start("routeb")  # it waits in the backlog
        for _ in range(2):
            await home.start("hub", given=dict(zip(names, listening, strict=True)))
            await home.hears(MeterReading)
            assert await home.stop("hub") == 0
            assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(f"{n}.sock" for n in names)
            home.heard.clear()
        assert "a socket named riddle, which hemsd does not know" in home.log("hub")
        for each in listening:
            each.close()


def told_by(home: House) -> list[tuple[str, Domain]]:
    """The events that an operator has heard of so far."""
    return [(each.kind, each.source) for each in home.heard if isinstance(each, Event)]


async def test_who_opens_the_gateways_socket_is_the_gateway(tmp_path: Path) -> None:
    """It cannot ask the meter, in whatever name; that is counted and told. Its socket is for its owner alone."""
    async with street() as outside, house(tmp_path, outside.port) as home:
        await home.start("hub")
        paths = {name: tmp_path / f"run/{name}.sock" for name in ("routeb", "gateway", "operator")}
        modes = {name: path.stat().st_mode & 0o777 for name, path in paths.items()}
        assert modes == {"routeb": 0o600, "gateway": 0o600, "operator": 0o660}
        forged: list[Message] = [
            ReadMeter(request="r", asker=asker, epcs=(0xE7,)) for asker in (Domain.GATEWAY, Domain.OPERATOR)
        ]
        forged.append(MeterInterval(meter="m", end=last_boundary(), source="read"))
        await home.hears(Health)  # so that nothing is missed
        async with connect(str(paths["gateway"])) as seat:
            assert seat.site == "home-1"
            for message in (*forged, RecordsAfter(request="last", asker=Domain.GATEWAY, seq=0, limit=1)):
                seat.publish(message)
            await eventually(lambda: ("hub.denied", Domain.GATEWAY) in told_by(home))
            async for answer in seat.messages():  # to the last: by then the others have been heard
                if isinstance(answer, Records):
                    break
        async with connect(str(paths["operator"])) as operator:
            async for message in operator.messages():
                if isinstance(message, Health) and message.source is Domain.OPERATOR:
                    break
            counters = {name: n for name, n in message.counters.items() if name.startswith("denied")}
        assert counters == {"denied: ReadMeter from gateway": 2, "denied: MeterInterval from gateway": 1}
        assert await home.intervals() == {}


CRASH = """
import asyncio
from hemsd.control import controller
run = controller.Controller.run
crashes = []
async def crash(self):
    if not crashes:
        crashes.append(1)
        await asyncio.sleep(1)
        raise ZeroDivisionError("ours")
    await run(self)
controller.Controller.run = crash
"""


async def test_a_crash_within_the_hub_is_of_one_domain(tmp_path: Path, broker: Mosquitto) -> None:
    """Control is started again; nobody's connection ends, no reading stops, and the broker notices nothing."""
    async with (
        street() as outside,
        house(tmp_path, outside.port, bridged(broker)) as home,
        observer(broker.ports.open, topic=AVAILABILITY) as watch,
    ):
        for part in PARTS:
            await home.start(part, CRASH if part == "hub" else "")
        await eventually(lambda: "control failed unexpectedly" in home.log("hub"))
        home.heard.clear()
        await home.hears(SiteAggregate, lambda site: site.grid_w is not None)  # control is there again
        await home.hears(MeterReading)
        assert home.log("routeb").count("the hub is there") == home.log("gateway").count("the hub is there") <= 1
        assert "away" not in home.log("routeb").split("joined")[1]
        assert await watch.payloads(AVAILABILITY, 1) == ["online"]
        assert outside.joins == 1
        home.forgiven.add("hub")


async def test_the_watchdog_of_each_is_fed(tmp_path: Path, broker: Mosquitto) -> None:
    """With or without a hub, a meter or a broker: what is overdue is nothing of theirs."""
    for part in ("routeb", "gateway", "hub"):
        async with house(tmp_path / part, "/dev/hemsd-test-none", bridged(broker)) as home:
            await home.start(part, WATCHDOG_USEC="100000")
            await home.says(part, "WATCHDOG=1")
            assert await home.stop(part) == 0
            await home.says(part, "STOPPING=1")


SOONER = "import hemsd.appliances.steward as steward; steward.HEALTH_SOON_S = steward.HEALTH_S = 1.0\n"


@pytest.mark.needs("ip", "root")
async def test_a_flood_of_appliances_and_a_dead_gateway_cost_no_reading(tmp_path: Path, broker: Mosquitto) -> None:
    """The meter is asked as ever while the hub drowns in frames, and a gateway that hangs costs it no memory."""
    network = '[networks.home]\ninterface = "lo"\n'
    host = Namespace()
    try:
        host.ip("link", "set", "lo", "up")
        async with street() as outside, house(tmp_path, outside.port, network + bridged(broker)) as home:
            await home.start("hub", SOONER, on=host)
            for part in ("routeb", "gateway"):
                await home.start(part)
            await home.hears(MeterReading)
            before_kb = home.memory_kb("hub")
            flooding = asyncio.create_task(flood(host))
            home.heard.clear()
            home.send("gateway", signal.SIGSTOP)
            await asyncio.sleep(1)
            await home.kill("gateway")
            await home.start("gateway")
            await home.hears(Health, lambda health: health.counters.get("home: malformed", 0) > 1_000)
            async with connect(str(home.socket)) as operator:
                operator.publish(ReadMeter(request="r", asker=Domain.OPERATOR, epcs=(0xE7,)))
                async for message in operator.messages():
                    match message:
                        case MeterStatus():
                            status = message
                        case MeterProperty():
                            break
            flooding.cancel()
            await asyncio.wait([flooding])
            readings = [each.measured_at for each in home.heard if isinstance(each, MeterReading)]
            assert len(readings) >= 2
            assert message.error == ""
            assert (status.online, status.fresh, status.radio.silences, outside.joins) == (True, True, 0, 1)
            assert home.memory_kb("hub") < before_kb + 10_000
            assert not [event for event in home.heard if isinstance(event, Event) and event.kind == "hub.lost"]
    finally:
        host.remove()


async def flood(host: Namespace) -> None:
    """What no node would send, and notifications of nodes by the hundred."""
    notification = bytes.fromhex("1081000101300105ff017301800130")
    frames = [b"", b"\x10\x81", bytes(1400), *(notification[:at] for at in range(len(notification))), notification]
    with host.entered():
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for number, sender in enumerate(senders, 2):
        sender.bind((f"127.0.0.{number}", 0))
        sender.setblocking(False)
    try:
        while True:
            for sender in senders:
                for frame in frames:
                    with suppress(OSError):
                        sender.sendto(frame, ("127.0.0.1", 3610))
            await asyncio.sleep(0.02)
    finally:
        for sender in senders:
            sender.close()
