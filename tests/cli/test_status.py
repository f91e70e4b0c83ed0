"""`hemsd status`: what it says and how it ends, for a house that a test plays."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.cli import daemon_of, house, stage
from support.hub import METER, make

from hemsd.cli.exits import Exit
from hemsd.cli.status import Snapshot, lines
from hemsd.hub.messages import (
    ApplianceStatus,
    BackfillProgress,
    Breach,
    Domain,
    Health,
    IsolationStatus,
    Link,
    MeterIdentity,
    MeterReading,
    MeterStatus,
    RadioHealth,
    ReadMeter,
    SiteAggregate,
)

NOW = datetime(2026, 10, 1, 3, 30, tzinfo=UTC)  # 12:30 in Japan
RADIO = RadioHealth(
    loss=0.034,
    air_s=12.34,
    session_since=NOW - timedelta(hours=2),
    lifetime_s=86_400,
    lifetimes_s=(300, 64_800),
    recoveries={"retry": 3, "rejoin": 1},
    recovery_s=42.0,
    dropped={"not secured": 2},
)
WELL = MeterStatus(
    meter=METER,
    online=True,
    stage="online",
    since=NOW - timedelta(minutes=75),
    read_at=NOW - timedelta(seconds=12),
    fresh=True,
    link=Link(channel=0x31, pan_id="B5FB", lqi=50, rssi_dbm=-85.4),
    identity=MeterIdentity(meter=METER, maker="000016", serial="S1"),
    module="BP35A1 1.2.10",
    port="/dev/ttyUSB0",
    radio=RADIO,
)
REFUSED = MeterStatus(
    meter=METER, online=False, stage="refused", trouble="refused", detail="compare the password", since=NOW
)


def told(*statuses: MeterStatus, **more: Any) -> list[tuple[str, str]]:
    snapshot = Snapshot(meters={status.meter: status for status in statuses}, **more)
    return list(lines(snapshot, NOW))


def test_a_meter_that_is_well() -> None:
    """Stage in words, since when, freshness, module, signal judged, loss, air time, session and recoveries."""
    assert told(WELL) == [
        ("meter", "online since 11:15:00 (1 h 15 min)"),
        ("identity", f"{METER}, maker 000016, serial S1"),
        ("values", "fresh, 12 s old"),
        ("module", "BP35A1 1.2.10 on /dev/ttyUSB0"),
        ("signal", "-85 dBm, weak: expect retries (LQI 50)"),
        ("radio", "channel 49, PAN B5FB"),
        ("loss", "3% of the last requests drew no answer in the usual time"),
        ("air time", "12.3 s of 360 s allowed in an hour"),
        ("session", "for 2 h 0 min, of 1 d 0 h; before it 18 h 0 min, 5 min 0 s"),
        ("recoveries", "retry 3, rejoin 1; the last took 42 s"),
        ("dropped", "not secured 2"),
    ]


def test_a_module_that_tells_no_lqi() -> None:
    """A J11 module tells the signal itself; nothing is made up beside it."""
    signal = replace(WELL, link=Link(channel=0x31, pan_id="B5FB", rssi_dbm=-59))
    assert ("signal", "-59 dBm, good") in told(signal)


def test_a_meter_in_trouble() -> None:
    """What is wrong and what to do comes first; stale values are called that; a foreign controller is reported."""
    contended = replace(REFUSED, contended=True, read_at=NOW - timedelta(days=2, hours=1))
    lines_ = told(contended)
    assert lines_[:4] == [
        ("meter", "offline: refused by the meter; tried again once an hour since 12:30:00 (0 s)"),
        ("", "compare the password"),
        ("", "another controller seems to be at this meter: it must be the only one (G.9958)"),
        ("values", "stale, 2 d 1 h old"),
    ]


def test_values_are_as_old_as_the_last_of_them() -> None:
    """A status comes once a minute, readings in between: the age is theirs."""
    reading = MeterReading(meter=METER, measured_at=NOW - timedelta(seconds=3), power_w=-250)
    assert ("values", "fresh, 3 s old") in told(WELL, readings={METER: reading})
    assert ("values", "fresh, 12 s old") in told(WELL, readings={METER: replace(reading, power_w=None)})


def test_a_meter_without_a_session() -> None:
    """While it is away no session is said to last, and a network interface is a port without a module."""
    lines_ = told(replace(WELL, online=False, stage="waiting", module="", port="wlan1"))
    assert ("port", "wlan1") in lines_
    assert not {"session", "module"} & {label for label, _ in lines_}


def test_the_house_in_few_numbers() -> None:
    """With appliances: how many are there, and the sum of the house; a part that is not known is left out."""
    lamp = ApplianceStatus(
        appliance="0290-1",
        name="lamp",
        kind="general_lighting",
        online=False,
        since=NOW,
        network="home",
        address="",
        eoj="",
    )
    house = SiteAggregate(at=NOW, grid_w=-300, pv_w=2100, battery_w=900, known_loads_w=450)
    lines_ = told(WELL, appliances={"0290-1": lamp}, house=house)
    assert ("appliances", "0 of 1 online; not lamp") in lines_
    assert ("house", "grid -300 W, made 2100 W, battery 900 W, known loads 450 W") in lines_
    assert not [line for line in told(WELL, house=house) if line[0] == "house"]
    many = {f"0290-{n}": replace(lamp, name=f"lamp-{n:02}") for n in range(40)}
    nothing_known = told(WELL, appliances=many, house=SiteAggregate(at=NOW))
    away = ", ".join(f"lamp-{n:02}" for n in range(12))
    assert ("appliances", f"0 of 40 online; not {away} and 28 more") in nothing_known
    assert not [line for line in nothing_known if line[0] == "house"]


def test_the_rest_of_the_house() -> None:
    """The latest power, a backfill under way, each domain's health, and what the hub denied."""
    healths = [
        Health(at=NOW, source=Domain.HISTORY, ok=True, detail="4752 half-hours, 3 missing"),
        Health(at=NOW, source=Domain.GATEWAY, ok=False, detail="no broker"),
        Health(at=NOW, source=Domain.OPERATOR, ok=False, detail="denied", counters={"denied: ReadMeter": 2}),
        Health(
            at=NOW,
            source=Domain.APPLIANCES,
            ok=True,
            counters={"home: online": 3, "home: dropped: our own": 1, "annex: online": 0},
        ),
    ]
    lines_ = told(
        WELL,
        readings={METER: MeterReading(meter=METER, measured_at=NOW, power_w=-250)},
        backfills={METER: BackfillProgress(request="r", meter=METER, day=date(2026, 9, 1), done=31, total=99)},
        healths={health.source: health for health in healths},
    )
    assert lines_[-6:] == [
        ("reading", "-250 W at 12:30:00"),
        ("backfill", "31 of 99 days"),
        ("history", "well: 4752 half-hours, 3 missing"),
        ("gateway", "not well: no broker"),
        ("hub", "not well: denied; denied: ReadMeter 2"),
        ("appliances", "well: home: online 3, dropped: our own 1; annex: online 0"),
    ]


