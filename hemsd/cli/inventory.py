"""Appliances in words: all of them in a table, one with everything that is known of it; and both for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hemsd.cli.words import clock, columns, lasted, painted, plain
from hemsd.hub.messages import (
    INTERVAL_S,
    ApplianceState,
    ApplianceStatus,
    PropertyContent,
    PropertyValue,
    Scalar,
)

if TYPE_CHECKING:
    from hemsd.echonet.classes.catalogue import PropertyClass

GREEN, YELLOW, RED = 32, 33, 31
VALUE_MAX = 60  # letters of a value in a table
LABEL = 10  # letters of the longest
SHORT: Mapping[str, str] = {  # words of the common language, and how they are told in a few letters
    "mode": "{}",
    "target_temperature_c": "to {} °C",
    "activity": "{}",
    "brightness_percent": "{} %",
    "room_temperature_c": "room {} °C",
    "fridge_temperature_c": "{} °C inside",
    "soc_percent": "{} % full",
    "vehicle": "vehicle: {}",
    "hot_water_l": "{} l hot",
}
REGISTERS: Mapping[str, str] = {"energy_import_kwh": "{} kWh", "volume_m3": "{} m³"}  # of one that tells no power
USUAL = "normal"  # a mode or an activity that is not worth a word
WHILE_ON = ("mode", "target_temperature_c", "brightness_percent")  # what says nothing of one that is off


def doing(values: Mapping[str, Scalar]) -> str:
    """What an appliance does now, in a few words."""
    on = values.get("on")
    parts = [] if on is None else ["on" if on else "off"]
    for word, form in SHORT.items():
        value = values.get(word)
        if value in (None, USUAL) or (on is False and word in WHILE_ON):
            continue
        if (part := form.format(shown(value))) not in parts:  # a mode and an activity may be one
            parts.append(part)
    if "power_w" not in values:
        parts += [form.format(shown(values[word])) for word, form in REGISTERS.items() if word in values]
    power_w = values.get("power_w")
    if isinstance(power_w, int | float):
        parts.append(f"gives {shown(-power_w)} W" if power_w < 0 else f"{shown(power_w)} W")
    if values.get("fault") is True:
        parts.append("fault")
    return ", ".join(parts)


def shown(value: PropertyContent) -> str:
    """A value as it could be given back on the command line."""
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case int() | str():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def read_back(values: Mapping[str, Scalar]) -> str:
    """What an order led to."""
    return ", ".join(f"{word} is {shown(value)}" for word, value in values.items())


def presence(status: ApplianceStatus, now: datetime) -> tuple[str, int]:
    """Whether it is there, or for how long not; and the colour of that."""
    if not status.online:
        return f"offline for {lasted((now - status.since).total_seconds())}", RED
    return ("online", GREEN) if status.known else ("online, not known yet", YELLOW)


# --- for people -----------------------------------------------------------------------------------------------


def print_all(appliances: Sequence[tuple[ApplianceStatus, ApplianceState | None]], now: datetime) -> None:
    """A line for each."""
    rows = []
    for status, state in appliances:
        values = state.values if state is not None and status.online else {}
        there, colour = presence(status, now)
        kind = status.kind.replace("_", " ")
        rows.append(((status.name, kind, status.room, doing(values), there, status.address), colour))
    print_table(("name", "kind", "room", "now", "", "address"), rows, typed=("name", "address"), painted_column=4)


def print_one(status: ApplianceStatus, state: ApplianceState | None, now: datetime) -> None:
    """Everything, with what can be set and what that accepts."""
    width = max(LABEL, len(status.name))
    for label, text in _about(status, state, now):
        print(f"{label:<{width}}  {text}".rstrip())
    if rows := list(_properties(status, state, now)):
        print()
        header = ("code", "property", "value", "age", "", "can", "accepts")
        print_table(header, [(row, 0) for row in rows], typed=("code", "property"))


def print_table(
    header: tuple[str, ...],
    rows: Sequence[tuple[tuple[str, ...], int]],
    *,
    typed: tuple[str, ...],
    painted_column: int | None = None,
) -> None:
    """Rows with a colour each for one of their columns; by rich where a person looks.

    Nothing is cut off where the terminal is narrow; what will be `typed` is not even broken, up to half its width.
    """
    if not sys.stdout.isatty():
        print("\n".join(columns([header, *(row for row, _ in rows)])))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, *texts in zip(header, *(row for row, _ in rows), strict=True):
        whole = title in typed and max(map(len, texts), default=0) <= console.width // 2
        table.add_column(title, overflow="fold", no_wrap=whole)
    for row, colour in rows:
        cells = [Text(text) for text in row]
        if painted_column is not None:
            cells[painted_column] = Text.from_ansi(painted(row[painted_column], colour))
        table.add_row(*cells)
    console.print(table)


def _about(status: ApplianceStatus, state: ApplianceState | None, now: datetime) -> Iterator[tuple[str, str]]:
    there, colour = presence(status, now)
    heard = ""
    if status.last_heard_at is not None and not status.online:  # of one that is, ages of values tell
        heard = f", last heard {lasted((now - status.last_heard_at).total_seconds())} ago"
    yield status.name, ", ".join(text for text in (status.kind.replace("_", " "), status.room) if text)
    yield "id", status.appliance
    yield "state", f"{painted(there, colour)} since {clock(status.since, now)}{heard}"
    if status.detail:
        yield "", status.detail
    yield "where", f"network {status.network}, {status.address}, object {status.eoj}"
    known = ("maker", status.maker), ("product", status.product), ("serial", status.serial)
    told = [f"{label} {text}" for label, text in (*known, ("release", status.release)) if text]
    if told:
        yield "device", ", ".join(told)
    if status.properties_per_request is not None:
        several = status.properties_per_request > 1
        yield "", f"seen to answer {status.properties_per_request} propert{'ies' if several else 'y'} at once"
    if state is not None:
        if state.interval_s > INTERVAL_S:
            yield "", f"read every {lasted(state.interval_s)} at most: it is slow, or much gets lost"
        yield from _pairs("now" if status.online else "told last", state.values)
        yield from _pairs("requested", state.requested)
    yield from _pairs("can be set", status.wishes)


def _pairs(label: str, words: Mapping[str, Scalar]) -> Iterator[tuple[str, str]]:
    width = max(map(len, words), default=0)
    for word, value in words.items():
        yield label, f"{word:{width}}  {shown(value)}"
        label = ""


def _properties(status: ApplianceStatus, state: ApplianceState | None, now: datetime) -> Iterator[tuple[str, ...]]:
    for name, each, told in properties(status, state):
        can = [word for word, names in _abilities(status) if name in names]
        value, age, source = "", "", ""
        if told is not None:
            value = f"{shown(told.value)} {told.unit}".rstrip() if not told.state else told.state.replace("_", " ")
            age, source = lasted((now - told.at).total_seconds()), told.source
        accepts = _accepts(each) if name in status.settable else ""
        short = value if len(value) <= VALUE_MAX else f"{value[: VALUE_MAX - 3]}..."
        yield _code(name, each), name, short, age, source, " ".join(can), accepts


# --- for programs ---------------------------------------------------------------------------------------------


def as_json(status: ApplianceStatus, state: ApplianceState | None, *, whole: bool = False) -> dict[str, Any]:
    """One appliance as an object; times as RFC 3339 in Japan's time. `whole`: with its properties."""
    found: dict[str, Any] = plain(status)
    found |= {"at": None, "values": {}, "requested": {}, "interval_s": None}
    if state is not None:
        told = plain(state)
        found |= {key: told[key] for key in ("at", "values", "requested", "interval_s")}
    if whole:
        found["properties"] = {
            name: _property_json(name, each, value, status) for name, each, value in properties(status, state)
        }
    return found


