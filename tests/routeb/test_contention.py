"""A second controller at the meter is noticed by what it does to us, told, and forgotten after a quiet hour."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.clock import run
from support.house import House, simulated
from support.routeb import PAN, Driven, FakeModule

from drivers.module import AuthenticationStep, SessionClosed
from hemsd.echonet.meter import encode_history_1_day
from hemsd.routeb.contention import Contention
from hemsd.routeb.errors import MeterTaken
from hemsd.routeb.stages import Concluded, Contended, Stage
from hemsd.simulator import Fault, Flaw, Strike

CHALLENGED = [AuthenticationStep.STARTED, AuthenticationStep.CHALLENGED]


def test_evidence() -> None:
    """Displaced three times, or the selector moved twice, within one hour; it holds until an hour was quiet."""
    contention = Contention()
    assert [contention.displaced(at) for at in (0.0, 10.0)] == [False, False]
    assert not contention.holds(10.0)
    assert contention.displaced(3600.0)
    assert contention.holds(3600.0 + 3599)
    assert not contention.holds(3600.0 + 3600)
    moved = Contention()
    assert [moved.selector_moved(at) for at in (0.0, 3601.0, 3700.0)] == [False, False, True]


def test_innocent_numbers_are_no_evidence() -> None:
    """Three ends of a session spread over more than an hour are a flaky radio."""
    contention = Contention()
    assert not any(contention.displaced(at) for at in (0.0, 1900.0, 3800.0, 5700.0))


def test_told_once_an_hour() -> None:
    """While it goes on, a person hears of it hourly."""
    contention = Contention()
    told = [at for at in range(0, 10_800, 60) if contention.displaced(float(at))]
    assert told == [120, 3720, 7320]


def test_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter that ends our session three times in an hour: a warning that says what to do, and the status has it."""

    async def main() -> None:
        house = House(simulated(), tmp_path, monkeypatch)
        async with house.living():
            house.strike(*[Fault(Strike.PEER_CLOSES, at=600.0 * n) for n in (1, 2, 3, 4)])
            await asyncio.sleep(1300)
            assert not house.status.contended
            await asyncio.sleep(600)
            assert house.status.contended
            await asyncio.sleep(1000)
            ((_, event),) = house.told("meter.contended")
            assert event.severity == "warning"
            assert "Switch off other HEMS controllers" in event.text
            await asyncio.sleep(3600)
            assert not house.status.contended

    run(main())


def test_a_moved_selector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is twice not the one selected is somebody else at the meter; once may be midnight."""

    async def main() -> None:
        house = House(simulated(), tmp_path, monkeypatch)
        async with house.living():
            meter = house.domain._meter
            assert meter is not None
            for contended in (False, True):
                house.strike(Fault(Flaw.SELECTOR_MOVED, arg=(0xE5, encode_history_1_day(9))))
                history = await meter.select_and_read(
                    0xE5, encode_history_1_day(1), [0xE2], lambda value: value.require(1)
                )
                assert len(history[0xE2].counts) == 48
                await asyncio.sleep(61)
                assert house.status.contended is contended
            assert len(house.told("meter.contended")) == 1

    run(main())


def test_refused_after_a_session_is_another_controller() -> None:
    """The password was right this morning: who refuses us over a good link is taken, and no hour is lost over it."""
    module = FakeModule()
    driven = Driven(module, persist=True)
    driven.online()
    module.joins = [CHALLENGED] * 9
    driven.hear(SessionClosed(PAN.address, by_peer=True))
    driven.run(3000, lambda: driven.session.stage is Stage.ONLINE)
    assert driven.session.stage is Stage.ONLINE
    errors = [type(event.error) for event in driven.events(Concluded) if isinstance(event, Concluded)]
    assert errors == [MeterTaken]
    assert len(driven.events(Contended)) == 1
