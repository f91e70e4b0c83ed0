"""A second-generation meter on an IPv6 link: found, pinned, read, and found again, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import run
from support.ip import OURS, SimulatedLink
from support.routeb import EPOCH, FakeSeat, virtual_now

from drivers.module import (
    BeaconHeard,
    Datagram,
    Done,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    Open,
    Pan,
    Ready,
    Rejoin,
    Scan,
    Send,
    SessionClosed,
    Transmission,
)
from drivers.packet import ALL_NODES, Packet
from drivers.ports import PortLost
from hemsd.echonet.meter import encode_history_1_day
from hemsd.hub.messages import Event, Link, MeterInterval, MeterReading
from hemsd.routeb.cache import PanCache
from hemsd.routeb.collector import Collector
from hemsd.routeb.errors import MeterNotHeard, MeterUnclear
from hemsd.routeb.ip import IpMeter, full, pan_of
from hemsd.routeb.meter import Meter
from hemsd.routeb.stages import Progress
from hemsd.simulator import Fault, Flaw, Household, MeterNode, Plate, Spell, Strike
from hemsd.simulator import Meter as SimulatedMeter

START = (EPOCH + timedelta(hours=9)).replace(tzinfo=None)  # Japan's wall clock
THEIRS, ELSEWHERE = "fe80::21c:64ff:fe60:1421", "fe80::2"
ASK = bytes.fromhex("1081000105FF010EF0016201D600")
LIST = bytes.fromhex("108100010EF00105FF017201D60401028801")
NO_METER = bytes.fromhex("108100010EF00105FF017201D60401013001")
FRAME = bytes.fromhex("1081000202880105FF017201E704000001F4")


def simulated(meter: dict[str, Any] | None = None, **options: Any) -> MeterNode:
    arguments = {"start": START, "plate": Plate(generation=2), **(meter or {})}
    return MeterNode(SimulatedMeter(Household(7, pv_kw=4), **arguments), **options)


def connect(link: SimulatedLink, *, peer: str | None = None, **options: Any) -> Meter:
    return Meter(link, None, module=IpMeter(OURS, peer=peer), clock=virtual_now, **options)


def pan(address: str) -> Pan:
    found = pan_of(address)
    assert found is not None
    return found


class Bench:
    """The machine by itself."""

    def __init__(self, peer: str | None = None) -> None:
        self.machine = IpMeter(OURS, peer=peer)
        self.now = 0.0

    def give(self, command: Any) -> list[Any]:
        self.machine.command(command, self.now)
        return self.machine.events()

    def hear(self, sender: str, payload: bytes, **options: Any) -> list[Any]:
        self.machine.receive(Packet(sender, payload, **options), self.now)
        return self.machine.events()

    def wait(self, seconds: float) -> list[Any]:
        self.now += seconds
        self.machine.tick(self.now)
        return self.machine.events()

    def joined(self) -> Bench:
        self.give(Join(pan(THEIRS)))
        self.machine.outgoing()
        assert self.hear(THEIRS, LIST) == [Joined(full(THEIRS))]
        return self


# --- the machine


@given(st.integers(0, 2**64 - 1))
def test_a_pan_gives_back_exactly_its_address(identifier: int) -> None:
    """Whatever the interface identifier, made from a MAC or drawn at random; outside of fe80::/64 there is none."""
    address = IPv6Address((0xFE80 << 112) + identifier)
    assert pan(str(address)).address == address.exploded.upper() == full(str(address))
    assert pan_of(str(IPv6Address((0xFE81 << 112) + identifier))) is None


def test_opening_tells_our_own_address() -> None:
    """There is no module behind it that could be asked, and no session that could have survived in one."""
    ready, done = Bench().give(Open(keep_session=True))
    assert isinstance(ready, Ready)
    assert (ready.info.address, ready.info.mac, ready.info.pan_id) == (full(OURS), "B827EBFFFE123456", None)
    assert isinstance(done, Done)


def test_a_scan_asks_everyone_once_and_hears_each_meter_once() -> None:
    """Nodes with a 0288xx instance count, answering or announcing; its time doubles with the duration."""
    bench = Bench()
    assert bench.give(Scan(5)) == []
    assert bench.machine.outgoing() == [Packet(ALL_NODES, ASK)]
    announced = bytes.fromhex("108100000EF0010EF0017301D50401028801")
    assert bench.hear(THEIRS, LIST) == [BeaconHeard(pan(THEIRS))]
    assert bench.hear(ELSEWHERE, announced, multicast=True) == [BeaconHeard(pan(ELSEWHERE))]
    assert bench.hear(THEIRS, announced, multicast=True) == []
    assert bench.hear("fe80::3", NO_METER) == []
    assert bench.machine.busy
    assert bench.machine.deadline() == 2.0
    assert bench.wait(2.0) == [Done(Scan(5))]
    assert (bench.machine.busy, bench.machine.outgoing()) == (False, [])


def test_a_named_peer_is_asked_alone() -> None:
    """Nothing is sent to everyone then, and nobody else counts as a meter, neither heard nor remembered."""
    bench = Bench(peer=THEIRS)
    bench.give(Scan(4))
    assert [packet.address for packet in bench.machine.outgoing()] == [full(THEIRS)]
    assert bench.hear(ELSEWHERE, LIST) == []
    assert bench.hear(THEIRS, LIST) == [BeaconHeard(pan(THEIRS))]
    bench.wait(1.0)
    assert bench.give(Join(pan(ELSEWHERE))) == [Done(Join(pan(ELSEWHERE))), JoinFailed(full(ELSEWHERE))]
    assert bench.machine.outgoing() == []


def test_joined_means_that_a_meter_answered_there() -> None:
    """Asked three times, 2 s apart; an answer of somebody else is none, one without a meter in it ends the matter."""
    bench = Bench()
    join = Join(pan(THEIRS))
    assert bench.give(join) == [Done(join)]
    assert isinstance(bench.hear(ELSEWHERE, LIST)[0], Datagram)
    asked = [len(bench.machine.outgoing())]
    for _ in range(2):
        assert bench.wait(2.0) == []
        asked.append(len(bench.machine.outgoing()))
    assert asked == [1, 1, 1]
    assert bench.wait(2.0) == [JoinFailed(full(THEIRS))]
    assert bench.machine.deadline() is None
    bench.give(join)
    assert bench.hear(THEIRS, NO_METER) == [JoinFailed(full(THEIRS))]
    assert bench.joined().give(Rejoin()) == [Done(Rejoin())]
    assert bench.hear(THEIRS, LIST) == [Joined(full(THEIRS))]


def test_datagrams_go_to_the_pinned_meter_only_and_only_frames() -> None:
    """R53, R54: another address, before a join, after leaving, or no ECHONET Lite: nothing goes out."""
    bench = Bench()
    to = full(THEIRS)

    def fate(to: str, payload: bytes) -> Fate:
        transmission, _ = bench.give(Send(to, payload))
        assert isinstance(transmission, Transmission)
        return transmission.fate

    assert fate(to, FRAME) is Fate.FAILED
    bench.joined()
    assert fate(to, FRAME) is Fate.SENT
    assert bench.machine.outgoing() == [Packet(to, FRAME)]
    assert (fate(full(ELSEWHERE), FRAME), fate(to, b"SSDP"), fate(full(ALL_NODES), FRAME)) == (Fate.FAILED,) * 3
    assert bench.give(Leave()) == [SessionClosed(to, by_peer=False), Done(Leave())]
    assert fate(to, FRAME) is Fate.FAILED
    bench.joined().give(Join(pan(ELSEWHERE)))
    assert [packet.address for packet in bench.machine.outgoing()] == [full(ELSEWHERE)]
    assert fate(to, FRAME) is Fate.FAILED
    assert bench.machine.outgoing() == []


def test_a_packet_becomes_a_datagram_with_nothing_lost() -> None:
    """Sender, both ports and whether it came to everyone; the sender's port is free."""
    (datagram,) = Bench().joined().hear(THEIRS, FRAME, port=50_000, multicast=True)
    assert datagram == Datagram(
        full(THEIRS), full(ALL_NODES), 50_000, 3610, "001C64FFFE601421", secured=True, payload=FRAME
    )


