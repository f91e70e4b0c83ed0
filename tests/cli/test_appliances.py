"""`hemsd appliances`: what it shows, asks and sets, and how it ends, for a house that a test plays."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pty
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins
from msgspec.structs import replace
from support.cli import Ran, Stage, hemsd, stage

from hemsd.cli.appliances import ANSWER_S, EXITS, PROPERTY_S, _answers, values_of
from hemsd.cli.changes import Changes
from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.cli.household import Household
from hemsd.cli.inventory import doing, presence, shown
from hemsd.cli.words import columns
from hemsd.control.requests import LINE_S, ORDER_S, QUERY_S
from hemsd.hub.messages import (
    ApplianceProperty,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Domain,
    ErrorCode,
    Event,
    PropertyValue,
    UserRequest,
    UserResponse,
)

NOW = datetime.now(UTC)
AC = ApplianceStatus(
    appliance="0130-1f2e3d4c",
    name="living-ac",
    room="居間",
    kind="home_air_conditioner",
    online=True,
    since=NOW - timedelta(minutes=75),
    last_heard_at=NOW - timedelta(seconds=3),
    network="home",
    address="192.168.20.31",
    eoj="013001",
    maker="000006",
    product="MSZ-X",
    release="J",
    known=True,
    readable=("operation_status", "target_temperature", "0xF1"),
    settable=("operation_status", "target_temperature"),
    announced=("operation_status",),
    wishes={"on": "true or false", "target_temperature_c": "0 to 50"},
    properties_per_request=6,
)
AC_STATE = ApplianceState(
    appliance=AC.appliance,
    at=NOW - timedelta(seconds=3),
    values={"on": True, "mode": "heat", "target_temperature_c": 26, "power_w": 430.0},
    properties={
        "operation_status": PropertyValue(value=True, at=NOW - timedelta(seconds=3), source="notified"),
        "target_temperature": PropertyValue(value=26, unit="°C", at=NOW - timedelta(minutes=2), source="read"),
        "room_temperature": PropertyValue(state="no_data", at=NOW, source="read"),
    },
    requested={"target_temperature_c": 27},
)
BATTERY = ApplianceStatus(
    appliance="027d-00000001",
    name="battery",
    kind="storage_battery",
    online=False,
    detail="it has not answered for 5 minutes",
    since=NOW - timedelta(hours=2, minutes=5),
    last_heard_at=NOW - timedelta(hours=2, minutes=5, seconds=30),
    network="home",
    address="192.168.20.32",
    eoj="027D1F",
    known=True,
)
TWINS = tuple(
    replace(AC, appliance=f"0291-0000000{n}", name=f"0291-0000000{n}", address="192.168.20.40", eoj=f"02910{n}")
    for n in (1, 2)
)
EVERYONE = (AC, BATTERY, *TWINS)


def household(*statuses: ApplianceStatus) -> Household:
    found = Household()
    for status in statuses or EVERYONE:
        found.note(to_builtins(status))
    return found


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (AC_STATE.values, "on, heat, to 26 °C, 430 W"),
        ({"on": False, "mode": "heat", "target_temperature_c": 26, "power_w": 2, "room_temperature_c": 21.5},
         "off, room 21.5 °C, 2 W"),
        ({"mode": "charge", "activity": "charge", "soc_percent": 72, "power_w": -1500.0},
         "charge, 72 % full, gives 1500 W"),
        ({"on": True, "mode": "normal", "brightness_percent": 60, "power_w": 0}, "on, 60 %, 0 W"),
        ({"on": True, "fault": True}, "on, fault"),
        ({"on": True, "volume_m3": 18.53}, "on, 18.53 m³"),
        ({"energy_import_kwh": 186.06, "sums": "circuit"}, "186.06 kWh"),
        ({"on": True, "power_w": 0, "energy_import_kwh": 186.06, "volume_m3": 2}, "on, 0 W"),
        ({}, ""),
    ],
)  # fmt: skip
def test_what_an_appliance_does_in_a_few_words(values: dict[str, Any], text: str) -> None:
    """What matters of its class, and nothing that means nothing while it is off."""
    assert doing(values) == text


def test_presence() -> None:
    """Online, not known yet, or for how long away."""
    assert presence(AC, NOW)[0] == "online"
    assert presence(replace(AC, known=False), NOW)[0] == "online, not known yet"
    assert presence(BATTERY, NOW)[0] == "offline for 2 h 5 min"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "true"), (26.0, "26"), (0.1, "0.1"), ("heat", "heat"), ([1, "a"], '[1, "a"]')],
)
def test_values_are_shown_as_they_are_given(value: Any, text: str) -> None:
    """So that what was read can be set again."""
    assert shown(value) == text


def test_columns_stand_below_each_other_in_any_script() -> None:
    """Kanji take two cells of a terminal; no line ends with spaces."""
    assert columns([("居間", "x"), ("attic", "y"), ("a", "")]) == ["居間   x", "attic  y", "a"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["on=true"], {"on": True}),
        (["on=Off"], {"on": False}),
        (["bath_auto=false", "mode=off"], {"bath_auto": False, "mode": "off"}),
        (["target_temperature_c=26", "charge_power_w=-1500"], {"target_temperature_c": 26, "charge_power_w": -1500}),
        (["level=0.5", "x=1e3", "y=007", "z="], {"level": 0.5, "x": "1e3", "y": "007", "z": ""}),
        (["0xb3=10", "timer=07:30", "text=a=b"], {"0xB3": "10", "timer": "07:30", "text": "a=b"}),
        (["x=nan", "y=99999999999999999999"], {"x": "nan", "y": "99999999999999999999"}),
    ],
)
def test_what_is_to_be_set(words: list[str], values: dict[str, Any]) -> None:
    """Truths, numbers and text by how they are written; data of a property by its code stays hexadecimal text."""
    found = values_of(words)
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize("words", [["on"], ["=1"], ["on=true", "on=false"], ["0xb3=1", "0xB3=2"]])
def test_what_sets_nothing_is_told(words: list[str]) -> None:
    """And nothing is guessed."""
    with pytest.raises(UsageError):
        values_of(words)


def test_every_error_has_an_exit_code() -> None:
    """A new code of the hub's must be given one here."""
    assert set(EXITS) == set(ErrorCode.__args__)  # type: ignore[attr-defined]
    assert all(code is not Exit.READ for error, code in EXITS.items() if error)