def test_whether_interfaces_are_kept_apart() -> None:
    """One line for each, and what is wrong with one below it."""
    found = (Breach(requirement="R43", text="it forwards"), Breach(requirement="R24", text="it leads out"))
    statuses = [
        IsolationStatus(source=Domain.ROUTEB, interface="wlan1", since=NOW),
        IsolationStatus(source=Domain.APPLIANCES, interface="eth1", since=NOW, breaches=found),
        IsolationStatus(source=Domain.APPLIANCES, interface="eth2", since=NOW, breaches=found[:1], refused=True),
    ]
    assert told(WELL, isolation={status.interface: status for status in statuses})[-6:] == [
        ("wlan1", "kept apart"),
        ("eth1", "not kept apart"),
        ("", "R43: it forwards"),
        ("", "R24: it leads out"),
        ("eth2", "not kept apart, and not used until that is over"),
        ("", "R43: it forwards"),
    ]


def test_before_anything_is_known() -> None:
    """A daemon that has just begun."""
    assert told() == [("meter", "nothing is known of it yet")]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (WELL, Exit.READ),
        (replace(WELL, stage="gated"), Exit.READ),
        (replace(WELL, fresh=False), Exit.TIMEOUT),
        (REFUSED, Exit.REFUSED),
        (replace(REFUSED, stage="waiting", trouble="port"), Exit.PORT),
        (replace(REFUSED, stage="waiting", trouble="module"), Exit.PORT),
        (replace(REFUSED, stage="waiting", trouble="not_heard"), Exit.NOT_HEARD),
        (replace(REFUSED, stage="scanning", trouble=""), Exit.TIMEOUT),
        (None, Exit.TIMEOUT),
    ],
)
async def test_the_exit_code_judges_the_meter(tmp_path: Path, status: MeterStatus | None, code: Exit) -> None:
    """0 is online with fresh values; 4, 5, 6 and 7 are as for `hemsd read`."""
    async with stage(tmp_path) as house:
        if status is not None:
            house.routeb.publish(status)
        ran = await house.hemsd("status")
    assert (ran.code, ran.err) == (code, "")
    assert "hub         well" in ran.out.splitlines()
    assert "\x1b" not in ran.out


