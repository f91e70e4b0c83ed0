"""What is asked when, and what of it is published; in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

import pytest
from msgspec.structs import replace
from support.clock import run
from support.routeb import (
    CREDENTIALS,
    EPOCH,
    PAN,
    PROPERTIES,
    FakeMeter,
    FakeModule,
    FakeSeat,
    NoPort,
    asked,
    frame,
    virtual_now,
)

from drivers.module import AuthenticationStep, Fate, Join, JoinFailed, Send, SessionClosed, SessionExpired
from drivers.ports import PortLost
from hemsd.hub.messages import (
    Domain,
    Event,
    MeterInterval,
    MeterProperty,
    MeterReading,
    MeterStatus,
    ReadMeter,
)
from hemsd.routeb.collector import LATE_S, Collector, Pace
from hemsd.routeb.errors import CredentialsRefused, MeterMute
from hemsd.routeb.ladder import JITTER, PAUSE_MAX_S
from hemsd.routeb.meter import Meter

T = TypeVar("T")


class ClockMeter(FakeMeter):
    """A meter whose half-hour registers follow the virtual clock."""

    def answer(self, payload: bytes) -> list[bytes]:
        self.properties |= half_hour(virtual_now())
        return super().answer(payload)


def half_hour(now: datetime, count: int = 0xFE68) -> dict[int, str]:
    """EA and EB at the last boundary before a moment, Japanese time."""
    at = now.astimezone(UTC) + timedelta(hours=9)
    when = f"{at.year:04X}{at.month:02X}{at.day:02X}{at.hour:02X}{at.minute // 30 * 30:02X}00"
    return {0xEA: f"{when}{count:08X}", 0xEB: f"{when}{0x16:08X}"}


class Bench:
    def __init__(self, meter: FakeMeter | None = None) -> None:
        self.module = FakeModule(meter or ClockMeter())
        self.port = NoPort()
        self.seat = FakeSeat()
        self.collector: Collector

    def run(self, scenario: Callable[[Bench], Awaitable[None]], pace: Pace | None = None) -> None:
        """Collect while a scenario plays."""

        async def main() -> None:
            module = self.module
            async with Meter(self.port, CREDENTIALS, module=module, persist=True, clock=virtual_now) as self.meter:
                self.collector = Collector(self.meter, self.seat, pace=pace, clock=virtual_now)  # type: ignore[arg-type]
                collecting = asyncio.create_task(self.collector.run())
                await scenario(self)
                collecting.cancel()
                await asyncio.wait([collecting])
                if not collecting.cancelled():
                    collecting.result()

        run(main())

    def happen(self, event: object) -> None:
        """Let the module tell something now."""
        self.module.now = asyncio.get_running_loop().time()
        self.module.later(0.0, event)  # type: ignore[arg-type]
        self.meter._pump.poke()

    def hear(self, payload: bytes) -> None:
        """Let the meter send something now."""
        self.happen(self.module.datagram(payload))

    @property
    def status(self) -> MeterStatus:
        """The last published."""
        return self.seat.of(MeterStatus)[-1]

    def gets(self, epc: int) -> int:
        """How often a property was asked for."""
        return sum(epc in properties for _, esv, properties in self.module.meter.requests if esv == 0x62)


def test_pace() -> None:
    """Power and current every 30 s, energy every 5 min, every reading with the meter's name."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(1210)
        readings = bench.seat.of(MeterReading)
        assert len(readings) in (40, 41)
        assert all(reading.meter == bench.meter.name and reading.power_w == 632 for reading in readings)
        times = bench.seat.times(MeterReading)
        assert all(29.9 < later - earlier < 30.1 for earlier, later in pairwise(times))
        energies = [reading for reading in readings if reading.energy_import_kwh is not None]
        assert len(energies) == 5
        assert all(reading.states == {} for reading in readings)

    Bench().run(scenario)