# --- who is meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("living-ac", AC),
        ("Living-AC", AC),
        ("0130-1f2e3d4c", AC),
        ("0130", AC),
        ("027D-", BATTERY),
        ("192.168.20.31", AC),
        ("192.168.20.31/013001", AC),
        ("192.168.20.40/029102", TWINS[1]),
        ("0291-00000002", TWINS[1]),
    ],
)
def test_who_is_meant(text: str, meant: ApplianceStatus) -> None:
    """By name, id, beginning of an id, address, and object where one address has several."""
    assert household().find(text) == meant


def test_an_ipv6_address_in_any_form() -> None:
    """As people write it, with a zone or without."""
    there = replace(AC, address="fe80::1")
    assert household(there).find("FE80:0::1%eth1") == there


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("living", "there is no appliance 'living'; did you mean 'living-ac'?"),
        ("zzz", "there is battery, 0291-00000001, 0291-00000002, living-ac"),
        ("", "there is no appliance ''"),
        ("192.168.20.31/027D01", "there is no appliance"),
    ],
)
def test_nobody_of_that_name(text: str, told: str) -> None:
    """Exit code 3, with the one that was probably meant or those that there are."""
    with pytest.raises(GaveUp) as caught:
        household().find(text)
    assert told in str(caught.value)
    assert caught.value.exit == Exit.ABSENT


