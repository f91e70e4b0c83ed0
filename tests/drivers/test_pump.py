"""The pump: one machine on one port, in order, with one timer, and no error swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.clock import VirtualLoop
from support.drivers import MemoryPort

from drivers.module import Line, Outgoing
from drivers.ports import PortLost, PortStalled, Pump

PART = b"only the beginning of something"


class Machine:
    """Says what the test puts into it, and notes when it was called."""

    def __init__(self) -> None:
        self.due: float | None = None
        self.asked = 0  # for its deadline, so often
        self.to_send: list[Outgoing] = []
        self.to_tell: list[str] = []
        self.received: list[bytes] = []
        self.ticked: list[float] = []
        self.on_tick: Callable[[float], None] = lambda now: None

    def receive(self, data: bytes, now: float) -> bool:
        self.received.append(data)
        return data != PART

    def tick(self, now: float) -> None:
        self.ticked.append(now)
        self.due = None
        self.on_tick(now)

    def deadline(self) -> float | None:
        self.asked += 1
        return self.due

    def outgoing(self) -> list[Outgoing]:
        taken, self.to_send = self.to_send, []
        return taken

    def events(self) -> list[str]:
        taken, self.to_tell = self.to_tell, []
        return taken


class Bench:
    """A machine on a port in memory, pumped."""

    def __init__(self, on_event: Callable[[str], None] | None = None) -> None:
        self.machine = Machine()
        self.port = MemoryPort()
        self.events: list[str] = []
        self.pump: Pump[bytes, str] = Pump(self.machine, self.port, on_event or self.events.append)
        self.running = asyncio.get_running_loop().create_task(self.pump.run())

    async def stop(self) -> None:
        self.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.running


def virtual(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())


def test_sends_then_tells_in_order() -> None:
    """What a machine wants done to its line happens in its order, bytes and settings alike, then events are told."""

    async def scenario() -> None:
        bench = Bench()
        await asyncio.sleep(0)
        bench.machine.to_send = [b"SKVER\r\n", Line(57600), b"SKINFO\r\n"]
        bench.machine.to_tell = ["a", "b"]
        bench.pump.poke()
        assert bench.port.written == [b"SKVER\r\n", Line(57600), b"SKINFO\r\n"]
        assert bench.events == ["a", "b"]
        bench.port.receive(b"EVER")
        assert bench.machine.received == [b"EVER"]
        await bench.stop()

    virtual(scenario)


def test_what_arrives_together_is_settled_once() -> None:
    """The machine gets all that came in one wake-up, in order, before anything is sent, told or timed."""

    async def scenario() -> None:
        bench = Bench()
        machine = bench.machine
        await asyncio.sleep(0)
        before = machine.asked

        def echo(data: bytes, now: float) -> bool:
            machine.to_send.append(data.lower())
            return True

        machine.receive = echo  # type: ignore[method-assign]
        bench.port.receive(b"ONE", b"TWO", b"THREE")
        assert bench.port.written == [b"one", b"two", b"three"]
        assert machine.asked == before + 1
        await bench.stop()

    virtual(scenario)


def test_the_beginning_of_something_changes_nothing() -> None:
    """On a slow line most wake-ups bring a part of a message: the machine keeps it, and nothing else is done."""

    async def scenario() -> None:
        bench = Bench()
        machine = bench.machine
        await asyncio.sleep(0)
        before = machine.asked
        bench.port.receive(PART)
        assert machine.received == [PART]
        assert machine.asked == before
        bench.port.receive(PART, b"rest")
        assert machine.asked == before + 1
        await bench.stop()

    virtual(scenario)


def test_timer_follows_the_deadline() -> None:
    """tick() comes at the deadline, not before; a deadline that moves nearer, away or off moves the timer."""

    async def scenario() -> None:
        bench = Bench()
        machine, pump = bench.machine, bench.pump
        machine.due = 100.0
        await asyncio.sleep(1)
        machine.due = 5.0
        pump.poke()
        await asyncio.sleep(3)
        assert machine.ticked == []
        machine.on_tick = lambda now: setattr(machine, "due", 9.0 if now < 9 else None)
        await asyncio.sleep(100)
        assert machine.ticked == [5.0, 9.0]
        machine.due = 110.0
        pump.poke()
        machine.due = None
        pump.poke()
        await asyncio.sleep(100)
        assert machine.ticked == [5.0, 9.0]
        await bench.stop()

    virtual(scenario)


def test_an_early_timer_goes_unnoticed() -> None:
    """A deadline that moved away finds the timer where it was: nothing is due then, and the machine is left alone."""

    async def scenario() -> None:
        bench = Bench()
        bench.machine.due = 5.0
        await asyncio.sleep(1)
        bench.machine.due = 20.0
        bench.pump.poke()
        await asyncio.sleep(9)
        assert (bench.machine.ticked, bench.pump.overdue_s()) == ([], 0)
        await asyncio.sleep(20)
        assert bench.machine.ticked == [20.0]
        await bench.stop()

    virtual(scenario)


class Milliseconds(VirtualLoop):
    """Counts in them, and rounds to the nearest: a timer may go off up to half a one before its time."""

    def call_at(self, when: float, *args: Any, **options: Any) -> asyncio.TimerHandle:
        now = self.time()
        return super().call_at(now + round((when - now) * 1000) / 1000, *args, **options)


def test_a_loop_that_counts_milliseconds_is_not_kept_turning() -> None:
    """Where a timer goes off before the deadline it was set to, the rest of the millisecond is slept through."""

    async def scenario() -> None:
        bench = Bench()
        machine = bench.machine

        def deadline() -> float | None:
            machine.asked += 1
            assert machine.asked < 10, "this clock stands still as long as it is kept turning"
            return machine.due

        machine.deadline = deadline  # type: ignore[method-assign]
        machine.due = 5.0004
        await asyncio.sleep(5)
        assert machine.ticked == []
        await asyncio.sleep(1)
        assert machine.ticked == [pytest.approx(5.001)]
        await bench.stop()

    with asyncio.Runner(loop_factory=Milliseconds) as runner:
        runner.run(scenario())


def test_a_machine_at_rest_is_left_alone() -> None:
    """Once it has no deadline any more nothing wakes up for it, not even in vain."""

    async def scenario() -> None:
        bench = Bench()
        bench.machine.due = 5.0
        await asyncio.sleep(1)
        bench.machine.due = None
        bench.pump.poke()
        asked = bench.machine.asked
        await asyncio.sleep(20)
        assert bench.machine.asked == asked
        bench.machine.due = 30.0
        bench.pump.poke()
        await asyncio.sleep(20)
        assert bench.machine.ticked == [30.0]
        await bench.stop()

    virtual(scenario)


def test_bytes_on_time_are_seen_before_a_late_timer() -> None:
    """Bytes that arrive together with an overdue deadline are received first."""

    async def scenario() -> None:
        bench = Bench()
        await asyncio.sleep(1)
        bench.machine.due = 0.5
        bench.machine.on_tick = lambda now: bench.machine.received.append(b"tick")
        bench.port.receive(b"OK")
        await asyncio.sleep(0.001)
        assert bench.machine.received == [b"OK", b"tick"]
        await bench.stop()

    virtual(scenario)


def test_events_may_give_commands_and_poke() -> None:
    """A poke from within an event neither reorders events nor sends twice; its bytes go out after the events."""

    async def scenario() -> None:
        told: list[str] = []

        def on_event(event: str) -> None:
            told.append(event)
            if event == "ready":
                bench.machine.to_send.append(b"next\r\n")
                bench.machine.to_tell.append("caused")
                bench.port.receive(b"nested")
                bench.pump.poke()
                assert bench.port.written == []

        bench = Bench(on_event)
        bench.machine.to_tell = ["ready", "beacon"]
        await asyncio.sleep(0)
        assert told == ["ready", "beacon", "caused"]
        assert bench.port.written == [b"next\r\n"]
        assert bench.machine.received == [b"nested"]
        await bench.stop()

    virtual(scenario)


def test_loss_ends_the_pump() -> None:
    """run() raises the loss of the port; nothing is sent afterwards, and no timer is left."""

    async def scenario() -> None:
        bench = Bench()
        bench.machine.due = 10.0
        await asyncio.sleep(0)
        bench.port.lose(PortLost("memory", "unplugged"))
        with pytest.raises(PortLost, match="unplugged"):
            await bench.running
        bench.machine.to_send = [b"late"]
        bench.pump.poke()
        bench.port.receive(b"late")
        await asyncio.sleep(20)
        assert (bench.port.written, bench.machine.received, bench.machine.ticked) == ([], [], [])
        assert bench.pump.overdue_s() == 0

    virtual(scenario)


def test_refused_write_ends_the_pump() -> None:
    """A port that takes no more bytes is reported by run()."""

    async def scenario() -> None:
        bench = Bench()
        bench.machine.to_send = [b"SKVER\r\n"]
        bench.port.refusal = PortStalled("memory", "full")
        with pytest.raises(PortStalled):
            await bench.running

    virtual(scenario)


@pytest.mark.parametrize("where", ["receive", "tick", "event"])
def test_errors_reach_run(where: str) -> None:
    """What machine or event handler raise reaches run(), whose caller supervises."""

    async def scenario() -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError(where)

        bench = Bench(fail)
        match where:
            case "receive":
                bench.machine.receive = fail  # type: ignore[method-assign]
                await asyncio.sleep(0)
                bench.port.receive(b"x")
            case "tick":
                bench.machine.on_tick = fail
                bench.machine.due = 1.0
            case "event":
                bench.machine.to_tell = ["x"]
        with pytest.raises(ZeroDivisionError, match=where):
            await bench.running

    virtual(scenario)


def test_overdue() -> None:
    """A deadline that passes while the loop is blocked shows as overdue; one that lies ahead does not."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        bench = Bench()
        bench.machine.due = 10.0
        await asyncio.sleep(1)
        assert bench.pump.overdue_s() == 0
        loop.jump(17.0)  # what a blocked loop looks like
        assert bench.pump.overdue_s() == 7.0
        await asyncio.sleep(0.001)
        assert bench.machine.ticked == [17.0]
        assert bench.pump.overdue_s() == 0
        await bench.stop()

    virtual(scenario)


def test_cancelling_stops_the_timer() -> None:
    """A pump that was cancelled no longer drives its machine."""

    async def scenario() -> None:
        bench = Bench()
        bench.machine.due = 10.0
        await asyncio.sleep(1)
        await bench.stop()
        await asyncio.sleep(20)
        assert bench.machine.ticked == []

    virtual(scenario)


def test_a_deadline_in_the_past_means_at_once() -> None:
    """A machine that has something to do since it was poked is not overdue for it, and gets its time next."""

    async def scenario() -> None:
        bench = Bench()
        await asyncio.sleep(5)
        bench.machine.due = float("-inf")
        bench.pump.poke()
        assert bench.pump.overdue_s() == 0
        await asyncio.sleep(0.001)
        assert bench.machine.ticked == [5.0]
        await bench.stop()

    virtual(scenario)
