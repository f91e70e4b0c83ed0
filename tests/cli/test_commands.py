"""The commands as a user runs them, on a real tty: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.cli import HURRIED, START, hemsd, house
from support.terminal import FORKS, Conversation

from hemsd.cli.exits import Exit
from hemsd.simulator import Fault, Network, Plate, Spell

KEYS = {
    *("power_w", "current_r_a", "current_t_a", "energy_import_kwh", "energy_export_kwh"),
    *("interval", "meter", "measured_at", "link"),
}


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
async def test_read_prints_power_current_and_energy_one_a_line(tmp_path: Path, family: str) -> None:
    """A plain `hemsd read` tells what the household uses, with units, whichever family the module is of."""
    async with house(tmp_path, family) as home:
        ran = await home.hemsd("read")
        power_w = home.household.power_w(START)
    lines = {line[:16].strip(): line[16:].split() for line in ran.out.splitlines()}
    assert (ran.code, ran.err) == (Exit.READ, "")
    assert lines["power"] == [str(power_w), "W"]
    assert [lines[name][1] for name in ("current R", "current T", "energy import", "energy export")] == [
        *("A", "A", "kWh", "kWh")
    ]


@FORKS
async def test_who_waits_at_a_terminal_sees_for_what(tmp_path: Path) -> None:
    """What is done on the way is shown while it lasts, and is gone when the values come."""
    async with house(tmp_path) as home:
        environment = [f"{name}={value}" for name, value in (home.environment | {"TERM": "xterm"}).items()]
        where = ["--port", home.port, "--credentials", str(home.credentials)]
        reading = Conversation(["env", "-i", *environment, sys.executable, "-m", "hemsd", "read", "power", *where])
        assert await asyncio.to_thread(reading.end) == Exit.READ
    assert "scanning, duration " in reading.said
    assert re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", reading.said).splitlines()[-1].endswith(" W")


async def test_json_has_every_value_the_meter_has(tmp_path: Path) -> None:
    """`--json` prints one object; registers are those of the household, the interval ends at the last half-hour."""
    async with house(tmp_path, "DUAL") as home:
        ran = await home.hemsd("read", "--json")
        household = home.household
        now, half_hour = household.energy(START), household.energy(START - timedelta(minutes=20))
    told = json.loads(ran.out)
    assert now is not None and half_hour is not None
    assert set(told) == KEYS
    assert told["energy_import_kwh"] == now.imported_j // 360_000 / 10
    assert told["interval"]["end"] == "2026-10-01T12:00:00+09:00"
    assert told["interval"]["energy_export_kwh"] == half_hour.exported_j // 360_000 / 10
    assert set(told["meter"]) == {"maker", "serial", "release", "generation"}
    link = told["link"]
    assert (link["channel"], link["pan_id"]) == (0x31, "B5FB")
    assert link["lqi"] == pytest.approx(0xA5, abs=8)
    assert link["rssi_dbm"] == pytest.approx(0.275 * link["lqi"] - 104.27, abs=0.1)
    assert datetime.fromisoformat(told["measured_at"]).utcoffset() == timedelta(hours=9)


async def test_what_the_meter_does_not_have_is_null(tmp_path: Path) -> None:
    """A house that sells nothing on a two-wire supply: null, never zero, and no error."""
    plate = Plate(exports=False, two_wire=True)
    async with house(tmp_path, meter={"plate": plate}) as home:
        ran = await home.hemsd("read", "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.READ
    assert (told["current_t_a"], told["energy_export_kwh"], told["interval"]["energy_export_kwh"]) == (
        None,
        None,
        None,
    )


async def test_a_code_that_this_meter_lacks_ends_with_3_and_the_rest_is_read(tmp_path: Path) -> None:
    """C0 came with the second generation: a first-generation meter has none."""
    async with house(tmp_path) as home:
        ran = await home.hemsd("read", "power", "0xC0", "0xD7", "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.ABSENT
    assert "0xC0" in ran.err
    assert told["properties"]["C0"] is None
    assert told["properties"]["D7"]["value"] == 6
    assert told["power_w"] is not None


async def test_the_second_start_needs_no_scan_and_finds_the_session_alive(tmp_path: Path) -> None:
    """Ending leaves the session in the module; the next command goes on with it, without a join."""
    async with house(tmp_path) as home:
        await home.hemsd("read", "power")
        joined = home.module.air.duty.frames
        ran = await home.hemsd("read", "power")
        assert ran.code == Exit.READ
        assert home.module.air.duty.frames == joined + 2  # one Get to try the session, one to read


async def test_nothing_is_ever_written_to_the_flash_of_the_module(tmp_path: Path) -> None:
    """WOPT, WUART and SKSAVE wear it out."""
    async with house(tmp_path, "DUAL") as home:
        await home.hemsd("read", "all")
        assert home.module.flash.writes == 0


async def test_watch_goes_on_reading(tmp_path: Path) -> None:
    """One JSON object a line, until interrupted."""
    (tmp_path / "hemsd.toml").write_text("version = 1\n[meter]\nallow_fast_polling = true\n")
    async with house(tmp_path) as home:
        arguments = ("read", "power", "--json", "--watch", "0.05", "--config", str(tmp_path / "hemsd.toml"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hemsd", *arguments, "--port", home.port),
            *("--credentials", str(home.credentials)),
            stdout=asyncio.subprocess.PIPE,
            env=home.environment,
        )
        assert process.stdout is not None
        async with asyncio.timeout(20):
            lines = [json.loads(await process.stdout.readline()) for _ in range(3)]
        process.terminate()
        await process.wait()
    assert all(line["power_w"] is not None for line in lines)


async def test_watching_more_often_than_every_10_s_is_refused(tmp_path: Path) -> None:
    """It troubles meter and neighbours; whoever wants it says so in the configuration."""
    async with house(tmp_path) as home:
        ran = await home.hemsd("read", "--watch", "5")
    assert (ran.code, "allow_fast_polling" in ran.err) == (Exit.USAGE, True)


async def test_an_unknown_word_is_a_usage_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    """Nothing is asked of the meter for it."""
    async with house(tmp_path) as home:
        ran = await home.hemsd("read", "powr")
    assert ran.code == Exit.USAGE
    assert "power, current, energy, interval, clock, identity, all" in ran.err


@pytest.mark.parametrize(
    ("identity", "password", "mode", "text"),
    [
        ("00112233445566778899AABB0194BFA", "0123456789AB", 0o600, "must have 32 characters, this one has 31"),
        ("00112233445566778899AABB0194BFAG", "0123456789AB", 0o600, "character 32 is something else"),
        ("00112233445566778899AABB0194BFAD", "0123456789", 0o600, "must have 12 characters, this one has 10"),
        ("00112233445566778899AABB0194BFAD", "0123456789AB", 0o644, "chmod 600"),
    ],
)
async def test_credentials_that_cannot_be_are_told_exactly(
    tmp_path: Path, identity: str, password: str, mode: int, text: str
) -> None:
    """The text says what is wrong and never repeats the secret."""
    async with house(tmp_path) as home:
        home.write_credentials(identity, password, mode)
        ran = await home.hemsd("read")
    assert ran.code == Exit.USAGE
    assert text in ran.err
    assert identity not in ran.err and password not in ran.err


async def test_lower_case_credentials_are_corrected(tmp_path: Path) -> None:
    """Letters of the power company are upper case; people type them as they like."""
    async with house(tmp_path) as home:
        home.write_credentials(home.network.route_b_id.lower(), home.network.password.lower())
        assert (await home.hemsd("read", "power")).code == Exit.READ


async def test_an_id_that_no_meter_answers_to_ends_with_7(tmp_path: Path) -> None:
    """Every duration was scanned; the text says what to check."""
    async with house(tmp_path) as home:
        home.write_credentials("00112233445566778899AABBCCDDEEFF", home.network.password)
        ran = await home.hemsd("read")
    assert ran.code == Exit.NOT_HEARD
    assert "Route B ID" in ran.err


async def test_a_wrong_password_ends_with_5_and_is_told_from_radio_trouble(tmp_path: Path) -> None:
    """The meter is heard well, asks for the proof and never accepts it, three times."""
    async with house(tmp_path) as home:
        home.write_credentials(home.network.route_b_id, "ZZZZZZZZZZZZ")
        ran = await home.hemsd("read", program=HURRIED)
    assert ran.code == Exit.REFUSED
    assert "password" in ran.err and "ZZZZ" not in ran.err


async def test_a_meter_that_falls_silent_ends_with_4(tmp_path: Path) -> None:
    """--timeout bounds the whole; the text says what was going on."""
    async with house(tmp_path) as home:
        await home.hemsd("read", "power")
        home.module.faults.add(Fault(Spell.METER_SILENT, seconds=3600.0))
        ran = await home.hemsd("read", "power", "--timeout", "2")
    assert ran.code == Exit.TIMEOUT
    assert "2 s" in ran.err


async def test_port_trouble_ends_with_6_and_names_who_holds_it(tmp_path: Path) -> None:
    """A missing port, a plain file, and one that another process reads."""
    async with house(tmp_path) as home:
        missing = await home.hemsd("read", "--port", "/dev/ttyUSB77", connect=False)
        home.write_credentials(home.network.route_b_id, home.network.password)
        missing = await home.hemsd(
            "read", "--port", "/dev/ttyUSB77", "--credentials", str(home.credentials), connect=False
        )
        plain = await home.hemsd(
            "read", "--port", str(home.credentials), "--credentials", str(home.credentials), connect=False
        )
        first = asyncio.create_task(home.hemsd("record", str(tmp_path / "one.txt"), "--seconds", "2"))
        while not (tmp_path / "one.txt").exists():
            await asyncio.sleep(0.02)
        busy = await home.hemsd("read")
        assert (await first).code == Exit.READ
    assert (missing.code, plain.code, busy.code) == (Exit.PORT, Exit.PORT, Exit.PORT)
    assert "does not exist" in missing.err and "hemsd ports" in missing.err
    assert "plain file" in plain.err
    assert "pid" in busy.err


async def test_nothing_at_the_other_end_ends_with_6(tmp_path: Path) -> None:
    """Every way the line may be set is tried; then the text asks for the wiring."""
    async with house(tmp_path) as home:
        home.module.faults.add(Fault(Spell.HANG, seconds=3600.0))
        ran = await home.hemsd("read")
    assert ran.code == Exit.PORT
    assert "nothing answers" in ran.err


async def test_scan_shows_channel_and_signal(tmp_path: Path) -> None:
    """For people and as JSON, by the same number that status tells; the surviving session is not needed for it."""
    async with house(tmp_path) as home:
        ran = await home.hemsd("scan")
        told = json.loads((await home.hemsd("scan", "--json")).out)
    assert ran.out.split()[:4] == ["channel", "49", "PAN", "B5FB"]
    assert told["pans"][0]["lqi"] == 0xA5


async def test_a_scan_that_hears_no_meter_ends_with_7(tmp_path: Path) -> None:
    """It says so, and what to check: nothing on standard output could be taken for a result."""
    async with house(tmp_path) as home:
        home.write_credentials("00112233445566778899AABBCCDDEEFF", home.network.password)
        ran = await home.hemsd("scan")
    assert (ran.code, ran.out) == (Exit.NOT_HEARD, "")
    assert "Route B ID" in ran.err


async def test_scan_shows_the_signal_that_a_j11_module_tells(tmp_path: Path) -> None:
    """Such a module tells dBm and no LQI: judged all the same, and nothing made up."""
    async with house(tmp_path, "J11") as home:
        ran = await home.hemsd("scan")
        told = json.loads((await home.hemsd("scan", "--json")).out)
    assert ran.out.split()[5:] == ["-59.0", "dBm", "good"]
    assert (told["pans"][0]["lqi"], told["pans"][0]["rssi_dbm"]) == (None, -59)


async def test_a_session_that_fails_is_recorded_all_the_same(tmp_path: Path) -> None:
    """It is the one that a report needs: what was said until then is there, and where."""
    async with house(tmp_path) as home:
        home.write_credentials("00112233445566778899AABBCCDDEEFF", home.network.password)
        ran = await home.hemsd("record", "session.txt")
    assert ran.code == Exit.NOT_HEARD
    assert ran.out.startswith("written to session.txt")
    assert "SKSCAN 2 FFFFFFFF 8" in (tmp_path / "session.txt").read_text()


@pytest.mark.parametrize("family", ["DUAL", "J11"])
async def test_a_recording_holds_no_secret_and_replays_to_the_same_reading(tmp_path: Path, family: str) -> None:
    """`record` writes a masked transcript; `replay` shows the same power in what the driver makes of it."""
    network = Network(password="SECRETSECRET")
    async with house(tmp_path, family, network=network, meter={"plate": Plate(serial="SERIAL9876")}) as home:
        recorded = await home.hemsd("record", "session.txt")
    text = (tmp_path / "session.txt").read_text()
    assert recorded.code == Exit.READ
    for secret in (network.route_b_id, network.password, network.mac, network.route_b_id[-8:], "SERIAL9876"):
        assert secret not in text and secret.encode().hex().upper() not in text
    assert (tmp_path / "session.txt").stat().st_mode & 0o077 == 0
    again = await hemsd("record", "session.txt", "--port", "x", env=home.environment, directory=tmp_path)
    assert (again.code, "exists already" in again.err) == (Exit.USAGE, True)

    power_w = next(line for line in recorded.out.splitlines() if line.startswith("power")).split()[1]
    replayed = await hemsd("replay", "session.txt", env=home.environment, directory=tmp_path)
    events = [json.loads(line) for line in replayed.out.splitlines()]
    frames = [event["frame"] for event in events if "frame" in event]
    values = [each.get("value") for frame in frames for each in frame["properties"] if each["epc"] == "E7"]
    assert int(power_w) in values


async def test_a_file_that_is_no_transcript_is_told_by_its_line(tmp_path: Path) -> None:
    """Errors in a transcript name the line."""
    (tmp_path / "bad.txt").write_text('# hemsd transcript 1\n0.1 > "SKVER\\r\\n"\nnonsense\n')
    ran = await hemsd("replay", "bad.txt", env={"PATH": "/bin"}, directory=tmp_path)
    assert (ran.code, "line 3" in ran.err) == (Exit.USAGE, True)


async def test_ports_as_json_is_an_array(tmp_path: Path) -> None:
    """Whatever ports this machine has."""
    ran = await hemsd("ports", "--json", env={"PATH": "/bin"}, directory=tmp_path)
    assert isinstance(json.loads(ran.out), list)


async def test_config_check_names_file_table_and_key(tmp_path: Path) -> None:
    """A misspelt key gets a suggestion; the exit code is that of a configuration error."""
    (tmp_path / "hemsd.toml").write_text('version = 1\n[meter]\nprot = "/dev/ttyUSB0"\n')
    ran = await hemsd("config", "check", "--config", "hemsd.toml", env=dict(os.environ), directory=tmp_path)
    assert ran.code == Exit.USAGE
    assert "hemsd.toml:3" in ran.out and 'did you mean "port"?' in ran.out


async def test_the_demo_publishes_what_the_simulated_house_uses(tmp_path: Path) -> None:
    """Module, meter, daemon and broker in one terminal, ended by --seconds."""
    async with house(tmp_path) as home:
        ran = await home.hemsd("demo", "--seconds", "4", connect=False)
        if "power_w" not in ran.out:  # a machine that is busy
            ran = await home.hemsd("demo", "--seconds", "30", connect=False)
    assert ran.code == Exit.READ
    assert "/live" in ran.out and "power_w" in ran.out
    assert "availability                       online" in ran.out


async def test_a_demo_that_is_terminated_leaves_nobody_behind(tmp_path: Path) -> None:
    """SIGTERM ends its daemon too, and clears what it made: else it would read what is meant for another."""
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd", "demo"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert demo.stdout is not None
    async with asyncio.timeout(60):
        while b"the meter is online" not in (line := await demo.stdout.readline()):
            assert line, "it ended by itself"
        assert members(demo.pid) > 1
        demo.terminate()
        await demo.stdout.read()
        assert await demo.wait() == 128 + signal.SIGTERM
    assert members(demo.pid) == 0
    assert list(tmp_path.iterdir()) == []


def members(session: int) -> int:
    """How many processes live in a session (proc_pid_stat(5))."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, its_session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            found += state != "Z" and int(its_session) == session
    return found