@pytest.mark.parametrize("text", ["0291", "192.168.20.40"])
def test_several_are_told_apart(text: str) -> None:
    """By where they are and what object they are there, which can be used instead."""
    with pytest.raises(UsageError, match=r"more than one appliance: 192\.168\.20\.40/029101 \(0291-00000001\), "):
        household().find(text)


def test_nobody_at_all() -> None:
    """Nothing has been found yet, or there is no network."""
    with pytest.raises(GaveUp, match="none has been found yet"):
        Household().find("living-ac")


# --- through a daemon -----------------------------------------------------------------------------------------------

Answers = Iterable[UserResponse]


class Home(Stage):
    """A stage with appliances on it, and a control that answers as a test has it."""

    def __init__(self, base: Stage) -> None:
        super().__init__(base.directory, base.hub)
        self.appliances = self.hub.seat(Domain.APPLIANCES)
        self.control = self.hub.seat(Domain.CONTROL)
        self.asked: list[UserRequest] = []
        self.answer: Callable[[UserRequest], Answers] = lambda asked: ()
        for status in EVERYONE:
            self.appliances.publish(status)
        self.appliances.publish(AC_STATE)
        self.appliances.publish(
            replace(AC_STATE, appliance=BATTERY.appliance, values={"soc_percent": 75}, interval_s=93.1)
        )

    async def run(self) -> None:
        """Answer what is asked."""
        async for message in self.control.messages():
            if isinstance(message, UserRequest):
                self.asked.append(message)
                for answer in self.answer(message):
                    self.control.publish(answer)

    async def do(self, *words: str, **answer: Any) -> Ran:
        """`hemsd appliances WORDS`, answered at once by this."""
        if answer:
            self.answer = lambda asked: [response(asked, **answer)]
        return await self.hemsd("appliances", *words)


def response(asked: UserRequest, **more: Any) -> UserResponse:
    return UserResponse(**{"request": asked.request, "to": Domain.OPERATOR, "status": "ok", **more})


@asynccontextmanager
async def home(directory: Path) -> AsyncIterator[Home]:
    async with stage(directory) as base:
        built = Home(base)
        running = asyncio.create_task(built.run())
        yield built
        running.cancel()


async def test_the_table_of_all(tmp_path: Path) -> None:
    """Name, kind, room, what it does, whether it is there, address; by room; of one that is away nothing is told."""
    async with home(tmp_path) as house:
        plain, named = await house.do(), await house.do("list")
    assert plain == named
    assert (plain.code, plain.err) == (Exit.READ, "")
    header, *lines = plain.out.splitlines()
    assert "75 % full" not in plain.out
    assert header.split() == ["name", "kind", "room", "now", "address"]
    assert [line.split()[0] for line in lines] == ["battery", "0291-00000001", "0291-00000002", "living-ac"]
    assert lines[0].split("  ")[0] == "battery" and "offline for 2 h" in lines[0]
    assert "居間" in lines[3] and "on, heat, to 26 °C, 430 W" in lines[3] and lines[3].endswith("192.168.20.31")
    assert "\x1b" not in plain.out


async def test_the_table_for_a_person_who_looks(tmp_path: Path) -> None:
    """On a terminal it is coloured, unless NO_COLOR is set."""
    async with home(tmp_path) as house:
        seen = await on_a_terminal(house, "appliances")
        plain = await on_a_terminal(house, "appliances", NO_COLOR="1")
    assert "\x1b[31moffline for" in seen and "living-ac" in seen
    assert "\x1b[31m" not in plain and "living-ac" in plain


async def test_nothing_is_cut_off_on_a_narrow_terminal(tmp_path: Path) -> None:
    """Names that will be typed stand in one piece, and of what takes several lines nothing is left out."""
    async with home(tmp_path) as house:
        seen = await on_a_terminal(house, "appliances", "show", "living-ac", COLUMNS="60", NO_COLOR="1")
    assert " target_temperature " in seen and "…" not in seen


