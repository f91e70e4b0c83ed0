"""T-METERALLOW (G.9958: R7, R25, R54): whatever is asked of the meter, only what a controller may say leaves."""

from __future__ import annotations

import ast
import asyncio
import struct
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import run
from support.ip import OURS, SimulatedLink
from support.routeb import EPOCH, FakeSeat, virtual_now

import hemsd
from drivers.packet import ALL_NODES, Packet
from hemsd.echonet import batch
from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import ESV, Property
from hemsd.hub.messages import Backfill, Domain, Event, MeterProperty, ReadMeter
from hemsd.routeb import link as meter_link
from hemsd.routeb.allowed import ALLOWED, objection
from hemsd.routeb.collector import Collector
from hemsd.routeb.ip import IpMeter
from hemsd.routeb.meter import Meter
from hemsd.simulator import Household, MeterNode, Plate
from hemsd.simulator import Meter as SimulatedMeter

METER = "fe80::21c:64ff:fe60:1421"
START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)  # Japan's wall clock
SELECTORS = {0xE5: 1, 0xED: 7, 0xEF: 7}  # bytes
# The property codes of class 0288 and of the super class, out of the Appendix (Release R) by hand.
INTERFACE = {*range(0x80, 0x90), *range(0x97, 0x9A), *range(0x9D, 0xA0), 0xC0, 0xD0, 0xD3, 0xD7, *range(0xE0, 0xF0)}


def strangers(sent: Iterable[Packet]) -> Iterator[str]:
    """What has no business among the packets that left, by a parser of its own."""
    for packet in sent:
        what = packet.payload.hex()
        head, _, seoj, deoj, esv, opc = struct.unpack_from(">HH3s3sBB", packet.payload)
        properties, at = [], 12
        for _ in range(opc):
            epc, size = packet.payload[at : at + 2]
            properties.append((epc, packet.payload[at + 2 : at + 2 + size]))
            at += 2 + size
        if head != 0x1081 or at != len(packet.payload) or seoj[:2] not in (b"\x05\xff", b"\x0e\xf0"):
            yield f"no frame of a controller: {what}"
        if packet.address.casefold() not in (full(METER), ALL_NODES):
            yield f"to {packet.address}: {what}"
        match deoj[:2], esv:
            case (b"\x02\x88", 0x62) if all(epc in INTERFACE and not edt for epc, edt in properties):
                pass
            case (b"\x02\x88", 0x61) if all(selects(*each) for each in properties):
                pass
            case (b"\x0e\xf0", 0x62) if properties == [(0xD6, b"")]:
                pass
            case (b"\x02\x88" | b"\x0e\xf0", 0x7A) if not any(edt for _, edt in properties):
                pass
            case _:
                yield f"not of the meter interface: {what}"


def selects(epc: int, edt: bytes) -> bool:
    """Whether that is a selector as the Appendix has it; a day is 0 to 99, or FF for none."""
    return SELECTORS.get(epc) == len(edt) and (epc != 0xE5 or edt[0] in {*range(100), 0xFF})


def full(address: str) -> str:
    return "fe80:0000:0000:0000:021c:64ff:fe60:1421" if address == METER else address


class Bench:
    """The meter's domain but for its supervision, on a simulated link, and all that it sent."""

    def __init__(self) -> None:
        household = Household(7, pv_kw=4)
        node = MeterNode(SimulatedMeter(household, start=START, plate=Plate(generation=2)), address=METER)
        self.link = SimulatedLink(node)
        self.seat = FakeSeat()
        self.meter = Meter(self.link, None, module=IpMeter(OURS), persist=True, clock=virtual_now)  # type: ignore[arg-type]

    async def __aenter__(self) -> Bench:
        await self.meter.__aenter__()
        collector = Collector(self.meter, self.seat, clock=virtual_now)  # type: ignore[arg-type]
        self._collecting = asyncio.create_task(collector.run())
        await asyncio.sleep(30)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._collecting.cancel()
        await asyncio.wait([self._collecting])
        await self.meter.__aexit__(None, None, None)

    @property
    def sent(self) -> list[Packet]:
        return [packet for _, packet in self.link.sent]


epcs = st.lists(st.integers(0, 0x1FF), max_size=40).map(tuple)
days = st.lists(st.dates(date(2020, 1, 1), date(2030, 1, 1)), max_size=3).map(tuple)
messages = st.one_of(
    st.builds(ReadMeter, request=st.just("r"), asker=st.sampled_from([Domain.OPERATOR, Domain.HISTORY]), epcs=epcs),
    st.builds(
        Backfill,
        request=st.just("b"),
        asker=st.sampled_from([Domain.OPERATOR, Domain.HISTORY]),
        days=days,
        minutes_since=st.none() | st.just(EPOCH - timedelta(hours=1)),
    ),
)
askings = st.tuples(
    st.sampled_from([ESV.GET, ESV.SETC]),
    st.lists(st.builds(Property, st.integers(0, 0xFF), st.binary(max_size=12)), min_size=1, max_size=12),
)


