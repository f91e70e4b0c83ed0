"""`hemsd read`: values of the meter, for people or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import asdict as fields_of

from hemsd.cli.connect import config_of, meter_of
from hemsd.cli.exits import Exit, UsageError
from hemsd.daemon.config import POLLING_FLOOR_S
from hemsd.echonet.meter import describe
from hemsd.echonet.values import PropertyError
from hemsd.hub.messages import MeterIdentity, MeterInterval
from hemsd.routeb.errors import NoAnswerInTime
from hemsd.routeb.meter import Meter, Missing
from hemsd.routeb.readings import JST

LIVE = ("power", "current", "energy")
GROUPS = (*LIVE, "interval", "clock", "identity")
JSON_DEFAULT = (*LIVE, "interval", "identity")
KEYS = {  # of a reading, by what was asked for
    "power": ("power_w",),
    "current": ("current_r_a", "current_t_a"),
    "energy": ("energy_import_kwh", "energy_export_kwh"),
}
EPC = re.compile(r"(?i:0x)([89A-Fa-f][0-9A-Fa-f])")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read: groups of values, and properties by their code."""

    groups: tuple[str, ...]
    epcs: tuple[int, ...] = ()
    named: bool = True  # by the user: what of it does not exist is an error


def wanted(words: Sequence[str], *, as_json: bool) -> Wanted:
    """What the words on the command line mean. Raises UsageError."""
    groups: list[str] = []
    epcs: list[int] = []
    for word in words:
        if word in GROUPS:
            groups.append(word)
        elif code := EPC.fullmatch(word):
            epcs.append(int(code[1], 16))
        elif word != "all":
            raise UsageError(f"there is no {word!r} to read: {', '.join(GROUPS)}, all, or a code from 0x80 to 0xFF")
    if "all" in words:
        return Wanted(GROUPS, tuple(epcs), named=bool(epcs))
    if not words:
        return Wanted(JSON_DEFAULT if as_json else LIVE, named=False)
    return Wanted(tuple(dict.fromkeys(groups)), tuple(dict.fromkeys(epcs)))


@dataclass(slots=True)
class Answer:
    """What one round of reading gave: as JSON, and which values are missing for which reason."""

    values: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # name -> absent, refused, timeout, no_data, ...


def run(arguments: argparse.Namespace) -> int:
    """Read once, or again and again with --watch."""
    what = wanted(arguments.what, as_json=arguments.json)
    config = config_of(arguments)
    every_s: float | None = arguments.watch
    if every_s is not None and every_s < POLLING_FLOOR_S and not config.meter.allow_fast_polling:
        raise UsageError(
            f"a meter should be asked every {POLLING_FLOOR_S} s at most: give --watch {POLLING_FLOOR_S} or more, "
            "or set allow_fast_polling in the configuration"
        )

    async def main() -> int:
        async with meter_of(arguments, config, persist=every_s is not None) as meter:
            await meter.online()
            if every_s is not None:
                await _watch(meter, what, every_s, as_json=arguments.json)
            answer = await read(meter, what)
            show(answer, as_json=arguments.json)
            return verdict(answer, what)

    return asyncio.run(main())


async def _watch(meter: Meter, what: Wanted, every_s: float, *, as_json: bool) -> None:
    """Read for ever; a round that fails is told, and the next one comes in its time."""
    clock = asyncio.get_running_loop().time
    due = clock()
    while True:
        try:
            await meter.online()
            answer = await read(meter, what)
            if not as_json:
                print(answer.values["measured_at"][:19].replace("T", " "))
            show(answer, as_json=as_json)
        except NoAnswerInTime as error:
            print(f"hemsd: {error}", file=sys.stderr)
        due = max(due + every_s, clock())
        await asyncio.sleep(due - clock())


async def read(meter: Meter, what: Wanted) -> Answer:
    """One round. Raises NoAnswerInTime when nothing at all came."""
    answer = Answer()
    at = datetime.now(UTC)
    if asked := {group: group in what.groups for group in LIVE if group in what.groups}:
        reading = await meter.read_live(**{group: asked.get(group, False) for group in LIVE})
        at = reading.measured_at
        for key in (key for group in asked for key in KEYS[group]):
            answer.values[key] = getattr(reading, key)
        answer.missing |= reading.states
    if "interval" in what.groups:
        interval = await meter.read_interval()
        answer.values["interval"] = _interval(interval)
        answer.missing |= {} if interval is not None else {"interval": Missing.ABSENT.value}
    if "clock" in what.groups:
        clock = await meter.read_clock()
        answer.values["clock"] = clock and jst(clock)
        answer.missing |= {} if clock is not None else {"clock": Missing.ABSENT.value}
    if "identity" in what.groups:
        answer.values["meter"] = _identity(await meter.identify())
    if what.epcs:
        await _properties(meter, what.epcs, answer)
    answer.values["measured_at"] = jst(at)
    answer.values["link"] = fields_of(meter.link)
    return answer


