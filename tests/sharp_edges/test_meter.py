"""Sharp edges of meter, radio and session, through the whole link: what a naive implementation gets wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.clock import run as run_virtually
from support.drivers import Pty, pseudo_terminal, until
from support.routeb import FakeSeat, SimulatedPort
from support.wired import CREDENTIALS, HOUSEHOLD, METER, NETWORK, Wired

from drivers.ports import PortLost, PortMissing
from drivers.serialport import open_serial
from hemsd.echonet.exchange import Missing, Notification
from hemsd.echonet.frame import ESV
from hemsd.echonet.meter import encode_history_1_day
from hemsd.hub.messages import MeterInterval
from hemsd.routeb.collector import Collector
from hemsd.routeb.meter import Meter
from hemsd.routeb.stages import Stage
from hemsd.simulator import Fault, Flash, Flaw, Plate, SkModule, Spell, Strike
from hemsd.simulator import Meter as SimulatedMeter

FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])
ANSWER_S = 3.0


def answered(bench: Wired, *epcs: int, within_s: float = 30.0) -> dict[int, bytes | Missing]:
    """Ask for properties; what they come to within that time."""
    request = bench.get(*epcs)
    bench.run(within_s, lambda: request.done)
    assert request.done
    return request.answers


def from_meter(bench: Wired, payload: str, *, sender: str = METER, secured: bool = True) -> str:
    """An ERXUDP line of the family, its payload in hexadecimal."""
    own = bench.module._stack.address
    lqi = " C0" if bench.side else ""
    head = f"ERXUDP {sender} {own} 0E1A 0E1A {NETWORK.mac}{lqi} {secured:d}{bench.side} {len(payload) // 2:04X} "
    return head + payload


@FAMILIES
def test_edge_14_only_what_is_encrypted_counts(family: str) -> None:
    """We send encrypted or not at all (SEC 1); what comes in the clear, or from another, is dropped and counted."""
    bench = Wired(family, flash=Flash(wopt=1)).online()
    bench.strike(Fault(Flaw.ANSWER_LOST))
    request = bench.get(0xE7)
    bench.run(0.5)
    [(_, sent)] = bench.said("SKSENDTO")
    assert sent.split()[4] == b"1"
    tid = sent[sent.index(b"\x10\x81") + 2 :][:2].hex().upper()
    forged = f"1081{tid}02880105FF017201E704" + "000001F8"
    bench.say(from_meter(bench, forged, secured=False))
    bench.say(from_meter(bench, forged, sender=METER[:-4] + "0001"))
    assert not request.done
    assert sorted(bench.session.gate.dropped) == ["sender", "unsecured"]
    bench.say(from_meter(bench, forged))
    assert request.answers == {0xE7: b"\0\0\x01\xf8"}


@FAMILIES
def test_edge_15_an_inf_has_any_tid_and_an_infc_wants_an_answer(family: str) -> None:
    """An announcement with the TID of the request is not its answer; an INFC is confirmed with its own TID."""
    bench = Wired(family).online()
    greetings = len([each for each in bench.events(Notification) if each.frame.properties[0].epc == 0xD5])
    assert greetings == 1
    for esv in (ESV.INF, ESV.INFC):
        bench.strike(Fault(Spell.CHATTER, at=bench.now, seconds=5, arg=esv))
        assert isinstance(answered(bench, 0xE7)[0xE7], bytes)
        bench.run(10)
    [confirmation] = [data for _, data in bench.said("SKSENDTO") if b"\x05\xff\x01\x02\x88\x01\x7a" in data]
    notified = bench.events(Notification)[-1].frame
    assert confirmation.endswith(
        b"\x10\x81%b\x05\xff\x01\x02\x88\x01\x7a\x02\xea\0\xeb\0" % notified.tid.to_bytes(2, "big")
    )


@FAMILIES
def test_edge_15_the_instance_list_comes_after_every_authentication(family: str) -> None:
    """It is no answer to anything, however often it comes."""
    bench = Wired(family).online()
    bench.strike(Fault(Strike.EXPIRE), Fault(Strike.GREET, at=bench.now + 60, times=50))
    request = bench.get(0xE7)
    bench.run(120)
    assert isinstance(request.answers[0xE7], bytes)
    assert len([each for each in bench.events(Notification) if each.frame.properties[0].epc == 0xD5]) == 52
    assert bench.losses == 0


@FAMILIES
def test_edge_16_a_refusal_may_answer_a_part(family: str) -> None:
    """What Get_SNA does give is kept, what it leaves out is asked again, what it refuses alone is refused."""
    bench = Wired(family, meter={"limit_properties": 1, "plate": Plate(coefficient=None)}).online()
    answers = answered(bench, 0xE7, 0xE8, 0xD3, 0xE1, within_s=60)
    assert answers.pop(0xD3) is Missing.REFUSED
    assert all(isinstance(answer, bytes) for answer in answers.values())
    bench = Wired(family, faults=[Fault(Flaw.ANSWER_REFUSED, at=10)]).online()
    bench.run(10)
    assert all(isinstance(answer, bytes) for answer in answered(bench, 0xE7, 0xE8).values())


@pytest.mark.parametrize(
    ("epc", "edt", "values", "states"),
    [
        (0xE7, "80000000", {}, {"power_w": "underflow"}),
        (0xE7, "7FFFFFFF", {}, {"power_w": "overflow"}),
        (0xE7, "7FFFFFFE", {}, {"power_w": "no_data"}),
        (0xE7, "FFFFFE0C", {"power_w": -500}, {}),
        (0xE8, "7FFE7FFE", {}, {"current_r_a": "no_data", "current_t_a": "no_data"}),
        (0xE8, "00327FFE", {"current_r_a": 5.0}, {"current_t_a": "no_data"}),
        (0xE8, "80007FFF", {}, {"current_r_a": "underflow", "current_t_a": "overflow"}),
        (0xE8, "FFCE0032", {"current_r_a": -5.0, "current_t_a": 5.0}, {}),
        (0xE0, "FFFFFFFE", {}, {"energy_import_kwh": "no_data"}),
        (0xE3, "FFFFFFFE", {}, {"energy_export_kwh": "no_data"}),
        (0xE0, "00000064", {"energy_import_kwh": 10.0}, {}),
    ],
)
def test_edge_17_some_numbers_are_none(epc: int, edt: str, values: dict[str, float], states: dict[str, str]) -> None:
    """No data, overflow and underflow are states, never numbers; power and currents have a sign."""

    async def main() -> None:
        spell = Fault(Spell.VALUE, seconds=9e9, arg=(epc, bytes.fromhex(edt)))
        async with connected(simulated("DUAL", faults=[spell])) as meter:
            reading = await meter.read_live()
        told = {name: getattr(reading, name) for name in (*values, *states)}
        assert told == values | dict.fromkeys(states)
        assert {name: reading.states[name] for name in states} == states

    run_virtually(main())


@pytest.mark.parametrize("unit", [0x00, 0x01, 0x02, 0x03, 0x04, 0x0A, 0x0B, 0x0C, 0x0D])
@pytest.mark.parametrize("coefficient", [1, 30])
def test_edge_17_d3_multiplies_and_e1_is_a_power_of_ten(unit: int, coefficient: int) -> None:
    """0A to 0D are 10 to 10 000 kWh; the coefficient multiplies whatever the unit."""

    async def main() -> None:
        faults = [
            Fault(Spell.VALUE, seconds=9e9, arg=(0xE1, bytes([unit]))),
            Fault(Spell.VALUE, seconds=9e9, arg=(0xD3, coefficient.to_bytes(4, "big"))),
            Fault(Spell.VALUE, seconds=9e9, arg=(0xE0, (7).to_bytes(4, "big"))),
        ]
        async with connected(simulated("SE", faults=faults)) as meter:
            reading = await meter.read_live()
        kwh = 7 * coefficient * 10.0 ** (unit - 9 if unit > 9 else -unit)
        assert reading.energy_import_kwh == pytest.approx(kwh)

    run_virtually(main())


@FAMILIES
def test_edge_18_an_expired_session_and_a_reached_limit_are_no_losses(family: str) -> None:
    """29 shuts the gate until 25, 32 until 33; nothing is lost, joined, scanned or reset."""
    bench = Wired(family).online()
    since = bench.now
    for number, end in (("29", "25"), ("32", "33")):
        bench.say(bench.event(number))
        request, shut_at = bench.get(0xE7), bench.now
        bench.run(50)
        assert bench.said("SKSENDTO", shut_at) == []
        bench.say(bench.event(end))
        bench.run(ANSWER_S, lambda: request.done)  # noqa: B023
        assert isinstance(request.answers[0xE7], bytes)
    assert bench.losses == 0
    assert [data for _, data in bench.written if data.startswith((b"SKJOIN", b"SKSCAN", b"SKRESET", b"SKTERM"))] == [
        data for at, data in bench.written if at < since and data.startswith((b"SKJOIN", b"SKRESET"))
    ]


@FAMILIES
def test_edge_19_a_meter_just_left_admits_nobody_for_ten_seconds(family: str) -> None:
    """A join at once would fail; after the pause the first one succeeds."""
    bench = Wired(family).online()
    bench.module.receive(b"SKTERM\r\n", bench.now)  # by whatever means the session was closed
    bench.run(60, lambda: bench.stage is Stage.WAITING)
    since = bench.now
    bench.run(120, lambda: bench.stage is Stage.ONLINE)
    joins = [at for at, _ in bench.said("SKJOIN", since)]
    assert len(joins) == 1
    assert joins[0] - since >= 10
    assert b"EVENT 24" not in bench.printed


@FAMILIES
def test_edge_19_a_crashed_twin_holds_the_one_session(family: str) -> None:
    """While another holds it joins come to nothing; they go on, not in a hurry, and succeed when it is free."""
    bench = Wired(family, faults=[Fault(Spell.OCCUPIED, seconds=3600)])
    bench.link.begin(0)
    bench.run(3600)
    assert bench.stage is not Stage.ONLINE
    assert 5 <= len(bench.said("SKJOIN")) <= 60
    bench.run(900, lambda: bench.stage is Stage.ONLINE)
    assert bench.stage is Stage.ONLINE


def test_edge_27_an_unplugged_stick_reads_as_nothing_for_ever() -> None:
    """The port is lost, once and at once, with no spinning on its end of file; later it is found by the same path."""

    async def main(pty: Pty) -> None:
        lost: list[Exception] = []
        turns = 0
        port = await open_serial(pty.path)

        def heard(data: bytes) -> None:
            nonlocal turns
            turns += 1

        port.start(heard, lost.append)
        pty.hang_up()
        await until(lambda: lost)
        await asyncio.sleep(0.05)
        assert [type(error) for error in lost] == [PortLost]
        assert turns == 0
        await port.close()
        pty.release()
        with pytest.raises(PortMissing):
            await open_serial(pty.path)

    with pseudo_terminal() as pty:
        asyncio.run(main(pty))


@pytest.mark.parametrize("drift_s", [-240.0, 0.0, 240.0])
def test_edge_28_time_is_the_meters_own_wall_clock_in_japan(drift_s: float) -> None:
    """Half-hours are told by its clock, over midnight and the turn of the month too, each once and with its value."""
    start = datetime(2026, 9, 30, 22, 41)  # in Japan; the true time

    async def main() -> None:
        def clock() -> datetime:
            return (start + timedelta(seconds=asyncio.get_running_loop().time() - 9 * 3600)).replace(tzinfo=UTC)

        seat = FakeSeat()
        module = simulated("DUAL", {"start": start, "drift_s": drift_s})
        async with connected(module, persist=True, clock=clock) as meter:
            collecting = asyncio.create_task(Collector(meter, seat, clock=clock).run())  # type: ignore[arg-type]
            await asyncio.sleep(3 * 3600)
            collecting.cancel()
            await asyncio.wait([collecting])
        last = {interval.end: interval for interval in seat.of(MeterInterval)}
        first = datetime(2026, 9, 30, 13, 30, tzinfo=UTC)  # 22:30 in Japan
        assert sorted(last) == [first + timedelta(minutes=30) * n for n in range(len(last))]
        assert len(last) in (6, 7)
        for end, interval in last.items():
            true = HOUSEHOLD.energy(end.replace(tzinfo=None) + timedelta(hours=9, seconds=-drift_s))
            assert true is not None
            assert interval.energy_import_kwh == pytest.approx(true.imported_j / 3.6e6, abs=0.11)

    run_virtually(main())


def simulated(family: str, meter: dict[str, Any] | None = None, **options: Any) -> SkModule:
    start = {"start": datetime(2026, 10, 1, 12, 1)} | (meter or {})
    return SkModule(family, SimulatedMeter(HOUSEHOLD, **start), NETWORK, **options)  # type: ignore[arg-type]


def connected(module: SkModule, **options: Any) -> Meter:
    return Meter(SimulatedPort(module), CREDENTIALS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("moved", [b"\x05", b"\x00", b"\x63"])
def test_edge_25_the_selector_of_history_is_the_meters_and_shared(moved: bytes) -> None:
    """A day that another controller chose is never taken for the one asked for: it is chosen and asked again."""

    async def main() -> None:
        module = simulated("SE", faults=[Fault(Flaw.SELECTOR_MOVED, times=2, arg=(0xE5, moved))])
        async with connected(module) as meter:
            told = await meter.select_and_read(
                0xE5, encode_history_1_day(1), [0xE2, 0xE4], lambda value: value.require(1)
            )
        yesterday = datetime(2026, 9, 30)
        for epc, name in ((0xE2, "imported_j"), (0xE4, "exported_j")):
            true = [HOUSEHOLD.energy(yesterday + timedelta(minutes=30) * slot) for slot in range(48)]
            assert list(told[epc].counts) == [getattr(energy, name) // 360_000 for energy in true]

    run_virtually(main())


def test_edge_25_a_days_history_is_asked_alone_and_given_a_minute() -> None:
    """E2 is 194 bytes, two fragments: in company it would be shortened, and on a weak link it is late."""
    bench = Wired("SE").online()
    bench.strike(Fault(Flaw.ANSWER_LATE, seconds=45))
    request = bench.get(0xE0, 0xE2, 0xE7)
    bench.run(120, lambda: request.done)
    assert all(isinstance(answer, bytes) for answer in request.answers.values())
    asked = [data[data.index(b"\x10\x81") + 11 :] for _, data in bench.said("SKSENDTO")]
    assert b"\x01\xe2\x00" in asked
    assert not any(b"\xe2" in each and each[0] > 1 for each in asked)
    assert bench.losses == 0
