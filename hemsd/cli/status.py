"""`hemsd status`: how the running daemon, its meter and everything else in the house are doing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from msgspec import convert

from hemsd.cli.asking import Daemon, Gone
from hemsd.cli.exits import TROUBLE, Exit, GaveUp
from hemsd.cli.read import daemon_for
from hemsd.cli.words import clock, judged, lasted, listed, painted, plain
from hemsd.hub.messages import (
    AIR_ALLOWED_S,
    ApplianceStatus,
    BackfillProgress,
    Domain,
    Health,
    IsolationStatus,
    MeterReading,
    MeterStatus,
    SiteAggregate,
)

if TYPE_CHECKING:
    from hemsd.cli.asking import Told

NONE_RUNS = "no daemon runs that could be asked; start it with `sudo systemctl start hemsd.target` or `hemsd run`"
FIRST_S = 5.0  # for the daemon to tell how things stand
GREEN, YELLOW, RED = 32, 33, 31
CLEAR = "\x1b[H\x1b[J"  # cursor home, erase to the end (ECMA-48)

STAGES = {
    "opening": "setting up the module",
    "surviving": "trying the session of the last time",
    "scanning": "looking for the meter",
    "joining": "joining the meter",
    "renewing": "renewing the session",
    "online": "online",
    "gated": "online, not allowed to send at the moment",
    "waiting": "waiting before the next attempt",
    "refused": "refused by the meter; tried again once an hour",
    "stopped": "stopped",
}


@dataclass(slots=True)
class Snapshot:
    """What the house said last, by meter, by appliance, by interface and by domain."""

    meters: dict[str | None, MeterStatus] = field(default_factory=dict)
    readings: dict[str, MeterReading] = field(default_factory=dict)
    backfills: dict[str, BackfillProgress] = field(default_factory=dict)
    appliances: dict[str, ApplianceStatus] = field(default_factory=dict)
    house: SiteAggregate | None = None
    isolation: dict[tuple[Domain, str], IsolationStatus] = field(default_factory=dict)
    healths: dict[str, Health] = field(default_factory=dict)
    meterless: bool = False  # by the configuration

    def note(self, told: Told) -> bool:
        """Take in a message; False for one that says nothing of how things stand."""
        match told["type"]:
            case "MeterStatus":
                status = convert(told, MeterStatus)
                if status.meter is not None:
                    self.meters.pop(None, None)
                self.meters[status.meter] = status
            case "MeterReading":
                reading = convert(told, MeterReading)
                self.readings[reading.meter] = reading
            case "BackfillProgress":
                progress = convert(told, BackfillProgress)
                self.backfills[progress.meter] = progress
            case "ApplianceStatus":
                appliance = convert(told, ApplianceStatus)
                self.appliances[appliance.appliance] = appliance
                if appliance.forgotten:
                    del self.appliances[appliance.appliance]
            case "SiteAggregate":
                self.house = convert(told, SiteAggregate)
            case "IsolationStatus":
                isolation = convert(told, IsolationStatus)
                self.isolation[isolation.source, isolation.interface] = isolation
            case "Health":
                health = convert(told, Health)
                self.healths[health.name] = health
            case _:
                return False
        return True


def run(arguments: argparse.Namespace) -> int:
    """Say how it stands; with --watch again whenever it changes. The exit code judges the meter."""
    daemon = daemon_for(arguments)
    if daemon is None:
        raise GaveUp(Exit.NO_DAEMON, NONE_RUNS)
    snapshot = _standing(daemon, arguments)
    _show(daemon, snapshot, arguments)
    while arguments.watch:
        try:
            changed = _changed(daemon, snapshot)
        except Gone as gone:
            daemon = daemon.back(gone)
            snapshot, changed = _standing(daemon, arguments), True
        if changed:
            _show(daemon, snapshot, arguments)
    return verdict(snapshot)


def first(daemon: Daemon) -> Snapshot:
    """How things stand: what the daemon tells everyone at once, ending with its own health."""
    snapshot, until = Snapshot(), time.monotonic() + FIRST_S
    while Domain.OPERATOR.value not in snapshot.healths and (told := daemon.next(until)) is not None:
        snapshot.note(told)
    return snapshot


def _standing(daemon: Daemon, arguments: argparse.Namespace) -> Snapshot:
    snapshot = first(daemon)
    snapshot.meterless = not snapshot.meters and _meterless(arguments)
    return snapshot


def _meterless(arguments: argparse.Namespace) -> bool:
    """Whether the configuration, as far as we may read it, has no link to a meter."""
    from hemsd.cli.connect import config_of
    from hemsd.daemon.config import ConfigError

    try:
        return not config_of(arguments).meter.there
    except ConfigError:
        return False


def _changed(daemon: Daemon, snapshot: Snapshot) -> bool:
    """Wait for something new, or for a second to pass where a person looks; whether there is something to show."""
    looking = sys.stdout.isatty()
    told = daemon.next(time.monotonic() + (1.0 if looking else 3600.0))
    return looking if told is None else snapshot.note(told)


def verdict(snapshot: Snapshot) -> int:
    """The worst of the meters; a daemon that has said nothing of the one it should have is not there yet."""
    without = Exit.READ if snapshot.meterless else Exit.TIMEOUT
    return max((judge(status) for status in snapshot.meters.values()), default=without)


def judge(status: MeterStatus) -> Exit:
    """One meter: online with fresh values, or what is wrong."""
    if status.online:
        return Exit.READ if status.fresh else Exit.TIMEOUT
    if status.stage == "refused":
        return Exit.REFUSED
    return TROUBLE.get(status.trouble, Exit.TIMEOUT)


def _show(daemon: Daemon, snapshot: Snapshot, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(as_json(daemon, snapshot), ensure_ascii=False), flush=True)
        return
    if arguments.watch and sys.stdout.isatty():
        print(CLEAR, end="")
    if daemon.site:
        print(f"{'site':<12}{daemon.site}")
    for label, text in lines(snapshot, datetime.now(UTC)):
        print(f"{label:<12}{text}")
    sys.stdout.flush()


# --- for programs ---------------------------------------------------------------------------------------------


def as_json(daemon: Daemon, snapshot: Snapshot) -> dict[str, Any]:
    """Everything as one object; times as RFC 3339 in Japan's time."""
    return {
        "daemon": {"version": daemon.version, "site": daemon.site, "socket": daemon.path},
        "meters": [
            plain(status) | {"reading": plain(snapshot.readings.get(status.meter or ""))}
            for status in snapshot.meters.values()
        ],
        "backfills": [plain(progress) for progress in snapshot.backfills.values()],
        "house": plain(snapshot.house),
        "appliances": [plain(appliance) for appliance in snapshot.appliances.values()],
        "isolation": [plain(status) for status in snapshot.isolation.values()],
        "health": {name: plain(health) for name, health in snapshot.healths.items()},
    }