async def test_all_as_json(tmp_path: Path) -> None:
    """A list of objects; --json may stand before or behind the action."""
    async with home(tmp_path) as house:
        ran, behind = await house.do("--json"), await house.do("list", "--json")
    found = {each["name"]: each for each in json.loads(ran.out)}
    assert json.loads(behind.out) == json.loads(ran.out)
    assert found["living-ac"]["values"] == AC_STATE.values
    assert found["living-ac"]["requested"] == {"target_temperature_c": 27}
    assert (found["battery"]["online"], found["battery"]["values"]) == (False, {"soc_percent": 75})
    assert found["battery"]["since"].endswith("+09:00")


async def test_a_house_without_appliances(tmp_path: Path) -> None:
    """Says where they would be looked for; an empty list for programs."""
    async with stage(tmp_path) as house:
        ran, as_json = await house.hemsd("appliances"), await house.hemsd("appliances", "--json")
    assert (ran.code, json.loads(as_json.out)) == (Exit.READ, [])
    assert "[networks.NAME]" in ran.out


async def test_everything_of_one(tmp_path: Path) -> None:
    """Who and where it is, what it does, what can be set and what that accepts, each property with its age."""
    async with home(tmp_path) as house:
        ran, away = await house.do("show", "0130"), await house.do("show", "battery")
    lines = ran.out.splitlines()
    told = {line[:12].strip(): line[12:] for line in lines if line[:12].strip()}
    assert told["living-ac"] == "home air conditioner, 居間"
    assert told["state"].startswith("online since ") and "heard" not in told["state"]  # each value tells
    assert "offline for 2 h" in away.out and ", last heard 2 h" in away.out
    assert "read every 1 min 33 s at most: it is slow, or much gets lost" in away.out and "read every" not in ran.out
    assert "told last   soc_percent  75" in away.out and "\nnow " not in away.out
    assert told["where"] == "network home, 192.168.20.31, object 013001"
    assert told["device"] == "maker 000006, product MSZ-X, release J"
    assert told["now"] == "on                    true"
    assert told["requested"] == "target_temperature_c  27"
    assert told["can be set"] == "on                    true or false"
    table = {line.split()[0]: line for line in lines if line.startswith("0x")}
    assert list(table) == ["0x80", "0xB3", "0xBB", "0xF1"]
    assert table["0x80"].split()[1:] == ["operation_status", "true", *table["0x80"].split()[3:]]
    assert "notified  get set announce  " in table["0x80"]
    assert "26 °C" in table["0xB3"] and " min " in table["0xB3"] and "0 to 50" in table["0xB3"]
    assert "no data" in table["0xBB"]
    assert table["0xF1"].split() == ["0xF1", "0xF1", "get"]


async def test_everything_of_one_as_json(tmp_path: Path) -> None:
    """Properties by name, with code, title, value, source, time, and what can be done with them."""
    async with home(tmp_path) as house:
        ran = await house.do("show", "living-ac", "--json")
    told = json.loads(ran.out)
    assert told["wishes"] == AC.wishes
    assert told["interval_s"] == 10.0
    target = told["properties"]["target_temperature"]
    assert (target["code"], target["value"], target["unit"], target["source"]) == ("0xB3", 26, "°C", "read")
    assert (target["get"], target["set"], target["announce"]) == (True, True, False)
    assert target["title"] and "0 to 50" in target["accepts"] and target["at"].endswith("+09:00")
    assert told["properties"]["room_temperature"]["state"] == "no_data"
    assert told["properties"]["0xF1"]["value"] is None and told["properties"]["0xF1"]["at"] is None


def answered(epc: int, **more: Any) -> ApplianceProperty:
    return ApplianceProperty(query="q", appliance=AC.appliance, epc=epc, **more)


READ = answered(0xB3, name="target_temperature", value=26, unit="°C", edt="1A")
RAW = answered(0xF1, edt="0102")
NO_DATA = answered(0xBB, name="room_temperature", state="no_data", edt="7E")


