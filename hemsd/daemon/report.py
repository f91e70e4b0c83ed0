"""What a process tells of the house beside the hub: lines in the log, and the status line of the service manager."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from hemsd.daemon.notify import ServiceManager
from hemsd.hub.messages import ApplianceStatus, Domain, Event, Health, Message, MeterReading, MeterStatus

LEVELS: Mapping[str, int] = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

log = logging.getLogger(__name__)


class Report:
    """Logs what happens, and keeps the status line telling how the meter and the appliances stand.

    What the domains `elsewhere` say happened is in the logs of their own processes.
    """

    def __init__(self, manager: ServiceManager, *, elsewhere: frozenset[Domain] = frozenset()) -> None:
        self._manager = manager
        self._elsewhere = elsewhere
        self._meter = "started"
        self._online = dict[str, bool]()  # by appliance
        self._told = ""

    def hear(self, message: Message) -> None:
        """Take note of a message."""
        match message:
            case Event():
                if message.source not in self._elsewhere:
                    _log(message)
                return
            case MeterStatus(online=False):
                self._meter = f"{message.stage}: {message.detail}"
            case MeterReading(power_w=int(power_w)):
                self._meter = f"online, {power_w} W"
            case ApplianceStatus(forgotten=True):
                self._online.pop(message.appliance, None)
            case ApplianceStatus():
                self._online[message.appliance] = message.online
            case _:
                return
        online = self._online.values()
        there = f"; {sum(online)} of {len(online)} appliances online" if online else ""
        if self._told != (told := f"STATUS={self._meter}{there}"):
            self._told = told
            self._manager.tell(told)


class GatewayReport:
    """The same in the gateway's own process: how what reaches out of the house is doing."""

    def __init__(self, manager: ServiceManager) -> None:
        self._manager = manager
        self._details = dict[str, str]()  # by part

    def hear(self, message: Message) -> None:
        """Take note of a message."""
        match message:
            case Event():
                _log(message)
            case Health():
                self._details[message.name] = message.detail
                details = "; ".join(filter(None, self._details.values()))
                self._manager.tell(f"STATUS={details or 'everything is told'}")


def _log(event: Event) -> None:
    log.log(LEVELS[event.severity], "%s", event.text)