# --- for people -----------------------------------------------------------------------------------------------


def lines(snapshot: Snapshot, now: datetime) -> Iterator[tuple[str, str]]:
    """Labels and texts, in the order of interest."""
    if not snapshot.meters:
        unknown = painted("nothing is known of it yet", YELLOW)
        yield "meter", "none, by the configuration" if snapshot.meterless else unknown
    for status in snapshot.meters.values():
        yield from _meter_lines(status, snapshot.readings.get(status.meter or ""), now)
    for progress in snapshot.backfills.values():
        if not progress.last:
            yield "backfill", f"{progress.done} of {progress.total} days"
    if snapshot.appliances:
        yield "appliances", _appliances(list(snapshot.appliances.values()))
        if snapshot.house is not None and (house := _house(snapshot.house)):
            yield "house", house
    for isolation in snapshot.isolation.values():
        yield from _isolation_lines(isolation)
    for health in snapshot.healths.values():
        yield from _health_lines(health)


def _isolation_lines(status: IsolationStatus) -> Iterator[tuple[str, str]]:
    if not status.breaches:
        yield status.interface, painted("kept apart", GREEN)
        return
    use = "not kept apart, and not used until that is over" if status.refused else "not kept apart"
    yield status.interface, painted(use, RED)
    yield from (("", f"{each.requirement}: {each.text}") for each in status.breaches)