@settings(max_examples=12)
@given(st.lists(messages | askings, min_size=1, max_size=3))
def test_whatever_comes_through_the_doors_only_the_meter_interface_is_spoken(asked: list[object]) -> None:
    """Fuzzed: messages of the hub and calls of the Meter, any codes and data; and it goes on collecting after it."""

    async def main() -> None:
        async with Bench() as bench:
            for each in asked:
                if isinstance(each, tuple):
                    await bench.meter.ask(*each, timeout=60)
                else:
                    bench.seat.inbox.put_nowait(each)
                    await asyncio.sleep(60)
            assert list(strangers(bench.sent)) == []
            assert bench.meter.is_online and bench.meter.logbook.counters["silences"] == 0
            before = len(bench.sent)
            await asyncio.sleep(120)
            assert len(bench.sent) >= before + 4

    run(main())


FOREIGN = {
    "a setting of the meter": (ESV.SETC, Property(0x80, b"\x31")),
    "a setting of its place": (ESV.SETC, Property(0x81, b"\x08")),
    "an unknown setting": (ESV.SETC, Property(0xF3, b"\x01")),
    "a selector with something else in it": (ESV.SETC, Property(0xE5, b"\x10\x81\x00")),
    "a day that there is none of": (ESV.SETC, Property(0xE5, b"\xc8")),
    "a maker's own property": (ESV.GET, Property(0xF0)),
    "a question that carries data": (ESV.GET, Property(0xE7, b"\x01")),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_must_not_leave_is_refused_counted_and_told(what: str) -> None:
    """At the send function: the asker hears that it is refused, a person once, and nothing is lost by it."""

    async def main() -> None:
        esv, asked = FOREIGN[what]
        async with Bench() as bench:
            before = len(bench.sent)
            for _ in range(2):
                assert await bench.meter.ask(esv, [asked]) == {asked.epc: Missing.REFUSED}
            assert len(bench.sent) == before
            await asyncio.sleep(1)
            (event,) = [each for each in bench.seat.of(Event) if each.kind == "meter.withheld"]
            assert event.severity == "error" and "R54" in event.text
            dropped = bench.meter.status.radio.dropped
            assert sum(dropped.values()) == 2 and all(why.startswith("not sent: ") for why in dropped), dropped
            reading = await bench.meter.read_live()  # the control
            assert reading.power_w is not None and bench.meter.losses == 0

    run(main())


def test_in_company_the_others_are_still_answered() -> None:
    """One property that no meter has does not keep those beside it from being read."""

    async def main() -> None:
        async with Bench() as bench:
            asked = ReadMeter(request="r1", asker=Domain.OPERATOR, epcs=(0xE7, 0xF0, 0xE8, 0xE1))
            bench.seat.inbox.put_nowait(asked)
            await asyncio.sleep(5)
            errors = {each.epc: each.error for each in bench.seat.of(MeterProperty)}
            assert errors == {0xE7: "", 0xF0: "absent", 0xE8: "", 0xE1: ""}

    run(main())


@pytest.mark.parametrize("what", FOREIGN)
def test_the_check_finds_it_when_nothing_is_withheld(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deliberate breach: a send function without its list."""

    async def main() -> None:
        esv, asked = FOREIGN[what]
        async with Bench() as bench:
            monkeypatch.setattr(meter_link, "objection", lambda payload: "")
            await bench.meter.ask(esv, [asked], timeout=5)
            assert list(strangers(bench.sent))

    run(main())


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"\x10\x81\x00\x01\x05\xff\x01" + rest))
def test_any_bytes_that_may_leave_are_of_the_meter_interface(payload: bytes) -> None:
    """The list by itself, on bytes: what it lets through the parser of this test finds nothing wrong with."""
    answers = payload[10:11] in (b"\x72", b"\x52")  # a meter that asks, as one may in configurations 6.3
    if not objection(payload) and payload[7:9] == b"\x02\x88" and not answers:
        assert list(strangers([Packet(full(METER), payload)])) == []


def test_nothing_else_sends_and_whole_batches_may_leave() -> None:
    """There is one place where a datagram is given to a module, and what is asked together is all on the list."""
    root = Path(hemsd.__file__).parent
    makers = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*.py"))
        if path.parent.name != "simulator"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Send", "module.Send")
    ]
    assert makers == ["routeb/link.py"]
    assert batch.EDT_BYTES.keys() <= set(ALLOWED[0x0288, ESV.GET])