@given(st.lists(st.tuples(st.sampled_from([THEIRS, ELSEWHERE, "fe81::9"]), st.binary(max_size=40)), max_size=20))
def test_garbage_is_passed_on_and_breaks_nothing(heard: list[tuple[str, bytes]]) -> None:
    """In any state, whatever comes is at most a Datagram for the gate to drop."""
    for command in (Open(keep_session=False), Scan(4), Join(pan(THEIRS))):
        bench = Bench()
        bench.give(command)
        for sender, payload in heard:
            events = bench.hear(sender, payload)
            assert all(isinstance(event, Datagram) for event in events)


# --- the whole way


def test_a_reading() -> None:
    """From nothing but the interface to values that are the household's own; no credentials, no channel, no PAN."""

    async def main() -> None:
        link = SimulatedLink(simulated())
        told: list[Progress] = []
        async with connect(link, on_progress=told.append) as meter:
            identity = await meter.identify()
            reading = await meter.read_live()
            history = await meter.select_and_read(
                0xE5, encode_history_1_day(1), [0xE2, 0xE4], lambda value: value.require(1)
            )
            assert meter.link == Link()
        assert link.closed
        assert (identity.generation, identity.release) == (2, "R")
        household = Household(7, pv_kw=4)
        assert reading.power_w in [household.power_w(START + timedelta(seconds=s)) for s in range(120)]
        assert reading.energy_import_kwh is not None
        assert [len(history[epc].counts) for epc in (0xE2, 0xE4)] == [48, 48]
        assert [progress.text for progress in told][1:] == [
            f"on the link as {full(OURS)}",
            "scanning, duration 4",
            f"joining the meter at {full(THEIRS)}",
            "online",
        ]
        to_all = [(at, packet) for at, packet in link.sent if packet.address == ALL_NODES]
        assert [packet.payload for _, packet in to_all] == [ASK]  # R53: while looking for it, and never after

    run(main())


