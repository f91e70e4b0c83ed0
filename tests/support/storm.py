"""Weather for a simulated house: faults drawn from a seed, of the kinds that installations see, many times as many.

Days are calm, windy or stormy. A storm prints itself, so that whoever sees a test fail in it can play it again:
HEMSD_STORM_SEED=17 make test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from hemsd.simulator import Fault, Flaw, Spell, Strike

Kind = Strike | Flaw | Spell

DAY_S = 86_400.0
HOUR_S = 3600.0
CALM_S = 2 * HOUR_S  # at the beginning
SETTLING_S = 8 * HOUR_S  # at the end: longer than any way back
SOAKED = 5  # storms in a soak
WINDS = (0.0, 0.3, 1.0, 1.0, 4.0)  # what the rates are multiplied by, drawn for each day

TEXT = ("SE", "DUAL")
MODULES = (*TEXT, "J11")
ALL = (*MODULES, "IP")
COMMANDS = ("SKSCAN", "SKJOIN", "SKSETPWD", "SKSETRBID", "SKSREG", "SKINFO", "SKVER", "SKRESET", "SKTERM", "ROPT")
CODES = ("ER04", "ER05", "ER06", "ER09", "ER10")
J11_COMMANDS = ("0001", "0005", "0008", "0051", "0053", "0054", "0056", "0057", "005F", "006B", "00D2")
J11_CODES = ("0E", "3D", "52", "F0", "F1")
RUBBISH = (b"\xff\x00EVENT 2\r\n", b"ERXUDP FE80\r\n", b"\r\n\r\nOK", b"FAIL ER09\r\n", b"EVENT 25 FE80", b"\0" * 40)
UNHEARD = (Spell.RADIO_LOST, Spell.METER_OFF, Spell.METER_SILENT, Spell.UNPLUGGED)  # the meter is not
OF_COMMANDS = (Flaw.COMMAND, Flaw.BROWN_OUT, Flaw.ECHO_STRAY)  # which are given all the same
SENTINELS = (
    (0xE7, "7FFFFFFE"),
    (0xE7, "80000000"),
    (0xE8, "7FFE7FFE"),
    (0xE8, "7FFF8000"),
    (0xE0, "FFFFFFFE"),
    (0xE3, "FFFFFFFE"),
)


@dataclass(frozen=True)
class Gale:
    """How often on a windy day, for how long or how many times, and with what."""

    kind: Kind
    per_day: float
    seconds: tuple[float, float] = (0.0, 0.0)
    times: tuple[int, int] = (1, 1)
    arg: Callable[[Random], Any] = lambda chance: None
    of: tuple[str, ...] = MODULES  # families that can play it


GALES = (
    Gale(Strike.GARBAGE, 1.0, arg=lambda chance: chance.choice(RUBBISH)),
    Gale(Strike.REBOOT, 0.3),
    Gale(Strike.EXPIRE, 0.5),
    Gale(Strike.PEER_CLOSES, 0.5),
    Gale(Strike.LOSE_SESSION, 1.0),
    Gale(Strike.LIMIT, 0.2, seconds=(60, 1800)),
    Gale(Strike.MOVE_PAN, 0.1, arg=lambda chance: (chance.randrange(0x21, 0x3D, 2), chance.randrange(0xFFFF))),
    Gale(Strike.METER_RESTARTS, 0.2, of=ALL),
    Gale(Strike.NOTIFY, 0.5, of=ALL),
    Gale(Strike.METER_STATUS, 0.2, arg=lambda chance: (0x88, chance.choice([b"\x41", b"\x42"])), of=ALL),
    Gale(Strike.METER_ASKS, 0.2, arg=lambda chance: [0xF0], of=ALL),
    Gale(Strike.GREET, 0.3, times=(1, 60), of=ALL),
    Gale(Strike.FORGET_NEIGHBOUR, 2.0),
    Gale(
        Flaw.COMMAND, 1.0, times=(1, 3), arg=lambda chance: (chance.choice(COMMANDS), chance.choice(CODES)), of=TEXT
    ),
    Gale(Flaw.BROWN_OUT, 0.2, arg=lambda chance: chance.choice((*COMMANDS, "SKSENDTO")), of=TEXT),
    Gale(Flaw.ECHO_STRAY, 0.5, arg=lambda chance: chance.choice((*COMMANDS, "SKSENDTO")), of=TEXT),
    Gale(
        Flaw.COMMAND,
        1.0,
        times=(1, 3),
        arg=lambda chance: (chance.choice(J11_COMMANDS), chance.choice(J11_CODES)),
        of=("J11",),
    ),
    Gale(Flaw.BROWN_OUT, 0.2, arg=lambda chance: chance.choice(J11_COMMANDS), of=("J11",)),
    Gale(Flaw.UNDECIPHERED, 0.3, times=(1, 5), of=("J11",)),
    Gale(Flaw.SEND_REFUSED, 1.0, times=(1, 5)),
    Gale(Flaw.SEND_FAILS, 2.0, times=(1, 5)),
    Gale(Flaw.INF_BEFORE_ECHO, 1.0),
    Gale(Flaw.ANSWER_LOST, 3.0, times=(1, 6), of=ALL),
    Gale(Flaw.ANSWER_LATE, 1.0, seconds=(3, 90), times=(1, 3), of=ALL),
    Gale(Flaw.ANSWER_TWICE, 1.0, times=(1, 3), of=ALL),
    Gale(Flaw.ANSWER_SHORT, 1.0, times=(1, 3), of=ALL),
    Gale(Flaw.ANSWER_REFUSED, 1.0, times=(1, 2), of=ALL),
    Gale(Flaw.SELECTOR_MOVED, 1.0, times=(1, 3), arg=lambda chance: (0xE5, bytes([chance.randrange(100)])), of=ALL),
    Gale(Flaw.ANSWER_STALLED, 0.5, seconds=(1, 30)),
    Gale(Flaw.ANSWER_DAMAGED, 2.0, times=(1, 3)),
    Gale(Flaw.JOIN_FAILS, 0.3),
    Gale(Flaw.CLOSE_UNANSWERED, 0.2),
    Gale(Spell.HANG, 0.2, seconds=(10, 600)),
    Gale(Spell.UNPLUGGED, 0.1, seconds=(5, 2 * HOUR_S), of=ALL),
    Gale(Spell.RADIO_LOST, 0.5, seconds=(30, 3 * HOUR_S), of=ALL),
    Gale(Spell.NOISE, 0.5, seconds=(300, 2 * HOUR_S), arg=lambda chance: chance.uniform(0.1, 0.6), of=ALL),
    Gale(Spell.SLOW, 0.5, seconds=(600, 2 * HOUR_S), arg=lambda chance: chance.uniform(3, 9), of=ALL),
    Gale(Spell.METER_SILENT, 0.2, seconds=(60, HOUR_S), of=ALL),
    Gale(Spell.METER_OFF, 0.1, seconds=(30, 2 * HOUR_S)),
    Gale(Spell.OCCUPIED, 0.1, seconds=(300, 2 * HOUR_S)),
    Gale(Spell.CHATTER, 0.3, seconds=(60, HOUR_S), arg=lambda chance: chance.choice((0x73, 0x74)), of=ALL),
    Gale(
        Spell.VALUE,
        1.0,
        seconds=(60, HOUR_S),
        arg=lambda chance: (lambda epc, edt: (epc, bytes.fromhex(edt)))(*chance.choice(SENTINELS)),
        of=ALL,
    ),
    Gale(Strike.MOVE_PAN, 0.1, arg=lambda chance: f"fe80::21c:64ff:fe60:{chance.randrange(1, 0xFFFF):x}", of=("IP",)),
)
"""Everything a simulated module and its meter can play, but for what comes in pairs or seldom: see storm()."""


@dataclass(frozen=True)
class Storm:
    """A schedule of faults; its text says how to play it again, and what was played."""

    seed: int
    days: float
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        lines = (f"  day {fault.at // DAY_S:.0f} {_clock(fault.at)} {_described(fault)}" for fault in self.faults)
        return f"HEMSD_STORM_SEED={self.seed} plays these {len(self.faults)} faults again:\n" + "\n".join(lines)


def storm(
    seed: int, days: float, family: str = "SE", *, longest_s: float = 30 * HOUR_S, deaths: float = 0.05
) -> Storm:
    """A storm of so many days over a module of this family, or over a meter on an IP network.

    Once in it nothing is heard of the meter for `longest_s`. `deaths` a day leave the module silent until somebody
    comes and plugs it in anew.
    """
    chance = Random(f"storm {seed}")
    begin, end = CALM_S, days * DAY_S - SETTLING_S
    winds = [chance.choice(WINDS) for _ in range(int(days) + 1)]
    faults = [
        fault
        for gale in GALES
        if family in gale.of
        for day, wind in enumerate(winds)
        for fault in _blown(gale, day * DAY_S, wind, chance)
        if begin <= fault.at and fault.at + fault.seconds <= end
    ]
    if longest_s and end - begin > 2 * longest_s:
        faults.append(Fault(Spell.RADIO_LOST, at=chance.uniform(begin, end - longest_s), seconds=longest_s))
    for _ in range(round(deaths * days) if family in MODULES else 0):
        at, until_s = chance.uniform(begin, end - 6 * HOUR_S), chance.uniform(600, 5 * HOUR_S)
        faults += [Fault(Strike.DIE, at=at), Fault(Spell.UNPLUGGED, at=at + until_s, seconds=20)]
    return Storm(seed, days, tuple(sorted(_played(faults), key=lambda fault: fault.at)))


def chosen_seeds(*fixed: int) -> list[int]:
    """The seeds of a test: those fixed; in a soak others, more of them; or the one that the environment names."""
    if named := os.environ.get("HEMSD_STORM_SEED"):
        return [int(named)]
    if os.environ.get("HEMSD_SOAK"):
        return [Random().randrange(1_000_000) for _ in range(SOAKED)]
    return list(fixed)


def _blown(gale: Gale, since: float, wind: float, chance: Random) -> Iterable[Fault]:
    at = since
    while wind and (at := at + chance.expovariate(gale.per_day * wind) * DAY_S) < since + DAY_S:
        yield Fault(
            gale.kind,
            at=round(at, 3),
            times=chance.randint(*gale.times),
            seconds=round(_length_s(chance, *gale.seconds), 3),
            arg=gale.arg(chance),
        )


def _played(faults: list[Fault]) -> Iterable[Fault]:
    """Those that have something to spoil.

    A flaw waits for its occasion: the 70 lost answers of a stormy day without radio would all come in a row when it
    is back, and be one outage more, which is not in the script.
    """
    outages = [(fault.at, fault.at + fault.seconds) for fault in faults if fault.kind in UNHEARD]
    for fault in faults:
        waits = isinstance(fault.kind, Flaw) and fault.kind not in OF_COMMANDS
        if not waits or not any(begin <= fault.at < end for begin, end in outages):
            yield fault


def _length_s(chance: Random, least: float, most: float) -> float:
    """Short ones are common and long ones are rare."""
    return least * (most / least) ** chance.random() if least else 0.0


def _described(fault: Fault) -> str:
    parts = [fault.kind.name]
    if fault.seconds:
        parts.append(f"{fault.seconds:.0f} s")
    if fault.times > 1:
        parts.append(f"{fault.times} times")
    if fault.arg is not None:
        parts.append(repr(fault.arg))
    return " ".join(parts)


def _clock(at: float) -> str:
    return f"{int(at % DAY_S // HOUR_S):02}:{int(at % HOUR_S // 60):02}:{at % 60:06.3f}"
