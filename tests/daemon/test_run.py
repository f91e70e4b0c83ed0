from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.clock import run as run_virtually
from support.daemon import Listener
from support.hub import make
from support.pki import free_port

from drivers.serialport import open_serial
from hemsd.daemon import gateway
from hemsd.daemon import run as daemon
from hemsd.daemon.config import Config, load
from hemsd.daemon.parts import Part
from hemsd.daemon.report import GatewayReport, Report
from hemsd.hub.hub import Hub
from hemsd.hub.messages import ApplianceStatus, Domain, Event, Health, MeterReading, MeterStatus
from hemsd.hub.routes import DOORS_6_4_3, Exposure
from hemsd.routeb.errors import CredentialsRefused
from hemsd.simulator import Fault, Household, Meter, Network, SkModule, Spell, Timing
from hemsd.simulator.pty import serve_on_pty

FAST = "meter.live_s = 1\nmeter.allow_fast_polling = true\n"
BROKER = '[gateway.broker]\nurl = "mqtt://127.0.0.1:9"\n'


def configured(directory: Path, more: str = "", port: str = "/dev/hemsd-test-none") -> Config:
    """A configuration with everything in one directory, its credentials those of the simulated meter."""
    network = Network()
    credentials = directory / "credentials.toml"
    credentials.touch(0o600)
    credentials.write_text(f'id = "{network.route_b_id}"\npassword = "{network.password}"\n')
    (directory / "hemsd.toml").write_text(f"""version = 1
daemon.state_directory = "state"
daemon.operator_socket = "operator.sock"
meter.credentials = "credentials.toml"
meter.port = "{port}"
{more}""")
    return load(directory / "hemsd.toml", {})


def simulated() -> SkModule:
    return SkModule("DUAL", Meter(Household(1), start=datetime(2026, 10, 1)), Network(), timing=Timing.fast())