def test_a_remembered_meter_is_asked_at_once(tmp_path: Path) -> None:
    """Kept by the interface's name: no multicast at the second start, and the first reading after two round trips."""

    async def main() -> None:
        node = simulated()
        async with connect(SimulatedLink(node), cache=PanCache(tmp_path)) as meter:
            await meter.identify()
        link, loop = SimulatedLink(node), asyncio.get_running_loop()
        start = loop.time()
        async with connect(link, cache=PanCache(tmp_path)) as meter:
            await meter.read_live(energy=False)
            assert meter.name
        assert loop.time() - start < 0.15
        assert [packet.address for _, packet in link.sent] == [full(THEIRS)] * 2

    run(main())


def test_a_meter_that_moved_is_found_again() -> None:
    """Replaced, or with another address: three silences, two calls in vain, and it is looked for."""

    async def main() -> None:
        node = simulated(faults=[Fault(Strike.MOVE_PAN, at=100.0, arg=ELSEWHERE)])
        link = SimulatedLink(node)
        async with connect(link, persist=True) as meter:
            await meter.read_live()
            collecting = asyncio.create_task(Collector(meter, FakeSeat(), clock=virtual_now).run())  # type: ignore[arg-type]
            await asyncio.sleep(400)
            assert meter.is_online
            assert meter._session.pan == pan(ELSEWHERE)
            collecting.cancel()
            await asyncio.wait([collecting])

    run(main())


def test_several_meters_are_not_guessed_among() -> None:
    """Pinning the first that answers would let anybody on the link be the meter; naming the peer settles it."""

    async def main() -> None:
        link = SimulatedLink(simulated(), simulated(address=ELSEWHERE))
        async with connect(link) as meter:
            with pytest.raises(MeterUnclear, match=r"FE80:.*, FE80:.*\[meter\] peer"):
                await meter.online()
        link = SimulatedLink(simulated(), simulated(address=ELSEWHERE))
        async with connect(link, peer=ELSEWHERE) as meter:
            await meter.online()
        assert {packet.address for _, packet in link.sent} == {full(ELSEWHERE)}

    run(main())


def test_nobody_there() -> None:
    """Five rounds of growing length; what to check is about the interface, not about a radio."""

    async def main() -> None:
        link = SimulatedLink(simulated(faults=[Fault(Spell.RADIO_LOST, seconds=1e6)]))
        async with connect(link) as meter:
            with pytest.raises(MeterNotHeard, match="network interface"):
                await meter.online()
        asked = [at for at, _ in link.sent]
        assert [round(later - earlier) for earlier, later in pairwise(asked)] == [1, 2, 4, 8]

    run(main())