def test_watching() -> None:
    """While someone looks every 10 s, beginning at once; a minute after the last look every 30 s again."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(75)
        bench.collector.watch()
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(185)
        times = [at - start for at in bench.seat.times(MeterReading, start)]
        assert times[0] < 0.1
        assert [round(later - earlier) for earlier, later in pairwise(times)][:8] == (
            [10, 10, 10, 10, 10, 10, 30, 30]
        )

    Bench().run(scenario)


def test_configured_pace() -> None:
    """A pace below the default is kept where it is configured."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(21)
        assert len(bench.seat.of(MeterReading)) >= 9

    Bench().run(scenario, Pace(idle_s=2.0, watched_s=1.0, energy_s=60.0))


def test_half_hours_by_get() -> None:
    """Where no notification came, EA and EB are asked for after :05 and :35, once; the first ones at the start."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(2 * 3600)
        intervals = [message.end for message in bench.seat.of(MeterInterval)]
        boundary = datetime(2026, 5, 14, 5, 0, tzinfo=UTC)
        assert intervals == [boundary + timedelta(minutes=30 * n) for n in range(4)]
        times = [EPOCH + timedelta(seconds=at) for at in bench.seat.times(MeterInterval)]
        assert times[0].minute == EPOCH.minute
        assert all(5 <= at.minute % 30 < 6 for at in times[1:])
        assert bench.gets(0xEA) == 4
        first = bench.seat.of(MeterInterval)[0]
        assert (first.energy_import_kwh, first.energy_export_kwh, first.source) == (6512.8, 2.2, "read")

    Bench().run(scenario)


def test_half_hours_by_notification() -> None:
    """INF and INFC are published once however often they come, INFC are answered, and no further Get is needed."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        for _ in range(4):
            for esv in (0x73, 0x74, 0x74):
                bench.hear(frame(0xA001, esv, half_hour(virtual_now())))
                await asyncio.sleep(1)
            await asyncio.sleep(1797)
        intervals = bench.seat.of(MeterInterval)
        assert [interval.source for interval in intervals] == ["read", *["notified"] * 3]
        assert bench.gets(0xEA) == 1
        sent = [asked(send.payload) for send in bench.module.commands(Send) if isinstance(send, Send)]
        replies = [(tid, properties) for tid, esv, properties in sent if esv == 0x7A]
        assert replies == [(0xA001, {0xEA: "", 0xEB: ""})] * 8

    Bench().run(scenario)


def test_half_hour_in_two_notifications() -> None:
    """Import and export told one after the other make one half-hour with both."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(1860)
        both = half_hour(virtual_now())
        for epc in (0xEA, 0xEB):
            bench.hear(frame(1, 0x73, {epc: both[epc]}))
            await asyncio.sleep(1)
        _, first, second = bench.seat.of(MeterInterval)
        assert (first.energy_import_kwh, first.energy_export_kwh) == (6512.8, None)
        assert (second.energy_import_kwh, second.energy_export_kwh, second.states) == (6512.8, 2.2, {})

    Bench().run(scenario)


def test_a_meter_that_is_late_with_its_half_hour() -> None:
    """A boundary that the meter still tells of the past is asked for again, three times at most."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(3500)
        assert bench.gets(0xEA) == 1 + 3

    Bench(FakeMeter()).run(scenario)


def test_a_meter_whose_clock_is_late_at_the_start() -> None:
    """What it tells then of the half-hour before does not stand for the one that is to come."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(1000)
        ends = [interval.end for interval in bench.seat.of(MeterInterval)]
        boundary = EPOCH.replace(minute=0)
        assert ends == [boundary - timedelta(minutes=30), boundary]

    class Late(FakeMeter):
        def answer(self, payload: bytes) -> list[bytes]:
            self.properties |= half_hour(virtual_now() - timedelta(minutes=2))
            return super().answer(payload)

    Bench(Late()).run(scenario)


def test_a_meter_whose_clock_is_wrong() -> None:
    """Half-hours are asked for as long as the meter goes on, whatever day it believes it is."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(7200)
        assert [interval.end.day for interval in bench.seat.of(MeterInterval)] == [16] * 4

    class Ahead(FakeMeter):
        def answer(self, payload: bytes) -> list[bytes]:
            self.properties |= half_hour(virtual_now() + timedelta(days=2))
            return super().answer(payload)

    Bench(Ahead()).run(scenario)


