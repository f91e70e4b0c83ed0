"""`hemsd read` through a running daemon: the same answers as from the port, and what a daemon in trouble leads to."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cli import Stage, daemon_of, hemsd, house, stage
from support.hub import AT, METER
from support.terminal import FORKS, Conversation

from hemsd import cli
from hemsd.cli import asking
from hemsd.cli.exits import Exit, GaveUp
from hemsd.cli.parser import parser
from hemsd.hub.messages import Link, MeterIdentity, MeterProperty, MeterStatus, ReadMeter

ONLINE = MeterStatus(
    meter=METER,
    online=True,
    stage="online",
    since=AT,
    fresh=True,
    link=Link(channel=0x31, pan_id="B5FB", lqi=165, rssi_dbm=-58.9),
    identity=MeterIdentity(meter=METER, maker="000016", serial="S1", release="F", generation=1),
)
VALUES: dict[int, dict[str, Any]] = {
    0xE7: {"value": 432, "unit": "W", "edt": "000001B0"},
    0xE8: {"value": {"r": 3.0, "t": "no_data"}, "unit": "A"},
    0xE0: {"value": 6513.9, "unit": "kWh"},
    0xE3: {"error": "absent"},
}


@asynccontextmanager
async def answering(
    house: Stage, values: dict[int, dict[str, Any]], asked: list[tuple[int, ...]] | None = None
) -> AsyncIterator[None]:
    """Play a meter's domain that says these things of its properties."""

    async def play() -> None:
        async for message in house.routeb.messages():
            if isinstance(message, ReadMeter):
                if asked is not None:
                    asked.append(message.epcs)
                for number, epc in enumerate(message.epcs, 1):
                    said = values.get(epc, {"error": "timeout"})
                    last = number == len(message.epcs)
                    told = MeterProperty(
                        request=message.request, to=message.asker, meter=METER, epc=epc, last=last, **said
                    )
                    house.routeb.publish(told)

    playing = asyncio.create_task(play())
    yield
    playing.cancel()


async def test_it_tells_the_same_as_from_the_port(tmp_path: Path) -> None:
    """The same values, words, keys and exit codes, whoever asks the meter; no second process touches the tty."""
    async with house(tmp_path) as home:
        direct = {form: await home.hemsd("read", *form) for form in FORMS}
        async with daemon_of(home):
            through = {form: await home.hemsd("read", *form, connect=False) for form in FORMS}
    for form in FORMS:
        assert (through[form].code, through[form].err) == (direct[form].code, direct[form].err), form
        if "--json" in form:
            assert shape(json.loads(through[form].out)) == shape(json.loads(direct[form].out))
        else:
            assert through[form].out.splitlines()[0].split()[0] == direct[form].out.splitlines()[0].split()[0]
    told = json.loads(through["--json",].out)
    assert told["power_w"] is not None and told["energy_import_kwh"] is not None
    assert told["meter"]["maker"] == "000016"
    assert (told["link"]["channel"], told["link"]["pan_id"]) == (0x31, "B5FB")


FORMS = [
    (),
    ("--json",),
    ("all", "--json"),
    ("power", "0xC0", "0xD7", "0xE2", "0x9F", "--json"),
    ("clock", "identity"),
]


def shape(told: Any) -> Any:
    """Keys, and for values their types."""
    return {key: shape(value) for key, value in told.items()} if isinstance(told, dict) else type(told)


@pytest.mark.parametrize("words", [[], ["--json"], ["power", "0xE7", "--json"], ["all", "clock"]])
def test_a_plain_read_is_understood_as_any_other(words: list[str]) -> None:
    """The short way around argparse gives what argparse gives."""
    short = cli._parsed(["read", *words])
    assert type(short) is cli._PlainRead
    long = vars(parser().parse_args(["read", *words]))
    assert {name: getattr(short, name) for name in long} == long


RUNS = [[], ["--part", "hub"], ["--config", "a.toml"], ["--config", "a.toml", "--part", "gateway"]]
ODD = [["--part", "x"], ["--part"], ["--config", "-x"], ["--part=hub"], ["--part", "x", "--part", "hub"], ["-h"]]


@pytest.mark.parametrize("words", RUNS)
def test_the_daemons_command_is_understood_as_any_other(words: list[str]) -> None:
    """The way around argparse that spares the daemon's memory gives what argparse gives."""
    short = cli._parsed(["run", *words])
    assert type(short) is cli._PlainRun
    long = vars(parser().parse_args(["run", *words]))
    assert {name: getattr(short, name) for name in long} == long