def test_only_the_pinned_meter_is_heard() -> None:
    """T-PEERPIN: what a second meter, or a node that answers our own request, sends is dropped, counted, and changes
    nothing."""

    async def main() -> None:
        link = SimulatedLink(simulated())
        async with connect(link) as meter:
            await meter.online()
            heard = []

            async def listen() -> None:
                async for notification in meter.notifications():
                    heard.append(notification)  # noqa: PERF401 - it never ends

            listening = asyncio.create_task(listen())
            await asyncio.sleep(0)
            announcement = bytes.fromhex("1081000102880105FF017301EA0B07EA05140E00000000FE68")
            for sender, payload in itertools.product((ELSEWHERE, "fe80::3"), (announcement, LIST, FRAME)):
                link.inject(sender, payload)
            reading = asyncio.create_task(meter.read_live(energy=False))
            await asyncio.sleep(0.01)
            request = link.sent[-1][1].payload
            forged = request[:4] + request[7:10] + request[4:7] + b"\x72\x02\xe7\x04\0\0\x03\x09\xe8\x04\0\x01\0\x01"
            link.inject(ELSEWHERE, forged)
            assert (await reading).power_w != 777
            await asyncio.sleep(1)
            assert (heard, meter._session.gate.dropped, meter.is_online) == ([], {"sender": 7}, True)
            link.inject(THEIRS, announcement)  # the control: from the meter it is heard
            await asyncio.sleep(1)
            assert len(heard) == 1
            listening.cancel()

    run(main())


def test_loss_of_the_interface_ends_it() -> None:
    """The domain is told by PortLost, as of a module that is unplugged."""

    async def main() -> None:
        link = SimulatedLink(simulated())
        async with connect(link, persist=True) as meter:
            await meter.online()
            link.lose(PortLost("wlan1", "wlan1 is switched off"))
            with pytest.raises(PortLost, match="switched off"):
                await meter.ended()

    run(main())


STORM = [
    Fault(Flaw.ANSWER_LOST, at=600, times=3),
    Fault(Flaw.ANSWER_SHORT, at=2000, times=2),
    Fault(Flaw.ANSWER_REFUSED, at=2300, times=1),
    Fault(Flaw.ANSWER_TWICE, at=2600, times=3),
    Fault(Flaw.ANSWER_LATE, at=2900, times=2, seconds=15),
    Fault(Strike.METER_RESTARTS, at=4000),
    Fault(Strike.NOTIFY, at=4100),
    Fault(Spell.METER_SILENT, at=5000, seconds=400),
    Fault(Strike.MOVE_PAN, at=7000, arg=ELSEWHERE),
    Fault(Strike.METER_STATUS, at=8000, arg=(0x88, b"\x41")),
    Fault(Spell.RADIO_LOST, at=9000, seconds=1200),
    Fault(Strike.MOVE_PAN, at=12000, arg=THEIRS),
]


@pytest.mark.parametrize("confirmed", [False, True], ids=["INF", "INFC"])
def test_a_day_with_every_fault(confirmed: bool) -> None:
    """It always comes back, no half-hour is missing, no value wrong; multicast only while looking for the meter."""

    async def main() -> None:
        link = SimulatedLink(simulated({"confirmed": confirmed}, faults=STORM))
        seat = FakeSeat()
        async with connect(link, persist=True) as meter:
            collecting = asyncio.create_task(Collector(meter, seat, clock=virtual_now).run())  # type: ignore[arg-type]
            await asyncio.sleep(86_400)
            assert meter.is_online
            collecting.cancel()
            await asyncio.wait([collecting])
        kinds = [event.kind for event in seat.of(Event)]
        assert kinds.count("meter.online") == kinds.count("meter.lost") + 1
        assert kinds.count("meter.lost") == 4
        ends = sorted({interval.end for interval in seat.of(MeterInterval)})
        first = datetime(2026, 5, 14, 5, 0, tzinfo=UTC)
        assert ends == [first + timedelta(minutes=30) * n for n in range(len(ends))]
        assert len(ends) >= 48
        gaps = [later - earlier for earlier, later in pairwise(seat.times(MeterReading))]
        assert max(gaps) < 1800
        assert sum(gap > 60 for gap in gaps) < 10
        registers = [reading.energy_import_kwh for reading in seat.of(MeterReading)]
        told = [register for register in registers if register is not None]
        assert told == sorted(told)
        assert {packet.payload[10] for _, packet in link.sent} <= {0x61, 0x62, 0x7A}  # T-METERALLOW
        everyone = [at for at, packet in link.sent if packet.address == ALL_NODES]
        assert all(at < 1 or 5000 < at < 5600 or 7000 < at < 13_000 for at in everyone)

    run(main())