def test_no_kwh_before_the_unit() -> None:
    """A meter that does not tell its unit has power published, and neither energies nor half-hours."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(400)
        assert bench.seat.of(MeterReading)[0].states["energy_import_kwh"] == "unknown_unit"
        assert all(reading.power_w == 632 for reading in bench.seat.of(MeterReading))
        assert bench.seat.of(MeterInterval) == []

    Bench(FakeMeter({epc: edt for epc, edt in PROPERTIES.items() if epc != 0xE1})).run(scenario)


def test_status_and_events() -> None:
    """Status on every change and each minute; events for online and lost, with the reason."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(300)
        bench.happen(SessionClosed(PAN.address, by_peer=True))
        await asyncio.sleep(60)
        events = bench.seat.of(Event)
        assert [event.kind for event in events] == ["meter.online", "meter.lost", "meter.recovery", "meter.online"]
        assert [event.text for event in events[1:]] == [
            "the meter ended the session",
            "the meter ended the session: joining it again",
            "the meter is online again after 10 s: joined again",
        ]
        statuses = bench.seat.of(MeterStatus)
        stages = [status.stage for status in statuses]
        assert stages[0] == "waiting"
        assert {"opening", "scanning", "joining", "online"} <= set(stages)
        assert statuses[-1].identity is not None
        beats = [at for at in bench.seat.times(MeterStatus) if 10 < at < 290]
        assert [round(at) for at in beats] == [60, 120, 180, 240]

    Bench().run(scenario)


def test_through_losses() -> None:
    """Readings go on after the meter was lost, whatever the reason, beginning as soon as it is back."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(100)
        ended = SessionClosed(PAN.address, by_peer=False)
        for event in (SessionExpired(PAN.address), JoinFailed(PAN.address), ended):
            bench.happen(event)
            await asyncio.sleep(200)
        assert bench.seat.of(Event)[-1].kind == "meter.online"
        back = bench.seat.times(Event)[-1]
        assert bench.seat.times(MeterReading, back)[0] - back < 0.1

    Bench().run(scenario)


def test_silence_is_survived() -> None:
    """A meter silent for an hour is lost, reported and, after the longest pause, read again when it speaks."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.module.silent = True
        await asyncio.sleep(3600)
        assert "meter.lost" in [event.kind for event in bench.seat.of(Event)]
        assert [event.text for event in bench.seat.of(Event) if event.kind == "meter.unreachable"] == [
            str(MeterMute())
        ]
        bench.module.silent = False
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(PAUSE_MAX_S * (1 + JITTER) + 60)
        assert len(bench.seat.times(MeterReading, start)) >= 2

    Bench().run(scenario)


def test_fresh_and_stale() -> None:
    """Live values are fresh for one idle period and a minute; the status says when they cease to be and are again."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(95)
        assert (bench.status.online, bench.status.fresh) == (True, True)
        last = bench.seat.times(MeterReading)[-1]
        bench.module.silent = True
        await asyncio.sleep(last + 30 + LATE_S - asyncio.get_running_loop().time() - 0.1)
        assert bench.status.fresh
        await asyncio.sleep(0.2)
        assert (bench.status.online, bench.status.fresh) == (True, False)
        assert bench.status.read_at == bench.seat.of(MeterReading)[-1].measured_at
        bench.module.silent = False
        back = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        read = bench.seat.times(MeterReading, back)[0]
        fresh = next(at for at, m in bench.seat.published if at > back and isinstance(m, MeterStatus) and m.fresh)
        assert fresh == read

    Bench().run(scenario)


def test_no_value_is_fresh_without_a_meter() -> None:
    """A reading of a moment ago is not fresh once the meter is lost."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(91)
        bench.happen(SessionClosed(PAN.address, by_peer=True))
        await asyncio.sleep(1)
        assert (bench.status.online, bench.status.fresh) == (False, False)

    Bench().run(scenario)