class Daemon:
    """The daemon in this process, seen as systemd sees it."""

    def __init__(self, config: Config, listener: Listener) -> None:
        self._config = config
        self._listener = listener
        self.said: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ends as systemd would end it."""
        running = asyncio.create_task(daemon.run(self._config, self._listener.environ))
        async with asyncio.timeout(10):
            while "READY=1" not in self.said:  # how it stands may be said before
                self.said += self._listener.heard()
                await asyncio.sleep(0.01)
        yield
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running == 0
        await self.says("STOPPING=1")

    async def says(self, words: str) -> str:
        async with asyncio.timeout(10):
            while True:
                self.said += self._listener.heard()
                while self.said:
                    if words in (message := self.said.pop(0)):
                        return message
                await asyncio.sleep(0.01)


@pytest.fixture
def listener(tmp_path: Path) -> AsyncIterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


async def test_it_is_ready_without_a_meter(tmp_path: Path, listener: Listener) -> None:
    """READY comes when everything is under way; a missing port is told in the status, and SIGTERM ends it with 0."""
    house = Daemon(configured(tmp_path), listener)
    async with house.running():
        await house.says("STATUS=waiting: /dev/hemsd-test-none does not exist")
    assert (tmp_path / "state/site").read_text().startswith("home-")


async def test_prometheus_is_answered_where_that_is_configured(tmp_path: Path, listener: Listener) -> None:
    """And the stop is not held up by it."""
    port = free_port()
    config = configured(tmp_path, f'[gateway.metrics]\nlisten = "127.0.0.1:{port}"\n[site]\nid = "home-1"\n')
    async with Daemon(config, listener).running(), asyncio.timeout(10):
        while True:
            with suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            await asyncio.sleep(0.01)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b'hemsd_domain_ok{domain="control",site="home-1"} 1.0' in answer


async def test_credentials_that_cannot_be_used_park_the_meter_only(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """A permanent error is told plainly and once; the process stays up for the rest of the house."""
    config = configured(tmp_path)
    (tmp_path / "credentials.toml").chmod(0o644)
    house = Daemon(config, listener)
    async with house.running():
        await house.says("run: chmod 600")
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith(f"meter: {tmp_path}/credentials.toml: others may read it")


async def test_it_reads_the_meter_and_comes_back_when_unplugged(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """Through a real tty: online, with a reading; pulled out and put back, online again. No log holds a secret."""
    caplog.set_level("DEBUG")
    clock = asyncio.get_running_loop().time
    began = clock()
    module = simulated()
    async with serve_on_pty(module, paced=False) as port:
        house = Daemon(configured(tmp_path, FAST, port), listener)
        async with house.running():
            assert (await house.says("STATUS=online")).endswith(" W")
            module.faults.add(Fault(Spell.UNPLUGGED, at=clock() - began, seconds=0.5))
            await house.says("went away")
            await house.says("STATUS=online")
    assert "the meter is online: joined" in caplog.text
    for secret in (Network().password, Network().route_b_id):
        assert secret not in caplog.text


async def test_a_port_in_use_is_told(tmp_path: Path, listener: Listener) -> None:
    """A second daemon on the same port waits, and says who has it."""
    async with serve_on_pty(simulated(), paced=False) as path:
        first = await open_serial(path)
        house = Daemon(configured(tmp_path, port=path), listener)
        async with house.running():
            await house.says(f"STATUS=waiting: {path} is in use: held by")
            await first.close()
            await house.says("STATUS=online")


async def test_a_second_daemon_is_refused(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """For the same state directory, socket or meter: exit code 75, and a text that names pid and socket."""
    house = Daemon(configured(tmp_path), listener)
    text = (tmp_path / "hemsd.toml").read_text()
    async with house.running():
        for number, changed in enumerate(
            (
                text,
                text.replace('"state"', '"state2"'),
                text.replace('"state"', '"state2"').replace("operator.sock", "operator2.sock"),
            )
        ):
            caplog.clear()
            (tmp_path / "second.toml").write_text(changed)
            assert await daemon.run(load(tmp_path / "second.toml", {}), {}) == daemon.ALREADY_RUNNING == 75
            assert f"(pid {os.getpid()}" in caplog.text
            assert ("operator.sock)" in caplog.text) is (number < 2)
    assert not (tmp_path / "operator.sock").exists()


async def test_a_socket_that_cannot_be_made_does_not_keep_the_house_from_running(
    tmp_path: Path, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    """The meter matters more than the command line; the log says what is missing."""
    config = configured(tmp_path)
    (tmp_path / "hemsd.toml").write_text(
        (tmp_path / "hemsd.toml").read_text().replace("operator.sock", "/proc/none/operator.sock")
    )
    house = Daemon(load(tmp_path / "hemsd.toml", {}), listener)
    async with house.running():
        await house.says("STATUS=waiting")
    assert config.daemon.operator_socket != "/proc/none/operator.sock"
    assert "`hemsd read` and `hemsd status` cannot ask this daemon" in caplog.text


def test_a_domain_that_keeps_failing_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours that returns at once each time is left to systemd: exit code 1, the reason in the journal."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(gateway, "run_gateway", fail)
    assert run_virtually(daemon.run(configured(tmp_path, BROKER), {})) == 1
    assert "gateway keeps failing: ZeroDivisionError: ours" in caplog.text


@pytest.mark.parametrize("exposure", ["aggregates", "appliances", "control"])
def test_the_doors_are_those_of_the_exposure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exposure: Exposure
) -> None:
    """What the home gateway may have is the hub's to keep, whatever the bridge does."""
    doors = []

    async def look(*given: object) -> None:
        doors.extend(each._routes for each in given if isinstance(each, Hub))

    monkeypatch.setattr(gateway, "run_gateway", look)
    config = configured(tmp_path, f'gateway.exposure = "{exposure}"\n{BROKER}')
    assert run_virtually(daemon.run(config, {})) == 1  # whoever returns at once keeps failing
    assert doors[0] is DOORS_6_4_3[exposure]