def _meter_lines(status: MeterStatus, reading: MeterReading | None, now: datetime) -> Iterator[tuple[str, str]]:
    live = None if reading is None or reading.power_w is None else reading
    yield "meter", _state(status, now)
    if not status.online and status.detail:
        yield "", status.detail
    if status.contended:
        yield "", painted("another controller seems to be at this meter: it must be the only one (G.9958)", RED)
    identity = status.identity
    if identity is not None:
        known = (identity.maker and f"maker {identity.maker}", identity.serial and f"serial {identity.serial}")
        yield "identity", ", ".join([identity.meter, *(text for text in known if text)])
    if (read_at := status.read_at) is not None:
        if live is not None:
            read_at = max(read_at, live.measured_at)  # a status comes once a minute
        ago = lasted((now - read_at).total_seconds())
        yield "values", painted(f"fresh, {ago} old", GREEN) if status.fresh else painted(f"stale, {ago} old", RED)
    if status.module:
        yield "module", " on ".join(text for text in (status.module, status.port) if text)
    elif status.port:
        yield "port", status.port
    yield from _radio_lines(status, now)
    if live is not None:
        yield "reading", f"{live.power_w} W at {clock(live.measured_at, now)}"


def _state(status: MeterStatus, now: datetime) -> str:
    word = STAGES.get(status.stage, status.stage)
    since = f" since {clock(status.since, now)} ({lasted((now - status.since).total_seconds())})"
    if status.online:
        return painted(word, GREEN if status.stage == "online" else YELLOW) + since
    return painted(f"offline: {word}", RED) + since


def _radio_lines(status: MeterStatus, now: datetime) -> Iterator[tuple[str, str]]:
    link, radio = status.link, status.radio
    if link.rssi_dbm is not None:
        lqi = "" if link.lqi is None else f" (LQI {link.lqi})"
        yield "signal", f"{link.rssi_dbm:.0f} dBm, {judged(link.rssi_dbm)}{lqi}"
    if link.channel is not None:
        yield "radio", f"channel {link.channel}, PAN {link.pan_id}"
    if radio.loss is not None:
        yield "loss", f"{radio.loss:.0%} of the last requests drew no answer in the usual time"
    yield "air time", f"{radio.air_s:.1f} s of {AIR_ALLOWED_S:g} s allowed in an hour"
    if radio.session_since is not None and status.online:
        lifetime = f", of {lasted(radio.lifetime_s)}" if radio.lifetime_s else ""
        before = ", ".join(map(lasted, reversed(radio.lifetimes_s)))
        earlier = f"; before it {before}" if before else ""
        yield "session", f"for {lasted((now - radio.session_since).total_seconds())}{lifetime}{earlier}"
    if radio.recoveries:
        steps = ", ".join(f"{step} {count}" for step, count in radio.recoveries.items())
        last = f"; the last took {lasted(radio.recovery_s)}" if radio.recovery_s is not None else ""
        yield "recoveries", f"{steps}{last}"
    if radio.dropped:
        yield "dropped", ", ".join(f"{why} {count}" for why, count in radio.dropped.items())


def _appliances(appliances: list[ApplianceStatus]) -> str:
    away = sorted(each.name for each in appliances if not each.online)
    counted = f"{len(appliances) - len(away)} of {len(appliances)} online"
    return f"{painted(counted, YELLOW)}; not {listed(away)}" if away else painted(counted, GREEN)


def _house(house: SiteAggregate) -> str:
    """The parts that there are; power flows into the house where it is positive, but for what is made."""
    parts = {
        "grid": house.grid_w,
        "made": house.pv_w,
        "battery": house.battery_w,
        "vehicle": house.ev_w,
        "known loads": house.known_loads_w,
        "rest": house.rest_w,
    }
    return ", ".join(f"{name} {power_w} W" for name, power_w in parts.items() if power_w is not None)


def _counted(counters: Mapping[str, int]) -> Iterator[str]:
    """Counters in words: those of each network of appliances ("home: requests") together."""
    parts: dict[str, list[str]] = {}
    for what, count in counters.items():
        of, colon, name = what.partition(": ")
        parts.setdefault(of if colon else "", []).append(f"{(name or what).replace('_', ' ')} {count}")
    for of, each in parts.items():
        yield f"{of}: {', '.join(each)}" if of else ", ".join(each)


def _health_lines(health: Health) -> Iterator[tuple[str, str]]:
    name = "hub" if health.source is Domain.OPERATOR else health.name
    told = "; ".join(text for text in (health.detail, *_counted(health.counters)) if text)
    word = painted("well", GREEN) if health.ok else painted("not well", RED)
    yield name, f"{word}{': ' if told else ''}{told}"