async def test_reading_now(tmp_path: Path) -> None:
    """Asked by id and by the daemon's own names of properties; one line each, raw where it means nothing to us."""
    async with home(tmp_path) as house:
        house.answer = lambda asked: [
            *(response(asked, property=each, last=False) for each in (READ, RAW, NO_DATA)),
            response(asked),
        ]
        ran = await house.do("get", "living-ac", "target_temperature", "0xf1", "0xBB")
        as_json = await house.do("get", "living-ac", "--json")
    assert (ran.code, ran.err) == (Exit.READ, "")
    assert [line.split(maxsplit=1) for line in ran.out.splitlines()] == [
        ["target_temperature", "26 °C"],
        ["0xF1", "0102 (hexadecimal)"],
        ["room_temperature", "no data"],
    ]
    named, everything = house.asked
    assert (named.operation, named.target) == ("get", AC.appliance)
    assert named.properties == ("target_temperature", "0xF1", "0xBB") and everything.properties == ()
    assert json.loads(as_json.out)["target_temperature"] == {
        "code": "0xB3", "value": 26, "unit": "°C", "state": "", "edt": "1A", "error": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("errors", "end", "named", "code"),
    [
        (("absent",), "bad_request", True, Exit.ABSENT),
        (("", "refused"), "device_refused", True, Exit.REFUSED),
        (("", "timeout"), "timeout", True, Exit.TIMEOUT),
        (("", "absent", "refused"), "bad_request", False, Exit.READ),
        (("", "timeout"), "timeout", False, Exit.TIMEOUT),
        (("",), "timeout", False, Exit.TIMEOUT),
        ((), "busy", False, Exit.TIMEOUT),
        ((), "unknown_target", False, Exit.ABSENT),
    ],
)
async def test_what_was_not_read(tmp_path: Path, errors: tuple[str, ...], end: str, named: bool, code: Exit) -> None:
    """Told for each property; what was named and is not there is 3, what is late is 4."""
    async with home(tmp_path) as house:
        house.answer = lambda asked: [
            *(response(asked, property=answered(0xF0 + n, error=each), last=False) for n, each in enumerate(errors)),
            response(asked, status="error", error=end),
        ]
        ran = await house.do("get", "living-ac", *(["0xF0"] if named else []))
    assert ran.code == code
    words = {"absent": "it has no such property", "refused": "refused", "timeout": "no answer in time"}
    assert all(words[each] in ran.out for each in errors if each)
    assert ran.err or code in (Exit.READ, Exit.ABSENT, Exit.REFUSED)


async def test_a_property_it_does_not_have_is_not_asked_for(tmp_path: Path) -> None:
    """The name may be mistyped: the one that was probably meant is told. Before it is known, the daemon decides."""
    async with home(tmp_path) as house:
        mistyped = await house.do("get", "living-ac", "target_temprature")
        assert house.asked == []
        house.appliances.publish(replace(AC, known=False, readable=()))
        house.answer = lambda asked: [response(asked, property=READ)]
        unknown = await house.do("get", "living-ac", "anything")
    assert mistyped.code == Exit.ABSENT
    assert "did you mean 'target_temperature'?" in mistyped.err
    assert unknown.code == Exit.READ


async def test_a_word_is_read_by_the_property_that_tells_it(tmp_path: Path) -> None:
    """What `show` lists can be asked for; a word that it cannot tell is none that it has."""
    async with home(tmp_path) as house:
        house.answer = lambda asked: [response(asked, property=READ)]
        read = await house.do("get", "living-ac", "target_temperature_c", "on")
        (asked,) = house.asked
        other = await house.do("get", "living-ac", "room_temperature_c")
    assert (read.code, asked.properties) == (Exit.READ, ("target_temperature", "operation_status"))
    assert other.code == Exit.ABSENT and "did you mean 'target_temperature_c'?" in other.err