def test_a_state_directory_that_cannot_be_used_ends_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a place to keep things nothing is begun; systemd tries again later."""
    (tmp_path / "state").mkdir(mode=0o755)
    assert run_virtually(daemon.run(configured(tmp_path), {})) == 1
    assert "chmod 700" in caplog.text


STUCK = """
import asyncio, sys, time
from pathlib import Path
from hemsd.daemon import gateway, run as daemon
from hemsd.daemon.config import load
async def in_the_loop(*_):
    try:
        await asyncio.sleep(60)
    finally:
        time.sleep(60)
async def in_a_thread(*_):
    await asyncio.to_thread(time.sleep, 60)
daemon.STOP_S = 1.0
gateway.run_gateway = globals()[sys.argv[2]]
sys.exit(daemon.serve(load(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize(("stuck", "code"), [("in_the_loop", 1), ("in_a_thread", 0)])
def test_a_stop_is_never_held_up(tmp_path: Path, listener: Listener, stuck: str, code: int) -> None:
    """Neither a domain that blocks while it ends nor a thread it left behind keeps the process from ending."""
    configured(tmp_path, BROKER)
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, tmp_path / "hemsd.toml", stuck],
        env=os.environ | listener.environ,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: any("READY" in message for message in listener.heard()))
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == code


@pytest.mark.parametrize(
    ("part", "present", "package"),
    [(None, True, "uvloop"), ("routeb", True, "uvloop"), ("hub", True, "asyncio"), (None, False, "asyncio")],
)
def test_the_meter_is_read_on_uvloop_where_it_is_to_be_had(
    monkeypatch: pytest.MonkeyPatch, part: Part | None, present: bool, package: str
) -> None:
    """The process that reads it, and no other; without the package everything runs all the same."""
    if not present:
        monkeypatch.setitem(sys.modules, "uvloop", None)
    with closing(daemon.loop_factory(part)()) as loop:
        assert type(loop).__module__.partition(".")[0] == package


class Manager:
    """Hears what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tell(self, *words: str) -> None:
        self.said += words


def test_the_status_line_says_what_to_do() -> None:
    """A meter that refuses us is told where `systemctl status` shows it."""
    manager, text = Manager(), str(CredentialsRefused())
    status = MeterStatus(online=False, stage="refused", detail=text, since=datetime.now(UTC))
    Report(manager).hear(status)  # type: ignore[arg-type]
    assert manager.said == [f"STATUS=refused: {text}"]


def test_the_status_line_counts_the_appliances() -> None:
    """Beside how the meter stands; a forgotten one is none any more."""
    manager = Manager()
    report = Report(manager)  # type: ignore[arg-type]
    report.hear(MeterReading(meter="m", measured_at=datetime.now(UTC), power_w=512))
    for number, changes in enumerate(({}, {"online": False}, {}, {"appliance": "a0", "forgotten": True})):
        changed = {"appliance": f"a{number}", **changes}
        report.hear(make(ApplianceStatus, Domain.APPLIANCES, Domain.OPERATOR, **changed))
    assert manager.said[0] == "STATUS=online, 512 W"
    assert manager.said[3:] == [
        "STATUS=online, 512 W; 2 of 3 appliances online",
        "STATUS=online, 512 W; 1 of 2 appliances online",
    ]


def test_the_gateways_own_process_tells_of_each_part(caplog: pytest.LogCaptureFixture) -> None:
    """One that is well hides no other that is not; what happens is in its own log, and not in the one of the hub."""
    manager = Manager()
    report = GatewayReport(manager)  # type: ignore[arg-type]
    at, source = datetime.now(UTC), Domain.GATEWAY
    for part, detail in (("", "no broker"), ("provider", ""), ("", "")):
        report.hear(Health(at=at, source=source, part=part, ok=not detail, detail=detail))
    assert manager.said == ["STATUS=no broker", "STATUS=no broker", "STATUS=everything is told"]
    event = Event(at=at, source=source, kind="gateway.refused", severity="warning", text="the broker refused it")
    Report(manager, elsewhere=frozenset({source})).hear(event)  # type: ignore[arg-type]
    assert not caplog.messages
    report.hear(event)
    assert caplog.messages == ["the broker refused it"]


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)
