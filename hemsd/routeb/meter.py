"""Ask the meter: live values, half-hour registers, histories, and who it is.

>>> async with Meter(port, credentials, cache=PanCache(directory)) as meter:
...     reading = await meter.read_live()
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from drivers.anymodule import AnyModule
from drivers.module import Credentials, Module
from drivers.ports import Port
from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import ESV, Property
from hemsd.echonet.meter import HistoryMismatch, MeterEPC, Scale
from hemsd.hub.messages import MeterIdentity, MeterInterval, MeterReading, MeterStatus
from hemsd.routeb import readings
from hemsd.routeb.cache import Facts, PanCache, Remembered
from hemsd.routeb.connection import Connection
from hemsd.routeb.errors import NoAnswerInTime
from hemsd.routeb.logbook import Logbook
from hemsd.routeb.stages import Lost, Online, Progress, SessionEvent

__all__ = ["Meter", "Missing"]

GET, SETC = ESV.GET, ESV.SETC  # on the way of every reading
ABSENT, REFUSED, TIMEOUT = Missing.ABSENT, Missing.REFUSED, Missing.TIMEOUT  # likewise
SELECT_TRIES = 3
SCALE = (MeterEPC.COEFFICIENT, MeterEPC.CUMULATIVE_ENERGY_UNIT)
STATIC = (
    MeterEPC.MAKER_CODE,
    MeterEPC.SERIAL_NUMBER,
    MeterEPC.STANDARD_VERSION,
    MeterEPC.EFFECTIVE_DIGITS,
    MeterEPC.ROUTE_B_ID,
    *SCALE,
)

NAMING = (MeterEPC.GET_MAP, MeterEPC.MAKER_CODE, MeterEPC.SERIAL_NUMBER, MeterEPC.ROUTE_B_ID)
NAMING_TRIES = 3  # a meter may refuse now what it tells a minute later, and its name is to stay

LEARNT = frozenset({MeterEPC.GET_MAP, MeterEPC.EFFECTIVE_DIGITS, *SCALE})

SETS = 64  # of properties of which it is remembered how to ask for them

AT_ONCE = nullcontext()  # the turn of whoever need not wait for it

log = logging.getLogger(__name__)


class Meter(Connection):
    """A connection that knows what a low-voltage smart meter (class 0288) says, and remembers what never changes."""

    def __init__(
        self,
        port: Port[Any],
        credentials: Credentials | None,
        *,
        cache: PanCache | None = None,
        module: Module[Any] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        persist: bool = False,
        logbook: Logbook | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cached_as = credentials or port.name  # a network interface's
        known = Remembered() if cache is None else cache.load(self._cached_as)
        super().__init__(
            port,
            credentials,
            remembered=known.pan,
            module=module or AnyModule(known.family),
            on_progress=on_progress,
            persist=persist,
            logbook=logbook,
            clock=clock,
        )
        self._listed: frozenset[int] | None = None
        self.facts = known.facts or Facts(mac="")
        self._cache = cache
        self._absent: frozenset[int] = frozenset()  # refused in this run
        self._unnamed = 0  # times in a row that it refused to tell who it is
        self._unscaled = 0  # times that it refused to tell its coefficient
        self._selecting = asyncio.Lock()
        self.losses = 0  # of the session

    @property
    def facts(self) -> Facts:
        """What is known of the meter."""
        return self._facts

    @facts.setter
    def facts(self, facts: Facts) -> None:
        self._facts = facts
        self._name = "" if facts.identity is None else facts.identity.meter
        listed = None if facts.properties is None else frozenset(facts.properties)
        if listed != self._listed:  # the same object is known at sight where it is looked up
            self._listed = listed
        known = facts.unit is not None and facts.coefficient is not None
        self._scale = Scale(facts.coefficient, facts.unit) if known else Scale()
        worth = self._scale.kwh(1)
        self._registers = readings.Registers(self._name, worth if isinstance(worth, Decimal) else None, facts.digits)

    @property
    def name(self) -> str:
        """The short hash that names the meter outside; empty until it was identified."""
        return self._name

    @property
    def identity(self) -> MeterIdentity | None:
        """Who the meter is; None until it was identified."""
        return self.facts.identity

    @property
    def properties(self) -> frozenset[int] | None:
        """The EPCs that the meter can be asked for; None until it told."""
        return self._listed

    @property
    def scale(self) -> Scale:
        """What a count means in kWh; without a unit until E1 and D3 are both settled."""
        return self._scale

    @property
    def registers(self) -> readings.Registers:
        """What its counts mean, for messages."""
        return self._registers

    @property
    def status(self) -> MeterStatus:
        """How it stands between us and the meter, now."""
        return replace(super().status, meter=self.name or None, identity=self.facts.identity)

    async def read(
        self,
        epcs: Iterable[int],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - what came in time is returned
    ) -> dict[int, bytes | Missing]:
        """The EDT of each property, or why there is none; what the meter is known not to have is not asked again."""
        answers: dict[int, bytes | Missing] = dict.fromkeys(epcs, ABSENT)
        if wanted := _had(tuple(answers), self._listed, self._absent):
            answers |= await self.ask(GET, wanted, timeout=timeout)
        if REFUSED in answers.values():
            self._refused(answers)
        if not LEARNT.isdisjoint(answers):
            self._learn_from(answers)
        return answers

    async def read_live(self, *, power: bool = True, current: bool = True, energy: bool = True) -> MeterReading:
        """Live values in as few Gets as can be; unit and coefficient come along while they are not known."""
        epcs: list[int] = [MeterEPC.INSTANTANEOUS_POWER] if power else []
        if current:
            epcs.append(MeterEPC.INSTANTANEOUS_CURRENT)
        if energy:
            epcs += [MeterEPC.CUMULATIVE_ENERGY_IMPORT, MeterEPC.CUMULATIVE_ENERGY_EXPORT, *self._unknown_scale()]
        answers = await self._read_some(epcs)
        return readings.live(answers, self.scale, self.name, self._clock())

    async def read_interval(self) -> MeterInterval | None:
        """The registers at the last half-hour boundary of the meter's clock; None where it tells none."""
        answers = await self._read_some([*readings.HALF_HOUR, *self._unknown_scale()])
        return readings.interval(answers, self.registers, "read")

    async def read_clock(self) -> datetime | None:
        """The meter's own time in UTC, to the minute; None where it tells none."""
        return readings.clock(await self._read_some([MeterEPC.CLOCK_DATE, MeterEPC.CLOCK_TIME]))

    async def identify(self, *, anew: bool = False) -> MeterIdentity:
        """Who the meter is; its map and scale are learnt along. Asked once in its life unless `anew`.

        At one address its name stays, whatever it refuses to tell, unless it tells another serial number.
        """
        if (known := self.facts.identity) is not None and not anew:
            return known
        answers: readings.Answers = {}
        for epcs in ((MeterEPC.GET_MAP,), STATIC):
            answers = await self._read_some(epcs)
            if Missing.TIMEOUT in answers.values():
                raise NoAnswerInTime("the meter did not tell in time who it is")
            if known is None and self._unnamed < NAMING_TRIES and REFUSED in map(answers.get, NAMING):
                self._unnamed += 1
                raise NoAnswerInTime("the meter refused to tell who it is")
        listed = self.facts.properties or [epc for epc, edt in answers.items() if isinstance(edt, bytes)]
        identity = readings.identity(answers, listed, self.facts.mac)
        if known is not None and (known.serial == identity.serial or None in (known.serial, identity.serial)):
            told = {name: getattr(identity, name) or getattr(known, name) for name in ("maker", "serial", "release")}
            identity = replace(identity, meter=known.meter, **told)
        self._unnamed = 0
        self._learn(identity=identity)
        return identity

    async def select_and_read(
        self,
        selector: int,
        choice: bytes,
        histories: Sequence[int],
        check: Callable[[Any], None],
        *,
        values: dict[int, Any] | None = None,
        turn: AbstractAsyncContextManager[None] = AT_ONCE,
    ) -> dict[int, Any]:
        """Write a selector (E5, ED, EF) and read what it selects, values or Missing, as one atomic section.

        The selector is the meter's and shared: `check` raises HistoryMismatch for a value that was not asked for,
        then all is done again, three times at most. `values` keeps what was read when the rest was not, for another
        try; each request is made within its `turn`. Raises NoAnswerInTime.
        """
        values = {} if values is None else values
        async with self._selecting:
            for _ in range(SELECT_TRIES):
                async with turn:  # what comes of it, the values show
                    written = await self.ask(SETC, [Property(selector, choice)])
                if not await self._read_selected(histories, check, values, turn) and written[selector] == b"":
                    self.selector_moved()
                if len(values) == len(histories):
                    return values
        raise NoAnswerInTime("the meter did not give the history asked for; is another controller at it?")

    async def _read_selected(
        self,
        histories: Iterable[int],
        check: Callable[[Any], None],
        values: dict[int, Any],
        turn: AbstractAsyncContextManager[None],
    ) -> bool:
        """Read what is missing until something is not told; False where it was something else than selected."""
        for epc in histories:
            if epc in values:
                continue
            value: Any = ABSENT
            if not self.lacks(epc):
                async with turn:
                    answers = await self.read([epc])
                value = readings.value_of(epc, answers[epc])
                if value is TIMEOUT:
                    return True
                if type(value) not in readings.NOTHING:
                    try:
                        check(value)
                    except HistoryMismatch:
                        return False
            values[epc] = value
        return True

    async def _read_some(self, epcs: Collection[int]) -> dict[int, bytes | Missing]:
        """read(), but nothing at all is an error."""
        answers = await self.read(epcs)
        if epcs and all(answer is Missing.TIMEOUT for answer in answers.values()):
            raise NoAnswerInTime("the meter did not answer in time")
        return answers

    def lacks(self, epc: int) -> bool:
        """Whether the meter is known not to have a property."""
        return epc in self._absent or (self._listed is not None and epc not in self._listed)

    def _refused(self, answers: dict[int, bytes | Missing]) -> None:
        """What was refused and is not listed, the meter does not have; but every meter has the list."""
        for epc, answer in answers.items():
            if answer is Missing.REFUSED and epc not in (self._listed or (MeterEPC.GET_MAP,)):
                self._absent |= {epc}
                answers[epc] = Missing.ABSENT

    def _unknown_scale(self) -> tuple[int, ...]:
        return SCALE if self.scale.unit is None else ()

    def _on_session(self, event: SessionEvent) -> None:
        pan = self._session.pan
        if isinstance(event, Online) and pan is not None:
            if self.facts.mac != pan.mac:  # another meter, and nothing is known of it
                self.facts = Facts(mac=pan.mac)
                self._absent = frozenset()
            self._remember()
        elif isinstance(event, Lost):
            self.losses += 1
        super()._on_session(event)

    def _learn_from(self, answers: readings.Answers) -> None:
        """Keep what never changes. A meter that has no coefficient, or never gives it, has 1."""
        told = {epc: readings.value_of(epc, answer) for epc, answer in answers.items()}
        known: dict[str, Any] = {}
        if isinstance(properties := told.get(MeterEPC.GET_MAP), frozenset):
            known["properties"] = tuple(sorted(properties))
        if isinstance(unit := told.get(MeterEPC.CUMULATIVE_ENERGY_UNIT), Decimal):
            known["unit"] = unit
        if isinstance(digits := told.get(MeterEPC.EFFECTIVE_DIGITS), int):
            known["digits"] = digits
        match told.get(MeterEPC.COEFFICIENT):
            case int() as coefficient:
                known["coefficient"] = coefficient
            case Missing.ABSENT:
                known["coefficient"] = 1
            case Missing.REFUSED if self.facts.coefficient is None:  # it is listed, so it may come a minute later
                self._unscaled += 1
                if self._unscaled >= NAMING_TRIES:
                    known["coefficient"] = 1
        self._learn(**known)

    def _learn(self, **known: Any) -> None:
        facts = replace(self.facts, **known)
        if facts != self.facts:
            self.facts = facts
            self._remember()

    def _remember(self) -> None:
        if self._cache is not None:
            try:
                info = self._session.info
                family = None if info is None else info.family
                known = Remembered(pan=self._session.pan, facts=self.facts, family=family)
                self._cache.save(self._cached_as, known)
            except OSError as error:
                log.warning("the meter cannot be remembered for the next start: %s", error)


@lru_cache(SETS)
def _had(epcs: tuple[int, ...], listed: frozenset[int] | None, absent: frozenset[int]) -> tuple[Property, ...]:
    """Those that the meter is not known to lack, as they are asked for."""
    return tuple([Property(epc) for epc in epcs if epc not in absent and (listed is None or epc in listed)])