async def test_a_home_without_a_link_to_a_meter_is_well(tmp_path: Path) -> None:
    """Nothing is waited for that the configuration says is not there; its history cannot be fetched either."""
    config = tmp_path / "hemsd.toml"
    operator = tmp_path / "operator.sock"
    config.write_text(f'version = 1\n[meter]\nport = "none"\n[daemon]\noperator_socket = "{operator}"\n')
    async with stage(tmp_path) as house:
        told = await house.hemsd("status", "--config", str(config))
        fetched = await house.hemsd("history", "backfill", "--config", str(config))
    assert (told.code, told.out.splitlines()[1]) == (Exit.READ, "meter       none, by the configuration")
    assert (fetched.code, fetched.err) == (
        Exit.PORT,
        'hemsd: the configuration has no link to a meter: [meter] port = "none"\n',
    )


async def test_json_holds_everything_with_japans_times(tmp_path: Path) -> None:
    """One object: daemon, meters with their latest reading, backfills, healths with the hub's denials."""
    async with stage(tmp_path) as house:
        house.routeb.publish(WELL)
        house.routeb.publish(MeterReading(meter=METER, measured_at=NOW, power_w=-250))
        house.hub.seat(Domain.GATEWAY).publish(make(ReadMeter, Domain.GATEWAY, Domain.ROUTEB))
        ran = await house.hemsd("status", "--json")
    told = json.loads(ran.out)
    (meter,) = told["meters"]
    assert told["daemon"]["socket"] == str(tmp_path / "operator.sock")
    assert told["daemon"]["site"] == "home-1"
    assert (meter["meter"], meter["fresh"], meter["read_at"]) == (METER, True, "2026-10-01T12:29:48+09:00")
    assert (meter["reading"]["power_w"], meter["reading"]["measured_at"]) == (-250, "2026-10-01T12:30:00+09:00")
    assert meter["radio"]["session_since"] == "2026-10-01T10:30:00+09:00"
    assert told["health"]["operator"]["counters"] == {"denied: ReadMeter from gateway": 1}
    assert told["backfills"] == []


async def test_without_a_daemon_it_says_how_to_start_one(tmp_path: Path) -> None:
    """Exit code 8, for status and for a backfill."""
    async with house(tmp_path) as home:
        status = await home.hemsd("status", connect=False)
        backfill = await home.hemsd("history", "backfill", connect=False)
    assert (status.code, backfill.code) == (Exit.NO_DAEMON, Exit.NO_DAEMON)
    assert "systemctl start hemsd" in status.err and "systemctl start hemsd" in backfill.err


async def test_a_real_daemon_tells_of_its_meter(tmp_path: Path) -> None:
    """Through a real socket, of a simulated meter on a real tty."""
    async with house(tmp_path) as home, daemon_of(home):
        assert (await home.hemsd("read", "power", connect=False)).code == Exit.READ
        ran = await home.hemsd("status", connect=False)
    told = {line[:12].strip(): line[12:] for line in ran.out.splitlines()}
    assert ran.code == Exit.READ
    assert told["values"].startswith("fresh, ")
    assert told["module"] == f"SKSTACK-IP single-hop, firmware 1.2.10 on {home.port}"
    assert told["history"].startswith("well")
    assert told["meter"].startswith("online since ")
    assert "maker 000016" in told["identity"]
    assert " dBm, good (LQI " in told["signal"]
    assert told["radio"] == "channel 49, PAN B5FB"


async def test_watching_says_it_anew_on_every_change(tmp_path: Path) -> None:
    """As JSON one object a line, until interrupted."""
    async with stage(tmp_path) as house:
        house.routeb.publish(WELL)
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hemsd", "status", "--watch", "--json"),
            stdout=asyncio.subprocess.PIPE,
            env=house.environment,
        )
        assert watching.stdout is not None
        async with asyncio.timeout(20):
            assert json.loads(await watching.stdout.readline())["meters"][0]["online"]
            house.routeb.publish(REFUSED)
            assert json.loads(await watching.stdout.readline())["meters"][0]["stage"] == "refused"
        watching.terminate()
        await watching.wait()
