"""A domain in a process of its own, as the hub sees it: its socket, and what is said while nobody is there."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from socket import socket

from msgspec.structs import replace

from hemsd.hub.hub import Hub, say
from hemsd.hub.messages import Domain, Health, Link, MeterStatus
from hemsd.hub.wire import Server

GRACE_S = 5.0  # after our start: it was there before, and comes back within a second

BACK = "its process has just begun"
_WHO = {
    Domain.ROUTEB: "the process that reads the meter does not run: see systemctl status hemsd-routeb",
    Domain.GATEWAY: "the process of the home gateway does not run: see systemctl status hemsd-gateway",
}


class Guest:
    """One process at a time, which speaks as `domain` because it may open the socket.

    The house is told when one that is expected leaves, or does not come, and when it is there after all; what it says
    itself later replaces that.
    """

    def __init__(self, hub: Hub, domain: Domain, listening: socket, *, site: str, expected: bool = True) -> None:
        self._hub = hub
        self._domain = domain
        self._expected = expected
        self._there = False
        self._missed: list[Health | MeterStatus] = []  # what was said of its absence
        self._server = Server(hub, domain, listening, site=site, peers_max=1, on_peer=self._come, on_left=self._leave)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(), name=f"{self._domain.value} socket")
            await asyncio.sleep(GRACE_S)
            if not self._there:
                self._leave()

    def _come(self) -> None:
        self._there = True
        missed, self._missed = self._missed, []
        say(self._hub, self._domain, *(_back(each, datetime.now(UTC)) for each in missed))

    def _leave(self) -> None:
        self._there = False
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            return  # it is we who end
        if self._expected:
            self._missed = self._absence(datetime.now(UTC))
            say(self._hub, self._domain, *self._missed)

    def _absence(self, now: datetime) -> list[Health | MeterStatus]:
        """What is to be known of a domain without a process."""
        why = _WHO[self._domain]
        if self._domain is not Domain.ROUTEB:
            known = [health for health in self._hub.latest(Health) if health.source is self._domain]
            silent = known or [Health(at=now, source=self._domain, ok=False)]
            return [replace(health, at=now, ok=False, detail=why) for health in silent]
        nothing = MeterStatus(online=False, stage="stopped", since=now)
        return [
            replace(
                each,
                online=False,
                stage="stopped",
                detail=why,
                trouble="",
                since=each.since if each.detail in (why, BACK) else now,
                fresh=False,
                link=Link(),
            )
            for each in self._hub.latest(MeterStatus) or [nothing]
        ]


def _back(absent: Health | MeterStatus, now: datetime) -> Health | MeterStatus:
    """What is to be known of one that has just come and said nothing so far."""
    if isinstance(absent, Health):
        return replace(absent, at=now, ok=True, detail="")
    return replace(absent, stage="waiting", detail=BACK)
