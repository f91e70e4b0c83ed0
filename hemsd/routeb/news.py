"""What a person is told of what happens to the session: kind, severity and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from hemsd.routeb.contention import ADVICE
from hemsd.routeb.ladder import RUNGS, Rung
from hemsd.routeb.logbook import Recovery
from hemsd.routeb.stages import Astray, Concluded, Contended, Lost, Online, Recovering, SessionEvent, Withheld

DOING: Mapping[Rung, str] = {
    Rung.RETRY: "asking again",
    Rung.REAUTHENTICATE: "authenticating again",
    Rung.REJOIN: "joining it again",
    Rung.RESCAN: "looking for it on all channels",
    Rung.RESET: "setting the module up afresh",
    Rung.REOPEN: "closing the port and opening it again",
    Rung.REPLUG: "waiting for the device",
}
DONE: Mapping[Rung, str] = {
    Rung.RETRY: "it answers again",
    Rung.REAUTHENTICATE: "authenticated again",
    Rung.REJOIN: "joined again",
    Rung.RESCAN: "found on the air and joined again",
    Rung.RESET: "joined after the module was set up afresh",
    Rung.REOPEN: "joined after the port was opened again",
    Rung.REPLUG: "joined after the device was there again",
}
SEVERE = frozenset(RUNGS[RUNGS.index(Rung.RESET) :])


class News(NamedTuple):
    kind: str  # of hemsd.hub.messages.Event
    severity: Literal["info", "warning", "error"]
    text: str


def news_of(event: SessionEvent) -> News | None:
    """What to tell of an event, None where it is of no interest outside."""
    match event:
        case Online(recovery=None):
            how = "the session of the last time goes on" if event.resumed else "joined"
            return News("meter.online", "info", f"the meter is online: {how}")
        case Online(recovery=Recovery(rung, took_s)):
            how = "its session has survived" if event.resumed else DONE[rung]
            return News("meter.online", "info", f"the meter is online again after {_duration(took_s)}: {how}")
        case Lost(text):
            return News("meter.lost", "warning", text)
        case Recovering(rung, text):
            severity: Literal["info", "warning"] = "warning" if rung in SEVERE else "info"
            return News("meter.recovery", severity, f"{text}: {DOING[rung]}")
        case Contended():
            return News("meter.contended", "warning", ADVICE)
        case Withheld(text):
            return News("meter.withheld", "error", f"a datagram was not sent to the meter: {text} (G.9958, R54)")
        case Astray(text):
            advice = "a meter is to talk with its controller only (G.9958, R45)"
            return News("meter.astray", "warning", f"the meter sends datagrams that are not for us: {text}; {advice}")
        case Concluded(error):
            return News("meter.unreachable", "error", str(error))
        case _:
            return None


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