async def test_setting(tmp_path: Path) -> None:
    """By the words of the common language; what was read back is told. With --ttl the wish expires."""
    async with home(tmp_path) as house:
        ran = await house.do(
            *("set", "192.168.20.31", "on=on", "target_temperature_c=26", "--ttl", "60"),
            outcome="applied",
            values={"on": True, "target_temperature_c": 26},
        )
    assert (ran.code, ran.err) == (Exit.READ, "")
    assert ran.out == "living-ac: set: on is true, target_temperature_c is 26\n"
    (asked,) = house.asked
    assert (asked.operation, asked.target, asked.asker) == ("set", AC.appliance, Domain.OPERATOR)
    assert asked.values == {"on": True, "target_temperature_c": 26}
    assert asked.expires_at is not None
    assert 0 < (asked.expires_at - datetime.now(UTC)).total_seconds() <= 60


def test_the_command_line_waits_longer_than_the_daemon() -> None:
    """So that it is the daemon that says what became of it."""
    assert ANSWER_S > LINE_S + ORDER_S
    assert PROPERTY_S > QUERY_S


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (
            {"status": "partial", "outcome": "unverified", "error": "unverified", "values": {"on": False}},
            Exit.TIMEOUT,
            "living-ac: accepted, not confirmed: on is false",
        ),
        (
            {"outcome": "rejected", "error": "device_refused", "detail": "it said 51 to 0xB3"},
            Exit.REFUSED,
            "living-ac: the appliance refused: it said 51 to 0xB3",
        ),
        (
            {"outcome": "refused", "error": "out_of_range", "detail": "60 is not 0 to 50"},
            Exit.USAGE,
            "living-ac: out of range: 60 is not 0 to 50",
        ),
        ({"error": "not_settable", "detail": "it has no such word"}, Exit.ABSENT, "hemsd: it has no such word"),
        ({"error": "busy"}, Exit.TIMEOUT, "living-ac: busy"),
        ({"outcome": "timeout", "error": "timeout"}, Exit.TIMEOUT, "living-ac: no answer in time"),
        (
            {"error": "rate_limited", "detail": "20 in an hour"},
            Exit.REFUSED,
            "hemsd: 20 in an hour",
        ),
    ],
)
async def test_what_became_of_a_setting(tmp_path: Path, answer: dict[str, Any], code: Exit, told: str) -> None:
    """Each outcome by its own exit code, with what the device or the house said to it; --json says all of it."""
    async with home(tmp_path) as house:
        ran = await house.do("set", "living-ac", "on=true", **{"status": "error", **answer})
        as_json = await house.do("set", "living-ac", "on=true", "--json")
    assert (ran.code, as_json.code) == (code, code)
    assert told in ran.out + ran.err
    assert bool(ran.out) is (answer["error"] == "unverified")
    plain = json.loads(as_json.out)
    assert (plain["error"], plain["outcome"]) == (answer["error"], answer.get("outcome", "refused"))


async def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    """Not for ever, and without saying that nothing was done."""
    async with home(tmp_path) as house:
        house.answer = lambda asked: [response(replace(asked, request="another"))]
        ran = await house.do("set", "living-ac", "on=true", "--timeout", "0.2")
        read = await house.do("get", "living-ac", "--timeout", "0.2")
    assert (ran.code, read.code) == (Exit.TIMEOUT, Exit.TIMEOUT)
    assert "it may or may not be done" in ran.err and "it may" not in read.err


@pytest.mark.parametrize(("timeout_s", "patience"), [(None, [5.0, 6.0]), (20.0, [20.0, 20.0])])
def test_patience(monkeypatch: pytest.MonkeyPatch, timeout_s: float | None, patience: list[float]) -> None:
    """From one answer to the next where nothing else is said; --timeout is for all of them together."""
    asked = UserRequest(request="r", asker=Domain.OPERATOR, operation="get", target="living-ac")
    untils: list[float] = []

    class Slow:
        """A daemon that takes a second for each answer."""

        def send(self, message: object) -> None:
            pass

        def next(self, until: float) -> dict[str, Any]:
            untils.append(until)
            monkeypatch.setattr(time, "monotonic", lambda: float(len(untils)))
            plain: dict[str, Any] = to_builtins(response(asked, last=len(untils) == 2))
            return plain

    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    assert len(list(_answers(Slow(), asked, timeout_s, 5.0))) == 2  # type: ignore[arg-type]
    assert untils == patience