def test_a_slow_pace_is_not_stale() -> None:
    """Who has the meter read every five minutes has values that are five minutes old."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(1700)
        stale = [m for at, m in bench.seat.published if at > 10 and isinstance(m, MeterStatus) and not m.fresh]
        assert stale == []

    Bench().run(scenario, Pace(idle_s=300.0, watched_s=10.0))


def test_the_status_tells_of_the_radio() -> None:
    """Counts of the exchange, time on the air, the session, what was dropped; the module and its port."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.happen(bench.module.datagram(b"", secured=False))
        bench.module.fates = [Fate.FAILED]
        await asyncio.sleep(500)
        status = bench.meter.status
        radio = status.radio
        assert (status.port, status.module) == ("/dev/nothing", "SKSTACK-IP dual stack, firmware 1.5.2")
        asked_for = len(bench.module.meter.requests) + 1  # one did not get out
        assert (radio.requests, radio.repeated, radio.silences, radio.loss) == (
            asked_for,
            0,
            0,
            round(1 / asked_for, 3),
        )
        assert (radio.sessions, radio.recoveries, radio.dropped) == (1, {}, {"unsecured": 1})
        assert radio.session_since is not None
        assert abs(radio.session_since - EPOCH) < timedelta(seconds=5)
        assert 0.1 < radio.air_s < 1.0

    Bench().run(scenario)


def test_the_same_trouble_is_not_told_with_every_round() -> None:
    """A day without a meter: what is wrong, and what is done about it, about once an hour, not 200 times."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.module.beacons, bench.module.joins = {}, [[]] * 2000
        bench.happen(SessionClosed(PAN.address, by_peer=True))
        await asyncio.sleep(86_400)
        told = Counter((event.kind, event.severity) for event in bench.seat.of(Event))
        assert told["meter.lost", "warning"] == 1
        assert 20 <= told["meter.unreachable", "error"] <= 25
        assert 20 <= told["meter.recovery", "warning"] <= 25

    Bench().run(scenario)


def test_a_refusal_is_told_everywhere() -> None:
    """A wrong password: the status says refused and why, an error tells it, again only after the hourly attempt."""

    async def scenario(bench: Bench) -> None:
        bench.module.joins = [[AuthenticationStep.STARTED, AuthenticationStep.CHALLENGED]] * 100
        await asyncio.sleep(3000)
        assert (bench.status.stage, bench.status.detail) == ("refused", str(CredentialsRefused()))
        assert [event.text for event in bench.seat.of(Event) if event.severity == "error"] == [
            str(CredentialsRefused())
        ]
        joins = len(bench.module.commands(Join))
        assert joins == 3
        await asyncio.sleep(3600)
        assert bench.status.stage == "refused"
        assert len(bench.module.commands(Join)) == joins + 1
        assert [event.severity for event in bench.seat.of(Event)].count("error") == 2
        assert not bench.port.closed

    Bench().run(scenario)


def test_lost_port_is_raised() -> None:
    """The port's loss ends the collector with that very error."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(100)
        bench.port.lose(PortLost("/dev/nothing", "unplugged"))
        await asyncio.sleep(1)

    with pytest.raises(PortLost):
        Bench().run(scenario)