@pytest.mark.parametrize("words", ODD)
def test_what_is_unusual_in_it_is_left_to_argparse(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Which says what is wrong with it, or takes it in another way."""
    try:
        understood = cli._parsed(["run", *words])
    except SystemExit:
        assert "usage: hemsd run" in "".join(capsys.readouterr())
    else:
        assert type(understood) is Namespace and understood.part == "hub"


async def test_values_and_states_become_the_documented_object(tmp_path: Path) -> None:
    """No data and absent are null, with the link and the identity of the status."""
    async with stage(tmp_path) as house, answering(house, VALUES):
        house.routeb.publish(ONLINE)
        ran = await house.hemsd("read", "power", "current", "energy", "identity", "0xE7", "--json")
        lines = await house.hemsd("read")
    told = json.loads(ran.out)
    measured_at = told.pop("measured_at")
    assert measured_at.endswith("+09:00")
    assert told == {
        "power_w": 432,
        "current_r_a": 3.0,
        "current_t_a": None,
        "energy_import_kwh": 6513.9,
        "energy_export_kwh": None,
        "meter": {"maker": "000016", "serial": "S1", "release": "F", "generation": 1},
        "properties": {"E7": {"edt": "000001B0", "name": "", "value": 432, "unit": "W"}},
        "link": {"channel": 0x31, "pan_id": "B5FB", "lqi": 165, "rssi_dbm": -58.9},
    }
    assert (ran.code, lines.code) == (Exit.READ, Exit.READ)
    assert lines.out.splitlines()[-1] == "energy export   not on this meter"


async def test_a_count_of_unknown_worth_is_not_shown_as_energy(tmp_path: Path) -> None:
    """Before unit and coefficient are known there are no kWh."""
    values = VALUES | {0xE0: {"value": 65139, "unit": "count"}, 0xE3: {"value": 22, "unit": "count"}}
    async with stage(tmp_path) as house, answering(house, values):
        house.routeb.publish(ONLINE)
        ran = await house.hemsd("read", "energy")
    assert ran.out.splitlines() == ["energy import   unit unknown", "energy export   unit unknown"]


async def test_many_codes_are_asked_in_requests_that_are_answered(tmp_path: Path) -> None:
    """A request has at most 32 of them; more are several."""
    asked: list[tuple[int, ...]] = []
    codes = [f"0x{code:02X}" for code in range(0x80, 0x80 + 70)]
    values = {code: {"value": code} for code in range(0x80, 0x80 + 70)}
    async with stage(tmp_path) as house, answering(house, values, asked):
        house.routeb.publish(ONLINE)
        ran = await house.hemsd("read", *codes, "--json")
    assert len(json.loads(ran.out)["properties"]) == 70
    assert [len(epcs) for epcs in asked] == [32, 32, 6]


async def test_a_meter_that_does_not_answer_ends_with_4(tmp_path: Path) -> None:
    """Nothing at all, and only some of it."""
    async with stage(tmp_path) as house:
        house.routeb.publish(ONLINE)
        async with answering(house, {}):
            nothing = await house.hemsd("read", "power")
        async with answering(house, VALUES):
            some = await house.hemsd("read", "power", "clock")
    assert (nothing.code, nothing.out) == (Exit.TIMEOUT, "")
    assert (some.code, some.out.splitlines()[0]) == (Exit.TIMEOUT, "power                    432 W")
    assert "no answer in time for clock" in some.err


@pytest.mark.parametrize(
    ("stage_", "trouble", "code"),
    [
        ("refused", "refused", Exit.REFUSED),
        ("waiting", "not_heard", Exit.NOT_HEARD),
        ("waiting", "port", Exit.PORT),
        ("waiting", "module", Exit.PORT),
        ("waiting", "radio", Exit.TIMEOUT),
        ("waiting", "credentials", Exit.USAGE),
    ],
)
async def test_what_the_daemon_has_concluded_ends_at_once(
    tmp_path: Path, stage_: str, trouble: Any, code: Exit
) -> None:
    """With its own words and the documented code."""
    async with stage(tmp_path) as house:
        house.routeb.publish(
            MeterStatus(online=False, stage=stage_, trouble=trouble, detail="what it is and what to do", since=AT)
        )
        ran = await house.hemsd("read")
    assert (ran.code, ran.err) == (code, "hemsd: what it is and what to do\n")


@pytest.mark.parametrize(
    ("stage_", "code"), [("scanning", Exit.NOT_HEARD), ("opening", Exit.PORT), ("joining", Exit.TIMEOUT)]
)
async def test_the_users_patience_is_respected(tmp_path: Path, stage_: str, code: Exit) -> None:
    """--timeout bounds the waiting for a meter that is being looked for; the text says what was going on."""
    async with stage(tmp_path) as house:
        status = MeterStatus(online=False, stage=stage_, trouble="radio", detail="doing it", since=AT)
        house.routeb.publish(status)
        ran = await house.hemsd("read", "--timeout", "0.3")
    assert (ran.code, ran.err) == (code, "hemsd: gave up after 0.3 s while doing it\n")


async def test_a_meter_that_comes_online_is_read_then(tmp_path: Path) -> None:
    """Whoever asks while the daemon is joining waits for it."""
    async with stage(tmp_path) as house, answering(house, VALUES):
        house.routeb.publish(MeterStatus(online=False, stage="joining", detail="joining", since=AT))
        reading = asyncio.create_task(house.hemsd("read", "power"))
        async with asyncio.timeout(30):
            while len(house.hub._seats) < 3:
                await asyncio.sleep(0.01)
        house.routeb.publish(ONLINE)
        ran = await reading
    assert (ran.code, ran.out) == (Exit.READ, "power                    432 W\n")


async def test_the_port_by_force_is_refused_while_the_daemon_has_the_meter(tmp_path: Path) -> None:
    """--port and --credentials mean the direct way; the text names the daemon and what to leave out."""
    async with house(tmp_path) as home, daemon_of(home) as daemon:
        ran = await home.hemsd("read")
        assert ran.code == Exit.PORT
        assert f"(pid {daemon.pid})" in ran.err and "leave out --port" in ran.err
        for command in (["scan"], ["record", "session.txt"]):  # which cannot be had through it
            ran = await home.hemsd(*command)
            assert ran.code == Exit.PORT
            assert "end it first" in ran.err and "leave out" not in ran.err
    assert not (tmp_path / "session.txt").exists()


@FORKS
async def test_who_waits_at_a_terminal_sees_for_what(tmp_path: Path) -> None:
    """What the daemon does to reach the meter, each thing once, and then the values."""
    async with stage(tmp_path) as house, answering(house, VALUES):
        house.routeb.publish(MeterStatus(online=False, stage="joining", detail="joining PAN B5FB", since=AT))
        environment = [f"{name}={value}" for name, value in house.environment.items()]
        reading = Conversation(["env", "-i", *environment, sys.executable, "-m", "hemsd", "read", "power"])
        async with asyncio.timeout(30):
            while len(house.hub._seats) < 3:
                await asyncio.sleep(0.01)
        for status in (MeterStatus(online=False, stage="joining", detail="joining PAN B5FB", since=AT), ONLINE):
            house.routeb.publish(status)
        assert await asyncio.to_thread(reading.end) == Exit.READ
    assert reading.said.splitlines() == ["hemsd: joining PAN B5FB ...", "power                    432 W"]


@pytest.mark.needs("root")
@pytest.mark.parametrize(("group", "advice"), [("dialout", "usermod -aG dialout"), ("root", "only root may")])
def test_who_may_not_ask_is_told_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, advice: str
) -> None:
    """The group to join; but nobody is sent into the group root, whose it is where root runs a daemon by hand."""
    path = tmp_path / "operator.sock"
    path.touch()
    shutil.chown(path, group=group)
    monkeypatch.setattr(asking, "Daemon", denied)
    with pytest.raises(GaveUp, match=advice) as refused:
        asking.find([str(path)])
    assert refused.value.exit == Exit.PORT


def denied(path: str) -> None:
    raise PermissionError(path)


async def test_watching_goes_on_through_a_restart_of_the_daemon(tmp_path: Path) -> None:
    """It says that the daemon is gone and that it is back, and reads on; Ctrl-C ends it without a traceback."""
    async with house(tmp_path) as home:
        async with daemon_of(home):
            config = str(tmp_path / "hemsd.toml")
            watching = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hemsd", "read", "power", "--json", "--watch", "0.2", "--config", config),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=home.environment,
            )
            assert watching.stdout is not None
            async with asyncio.timeout(30):
                assert json.loads(await watching.stdout.readline())["power_w"] is not None
        async with daemon_of(home), asyncio.timeout(30):
            while (line := await watching.stdout.readline()) and watching.returncode is None:
                told = json.loads(line)
                if watching.stderr is not None and b"is back" in await peek(watching.stderr):
                    break
            assert told["power_w"] is not None
        watching.send_signal(signal.SIGINT)
        _, complaints = await watching.communicate()
    assert watching.returncode == 130
    assert b"Traceback" not in complaints


async def peek(stream: asyncio.StreamReader) -> bytes:
    """What has come so far."""
    return bytes(stream._buffer)  # type: ignore[attr-defined]


async def test_a_daemon_of_another_version_is_told(tmp_path: Path) -> None:
    """Which one speaks what, and what to do."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"type":"Greeting","hemsd":"9.1","protocol":99}\n')
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(greet, tmp_path / "operator.sock"):
        environ = {"PATH": "/bin", "HOME": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
        ran = await hemsd("read", env=environ, directory=tmp_path)
    assert ran.code == Exit.USAGE
    assert "it is hemsd 9.1 and speaks protocol 99" in ran.err and "restart the older one" in ran.err


@pytest.mark.parametrize("said", [b"what?\n", b"[1]\n", b'{"kind":1}\n', b"", b"x" * (1 << 20) + b"y" * 9])
async def test_something_else_at_the_socket_is_not_taken_for_a_daemon(tmp_path: Path, said: bytes) -> None:
    """Then the port is tried, as without a daemon."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async with await asyncio.start_unix_server(greet, tmp_path / "operator.sock"):
        environ = {"PATH": "/bin", "HOME": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
        ran = await hemsd("read", env=environ, directory=tmp_path)
    assert ran.code == Exit.USAGE
    assert "credentials.toml: no such file" in ran.err
