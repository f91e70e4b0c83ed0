from __future__ import annotations

import asyncio
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.clock import run as virtually
from support.steward import EPOCH, Stewarded, kept
from support.telling import appliance, told

from drivers.packet import Packet
from drivers.ports import PortLost, PortMissing
from hemsd.appliances.events import Answered, Changed, Noted, Settled
from hemsd.appliances.network import Addresses
from hemsd.appliances.steward import GATHER_S
from hemsd.appliances.telling import Label
from hemsd.appliances.wellbeing import Wellbeing
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Event,
    Health,
)

ONE, OTHER = appliance(), appliance("0290-00000002")
ID = ONE.id


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a house; within a virtual loop."""
    return lambda *labels, **more: Stewarded(tmp_path, monkeypatch, *labels, **more)


def command(**changes: Any) -> ApplianceCommand:
    values: dict[str, Any] = {"command": "c1", "appliance": ID, "values": {"mode": "heat"}}
    return ApplianceCommand(**(values | changes))


def test_the_log_shows_the_frames_at_level_debug(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Each datagram that goes out and each that comes in, with the other's address."""

    async def live() -> None:
        network = house().steward._network(Addresses(ipv4="192.0.2.1"))
        network.tick(0.0)
        network.outgoing()
        network.receive(Packet("192.0.2.9", b"\x10\x81"), 0.0)

    caplog.set_level("DEBUG")
    virtually(live())
    *sent, heard = (text for text in caplog.messages if "1081" in text)
    assert sent
    assert all(text.startswith("to 224.0.23.0: 1081") for text in sent)
    assert heard == "from 192.0.2.9: 1081"


# --- what is told


