"""The asynchronous face: reading, learning, remembering, cancelling, losing; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.clock import run
from support.routeb import CREDENTIALS, PAN, PROPERTIES, FakeMeter, FakeModule, NoPort, frame, virtual_now

from drivers.module import Join, Leave, Open, Scan, Send, SendLimit, SessionClosed
from drivers.ports import PortLost
from hemsd.echonet.exchange import Notification
from hemsd.echonet.meter import encode_history_1_day
from hemsd.hub.messages import Link, MeterIdentity, MeterReading
from hemsd.routeb.cache import PanCache
from hemsd.routeb.errors import MeterNotHeard, NoAnswerInTime
from hemsd.routeb.meter import NAMING_TRIES, Meter, Missing
from hemsd.routeb.stages import Progress


class Bench:
    """A meter on a scripted module."""

    def __init__(self, properties: dict[int, str] | None = None, cache: Path | None = None) -> None:
        self.module = FakeModule(FakeMeter(properties))
        self.port = NoPort()
        self.cache = None if cache is None else PanCache(cache)
        self.progress: list[Progress] = []

    @asynccontextmanager
    async def meter(self, **options: Any) -> AsyncIterator[Meter]:
        async with Meter(
            self.port,
            CREDENTIALS,
            cache=self.cache,
            module=self.module,
            on_progress=self.progress.append,
            clock=virtual_now,
            **options,
        ) as meter:
            yield meter

    @property
    def gets(self) -> list[list[int]]:
        """The properties of every Get so far, the probe of a surviving session left out."""
        return [list(properties) for _, esv, properties in self.module.meter.requests if esv == 0x62]


def without(*epcs: int) -> dict[int, str]:
    """A meter that lacks some properties, and says so in its map."""
    kept = {epc: edt for epc, edt in PROPERTIES.items() if epc not in epcs}
    bits = bytearray(17)
    for epc in kept:
        bits[1 + epc % 16] |= 1 << epc // 16 - 8
    bits[0] = len(kept)
    return {**kept, 0x9F: bits.hex().upper()} if 0x9F in kept else kept


def test_first_reading() -> None:
    """The first live reading takes one Get: values, unit and coefficient together."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            reading = await meter.read_live()
            assert reading == MeterReading(
                meter="",
                measured_at=reading.measured_at,
                power_w=632,
                current_r_a=3.0,
                current_t_a=5.0,
                energy_import_kwh=6513.9,
                energy_export_kwh=2.2,
            )
            assert reading.measured_at == virtual_now()
            await meter.read_live()
        assert bench.gets == [[0xE7, 0xE8, 0xE0, 0xE3, 0xD3, 0xE1], [0xE7, 0xE8, 0xE0, 0xE3]]

    run(main())


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_log_shows_the_frames_at_level_debug(level: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each that goes to the meter and each that comes from it, to be given to `hemsd decode`; below it none."""
    caplog.set_level(level)

    async def main() -> None:
        async with Bench().meter() as meter:
            await meter.read_live(current=False, energy=False)

    run(main())
    told = [text for text in caplog.messages if "the meter: 1081" in text]
    if level == "INFO":
        assert told == []
    else:
        assert [text.partition(":")[0] for text in told[-2:]] == ["to the meter", "from the meter"]
        assert told[-2].endswith("05FF010288016201E700")
        assert told[-1].endswith("02880105FF017201E70400000278")


def test_only_what_is_wanted_is_asked() -> None:
    """Power alone is one small Get."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            reading = await meter.read_live(current=False, energy=False)
            assert (reading.power_w, reading.current_r_a, reading.states) == (632, None, {})
        assert bench.gets == [[0xE7]]

    run(main())


@pytest.mark.parametrize(
    ("properties", "states"),
    [
        ({0xE7: "7FFFFFFE", 0xE8: "001E7FFE"}, {"power_w": "no_data", "current_t_a": "no_data"}),
        ({0xE7: "7FFFFFFF", 0xE0: "FFFFFFFE"}, {"power_w": "overflow", "energy_import_kwh": "no_data"}),
        ({0xE3: ""}, {"energy_export_kwh": "absent"}),
        ({0xE1: ""}, {"energy_import_kwh": "unknown_unit", "energy_export_kwh": "unknown_unit"}),
        ({0xE7: "01"}, {"power_w": "no_data"}),
        ({0xD3: ""}, {}),
    ],
)
def test_states_stand_where_no_number_is(properties: dict[int, str], states: dict[str, str]) -> None:
    """No sentinel becomes a number, no kWh is told without its unit, a missing coefficient means 1."""

    async def main() -> None:
        bench = Bench({epc: edt for epc, edt in (PROPERTIES | properties).items() if edt})
        async with bench.meter() as meter:
            reading = await meter.read_live()
        assert reading.states == states
        assert all(getattr(reading, name) is None for name in states)

    run(main())


def test_kwh_has_the_registers_digits() -> None:
    """Coefficient and unit make exact decimals, not binary dust."""

    async def main() -> None:
        bench = Bench(PROPERTIES | {0xE0: "0001E240", 0xE1: "03", 0xD3: "00000007"})
        async with bench.meter() as meter:
            assert (await meter.read_live()).energy_import_kwh == 864.192

    run(main())


def test_energy_waits_for_the_coefficient() -> None:
    """A coefficient that was not told in time is not taken for 1."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.read([0xE1])
            assert meter.scale.unit is None
            assert (await meter.read_live()).energy_import_kwh == 6513.9

    run(main())


@pytest.mark.parametrize(("refusals", "kwh"), [(2, 45597.3), (3, 6513.9)])
def test_a_refused_coefficient_is_not_one_at_once(refusals: int, kwh: float) -> None:
    """A meter that lists its coefficient and refuses it has none after three refusals; till then there is no kWh."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.read([0x9F])
            del bench.module.meter.properties[0xD3]
            for _ in range(refusals - 1):
                assert (await meter.read_live()).energy_import_kwh is None
            told = await meter.read_live()
            assert told.energy_import_kwh == (None if refusals == 2 else kwh)
            bench.module.meter.properties[0xD3] = "00000007"
            assert (await meter.read_live()).energy_import_kwh == kwh

    run(main())


def test_what_the_meter_lacks_is_asked_once() -> None:
    """A property refused alone by a meter whose map is unknown is absent and not asked again."""

    async def main() -> None:
        bench = Bench({epc: edt for epc, edt in PROPERTIES.items() if epc != 0xE3})
        async with bench.meter() as meter:
            assert (await meter.read([0xE7, 0xE3]))[0xE3] is Missing.ABSENT
            await meter.read([0xE3, 0xE7])
        assert bench.gets == [[0xE7, 0xE3], [0xE3], [0xE7]]

    run(main())


def test_identify() -> None:
    """A first-generation meter: who it is, its map and scale, in Gets that a weak meter can answer."""

    async def main() -> None:
        bench = Bench(without(0xD3))
        async with bench.meter() as meter:
            identity = await meter.identify()
            assert identity == MeterIdentity(
                meter=identity.meter, maker="000016", serial="F00000000000", release="F", generation=1
            )
            assert len(meter.name) == 10
            assert meter.facts.digits == 6
            assert (meter.scale.coefficient, meter.scale.unit) == (1, Decimal("0.1"))
            assert meter.properties is not None
            assert 0xE7 in meter.properties
            assert (await meter.read([0xD3, 0xC0])) == {0xD3: Missing.ABSENT, 0xC0: Missing.ABSENT}
            asked = len(bench.gets)
            assert await meter.identify() == identity
            assert len(bench.gets) == asked
        assert bench.gets[0] == [0x9F]
        assert not any(0xC0 in get or 0xD3 in get for get in bench.gets)

    run(main())


def test_identify_second_generation() -> None:
    """C0 in the map makes a second-generation meter; it is told, and named by maker and serial all the same."""

    async def main() -> None:
        c0 = "00" + "000016" + "0102030405060708090A0B0C"
        first = Bench(without())
        second = Bench({**without(), 0xC0: c0, 0x9F: gen2_map()})
        names = []
        for bench in (first, second):
            async with bench.meter() as meter:
                names.append((await meter.identify()).meter)
                identity = meter.identity
        assert identity is not None
        assert identity.generation == 2
        assert c0 not in repr(identity)  # it names the meter to those on Route B only
        assert names[0] == names[1]

    run(main())


@pytest.mark.parametrize("epc", [0x9F, 0x8A, 0x8D], ids=lambda epc: f"{epc:02X}")
def test_a_name_is_not_given_in_haste(epc: int) -> None:
    """What names the meter may be refused now and told a minute later: it is not named by something else at once."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            properties = bench.module.meter.properties
            kept, properties[epc] = properties[epc], ""
            with pytest.raises(NoAnswerInTime, match="refused to tell who it is"):
                await meter.identify()
            assert meter.name == ""
            properties[epc] = kept
            hasty = await meter.identify()
        async with Bench().meter() as meter:
            assert await meter.identify() == hasty

    run(main())


def test_a_name_stays() -> None:
    """What a meter refuses later takes nothing from who it is: another name would be another history."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            identity = await meter.identify()
            for refused in (0x8A, 0x8D, 0x82):
                bench.module.meter.properties[refused] = ""
                assert await meter.identify(anew=True) == identity
            bench.module.meter.properties[0x8D] = "463030303030303030303031"
            assert (await meter.identify(anew=True)).meter != identity.meter

    run(main())


def test_a_meter_that_never_tells_its_serial_number() -> None:
    """After three refusals it is named by its address, and keeps that name when it tells at last."""

    async def main() -> None:
        bench = Bench(PROPERTIES | {0x8D: ""})
        async with bench.meter() as meter:
            for _ in range(NAMING_TRIES):
                with pytest.raises(NoAnswerInTime):
                    await meter.identify()
            identity = await meter.identify()
            assert identity.serial is None
            bench.module.meter.properties[0x8D] = PROPERTIES[0x8D]
            told = await meter.identify(anew=True)
            assert (told.meter, told.serial) == (identity.meter, "F00000000000")

    run(main())


def gen2_map() -> str:
    """The property map of the standard meter with C0."""
    bits = bytearray.fromhex(PROPERTIES[0x9F])
    bits[1] |= 1 << 4
    return bits.hex().upper()


def test_refused_though_listed() -> None:
    """A property of the map that is refused all the same is told as refused, not absent."""

    async def main() -> None:
        bench = Bench({epc: edt for epc, edt in PROPERTIES.items() if epc != 0xEB})
        async with bench.meter() as meter:
            await meter.identify()
            assert (await meter.read([0xEB]))[0xEB] is Missing.REFUSED

    run(main())


def test_start_with_cache_reads_at_once(tmp_path: Path) -> None:
    """The second start joins the remembered PAN without a scan and knows the scale; the third resumes the session."""

    async def main() -> None:
        first = Bench(cache=tmp_path)
        async with first.meter() as meter:
            await meter.identify()
            reading = await meter.read_live()
        second = Bench(cache=tmp_path)
        async with second.meter() as meter:
            assert meter.name == reading.meter
            assert (await meter.read_live()).energy_import_kwh == reading.energy_import_kwh
        assert second.module.commands(Scan) == []
        assert second.gets == [[0xE7, 0xE8, 0xE0, 0xE3]]
        second.module.log.clear()
        async with second.meter() as meter:
            await meter.read_live()
        assert [type(command) for command in second.module.commands(Open, Scan, Join)] == [Open]

    run(main())


def test_another_meter_is_not_scaled_like_the_last(tmp_path: Path) -> None:
    """A meter with another MAC address starts with no known unit, map or name."""

    async def main() -> None:
        async with Bench(cache=tmp_path).meter() as meter:
            await meter.identify()
        bench = Bench(PROPERTIES | {0xE1: "00"}, cache=tmp_path)
        changed = type(PAN)(PAN.channel, PAN.pan_id, "001C640000000009", PAN.pairing_id, PAN.lqi)
        bench.module.joins = [[], []]
        bench.module.beacons = {4: [changed]}
        async with bench.meter() as meter:
            await meter.online()
            assert meter.name == ""
            assert meter.scale.unit is None

    run(main())


def test_leaving_is_gentle() -> None:
    """The session stays in the module, the port is closed, and whoever waits is told."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.online()
            bench.module.silent = True
            waiting = asyncio.create_task(meter.read([0xE7]))
            await asyncio.sleep(1)
        with pytest.raises(NoAnswerInTime):
            await waiting
        assert bench.port.closed
        assert bench.module.commands(Leave) == []

    run(main())


def test_cancelled_read_breaks_nothing() -> None:
    """Cancelling a read in flight, or one that waits, leaves the next one as good as ever."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.online()
            bench.module.silent = True
            reads = [asyncio.create_task(meter.read([epc])) for epc in (0xE7, 0xE8)]
            await asyncio.sleep(0.1)
            for read in reads:
                read.cancel()
            await asyncio.wait(reads)
            bench.module.silent = False
            assert await meter.read([0xE1]) == {0xE1: b"\x01"}
            assert meter._waiting == {}
        assert 0xE8 not in [epc for get in bench.gets for epc in get]

    run(main())


def test_timeout_keeps_what_came() -> None:
    """A read that runs out of its own time returns what was answered and names the rest."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.online()
            sent = len(bench.module.commands(Send))
            bench.module.instead = []
            original = bench.module.meter.answer

            def answer(payload: bytes) -> list[bytes]:
                bench.module.silent = True
                return original(payload)

            bench.module.meter.answer = answer  # type: ignore[method-assign]
            answers = await meter.read([0xE7, 0xE2], timeout=5)
            assert answers == {0xE7: bytes.fromhex("00000278"), 0xE2: Missing.TIMEOUT}
            assert len(bench.module.commands(Send)) == sent + 2

    run(main())


def test_offline_raises() -> None:
    """A lost session ends the reads under way and refuses new ones, until it is back."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter(persist=True) as meter:
            await meter.online()
            bench.module.silent = True
            waiting = asyncio.create_task(meter.read([0xE7]))
            await asyncio.sleep(0.1)
            bench.module.silent = False
            bench.module.later(0.1, SessionClosed(PAN.address, by_peer=True))
            meter._pump.poke()
            with pytest.raises(NoAnswerInTime, match="the meter ended the session"):
                await waiting
            with pytest.raises(NoAnswerInTime, match="not reachable"):
                await meter.read([0xE7])
            assert not meter.status.online
            await meter.online()
            assert (await meter.read([0xE7]))[0xE7] == bytes.fromhex("00000278")

    run(main())


def test_a_conclusion_is_raised() -> None:
    """A single attempt that hears no meter raises it from online() and from read()."""

    async def main() -> None:
        bench = Bench()
        bench.module.beacons = {}
        async with bench.meter() as meter:
            with pytest.raises(MeterNotHeard):
                await meter.read([0xE7])
            with pytest.raises(MeterNotHeard):
                await meter.online()

    run(main())


def test_a_lost_port_is_raised_everywhere() -> None:
    """PortError reaches who reads, who waits to be online and who waits for the end."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter(persist=True) as meter:
            await meter.online()
            bench.module.silent = True
            waiting = [asyncio.create_task(work) for work in (meter.read([0xE7]), meter.ended())]
            await asyncio.sleep(0.1)
            bench.port.lose(PortLost("/dev/nothing", "unplugged"))
            for task in waiting:
                with pytest.raises(PortLost):
                    await task
            with pytest.raises(PortLost):
                await meter.read([0xE7])

    run(main())


def test_scan() -> None:
    """Who answers, each once, the best heard first; nothing is joined."""

    async def main() -> None:
        bench = Bench()
        weak = type(PAN)(0x3B, 1, "001C640000000009", PAN.pairing_id, 0x20)
        bench.module.beacons = {5: [weak, PAN, PAN]}
        async with bench.meter() as meter:
            assert await meter.scan() == [PAN, weak]
        assert bench.module.commands(Join) == []

    run(main())


def test_notifications() -> None:
    """INF and INFC reach whoever listens; a slow listener loses the oldest, not its place."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            await meter.online()
            heard: list[Notification] = []

            async def listen() -> None:
                async for notification in meter.notifications():
                    heard.append(notification)
                    await asyncio.sleep(1)

            listener = asyncio.create_task(listen())
            await asyncio.sleep(0)
            for tid in range(100):
                bench.module.later(0.001 * tid, bench.module.datagram(frame(tid, 0x73, {0xE7: "00000001"})))
            meter._pump.poke()
            await asyncio.sleep(200)
            listener.cancel()
            assert [heard[0].frame.tid, heard[-1].frame.tid, len(heard)] == [0, 99, 65]

    run(main())


def test_status_and_link() -> None:
    """How it stands: stage, since when, last heard, and the radio link with the LQI of the last datagram."""

    async def main() -> None:
        bench = Bench()
        async with bench.meter() as meter:
            assert (meter.status.online, meter.status.stage, meter.link) == (False, "waiting", Link())
            await meter.online()
            online_at = virtual_now()
            assert meter.link == Link(channel=0x31, pan_id="B5FB", lqi=0xDD, rssi_dbm=-43.5)
            await asyncio.sleep(10)
            await meter.read([0xE7])
            heard_at = virtual_now()
            await asyncio.sleep(7)
            status = meter.status
            assert (status.online, status.stage, status.since) == (True, "online", online_at)
            assert status.last_heard_at == heard_at
            assert status.link.lqi == 0xC0
            bench.module.later(0, SendLimit(engaged=True))
            meter._pump.poke()
            await asyncio.sleep(0.1)
            assert meter.status.stage == "gated"

    run(main())


def test_interval_and_clock() -> None:
    """Half-hour registers at the boundary of the meter's own clock, in UTC."""

    async def main() -> None:
        async with Bench().meter() as meter:
            interval = await meter.read_interval()
            assert interval is not None
            assert interval.end == datetime(2026, 5, 20, 5, 0, tzinfo=UTC)
            assert (interval.energy_import_kwh, interval.energy_export_kwh) == (6512.8, 2.2)
            assert interval.source == "read"
            assert await meter.read_clock() == datetime(2026, 5, 20, 5, 26, tzinfo=UTC)

    run(main())


def test_interval_of_two_boundaries() -> None:
    """Import and export told for different boundaries are not put together."""

    async def main() -> None:
        async with Bench(PROPERTIES | {0xEB: "07EA05140D1E0000000016"}).meter() as meter:
            interval = await meter.read_interval()
            assert interval is not None
            assert interval.states == {"energy_export_kwh": "no_data"}

    run(main())


class Day(FakeMeter):
    """A meter with a history; `others` are days that another controller selects between Set and Get."""

    others: list[int] = []  # noqa: RUF012
    deaf = 0  # selections that are carried out and never answered

    def answer(self, payload: bytes) -> list[bytes]:
        if payload[10] == 0x62 and payload[12] in (0xE2, 0xE4):
            day = self.others.pop(0) if self.others else int(self.properties[0xE5], 16)
            self.properties[payload[12]] = f"{day:04X}" + "0000F766" * 48
        answers = super().answer(payload)
        if payload[10] == 0x61 and self.deaf:
            self.deaf -= 1
            return []
        return answers


@pytest.mark.parametrize(("others", "deaf", "writes"), [([], 0, 1), ([9], 0, 2), ([3, 9], 0, 2), ([], 1, 1)])
def test_history_is_compared_with_what_was_asked(others: list[int], deaf: int, writes: int) -> None:
    """A day moved by another controller is selected again; an unanswered selection that took effect is not."""

    async def main() -> None:
        bench = Bench()
        bench.module.meter = Day()
        bench.module.meter.others, bench.module.meter.deaf = list(others), deaf  # type: ignore[attr-defined]
        async with bench.meter() as meter:
            history = await meter.select_and_read(
                0xE5, encode_history_1_day(3), [0xE2, 0xE4], lambda value: value.require(3)
            )
        assert [history[0xE2].day, history[0xE4].day, len(history[0xE2].counts)] == [3, 3, 48]
        assert len([esv for _, esv, _ in bench.module.meter.requests if esv == 0x61]) == writes

    run(main())


def test_selections_do_not_mix() -> None:
    """Two histories wanted at once are selected and read one after the other; live reads go in between."""

    async def main() -> None:
        bench = Bench()
        bench.module.meter = Day()
        async with bench.meter() as meter:
            await meter.online()

            async def day(n: int) -> int:
                history = await meter.select_and_read(
                    0xE5, encode_history_1_day(n), [0xE2], lambda value: value.require(n)
                )
                return int(history[0xE2].day)

            assert (await asyncio.gather(day(3), day(4), meter.read([0xE7]), day(5)))[::3] == [3, 5]
        requests = [(esv, next(iter(properties))) for _, esv, properties in bench.module.meter.requests]
        assert [what for what in requests if what[1] != 0xE7] == [(0x61, 0xE5), (0x62, 0xE2)] * 3

    run(main())


def test_history_that_never_comes_back_right() -> None:
    """Three times another day than asked is an error, never mislabelled data."""

    async def main() -> None:
        bench = Bench()
        bench.module.meter = Day()
        bench.module.meter.others = [9] * 9  # type: ignore[attr-defined]
        async with bench.meter() as meter:
            with pytest.raises(NoAnswerInTime):
                await meter.select_and_read(0xE5, encode_history_1_day(3), [0xE2], lambda value: value.require(3))

    run(main())
