"""What to ask of a node at once, and what its answers teach about that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from hemsd.appliances.manners import LIMIT_S, PROPERTIES_MAX, Manners
from hemsd.appliances.tickets import Asking, Plan, Ticket
from hemsd.echonet.exchange import Missing
from hemsd.echonet.frame import BODY_AT, ESV, Frame, Property, encode
from hemsd.echonet.objects import CONTROLLER

PLAN_LIMIT = 64  # datagrams ready to be sent again, of one node
REQUESTS: Final = 1024  # of all
REFUSED_LIMIT = 256  # properties known to be refused
SIZES_LIMIT = 256  # properties whose size is known

ANSWER_BYTES = 1024  # of properties in one answer, so that it fits into one packet of any link
TRIES = 2  # where requests get lost, of a larger size before it is taken for too large
LAST_S = 6.0  # of the time that a request has, in which it may be company that it fails for: two tries
USUAL_BYTES = 17  # of one property, where it was not seen to have more; maps and identifiers have as many


class Batches:
    """Of one node. A property is named by its key, see Manners."""

    __slots__ = ("_alone", "_most", "_plans", "_refused", "_sizes", "manners")

    def __init__(self, manners: Manners) -> None:
        self.manners = manners
        self._most = PROPERTIES_MAX
        self._alone: set[int] = set()  # what the maker's devices do not answer in company
        self._refused: set[int] = set()  # what was refused alone
        self._sizes: dict[int, int] = {}  # bytes of what is larger than usual
        self._plans: dict[tuple[object, ...], Plan] = {}

    def heed(self, eoj: int, alone: Iterable[int], most: int) -> None:
        """Some properties of an object are always to be asked alone, and of a node never more than so many."""
        self._alone.update([eoj << 8 | epc for epc in alone])
        self._most = max(1, min(self._most, most))
        self._plans.clear()

    def plan(self, ticket: Ticket) -> Plan:
        """The next frame of a ticket. The same few are asked all day, so they are kept."""
        writes = ticket.kind != "read" and (ticket.kind == "write" or not ticket.selected)
        if writes:
            key: tuple[object, ...] = (ticket.eoj, ticket.written)
        else:
            wanted = _in_company(ticket) if ticket.alone else ticket.wanted
            likely = self.manners.properties_per_request if ticket.kind == "read" else max(1, self.manners.proven)
            size = self._most if self._most < ticket.size else ticket.size
            size = likely if likely < size else size
            key = (ticket.eoj, wanted, size)
        if (plan := self._plans.get(key)) is None:
            properties = ticket.written if writes else self._batch(ticket.eoj, wanted, size)
            if len(self._plans) >= PLAN_LIMIT:
                self._plans.clear()
            request = _request(ticket.eoj, ESV.SETC if writes else ESV.GET, properties)
            plan = self._plans[key] = Plan(*request, writes)
        return plan

    def told(self, asking: Asking, esv: int, told: Mapping[int, bytes]) -> bool:
        """Work an answer to a read into its ticket: properties of those asked, empty where there is no value.

        Whether it had all that was asked.
        """
        ticket, size = asking.ticket, len(asking.epcs)
        answers, node = ticket.answers, ticket.eoj << 8
        given = told if all(told.values()) else {epc: edt for epc, edt in told.items() if edt}
        for epc, edt in given.items():
            if not isinstance(answers.get(epc), bytes):
                answers[epc] = edt
            if len(edt) > USUAL_BYTES and self._sizes.get(node | epc, USUAL_BYTES) < len(edt):
                self._grown(node | epc, len(edt))
        if 0 < len(given) < size:  # some answer in two frames, 72 and 52
            asking.given = asking.given.union(given)
        if size in (len(given), len(asking.given)):
            self.manners.answered(size)
        if given:
            self._given(asking, given)
        if not told or given is not told:
            self._not_given(asking, esv, [epc for epc in told if epc not in given], len(given))
        ticket.settle()
        return len(given) == size

    def going_on(self, ticket: Ticket) -> bool:
        """Before a read goes on: whether the last answer lacked properties at its end, which may show a limit."""
        last = ticket.last
        if last is None or last.writes or not 0 < last.named < len(last.epcs):
            return False
        if all(epc in ticket.answers for epc in last.epcs[: last.named]):
            ticket.failed, ticket.failed_size, ticket.managed = last.epcs[last.named :], len(last.epcs), last.named
            ticket.size = min(ticket.size, last.named)
        return True

    def overdue(self, asking: Asking, now: float) -> None:
        """No answer in the usual time: ask next what is known to work, and at last one by one."""
        ticket, size = asking.ticket, len(asking.epcs)
        left_s = ticket.limit_at - now
        if size > max(1, self.manners.proven):
            if left_s < LIMIT_S / 2 or asking.tries == TRIES or not self.manners.loses:
                self._too_many(asking)
        elif size > 1 and left_s < LAST_S:
            ticket.company = frozenset(asking.epcs)
            ticket.alone |= ticket.company
        elif size == 1 and ticket.alone.issuperset(asking.epcs):  # the others first
            ticket.wanted = tuple([epc for epc in ticket.wanted if epc not in asking.epcs]) + asking.epcs

    def _batch(self, eoj: int, wanted: tuple[int, ...], size: int) -> tuple[Property, ...]:
        """The first property wanted, and those after it that may be asked with it."""
        alone = self._alone | self.manners.alone
        sociable = [epc for epc in dict.fromkeys(wanted) if eoj << 8 | epc not in alone]
        if wanted[0] not in sociable:
            return (Property(wanted[0]),)
        batch: list[Property] = []
        room = ANSWER_BYTES
        for epc in sociable[:size]:
            room -= self._sizes.get(eoj << 8 | epc, USUAL_BYTES)
            if batch and room < 0:
                break
            batch.append(Property(epc))
        return tuple(batch)

    def _given(self, asking: Asking, given: Mapping[int, bytes]) -> None:
        """What it says of a node that it gave these."""
        ticket, manners, node = asking.ticket, self.manners, asking.ticket.eoj << 8
        if ticket.failed and any(epc in given for epc in ticket.failed):
            manners.fell_short(ticket.failed_size, ticket.managed)
            ticket.failed = ()
            self._plans.clear()
        if ticket.alone and len(asking.epcs) == 1:
            (epc,) = asking.epcs
            company = ticket.company if epc in ticket.company else ticket.alone.intersection(given)
            if company and all(isinstance(ticket.answers.get(each), bytes) for each in company):
                for each in company:
                    manners.only_alone(node | each)
                self._plans.clear()
        if manners.strikes and len(asking.epcs) > 1:
            for epc in given:
                manners.strikes.pop(node | epc, None)
        if self._refused:
            self._refused.difference_update([node | epc for epc in given])

    def _not_given(self, asking: Asking, esv: int, empty: list[int], given: int) -> None:
        ticket, answers, node = asking.ticket, asking.ticket.answers, asking.ticket.eoj << 8
        if esv == ESV.GET_RES and empty:
            for epc in empty:
                answers.setdefault(epc, Missing.ABSENT)
        elif len(asking.epcs) == 1:
            if len(self._refused) >= REFUSED_LIMIT:
                self._refused.clear()
            self._refused.add(node | asking.epcs[0])
            self._plans.clear()
            answers.setdefault(asking.epcs[0], Missing.REFUSED)
        else:
            for epc in empty:
                if node | epc in self._refused:
                    answers.setdefault(epc, Missing.REFUSED)
            if not given and len(asking.epcs) > self.manners.proven:
                self._too_many(asking)
            else:
                ticket.alone |= frozenset(empty or asking.epcs)
                if not given:
                    ticket.company = frozenset(asking.epcs)

    def _too_many(self, asking: Asking) -> None:
        """More than ever were answered got no data: go on with as many as are known to work."""
        ticket = asking.ticket
        ticket.size = ticket.managed = max(1, self.manners.proven)
        ticket.failed, ticket.failed_size = asking.epcs, len(asking.epcs)

    def _grown(self, key: int, size: int) -> None:
        if len(self._sizes) >= SIZES_LIMIT:
            self._sizes.clear()
        self._sizes[key] = size
        self._plans.clear()


def _in_company(ticket: Ticket) -> tuple[int, ...]:
    """Of what is wanted, the first, and all that may be asked with it."""
    wanted, alone = ticket.wanted, ticket.alone
    return wanted[:1] if wanted[0] in alone else tuple([epc for epc in wanted if epc not in alone])


@lru_cache(REQUESTS)
def _request(eoj: int, esv: int, properties: tuple[Property, ...]) -> tuple[tuple[int, ...], bytes]:
    """The EPCs of a request, and what follows its TID. Nodes alike are asked alike, and share both."""
    return tuple([each.epc for each in properties]), encode(Frame(0, CONTROLLER, eoj, esv, properties))[BODY_AT:]
