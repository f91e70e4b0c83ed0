"""Keeps an eye on the interfaces of the meter and of appliances: tells when one is not kept apart, and when it is.

The kernel tells of every change (drivers.netlink), so this looks when there is something to see. Only whether the
firewall still stands has to be looked for. With [isolation] on_breach = "refuse" an interface's domain does not run
before that is over. ITU-T G.9958, 6.4 and I.2 (R52 among others).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from drivers.interface import Watch, default_interface
from drivers.netlink import EVERYTHING, Surroundings, survey
from hemsd.daemon.config import Config
from hemsd.daemon.firewall import walled
from hemsd.daemon.isolation import NOT_FORWARDED, Watched, judge, may_be_lan
from hemsd.hub.hub import Hall, say
from hemsd.hub.messages import Breach, Domain, Event, IsolationStatus

LOOK_S = 10.0  # between two looks where nothing was told: the firewall may have come or gone
GATHER_S = 0.1  # a switch that is thrown changes many things at once

Look = Callable[[Iterable[str]], Mapping[str, Surroundings]]
Work = Callable[[], Awaitable[None]]
Waiting = Callable[[Exception], Awaitable[None]]


class NotKeptApart(Exception):
    """A domain may not run while its interface leads elsewhere; the text says how, and what to do."""


def watched(config: Config, *domains: Domain) -> tuple[Watched, ...]:
    """The interfaces to watch for these domains; one that meter and appliances share for the latter, if for both."""
    found: dict[str, Watched] = {}
    meters, networks = config.meter.interface, {each.interface for each in config.networks.values()}
    if Domain.ROUTEB in domains and meters is not None:
        found[meters] = Watched(meters, Domain.ROUTEB, alone=meters not in networks)
    if Domain.APPLIANCES in domains:
        found |= {name: Watched(name, Domain.APPLIANCES) for name in sorted(networks)}
    return tuple(found.values())


def breaches_of(
    interfaces: Collection[Watched],
    config: Config,
    look: Look = survey,
    walls: Callable[[], frozenset[str]] = walled,
    default: Callable[[], str | None] = default_interface,
) -> dict[str, tuple[Breach, ...]]:
    """What breaks the separation of each interface now, declared or not. Raises OSError where that cannot be told."""
    found, walled_off, way_out = look([each.interface for each in interfaces]), walls(), default()
    breaches: dict[str, tuple[Breach, ...]] = {}
    for each in interfaces:
        name = each.interface
        is_lan = config.lan.interface is None and name == way_out
        if is_lan and may_be_lan(each, config.profile, config.accept):
            breaches[name] = ()
        else:
            breaches[name] = judge(each, found[name], profile=config.profile, walled=name in walled_off)
    return breaches


class IsolationWatch:
    """Looks when it is made, and while run() runs whenever the kernel tells of a change; what is new, run() tells.

    The interface of the home network itself is none to be kept apart: the one of [lan] is not watched. Where that is
    not said it is the default route's, if the interface may be the home network's (isolation.may_be_lan).
    """

    def __init__(
        self,
        interfaces: Iterable[Watched],
        config: Config,
        hall: Hall,
        *,
        look: Look = survey,
        walls: Callable[[], frozenset[str]] = walled,
        default: Callable[[], str | None] = default_interface,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config = config
        self._survey = look
        self._walls = walls
        self._default = default
        self._clock = clock
        self._watched = {each.interface: each for each in interfaces if each.interface != config.lan.interface}
        self._hall = hall
        self._statuses: dict[str, IsolationStatus] = {}
        self._untold: list[IsolationStatus | Event] = []
        self._changed = asyncio.Event()
        self._looked = asyncio.Condition()
        self._look()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Those that are watched."""
        return tuple(self._watched)

    async def run(self) -> None:
        """Until cancelled."""
        watch = Watch(self._changed.set, EVERYTHING)
        try:
            while True:
                self._changed.clear()
                self._look()
                self._tell()
                async with self._looked:
                    self._looked.notify_all()
                try:
                    await asyncio.wait_for(self._changed.wait(), LOOK_S)
                except TimeoutError:
                    continue
                await asyncio.sleep(GATHER_S)
        finally:
            watch.close()

    def refusal(self, interface: str | None) -> str | None:
        """Why the domain of an interface may not run now; None where it may."""
        status = self._statuses.get(interface or "")
        if status is None or not status.refused:
            return None
        return f"{status.interface} is not kept apart, so it is not used: {status.breaches[0].text}"

    def guarded(self, interface: str | None, work: Work) -> Work:
        """The same work, that raises NotKeptApart before it begins or as soon as its interface is refused."""
        return work if interface not in self._watched else lambda: self._run_apart(interface, work)

    def sooner(self, interface: str | None, waiting: Waiting) -> Waiting:
        """The same waiting for a reason to run again; after NotKeptApart the end of that is one."""
        return waiting if interface not in self._watched else lambda error: self._wait(interface, waiting, error)

    async def _run_apart(self, interface: str, work: Work) -> None:
        async def stop() -> None:
            async with self._looked:
                await self._looked.wait_for(lambda: self.refusal(interface) is not None)

        if (why := self.refusal(interface)) is None:
            await _first(work(), stop())
            why = self.refusal(interface)
        if why is not None:
            raise NotKeptApart(why)

    async def _wait(self, interface: str, waiting: Waiting, error: Exception) -> None:
        async def over() -> None:
            async with self._looked:
                await self._looked.wait_for(lambda: self.refusal(interface) is None)

        if isinstance(error, NotKeptApart):
            await _first(waiting(error), over())
        else:
            await waiting(error)

    # --- looking

    def _look(self) -> None:
        """How all of them stand now."""
        if not self._watched:
            return
        try:
            found = breaches_of(self._watched.values(), self._config, self._survey, self._walls, self._default)
        except OSError as error:
            for each in self._watched.values():
                self._note(each, self._unseen(each, error))
            return
        accept = self._config.accept
        for name, breaches in found.items():
            self._note(self._watched[name], *(breach for breach in breaches if breach.requirement not in accept))

    def _unseen(self, watched: Watched, error: OSError) -> Breach:
        requirement = "R52" if watched.domain is Domain.ROUTEB else NOT_FORWARDED[self._config.profile]
        text = (
            f"whether {watched.interface} is kept apart cannot be told, for the kernel does not answer "
            f"({os.strerror(error.errno or 0)}): let the service use netlink, RestrictAddressFamilies=AF_NETLINK"
        )
        return Breach(requirement=requirement, text=text)

    def _note(self, watched: Watched, *breaches: Breach) -> None:
        before, at = self._statuses.get(watched.interface), self._clock()
        if before is not None and before.breaches == breaches:
            return
        status = IsolationStatus(
            source=watched.domain,
            interface=watched.interface,
            since=before.since if before is not None and bool(before.breaches) == bool(breaches) else at,
            breaches=breaches,
            refused=bool(breaches) and self._config.isolation.on_breach == "refuse",
        )
        self._statuses[watched.interface] = status
        self._untold += [status, *_news(before, status, at)]

    def _tell(self) -> None:
        while self._untold:
            message = self._untold.pop(0)
            say(self._hall, message.source, message)


def _news(before: IsolationStatus | None, now: IsolationStatus, at: datetime) -> Iterator[Event]:
    """What a person is told of a change; nothing where all is well from the start, or less is wrong than before."""
    known = before.breaches if before is not None else ()
    new = [f"{each.requirement}, {each.text}" for each in now.breaches if each not in known]
    if new:
        use = "it is not used until that is over" if now.refused else "it is used all the same"
        text = f"{now.interface} is not kept apart ({use}): {'; '.join(new)}"
        yield Event(at=at, source=now.source, kind="isolation.breach", severity="error", text=text)
    elif known and not now.breaches:
        text = f"{now.interface} is kept apart again"
        yield Event(at=at, source=now.source, kind="isolation.restored", severity="info", text=text)


async def _first(*works: Awaitable[None]) -> None:
    """Run until one of them ends, and end the others; raises what it raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
