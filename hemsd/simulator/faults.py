"""What can go wrong, as data: a script of faults that a simulated module plays.

>>> Faults([
...     Fault(Flaw.SEND_FAILS, at=60, times=2),                 # the next two sends after one minute
...     Fault(Strike.EXPIRE, at=3600),                          # the session's lifetime is over
...     Fault(Spell.METER_SILENT, at=7200, seconds=300),
...     Fault(Spell.VALUE, seconds=60, arg=(0xE8, bytes.fromhex("7FFE7FFE"))),
... ])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any


class Strike(Enum):
    """Happens once, at its time."""

    REBOOT = auto()  # the module restarts, for example by its watchdog; arg: another WUART stored in it, if any
    DIE = auto()  # the module says nothing more until its stick is pulled out
    GARBAGE = auto()  # arg: bytes that appear on the line
    EXPIRE = auto()  # EVENT 29, then authentication anew
    PEER_CLOSES = auto()  # EVENT 26
    LOSE_SESSION = auto()  # EVENT 24 out of the blue
    LIMIT = auto()  # EVENT 32, and EVENT 33 after `seconds`
    MOVE_PAN = auto()  # arg: (channel, PAN ID) the meter moves to; it forgets the session
    METER_RESTARTS = auto()  # it forgets the session and says nothing about it
    NOTIFY = auto()  # the meter announces its half-hour values now
    GREET = auto()  # and its instance list, `times` in a row
    METER_ASKS = auto()  # arg: EPCs that the meter reads of its controller
    METER_STATUS = auto()  # arg: (EPC, EDT) of 80, 81 or 88, announced
    METER_EXCHANGED = auto()  # arg: (plate, MAC or address) of the one that is there from now on
    METER_SET_UP = auto()  # arg: plate: the same meter, which counts in another unit from now on
    FORGET_NEIGHBOUR = auto()  # the module has to solicit the meter before it sends


class Flaw(Enum):
    """Spoils the next `times` occasions after its time."""

    COMMAND = auto()  # arg: (start of the line, "ER10"): refused with this code; of J11 ("0053", "0E")
    BROWN_OUT = auto()  # arg: start of the line (SKSENDTO, 0008 too); the module restarts amid the command
    ECHO_STRAY = auto()  # arg: start of the line; it is echoed unasked, and what comes next is glued to it
    SEND_REFUSED = auto()  # SKSENDTO draws FAIL ER10, 0008 of J11 the result 52
    SEND_FAILS = auto()  # EVENT 21 with 01, the outcome 5 of J11
    INF_BEFORE_ECHO = auto()  # an announcement gets between SKSENDTO and its echo
    ANSWER_LOST = auto()
    UNDECIPHERED = auto()  # what the meter sends comes under a key that the module has not; 6038 of J11
    ANSWER_LATE = auto()  # by `seconds`
    ANSWER_TWICE = auto()
    ANSWER_SHORT = auto()  # only the first property, ESV 52
    ANSWER_REFUSED = auto()  # every property without a value, ESV 52
    SELECTOR_MOVED = auto()  # arg: (EPC, EDT) of E5, ED or EF, set by another controller before a history is told
    ANSWER_STALLED = auto()  # its line stops in the middle for `seconds`
    ANSWER_DAMAGED = auto()  # a byte of its line is lost
    JOIN_FAILS = auto()  # the authentication breaks off half-way
    CLOSE_UNANSWERED = auto()  # EVENT 28 instead of 27


class Spell(Enum):
    """Holds for `seconds` from its time."""

    HANG = auto()  # the module neither hears nor says anything; what happens in the air still happens
    UNPLUGGED = auto()  # the USB stick is out; when it is back it has restarted
    RADIO_LOST = auto()  # nothing gets through: no beacon, no acknowledgement
    NOISE = auto()  # arg: this share (0-1) of all that is sent, beacons included, does not get through
    SLOW = auto()  # arg: seconds within which 19 of 20 answers come
    METER_SILENT = auto()  # its radio acknowledges, but nothing is answered
    METER_OFF = auto()  # a power cut at the meter: it is not there, and knows no session afterwards
    OCCUPIED = auto()  # another controller holds the meter's one session: joins come to nothing
    CHATTER = auto()  # arg: ESV; each request draws an announcement (73, 74) with its own TID before the answer
    VALUE = auto()  # arg: (EPC, EDT): the meter's property has this value


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at` seconds on the module's clock. What `arg` is, its kind says."""

    kind: Strike | Flaw | Spell
    at: float = 0.0
    times: int = 1
    seconds: float = 0.0
    arg: Any = None


class Faults:
    """A script being played; more can be added at any time (a time that has passed means at once)."""

    def __init__(self, script: Iterable[Fault] = ()) -> None:
        self._strikes: list[Fault] = []
        self._flaws: dict[Flaw, list[tuple[Fault, int]]] = {}  # and how many occasions are left
        self._spells: dict[Spell, list[Fault]] = {}
        self._turns: list[float] = []  # when a strike falls, or a spell begins or ends, in order
        self.add(*script)

    def add(self, *faults: Fault) -> None:
        """More of them."""
        for fault in faults:
            match fault.kind:
                case Strike():
                    self._strikes.append(fault)
                    self._turns.append(fault.at)
                case Flaw():
                    self._flaws.setdefault(fault.kind, []).append((fault, fault.times))
                case Spell():
                    self._spells.setdefault(fault.kind, []).append(fault)
                    self._turns += [fault.at, fault.at + fault.seconds]
        self._turns.sort()

    def deadline(self) -> float | None:
        """When something changes next."""
        return self._turns[0] if self._turns else None

    def turn(self, now: float) -> list[Fault]:
        """Pass the turns until `now`; the strikes among them, in order."""
        if not self._turns or self._turns[0] > now:
            return []
        self._turns = [at for at in self._turns if at > now]
        for kind, spells in self._spells.items():
            self._spells[kind] = [spell for spell in spells if spell.at + spell.seconds > now]
        fallen = sorted((strike for strike in self._strikes if strike.at <= now), key=lambda strike: strike.at)
        self._strikes = [strike for strike in self._strikes if strike.at > now]
        return fallen

    def take(self, kind: Flaw, now: float, line: str | None = None) -> Fault | None:
        """Whether this occasion is spoilt, and how; `line` matters to the flaws of a command only."""
        flaws = self._flaws.get(kind, [])
        for place, (flaw, left) in enumerate(flaws):
            start = flaw.arg[0] if kind is Flaw.COMMAND else flaw.arg
            if flaw.at <= now and (line is None or line.startswith(start)):
                flaws[place : place + 1] = [(flaw, left - 1)] if left > 1 else []
                return flaw
        return None

    def held(self, kind: Spell, now: float) -> list[Fault]:
        """The spells of this kind that hold now."""
        return [spell for spell in self._spells.get(kind, ()) if spell.at <= now < spell.at + spell.seconds]