async def test_identify_and_forget(tmp_path: Path) -> None:
    """Asked of the one that is meant; what became of it is told."""
    async with home(tmp_path) as house:
        shown_ = await house.do("identify", "living-ac", outcome="applied")
        forgotten = await house.do("forget", "battery", outcome="applied")
    assert (shown_.out, forgotten.out) == ("living-ac: it showed itself\n", "battery: forgotten\n")
    assert [(asked.operation, asked.target) for asked in house.asked] == [
        ("identify", AC.appliance),
        ("forget", BATTERY.appliance),
    ]


async def test_usage(tmp_path: Path) -> None:
    """Without a daemon 8, nobody of that name 3, several 2, nothing to set 2."""
    assert (await hemsd("appliances", env={"HOME": str(tmp_path)}, directory=tmp_path)).code == Exit.NO_DAEMON
    async with home(tmp_path) as house:
        codes = [
            (await house.do(*words)).code
            for words in (("show", "attic"), ("show", "0291"), ("set", "living-ac"), ("set", "living-ac", "on"))
        ]
        assert house.asked == []
    assert codes == [Exit.ABSENT, Exit.USAGE, Exit.USAGE, Exit.USAGE]


async def test_status_counts_appliances(tmp_path: Path) -> None:
    """A line with how many there are and which are away; all of them for programs. The exit code is the meter's."""
    async with home(tmp_path) as house:
        ran, as_json = await house.hemsd("status"), await house.hemsd("status", "--json")
        house.appliances.publish(replace(BATTERY, forgotten=True))
        well = await house.hemsd("status")
    assert "appliances  3 of 4 online; not battery" in ran.out.splitlines()
    assert "appliances  3 of 3 online" in well.out.splitlines()
    assert [each["name"] for each in json.loads(as_json.out)["appliances"]][:2] == ["living-ac", "battery"]
    assert ran.code == Exit.TIMEOUT  # nothing is known of a meter


# --- watching -------------------------------------------------------------------------------------------------------


class Watched:
    """What a watcher sees of messages, one by one."""

    def __init__(self) -> None:
        self.household = household()
        self.household.note(to_builtins(AC_STATE))
        self._changes = Changes(self.household)

    def sees(self, message: Any) -> list[str]:
        return [change.line()[10:] for change in self._changes.of(to_builtins(message), NOW)]


def test_values_that_change_are_told_with_who_did_it() -> None:
    """From and to; by hemsd where it had been ordered; nothing for what stays, or is not known for a while."""
    watched = Watched()
    ours = replace(AC_STATE, values={**AC_STATE.values, "target_temperature_c": 27}, requested={})
    assert watched.sees(AC_STATE) == []
    assert watched.sees(ours) == ["living-ac         target_temperature_c 26 -> 27 (by hemsd)"]
    assert watched.sees(replace(ours, values={"on": False})) == ["living-ac         on true -> false"]
    assert watched.sees(ours) == ["living-ac         on false -> true"]
    asked = replace(ours, requested={"mode": "dry"})
    assert watched.sees(asked) == []
    other = replace(ours, values={**ours.values, "mode": "cool"})
    assert watched.sees(other) == ["living-ac         mode heat -> cool"]  # somebody else was faster
    assert watched.sees(replace(ours, appliance=BATTERY.appliance)) == []  # heard of for the first time


