"""What was asked of the meter and what it said, whoever asked it: as values, as text, and as an exit code.

Both sources tell the same: a MeterStatus and a MeterProperty for each code, as they stand on a line of the socket.
"""

from __future__ import annotations

import json
import sys
import time

from hemsd.cli.exits import Exit, GaveUp, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from hemsd.cli.asking import Told

LIVE = ("power", "current", "energy")
GROUPS = (*LIVE, "interval", "clock", "identity")
JSON_DEFAULT = (*LIVE, "interval", "identity")
E7, E8, E0, E3, EA, EB, DATE, TIME, MAKER = 0xE7, 0xE8, 0xE0, 0xE3, 0xEA, 0xEB, 0x98, 0x97, 0x8A
ASKED = {  # codes (ECHONET Appendix, class 0288) behind each group; who the meter is, the status tells
    "power": (E7,),
    "current": (E8,),
    "energy": (E0, E3),
    "interval": (EA, EB),
    "clock": (DATE, TIME),
    "identity": (MAKER,),
}
KEYS = {  # of a reading, by what was asked for
    "power": ("power_w",),
    "current": ("current_r_a", "current_t_a"),
    "energy": ("energy_import_kwh", "energy_export_kwh"),
}
STATES = {"no_data": "no data", "absent": "not on this meter", "timeout": "no answer", "unknown_unit": "unit unknown"}
JST_S = 9 * 3600


class Wanted:
    """What to read: groups of values, and properties by their code; `named` by the user or as it is by default."""

    def __init__(self, groups: tuple[str, ...], epcs: tuple[int, ...] = (), *, named: bool = True) -> None:
        self.groups = groups
        self.epcs = epcs
        self.named = named  # what of it does not exist is an error

    def asked(self) -> tuple[int, ...]:
        """All codes to ask for."""
        return tuple(dict.fromkeys([*(epc for group in self.groups for epc in ASKED[group]), *self.epcs]))


def wanted(words: Sequence[str], *, as_json: bool) -> Wanted:
    """What the words on the command line mean. Raises UsageError."""
    groups: list[str] = []
    epcs: list[int] = []
    for word in words:
        if word in GROUPS:
            groups.append(word)
        elif (code := _code(word)) is not None:
            epcs.append(code)
        elif word != "all":
            raise UsageError(f"there is no {word!r} to read: {', '.join(GROUPS)}, all, or a code from 0x80 to 0xFF")
    if "all" in words:
        return Wanted(GROUPS, tuple(epcs), named=bool(epcs))
    if not words:
        return Wanted(JSON_DEFAULT if as_json else LIVE, named=False)
    return Wanted(tuple(dict.fromkeys(groups)), tuple(dict.fromkeys(epcs)))


def _code(word: str) -> int | None:
    digits = word[2:]
    if word[:2].lower() == "0x" and len(digits) == 2 and digits.isalnum():
        try:
            code = int(digits, 16)
        except ValueError:
            return None
        return code if code >= 0x80 else None
    return None


class Answer:
    """What one round of reading gave: as JSON, and which values are missing for which reason."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.missing: dict[str, str] = {}  # name -> absent, refused, timeout, no_data, ...


def answer_of(what: Wanted, status: Told, told: Mapping[int, Told]) -> Answer:
    """A round's properties and the status after it as an answer. Raises GaveUp when nothing at all came."""
    if told and all(each["error"] == "timeout" for each in told.values()):
        raise GaveUp(Exit.TIMEOUT, "the meter did not answer in time")
    answer = Answer()
    for group in LIVE:
        if group in what.groups:
            _live(group, told, answer)
    if "interval" in what.groups:
        answer.values["interval"] = interval = _interval(told)
        if interval is None:
            answer.missing["interval"] = _why_none(told[EA], told[EB])
    if "clock" in what.groups:
        answer.values["clock"] = clock = _clock(told)
        if clock is None:
            answer.missing["clock"] = _why_none(told[DATE], told[TIME])
    if "identity" in what.groups:
        identity = status.get("identity") or {}
        answer.values["meter"] = {key: identity.get(key) for key in ("maker", "serial", "release", "generation")}
    if what.epcs:
        answer.values["properties"] = {f"{epc:02X}": _property(epc, told[epc], answer) for epc in what.epcs}
    answer.values["measured_at"] = jst(time.time())
    answer.values["link"] = status["link"]
    return answer