def _property_json(
    name: str, each: PropertyClass | None, told: PropertyValue | None, status: ApplianceStatus
) -> dict[str, Any]:
    unknown = {"value": None, "unit": each.unit if each is not None else "", "state": "", "at": None, "source": None}
    return {
        "code": _code(name, each),
        "title": "" if each is None else each.title,
        **(unknown if told is None else plain(told)),
        **{word: name in names for word, names in _abilities(status)},
        "accepts": _accepts(each) if name in status.settable else "",
    }


# --- what both have -------------------------------------------------------------------------------------------


def properties(
    status: ApplianceStatus, state: ApplianceState | None
) -> Iterator[tuple[str, PropertyClass | None, PropertyValue | None]]:
    """By code: what it can do anything with or told of, what its class says of that, and what it told."""
    from hemsd.echonet.classes.catalogue import properties_of  # takes a while, for those who want it
    from hemsd.echonet.classes.device import Device

    classes = properties_of(Device(eoj=int(status.eoj, 16), release=status.release))
    defined = {each.name: each for each in classes.values()}
    told = state.properties if state is not None else {}
    names = dict.fromkeys((*status.readable, *status.settable, *status.announced, *told))
    for name in sorted(names, key=lambda name: (_code(name, _defined(name, defined)), name)):
        yield name, _defined(name, defined), told.get(name)


def telling(status: ApplianceStatus) -> dict[str, str]:
    """The words of the common language that it can tell, each with the property that does."""
    from hemsd.echonet.classes.catalogue import properties_of  # takes a while, for those who want it
    from hemsd.echonet.classes.device import Device
    from hemsd.echonet.classes.typed import told_by, words_of

    classes = properties_of(Device(eoj=int(status.eoj, 16), release=status.release))
    readable = frozenset(epc for epc, each in classes.items() if each.name in status.readable)
    device = Device(eoj=int(status.eoj, 16), release=status.release, readable=readable)
    told = ((word, told_by(meaning, device, {})) for word, meaning in words_of(device).items())
    return {word: classes[epc].name for word, epc in told if epc is not None}


def _defined(name: str, defined: Mapping[str, PropertyClass]) -> PropertyClass | None:
    """Of a further page of a list, too: that has its number behind the name."""
    return defined.get(name) or defined.get(name.rpartition("_")[0])


def _code(name: str, each: PropertyClass | None) -> str:
    return name if each is None else f"0x{each.epc:02X}"


def _accepts(each: PropertyClass | None) -> str:
    return "data in hexadecimal" if each is None else each.accepts


def _abilities(status: ApplianceStatus) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("get", status.readable), ("set", status.settable), ("announce", status.announced)
