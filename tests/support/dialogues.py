"""One node as a pure function of bytes, and one dialogue with it: below the network, for dialogues and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hemsd.appliances.dialogue import GAP_S, Dialogue, Finished, Quiet
from hemsd.appliances.manners import Manners
from hemsd.echonet.frame import decode

AIRCON = 0x013001
HEADER = 12  # bytes before the first property


def properties(data: bytes) -> list[tuple[int, bytes]]:
    """The properties of a frame, read here and not by the code under test."""
    found, at = [], HEADER
    for _ in range(data[11]):
        end = at + 2 + data[at + 1]
        found.append((data[at], data[at + 2 : end]))
        at = end
    assert at == len(data)
    return found


def answer(request: bytes, esv: int, told: list[tuple[int, bytes]]) -> bytes:
    """The answer to a request, by hand."""
    body = b"".join(bytes([epc, len(edt)]) + edt for epc, edt in told)
    return request[:4] + request[7:10] + request[4:7] + bytes([esv, len(told)]) + body


def hear(dialogue: Dialogue, data: bytes, now: float) -> tuple[bool, list[Finished | Quiet]]:
    """Give it a datagram as a network does; whether it belongs to something asked, and what came of it."""
    if (ticket := dialogue.recognise(data, now)) is not None:
        return True, [Finished(ticket)]
    return dialogue.receive(decode(data), now), dialogue.events()


@dataclass
class Node:
    """Answers Get and SetC of any of its objects out of `values`, by EPC."""

    values: dict[int, bytes]
    limit: int = 255  # properties it takes in one Get
    beyond: str = "prefix"  # what it does with more: prefix, empty, silence; or omits: it leaves out what it has not
    alone: frozenset[int] = frozenset()  # not answered in company
    effect: Callable[[int, bytes], bytes] | None = None  # what a property becomes when it is set to something
    refuses: frozenset[int] = frozenset()  # EPCs it will not set
    written: list[list[tuple[int, bytes]]] = field(default_factory=list)
    asked: list[list[int]] = field(default_factory=list)

    def answers(self, data: bytes) -> list[bytes]:
        """To one request."""
        told = properties(data)
        return self._set(data, told) if data[10] == 0x61 else self._get(data, [epc for epc, _ in told])

    def _get(self, data: bytes, epcs: list[int]) -> list[bytes]:
        self.asked.append(epcs)
        shown = epcs
        if len(epcs) > self.limit:
            if self.beyond == "silence":
                return []
            shown = epcs[: self.limit] if self.beyond == "prefix" else epcs
        if self.beyond == "omits":
            shown = [epc for epc in epcs if epc in self.values] or epcs
        empty = len(epcs) > self.limit and self.beyond == "empty"
        told = [
            (epc, b"" if empty or (len(epcs) > 1 and epc in self.alone) else self.values.get(epc, b""))
            for epc in shown
        ]
        complete = len(told) == len(epcs) and all(edt for _, edt in told)
        return [answer(data, 0x72 if complete else 0x52, told)]

    def _set(self, data: bytes, told: list[tuple[int, bytes]]) -> list[bytes]:
        self.written.append(told)
        for epc, edt in told:
            if epc not in self.refuses:
                self.values[epc] = self.effect(epc, edt) if self.effect else edt
        shown = [(epc, edt if epc in self.refuses else b"") for epc, edt in told]
        return [answer(data, 0x51 if any(edt for _, edt in shown) else 0x71, shown)]


class Line:
    """A dialogue, the time, and what came of it."""

    def __init__(self, manners: Manners | None = None, *, gap_s: float = GAP_S) -> None:
        self.manners = manners or Manners()
        self.tid = 0x00FF
        self.dialogue = Dialogue(self.manners, self._next_tid, gap_s=gap_s)
        self.now = 100.0
        self.happened: list[Finished | Quiet] = []
        self.sent: list[bytes] = []

    def _next_tid(self) -> int:
        self.tid = (self.tid + 1) & 0xFFFF
        return self.tid

    def go(self) -> list[bytes]:
        """Let what is due now happen; the datagrams sent."""
        self.dialogue.tick(self.now)
        sent = list(self.dialogue.outgoing())
        self.sent += sent
        self.happened += self.dialogue.events()
        return sent

    def one(self) -> bytes:
        """The one datagram that is due now."""
        (data,) = self.go()
        return data

    def epcs(self) -> list[int]:
        """What that asks."""
        return [epc for epc, _ in properties(self.one())]

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass, waking up when the dialogue wants to; the datagrams sent."""
        end, sent = self.now + seconds, []
        for _ in range(1000):
            at = self.dialogue.deadline()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            sent += self.go()
        else:
            raise AssertionError("it never comes to rest")
        self.now = end
        return sent

    def hear(self, data: bytes) -> bool:
        """A datagram of the node comes now."""
        known, happened = hear(self.dialogue, data, self.now)
        self.happened += happened
        return known

    def tell(self, request: bytes, esv: int, told: dict[int, bytes]) -> bool:
        """It answers this."""
        return self.hear(answer(request, esv, list(told.items())))

    def talk(self, node: Node, seconds: float = 60.0, takes_s: float = 0.05) -> None:
        """Let the node answer everything for a while."""
        end = self.now + seconds
        due: list[tuple[float, bytes]] = []
        for _ in range(10_000):
            due += [(self.now + takes_s, each) for data in self.go() for each in node.answers(data)]
            at = min([each[0] for each in due] + [self.dialogue.deadline() or end, end])
            if at >= end:
                break
            self.now = max(self.now, at)
            for each in [each for each in due if each[0] <= self.now]:
                due.remove(each)
                self.hear(each[1])
        else:
            raise AssertionError("it never comes to rest")
        self.now = end

    def finished(self) -> list[object]:
        """The tickets that were told to be done."""
        return [each.ticket for each in self.happened if isinstance(each, Finished)]

    def quiet(self) -> list[object]:
        """The tickets that met silence."""
        return [each.ticket for each in self.happened if isinstance(each, Quiet)]