def test_states_are_gathered(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred tellings of one appliance within a quarter of a second are one state; the next moment is another."""

    async def live() -> None:
        home, loop, timers = house(), asyncio.get_running_loop(), list[float]()
        call_later = loop.call_later
        monkeypatch.setattr(loop, "call_later", lambda *of: (timers.append(of[0]), call_later(*of))[1])
        async with home.running():
            await home.tell(Changed(ONE))
            for number in range(100):
                await home.tell(told(ONE, {0xB3: f"{number % 50:02X}"}))
            await asyncio.sleep(1)
            (state,) = home.of(ApplianceState)
            assert state.values["target_temperature_c"] == 49
            assert home.times(ApplianceState) == [pytest.approx(0.252, abs=0.002)]
            await home.tell(told(ONE, {0xB3: "1A"}))
            await asyncio.sleep(1)
            assert len(home.of(ApplianceState)) == timers.count(GATHER_S) == 2

    virtually(live())


def test_five_hundred_appliances_are_told_each_on_its_own(house: Any) -> None:
    """In one go, with no wake-up for each."""

    async def live() -> None:
        home = house()
        async with home.running():
            many = [appliance(f"0130-{number:08x}") for number in range(500)]
            await home.tell(*map(Changed, many), *(told(each, {0x80: "30"}) for each in many))
            await asyncio.sleep(1)
            assert len(home.of(ApplianceStatus)) == len(home.of(ApplianceState)) == 500
            assert len(set(home.times(ApplianceState))) == 1

    virtually(live())


def test_news_are_told_with_names(house: Any) -> None:
    """An event speaks of the appliance as the configuration calls it, by the wall clock."""

    async def live() -> None:
        home = house(Label(name="living-ac", id=ID))
        async with home.running():
            await asyncio.sleep(5)
            await home.tell(Changed(ONE), Noted("appliance.found", "info", f"{ID} found"))
            (event,) = home.of(Event)
            assert event.text == "living-ac found"
            assert abs(event.at - EPOCH - timedelta(seconds=5)) < timedelta(seconds=0.1)
            assert home.of(ApplianceStatus)[-1].name == "living-ac"

    virtually(live())


def test_times_follow_a_clock_that_is_set(house: Any) -> None:
    """A Pi has no clock of its own: when it hears the time, what is told from then on is right."""

    async def live() -> None:
        home = house()
        async with home.running():
            home.set_back_s = -3600.0
            await asyncio.sleep(61)
            await home.tell(Noted("appliance.found", "info", "one"))
            (event,) = home.of(Event)
            assert abs(event.at - EPOCH - timedelta(seconds=3661)) < timedelta(seconds=0.1)

    virtually(live())


def test_health_is_told_at_the_start_soon_after_and_every_minute(house: Any) -> None:
    """With how many appliances there are and are there, and what became of packets."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE), Changed(appliance("0290-00000002", online=False)))
            home.ports[-1].dropped["not of this link"] = 3
            home.network.counted["malformed"] = 2
            await asyncio.sleep(121)
            first, second, _ = home.of(Health)
            assert home.times(Health) == [0.0, 10.0, 70.0]
            assert first.ok and first.counters == {"home: appliances": 0, "home: online": 0}
            counters = {"home: malformed": 2, "home: dropped: not of this link": 3}
            assert second.counters == {"home: appliances": 2, "home: online": 1, **counters}
            home.network.knows(ONE, OTHER)
        async with home.running():  # counted on, after a loss
            assert home.of(Health)[-1].counters == {"home: appliances": 2, "home: online": 0, **counters}
            home.network.counted["malformed"] = 5
            await asyncio.sleep(61)
            assert home.of(Health)[-1].counters["home: malformed"] == 7

    virtually(live())


def test_no_network_hides_another(house: Any, tmp_path: Path) -> None:
    """The domain has one health: it is bad as long as one network is, and says which."""

    async def live() -> None:
        wellbeing = Wellbeing()
        home = house(wellbeing=wellbeing)
        annex = house(name="annex", hub=home.hub, wellbeing=wellbeing)
        annex.refusal = PortMissing("eth-annex", "eth1 is switched off")
        async with home.running(), annex.running() as run:
            await asyncio.wait([run])
            annex.steward.failed(str(run.exception()))
            await asyncio.sleep(61)
            health = home.of(Health)[-1]
            assert not health.ok and health.detail == "network annex: eth1 is switched off"
            assert {"home: appliances", "annex: appliances"} <= health.counters.keys()

    virtually(live())


# --- orders


def test_an_order_goes_to_the_network_and_its_end_to_whoever_gave_it(house: Any) -> None:
    """With its words, and whether it came from outside; the values that were read back come in the same words."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE), told(ONE, {0x80: "30", 0xB0: "42"}))
            await home.order(command(from_outside=True))
            assert home.network.asked == [("order", "c1", ID, {"mode": "heat"}, True)]
            assert home.of(ApplianceState)[-1].requested == {"mode": "heat"}  # before any effect of it can be told
            await home.tell(Settled("c1", ONE, "applied", read_back={0xB0: b"\x43"}))
            (result,) = home.of(ApplianceResult)
            assert (result.command, result.outcome, result.values) == ("c1", "applied", {"mode": "heat"})

    virtually(live())


def test_what_an_order_did_is_told_before_its_end(house: Any) -> None:
    """So that whoever looks on hearing of the end sees it there, and not what was before."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE), told(ONE, {0xB0: "42"}))
            await home.order(command())
            await home.tell(told(ONE, {0xB0: "43"}), Settled("c1", ONE, "applied", read_back={0xB0: b"\x43"}))
            kinds = [type(message) for _, message in home.heard]
            last = len(kinds) - 1 - kinds[::-1].index(ApplianceState)
            assert last < kinds.index(ApplianceResult)
            state = home.of(ApplianceState)[-1]
            assert (state.values["mode"], state.requested) == ("heat", {})

    virtually(live())


@pytest.mark.parametrize("operation", ["identify", "forget"])
def test_other_orders_reach_the_network_too(house: Any, operation: Any) -> None:
    """Without values."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE))
            await home.order(command(operation=operation, values={}))
            assert home.network.asked == [(operation, "c1", ID)]

    virtually(live())


def test_what_is_for_another_network_is_left_to_it(house: Any) -> None:
    """No order, no query, and no refusal either."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE))
            await home.order(command(appliance=OTHER.id))
            await home.order(ApplianceQuery(query="q1", appliance=OTHER.id))
            assert home.network.asked == [] and home.of(ApplianceResult) == []

    virtually(live())


def test_an_order_that_comes_too_late_is_not_given(house: Any) -> None:
    """By the wall clock."""

    async def live() -> None:
        home = house()
        async with home.running():
            await home.tell(Changed(ONE))
            await asyncio.sleep(10)
            await home.order(command(expires_at=EPOCH + timedelta(seconds=5)))
            (result,) = home.of(ApplianceResult)
            assert (result.outcome, result.error, home.network.asked) == ("refused", "expired", [])

    virtually(live())


def test_a_query_is_answered_one_property_at_a_time(house: Any) -> None:
    """Asked by codes; what the class does not have is answered at once."""

    async def live() -> None:
        home = house()
        answers: list[ApplianceProperty] = []

        async def hear() -> None:
            async for message in home.control.messages():
                answers.extend([message] if isinstance(message, ApplianceProperty) else [])

        hearing = asyncio.create_task(hear())
        async with home.running():
            await home.tell(Changed(ONE))
            await home.order(ApplianceQuery(query="q1", appliance=ID, properties=("room_temperature", "warmth")))
            assert home.network.asked == [("query", "q1", ID, (0xBB,))]
            await home.tell(Answered("q1", ONE, 0xBB, b"\x1c", last=True))
            await home.order(ApplianceQuery(query="q2", appliance=ID, properties=("warmth",)))
        hearing.cancel()
        assert [(each.query, each.name, each.value, each.error, each.last) for each in answers] == [
            ("q1", "warmth", None, "absent", False),
            ("q1", "room_temperature", 28, "", True),
            ("q2", "warmth", None, "absent", True),
        ]
        assert len(home.network.asked) == 1

    virtually(live())


# --- a port that is lost


def test_a_lost_port_ends_the_run(house: Any) -> None:
    """With the port's own error, the port closed, and whoever waits for an answer told that there will be none."""

    async def live() -> None:
        home = house()
        async with home.running() as run:
            await home.tell(Changed(ONE), told(ONE, {0x80: "30"}))
            await home.order(command())
            home.ports[-1].lose(PortLost("eth1", "the network interface eth1 went away"))
            with pytest.raises(PortLost, match="went away"):
                await run
            assert home.ports[-1].closed
            await asyncio.sleep(0.001)
            assert home.of(ApplianceResult)[-1].outcome == "timeout"
            assert home.steward.overdue_s() == 0.0
            told_before = len(home.of(ApplianceState))
            assert told_before == 1  # what had gathered is told
            await asyncio.sleep(10)
            assert len(home.of(ApplianceState)) == told_before

    virtually(live())


def test_appliances_stay_known_while_their_network_is_down(house: Any) -> None:
    """They are told as unreachable, with the reason; the next run begins with them."""

    async def live() -> None:
        home = house()
        async with home.running() as run:
            await home.tell(Changed(ONE))
            home.network.knows(ONE)
            home.ports[-1].lose(PortLost("eth1", "eth1 is switched off"))
            await asyncio.wait([run])
            home.steward.failed(str(run.exception()))
            await asyncio.sleep(0.001)
            status = home.of(ApplianceStatus)[-1]
            assert (status.online, status.detail) == (False, "its network is down: eth1 is switched off")
            assert not home.of(Health)[-1].ok
        async with home.running():
            status = home.of(ApplianceStatus)[-1]
            assert (status.appliance, status.detail) == (ID, "not heard since its network is back")
            assert [event.kind for event in home.of(Event)] == ["network.lost", "network.back"]
            assert [node.identity for node in home.network.remembered.nodes] == [ID]
            assert home.of(Health)[-1].ok

    virtually(live())


def test_orders_for_a_network_that_is_down_are_refused(house: Any) -> None:
    """At once, while it is waited for; that ends as soon as the interface is back."""

    async def live() -> None:
        home = house()
        home.refusal = PortMissing("eth1", "there is no network interface eth1")
        async with home.running() as run:
            await asyncio.wait([run])
            home.steward._ledger.begin([ONE], 0.0)
            home.steward.failed(str(run.exception()))
            waiting = asyncio.create_task(home.steward.sooner(run.exception()))
            await home.order(command())
            (result,) = home.of(ApplianceResult)
            assert result.outcome == "refused" and "there is no network interface eth1" in result.detail
            assert not waiting.done()
            home.back.set()
            await waiting

    virtually(live())


def test_other_errors_are_not_over_when_the_interface_is_there(house: Any) -> None:
    """A fault of ours is not tried again sooner than supervision wants."""

    async def live() -> None:
        home = house()
        home.back.set()
        waiting = asyncio.create_task(home.steward.sooner(ZeroDivisionError()))
        await asyncio.sleep(3600)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    virtually(live())


def test_a_network_that_fails_leaves_nothing_behind(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours ends the run with it, the port is closed, and the next run begins."""

    async def live() -> None:
        home = house()

        def fail(*_: object) -> None:
            raise ZeroDivisionError("ours")

        async with home.running() as run:
            monkeypatch.setattr(home.network, "receive", fail)
            await home.tell()
            await asyncio.wait([run])
            assert isinstance(run.exception(), ExceptionGroup)
            assert home.ports[-1].closed
        async with home.running() as run:
            assert not run.done()

    virtually(live())


def test_a_stuck_network_is_overdue(house: Any) -> None:
    """What the watchdog looks at: its own deadline that has passed."""

    async def live() -> None:
        home = house()
        async with home.running():
            home.network.due = 10.0
            await home.tell()
            assert home.steward.overdue_s() == 0.0
            asyncio.get_running_loop().jump(30.0)  # type: ignore[attr-defined]
            assert home.steward.overdue_s() == 20.0

    virtually(live())


# --- what is kept


def test_what_changes_is_written_gently(house: Any, tmp_path: Path) -> None:
    """A minute after a change, once for all of that minute; private, and not at all where nothing is new."""
    path = tmp_path / "appliances-home.json"

    async def live() -> None:
        home = house()
        async with home.running():
            home.network.knows(ONE)
            await home.tell(Changed(ONE))
            await asyncio.sleep(59)
            assert not path.exists()
            home.network.knows(OTHER)
            await home.tell(Changed(OTHER))
            await asyncio.sleep(2)
            assert [node["identity"] for node in kept(tmp_path)["nodes"]] == [ID, OTHER.id]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            path.unlink()
            await home.tell(Changed(OTHER))
            await asyncio.sleep(120)
            assert not path.exists()

    virtually(live())


def test_the_end_writes_what_is_new(house: Any, tmp_path: Path) -> None:
    """However soon it comes after a change; the next start knows it, and tells it at once."""

    async def live() -> None:
        home = house()
        async with home.running():
            home.network.knows(ONE)
            await home.tell(Changed(ONE))
        again = house()
        async with again.running():
            (status,) = again.of(ApplianceStatus)
            assert (status.appliance, status.online, status.serial) == (ID, False, "S1")
            assert again.times(ApplianceStatus) == [0.003]

    virtually(live())


def test_remembered_appliances_are_told_without_an_interface(house: Any) -> None:
    """The adapter may be plugged in later: what was known stays known, and is told as unreachable."""

    async def live() -> None:
        home = house()
        async with home.running():
            home.network.knows(ONE)
        again = house()
        again.refusal = PortMissing("eth1", "there is no network interface eth1")
        async with again.running() as run:
            again.steward.failed(str(run.exception()))
            await asyncio.sleep(0.001)
            (status,) = again.of(ApplianceStatus)
            assert status.detail == "its network is down: there is no network interface eth1"

    virtually(live())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"version": 1, "nodes": [{}]}', b"[" * 100_000])
def test_a_damaged_file_is_a_fresh_start(
    house: Any, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning that names it, where nothing of it can be understood; it is written anew."""
    (tmp_path / "appliances-home.json").write_bytes(content)

    async def live() -> None:
        home = house()
        async with home.running():
            assert home.of(ApplianceStatus) == []
            home.network.knows(ONE)
        assert len(kept(tmp_path)["nodes"]) == 1

    virtually(live())
    assert ("appliances-home.json is damaged" in caplog.text) is (not content.startswith(b'{"'))


def test_a_disk_that_takes_nothing_is_told_once(house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A network runs without it."""
    (tmp_path / ".appliances-home.json.new").mkdir()

    async def live() -> None:
        home = house()
        async with home.running():
            for each in (ONE, OTHER):
                home.network.knows(each)
                await home.tell(Changed(each))
                await asyncio.sleep(61)

    virtually(live())
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "appliances-home.json cannot be written: Is a directory" in caplog.text


def test_our_own_number_is_made_once(house: Any, tmp_path: Path) -> None:
    """13 random bytes that others know us by, private: the same on every network and after every restart."""

    async def live() -> None:
        home = house()
        annex = house(name="annex", hub=home.hub)
        async with home.running(), annex.running():
            numbers = {each.network.number for each in (home, annex)}
        again = house()
        async with again.running():
            (number,) = numbers | {again.network.number}
        assert number[:4].hex() == "feffffff" and (tmp_path / "node").read_text() == f"{number[4:].hex()}\n"
        assert stat.S_IMODE((tmp_path / "node").stat().st_mode) == 0o600

    virtually(live())
    (tmp_path / "node").write_text("nothing of ours")
    virtually(live())