def test_properties_of_what_has_no_words() -> None:
    """A class that nobody knows: what it tells changes all the same."""
    watched = Watched()
    first = replace(AC_STATE, appliance=BATTERY.appliance, values={})
    second = replace(first, properties={"list": PropertyValue(value=[1], at=NOW, source="read")})
    third = replace(first, properties={"list": PropertyValue(value=[2], at=NOW, source="read")})
    assert watched.sees(first) == []
    assert watched.sees(second) == ["battery           list [1]"]
    assert watched.sees(third) == ["battery           list [1] -> [2]"]


def test_properties_of_what_has_words_are_not_told() -> None:
    """They come before the words do when an appliance is back, and are not what changes in the house."""
    watched = Watched()
    back = replace(AC_STATE, values={}, properties={"rated_power": PropertyValue(value=4000, at=NOW, source="read")})
    assert watched.sees(back) == []


def test_coming_going_and_moving_are_told() -> None:
    """And being forgotten; an event of a person's hand goes by the longest name in it."""
    watched = Watched()
    new = replace(AC, appliance="0130-00000009", name="ac")
    assert watched.sees(new) == ["ac                found: home air conditioner at 192.168.20.31"]
    assert watched.sees(replace(BATTERY, online=True)) == ["battery           online again"]
    assert watched.sees(BATTERY) == ["battery           offline: it has not answered for 5 minutes"]
    assert watched.sees(replace(BATTERY, address="192.168.20.99")) == [
        "battery           moved from 192.168.20.32 to 192.168.20.99"
    ]
    hand = Event(
        at=NOW, source=Domain.APPLIANCES, kind="appliance.by_hand", severity="info", text="living-ac: by hand"
    )
    assert watched.sees(hand) == ["living-ac         living-ac: by hand"]
    assert watched.sees(replace(hand, kind="appliance.back")) == []
    assert watched.sees(replace(hand, kind="meter.lost")) == []
    result = ApplianceResult(command="c", appliance=AC.appliance, outcome="rejected", detail="it said no")
    assert watched.sees(result) == ["living-ac         it refused an order: it said no"]
    result = replace(result, outcome="applied", detail="", values={"on": True, "mode": "dry"})
    assert watched.sees(result) == ["living-ac         an order was carried out: on is true, mode is dry"]
    assert watched.sees(replace(new, forgotten=True)) == ["ac                forgotten"]
    assert "0130-00000009" not in watched.household.statuses


async def test_watching_survives_a_restart(tmp_path: Path) -> None:
    """One JSON line for each change of those that are named, also of what changed while the daemon was away."""
    async with home(tmp_path) as house:
        watching = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hemsd", "appliances", "watch", "living-ac", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=house.environment,
        )
        assert watching.stdout is not None and watching.stderr is not None
        told = asyncio.create_task(watching.stdout.readline())
        async with asyncio.timeout(20):
            for on in itertools.cycle((False, True)):  # it may still be starting
                house.appliances.publish(replace(AC_STATE, values={**AC_STATE.values, "on": on}))
                if (await asyncio.wait([told], timeout=0.02))[0]:
                    break
        line = json.loads(told.result())
    assert (line["name"], line["what"], type(line["to"])) == ("living-ac", "on", bool)
    async with home(tmp_path) as house:
        async with asyncio.timeout(20):
            while b"is back" not in await watching.stderr.readline():
                pass
            house.appliances.publish(replace(AC_STATE, values={"mode": "cool"}))
            while line["what"] != "mode":
                line = json.loads(await watching.stdout.readline())
        assert (line["from"], line["to"]) == ("heat", "cool")
        watching.terminate()
        await watching.wait()


async def on_a_terminal(house: Stage, *arguments: str, **environ: str) -> str:
    """What a person sees."""
    ours, theirs = pty.openpty()
    env = house.environment | {"TERM": "xterm", "COLUMNS": "120"} | environ
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hemsd", *arguments), stdout=theirs, env=env
    )
    os.close(theirs)
    seen = b""
    reader = asyncio.get_running_loop()
    while True:
        try:
            piece = await reader.run_in_executor(None, os.read, ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    await process.wait()
    return seen.decode()
