from __future__ import annotations

import asyncio
import logging

import pytest
from support.clock import run as run_virtually

from hemsd.daemon.supervision import PARKED_S, KeepsFailing, Kind, Policy, supervise


class Passing(Exception):
    """Over by itself."""


class Lasting(Exception):
    """Over when a person acts."""


def kind_of(error: Exception) -> Kind:
    return {Passing: Kind.TRANSIENT, Lasting: Kind.PERMANENT}.get(type(error), Kind.UNEXPECTED)


def delays(kind: Kind, count: int, *, ran_s: float = 0, chance: float = 1, every_s: float = 0) -> list[float | None]:
    policy = Policy()
    return [policy.failed(kind, at * every_s, ran_s=ran_s, chance=chance) for at in range(count)]


def test_delays_double_up_to_a_minute() -> None:
    """Transient errors are retried after 1, 2, 4 ... 60 seconds, and no later however long it lasts."""
    assert delays(Kind.TRANSIENT, 8) == [1, 2, 4, 8, 16, 32, 60, 60]
    assert delays(Kind.TRANSIENT, 5000)[-1] == 60


def test_chance_spreads_a_delay_over_its_upper_half() -> None:
    """Jitter takes at most half of a delay away, and never makes it longer."""
    assert delays(Kind.TRANSIENT, 4, chance=0) == [0.5, 1, 2, 4]


def test_a_domain_that_settled_starts_afresh() -> None:
    """After five good minutes the next failure is followed by the shortest delay again."""
    assert delays(Kind.TRANSIENT, 4, ran_s=300) == [1, 1, 1, 1]
    assert delays(Kind.TRANSIENT, 4, ran_s=299) == [1, 2, 4, 8]


def test_a_permanent_error_parks_the_domain_for_an_hour() -> None:
    """What a person has to mend is looked at hourly, for ever, and does not count as a fault of ours."""
    assert delays(Kind.PERMANENT, 100) == [3600.0] * 100


def test_five_unexpected_failures_in_ten_minutes_are_too_many() -> None:
    """The fifth within the window ends it; spread more thinly they never do."""
    assert delays(Kind.UNEXPECTED, 5, every_s=150) == [1, 2, 4, 8, None]
    assert None not in delays(Kind.UNEXPECTED, 100, every_s=151)


def test_expected_failures_do_not_end_the_process() -> None:
    """A port that is missing for days is no reason to restart anything."""
    assert None not in delays(Kind.TRANSIENT, 1000, every_s=1)


class Domain:
    """Work that fails as its script says, then runs for ever; knows when it was started."""

    def __init__(self, *script: Exception | None) -> None:
        self.script = list(script)
        self.starts: list[float] = []
        self.failures: list[str] = []

    async def work(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if not self.script:
            await asyncio.Event().wait()
        if error := self.script.pop(0):
            raise error

    async def supervised(self, for_s: float) -> None:
        keeping = supervise("meter", self.work, kind_of, on_failure=self.failures.append, chance=lambda: 1.0)
        await asyncio.wait_for(keeping, for_s)


def supervised(domain: Domain, for_s: float = 100_000) -> None:
    with pytest.raises(TimeoutError):
        run_virtually(domain.supervised(for_s))


def test_a_failed_domain_is_started_again_after_its_delays() -> None:
    """Supervision waits as Policy says between the runs of a domain."""
    domain = Domain(Passing("a"), Passing("b"), Lasting("c"))
    supervised(domain)
    assert domain.starts == [0, 1, 3, 3 + PARKED_S]
    assert domain.failures == ["a", "b", "c"]


def test_a_wait_ends_when_there_is_reason_to_try_again() -> None:
    """What comes sooner than the delay ends it, told by the error; never at once, so that nothing runs hot."""
    starts: list[float] = []

    async def work() -> None:
        starts.append(asyncio.get_running_loop().time())
        raise Passing

    async def sooner(error: Exception) -> None:
        assert isinstance(error, Passing)
        await asyncio.sleep([0.5, 0, 1000, 1000][len(starts) - 1])

    async def main() -> None:
        keeping = supervise("meter", work, kind_of, sooner=sooner, chance=lambda: 1.0)
        await asyncio.wait_for(keeping, 7)

    with pytest.raises(TimeoutError):
        run_virtually(main())
    assert starts == [0, 0.5, pytest.approx(0.7), pytest.approx(4.7)]


def test_a_reason_that_cannot_be_watched_for_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """No descriptor is left for the watch, say: then it is tried again after the whole delay, and that is told."""
    starts: list[float] = []

    async def work() -> None:
        starts.append(asyncio.get_running_loop().time())
        raise Passing

    async def sooner(error: Exception) -> None:
        await asyncio.sleep(0.5)
        raise OSError("too many open files")

    async def main() -> None:
        keeping = supervise("meter", work, kind_of, sooner=sooner, chance=lambda: 1.0)
        await asyncio.wait_for(keeping, 2)

    with pytest.raises(TimeoutError):
        run_virtually(main())
    assert starts == [0, 1.0]
    assert "would not be noticed: too many open files" in caplog.text


def test_an_unexpected_failure_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours can be found from the journal alone."""
    supervised(Domain(ZeroDivisionError("ours")))
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "meter failed unexpectedly" in record.getMessage()
    assert record.exc_info is not None
    assert "ZeroDivisionError: ours" in caplog.text


def test_the_same_trouble_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A module unplugged for hours makes one line in the journal, not hundreds."""
    supervised(Domain(*[Passing("no such port")] * 50, Passing("port busy")))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == ["meter: no such port", "meter: port busy"]


def test_too_many_faults_end_supervision() -> None:
    """A domain that keeps failing unexpectedly raises, so that the process ends and systemd starts a new one."""
    with pytest.raises(KeepsFailing, match="meter keeps failing: ZeroDivisionError"):
        run_virtually(Domain(*[ZeroDivisionError("ours")] * 5).supervised(100_000))


def test_a_domain_that_ends_by_itself_is_a_fault() -> None:
    """Domains run until cancelled; one that returns is restarted like one that failed."""
    domain = Domain(None)
    supervised(domain)
    assert domain.failures == ["RuntimeError: ended by itself"]


def test_the_worst_of_several_errors_decides() -> None:
    """Where tasks of a domain fail together, an expected error does not hide a fault."""
    domain = Domain(ExceptionGroup("", [Passing("lost"), ExceptionGroup("", [Lasting("denied")])]))
    domain.script.append(ExceptionGroup("", [Passing("lost"), ValueError("ours")]))
    supervised(domain)
    assert domain.failures == ["denied", "ValueError: ours"]
