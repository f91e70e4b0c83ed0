"""What is not as it should be, for as long as it lasts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from hemsd.gateway.payloads import Alert, timestamp
from hemsd.hub.messages import Health, IsolationStatus, MeterStatus

STOPPED = "stopped"  # the stage of a meter that nobody reads: its process is gone
LASTING = frozenset({"port", "module", "credentials", STOPPED})  # until a person does something

Notice = tuple[str, Alert | None]
"""The id of an alert, and the alert while it is active."""


def of_meter(status: MeterStatus) -> Notice:
    """That the meter is not there, and what keeps it away; not while nothing has gone wrong yet."""
    code = status.trouble or (STOPPED if status.stage == STOPPED and status.detail else "")
    if status.online or not code:
        return "meter", None
    alert = Alert(
        id="meter",
        ts=timestamp(status.since),
        severity="error" if code in LASTING else "warning",
        code=code,
        text=status.detail,
    )
    return "meter", alert


def of_health(health: Health) -> Notice:
    """That a part of hemsd is not well: a full disk, a network of appliances that is down."""
    name = health.name
    if health.ok:
        return name, None
    return name, Alert(id=name, ts=timestamp(health.at), severity="error", code="unwell", text=health.detail)


def of_isolation(interface: str, statuses: Iterable[IsolationStatus]) -> Notice:
    """That an interface of the meter, of appliances or of both leads elsewhere as well, as each of them sees it."""
    name = "isolation-" + re.sub("[^a-z0-9-]", "-", interface.lower())
    if not (wrong := [each for each in statuses if each.breaches]):
        return name, None
    since = min(each.since for each in wrong)
    told = dict.fromkeys(f"{breach.requirement}, {breach.text}" for each in wrong for breach in each.breaches)
    code = "refused" if any(each.refused for each in wrong) else "breach"
    return name, Alert(id=name, ts=timestamp(since), severity="error", code=code, text="; ".join(told))


class Alerts:
    """Those that are active, by id; one of the same code is the same one and keeps its beginning."""

    def __init__(self) -> None:
        self._active: dict[str, Alert] = {}

    def hear(self, notice: Notice) -> str | None:
        """Take one; its id where it is not as it was."""
        name, alert = notice
        before = self._active.pop(name, None)
        if alert is not None:
            if before is not None and before.code == alert.code:
                alert = replace(alert, ts=before.ts)
            self._active[name] = alert
        return name if alert != before else None

    def get(self, name: str) -> Alert | None:
        """The active one of that id."""
        return self._active.get(name)

    def names(self) -> list[str]:
        """The ids of the active ones."""
        return list(self._active)