def test_read_meter() -> None:
    """Properties cross one by one, described where we can, as digits where not, the last one marked.

    One that no meter has by the standard is absent without being asked for.
    """

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.module.meter.properties |= {0x87: "ABCD", 0x86: "1081000102880105FF01", 0xF0: "ABCD"}
        bench.meter.facts = replace(bench.meter.facts, properties=None)
        request = ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7, 0xE0, 0x87, 0x86, 0xF0, 0xE2, 0x1234))
        bench.seat.inbox.put_nowait(request)
        await asyncio.sleep(2)
        answers = bench.seat.of(MeterProperty)
        assert [answer.epc for answer in answers] == [0xE7, 0xE0, 0x87, 0x86, 0xF0, 0xE2]
        assert [answer.last for answer in answers] == [False] * 5 + [True]
        assert {(answer.request, answer.to) for answer in answers} == {("r1", Domain.OPERATOR)}
        power, energy, unlike, frame_like, unknown, history = answers
        assert (power.name, power.value, power.unit) == ("instantaneous_power", 632, "W")
        assert (energy.value, energy.unit) == (6513.9, "kWh")
        assert (unlike.edt, frame_like.error, unknown.error, history.error) == ("ABCD", "refused", "absent", "absent")
        assert all(0xF0 not in asked for _, _, asked in bench.module.meter.requests)

    Bench().run(scenario)


def test_what_a_count_is_worth_is_asked_along_while_it_is_unknown() -> None:
    """Energies asked for before the first reading come in kWh all the same, with a fresh status before them."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.meter.facts = replace(bench.meter.facts, unit=None, coefficient=None)
        before = len(bench.seat.of(MeterStatus))
        bench.seat.inbox.put_nowait(ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE0, 0xEA)))
        await asyncio.sleep(5)
        energy, half_hour = bench.seat.of(MeterProperty)
        assert (energy.value, energy.unit, half_hour.unit) == (6513.9, "kWh", "kWh")
        assert energy.meter == bench.meter.name != ""
        assert len(bench.seat.of(MeterStatus)) > before
        published = [type(message) for _, message in bench.seat.published]
        assert published.index(MeterProperty) - 1 == max(
            number for number, kind in enumerate(published) if kind is MeterStatus
        )

    Bench().run(scenario)


def test_a_map_whose_bytes_begin_like_a_frame_is_told_without_them() -> None:
    """Sixteen properties make a map of 10 8x ...: the value crosses, the bytes do not; text of them is refused."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.module.meter.properties |= {0x9E: "1081" + "00" * 15, 0x86: "1082" + "00" * 15}
        bench.meter.facts = replace(bench.meter.facts, properties=None)
        bench.seat.inbox.put_nowait(ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0x9E, 0x86)))
        await asyncio.sleep(2)
        known, unknown = bench.seat.of(MeterProperty)
        assert (known.error, known.edt) == ("", None)
        assert known.value
        assert (unknown.error, unknown.edt, unknown.value) == ("refused", None, None)

    Bench().run(scenario)


def test_read_meter_while_offline() -> None:
    """Who asks while the meter is not reachable is answered all the same."""

    async def scenario(bench: Bench) -> None:
        bench.module.beacons = {}
        await asyncio.sleep(1)
        bench.seat.inbox.put_nowait(ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7,)))
        await asyncio.sleep(1)
        assert [(answer.error, answer.last) for answer in bench.seat.of(MeterProperty)] == [("timeout", True)]

    Bench().run(scenario)


def test_asking_is_looking() -> None:
    """Someone who asks for a property sees readings every 10 s for a while."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        bench.seat.inbox.put_nowait(ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7,)))
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(31)
        assert len(bench.seat.times(MeterReading, start)) >= 3

    Bench().run(scenario)


def test_static_values_are_read_again_in_each_session() -> None:
    """A unit changed by the power company is noticed at the next join, after the first reading."""

    async def scenario(bench: Bench) -> None:
        await asyncio.sleep(60)
        before = bench.gets(0xE1)
        bench.module.meter.properties[0xE1] = "02"
        bench.happen(SessionClosed(PAN.address, by_peer=True))
        await asyncio.sleep(400)
        assert bench.gets(0xE1) == before + 1
        assert bench.seat.of(MeterReading)[-1].energy_import_kwh in (None, 651.39)

    Bench().run(scenario)