def _live(group: str, told: Mapping[int, Told], answer: Answer) -> None:
    """Power, currents or registers; currents come two in one property."""
    found: list[tuple[object, str]]
    if group == "current":
        each = told[E8]
        parts = each["value"] if isinstance(each["value"], dict) else {}
        found = [_number(each, parts.get(phase)) for phase in ("r", "t")]
    else:
        found = [_number(told[epc], told[epc]["value"]) for epc in ASKED[group]]
    for key, (value, why) in zip(KEYS[group], found, strict=True):
        answer.values[key] = value
        if why:
            answer.missing[key] = why


def _number(each: Told, value: object) -> tuple[object, str]:
    """A number, or why there is none; a count of unknown worth is none."""
    if each["error"]:
        return None, each["error"]
    if isinstance(value, str):
        return None, value
    if value is None:
        return None, "no_data"
    return (None, "unknown_unit") if each["unit"] == "count" else (value, "")


def _interval(told: Mapping[int, Told]) -> dict[str, Any] | None:
    """The registers at one boundary; where the two tell different ones, the earlier one is left out."""
    values = {key: told[epc]["value"] for key, epc in (("energy_import_kwh", EA), ("energy_export_kwh", EB))}
    ends = [value["at"] for value in values.values() if isinstance(value, dict) and value["at"][:1].isdigit()]
    if not ends:
        return None
    found: dict[str, Any] = {"end": f"{max(ends)}+09:00"}
    for (key, value), epc in zip(values.items(), (EA, EB), strict=True):
        of_it = isinstance(value, dict) and value["at"] == max(ends)
        found[key] = _number(told[epc], value["energy"])[0] if of_it else None
    return found


def _clock(told: Mapping[int, Told]) -> str | None:
    day, at = told[DATE]["value"], told[TIME]["value"]
    both = isinstance(day, str) and isinstance(at, str) and day[:1].isdigit() and at[:1].isdigit()
    return f"{day}T{at}+09:00" if both else None


def _why_none(*several: Told) -> str:
    return "timeout" if any(each["error"] == "timeout" for each in several) else "absent"


def _property(epc: int, each: Told, answer: Answer) -> dict[str, Any] | None:
    if each["error"]:
        answer.missing[f"0x{epc:02X}"] = each["error"]
        return None
    return {key: each[key] for key in ("edt", "name", "value", "unit")}


def verdict(answer: Answer, what: Wanted) -> int:
    """The exit code of a round: a value named by the user that is not there tells more than one that is only late."""
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
    if late := sorted(name for name, why in answer.missing.items() if why == "timeout"):
        print(f"hemsd: no answer in time for {', '.join(late)}", file=sys.stderr)
        return Exit.TIMEOUT
    return Exit.READ


def jst(at: float) -> str:
    """Seconds since the epoch in Japan's time (RFC 3339), to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+09:00", time.gmtime(at + JST_S))


# --- for people -----------------------------------------------------------------------------------------------

LABELS = {
    "power_w": ("power", "W"),
    "current_r_a": ("current R", "A"),
    "current_t_a": ("current T", "A"),
    "energy_import_kwh": ("energy import", "kWh"),
    "energy_export_kwh": ("energy export", "kWh"),
    "clock": ("meter's clock", ""),
}


def show(answer: Answer, *, as_json: bool, timed: bool = False) -> None:
    """Print a round on standard output; `timed` with the time of it above."""
    if as_json:
        print(json.dumps(answer.values, ensure_ascii=False), flush=True)
        return
    if timed:
        print(answer.values["measured_at"][:19].replace("T", " "))
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