async def _properties(meter: Meter, epcs: Sequence[int], answer: Answer) -> None:
    told = await meter.read(epcs)
    shown = answer.values["properties"] = {}
    for epc, edt in told.items():
        if isinstance(edt, Missing):
            shown[f"{epc:02X}"] = None
            answer.missing[f"0x{epc:02X}"] = edt.value
            continue
        shown[f"{epc:02X}"] = {"edt": edt.hex().upper(), "name": "", "value": None, "unit": ""}
        with suppress(PropertyError):  # one we do not understand
            shown[f"{epc:02X}"] |= asdict(describe(epc, edt, meter.scale))


def verdict(answer: Answer, what: Wanted) -> int:
    """The exit code of a round: a value named by the user that is not there tells more than one that is only late."""
    reasons = {"", *answer.missing.values()}
    asked = {key for group in what.groups for key in KEYS.get(group, (group,))} | {
        f"0x{epc:02X}" for epc in what.epcs
    }
    if what.groups == GROUPS:
        asked = {f"0x{epc:02X}" for epc in what.epcs}
    gone = {name for name, why in answer.missing.items() if why in ("absent", "refused")}
    if {"energy_export_kwh", "energy_import_kwh"} & gone and "energy_import_kwh" not in gone:
        gone.discard("energy_export_kwh")  # a house that sells nothing has energy all the same
    if what.named and gone & asked:
        print(f"hemsd: this meter has no {', '.join(sorted(gone & asked))}", file=sys.stderr)
        return Exit.ABSENT
    if Missing.TIMEOUT.value in reasons:
        late = sorted(name for name, why in answer.missing.items() if why == Missing.TIMEOUT.value)
        print(f"hemsd: no answer in time for {', '.join(late)}", file=sys.stderr)
        return Exit.TIMEOUT
    return Exit.READ


def jst(at: datetime) -> str:
    """RFC 3339 in Japan's time, to the second."""
    return at.astimezone(JST).isoformat(timespec="seconds")


def _interval(interval: MeterInterval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        "end": jst(interval.end),
        "energy_import_kwh": interval.energy_import_kwh,
        "energy_export_kwh": interval.energy_export_kwh,
    }


def _identity(identity: MeterIdentity) -> dict[str, Any]:
    return {key: getattr(identity, key) for key in ("maker", "serial", "release", "generation")}


# --- for people -----------------------------------------------------------------------------------------------

LABELS = {
    "power_w": ("power", "W"),
    "current_r_a": ("current R", "A"),
    "current_t_a": ("current T", "A"),
    "energy_import_kwh": ("energy import", "kWh"),
    "energy_export_kwh": ("energy export", "kWh"),
    "clock": ("meter's clock", ""),
}
STATES = {"no_data": "no data", "absent": "not on this meter", "timeout": "no answer", "unknown_unit": "unit unknown"}


def show(answer: Answer, *, as_json: bool) -> None:
    """Print a round on standard output."""
    if as_json:
        print(json.dumps(answer.values, ensure_ascii=False), flush=True)
        return
    for label, text in _lines(answer):
        print(f"{label:<16}{text}", flush=True)


def _lines(answer: Answer) -> list[tuple[str, str]]:
    values, lines = answer.values, []
    for key, (label, unit) in LABELS.items():
        if key in values:
            lines.append((label, _text(values[key], unit, answer.missing.get(key, ""))))
    if "interval" in values:
        lines += _interval_lines(values["interval"])
    for key, value in (values.get("meter") or {}).items():
        lines.append((key, "unknown" if value is None else str(value)))
    for epc, shown in values.get("properties", {}).items():
        why = answer.missing.get(f"0x{epc}", "")
        text = _text(None, "", why) if shown is None else f"{_compact(shown)} {shown['unit'] or ''}"
        lines.append((f"0x{epc}", f"{text.rstrip()}  {'' if shown is None else shown['name']}".rstrip()))
    return lines


def _interval_lines(interval: dict[str, Any] | None) -> list[tuple[str, str]]:
    if interval is None:
        return [("interval", "not on this meter")]
    at = interval["end"][:16].replace("T", " ")
    return [
        (f"{way} at", f"{_text(interval[f'energy_{way}_kwh'], 'kWh', '')} ({at})")
        for way in ("import", "export")
        if interval[f"energy_{way}_kwh"] is not None
    ]


def _text(value: object, unit: str, why: str) -> str:
    if value is None:
        return STATES.get(why, why or "no data")
    return f"{value:>12} {unit}".rstrip()


def _compact(shown: dict[str, Any]) -> str:
    value = shown["value"]
    if value is None:
        return f"{shown['edt']} (hexadecimal)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
