"""Whatever module, meter and air do: the link keeps its rules, and comes back when they behave again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from support.routeb import PAN, Driven, FakeMeter, FakeModule, asked, frame

from drivers.module import (
    Authentication,
    AuthenticationStep,
    BeaconHeard,
    Command,
    Done,
    Event,
    Fate,
    Join,
    Joined,
    JoinFailed,
    Leave,
    NoAnswer,
    Noise,
    Open,
    Pan,
    Refused,
    Send,
    SendLimit,
    SessionClosed,
    SessionExpired,
    Transmission,
)
from hemsd.echonet.exchange import Exchange, Finished, Missing, Request
from hemsd.echonet.frame import ESV, Property
from hemsd.echonet.objects import METER
from hemsd.routeb.gate import DOUBTED_S
from hemsd.routeb.ladder import BOUND_S, JITTER, PAUSE_MAX_S, REFUSED_S, Rung
from hemsd.routeb.stages import Concluded, Online, Recovering, Stage

EPCS = [0xE7, 0xE8, 0xE0, 0xE3, 0xD3, 0xE1, 0xEA, 0xE2, 0xF0]
DATAGRAMS = FakeModule()

spontaneous = st.one_of(
    st.sampled_from(
        [
            Joined(PAN.address),
            JoinFailed(PAN.address),
            SessionExpired(PAN.address),
            SessionClosed(PAN.address, by_peer=True),
            SessionClosed(PAN.address, by_peer=False),
            SendLimit(engaged=True),
            SendLimit(engaged=False),
            Transmission(PAN.address, Fate.SENT),
            Transmission(PAN.address, Fate.FAILED),
            Transmission(PAN.address, Fate.RESOLVING),
            BeaconHeard(PAN),
            BeaconHeard(Pan(0x21, 1, "001C640000000001", "11111111", 0xFF)),
            Noise("EVENT ?"),
            DATAGRAMS.datagram(frame(1, ESV.INF, {0xD5: "01028801"}, seoj="0EF001", deoj="0EF001")),
            DATAGRAMS.datagram(frame(1, ESV.INFC, {0xEA: "07EA05140E00000000FE68"})),
            DATAGRAMS.datagram(b"\x10\x81"),
            DATAGRAMS.datagram(b"", secured=False),
            DATAGRAMS.datagram(b"\0" * 40, port=716),
        ]
    ),
    st.builds(Authentication, st.sampled_from(AuthenticationStep)),
)
ends = st.sampled_from(
    [
        lambda command: [Done(command)],
        lambda command: [Refused(command, "ER10", "SK")],
        lambda command: [NoAnswer(command, 3.0)],
        lambda command: [Done(command), JoinFailed(PAN.address)],
        lambda command: [Transmission(PAN.address, Fate.FAILED), Done(command)],
    ]
)
chaos = st.lists(
    st.one_of(
        st.tuples(st.just("event"), spontaneous),
        st.tuples(st.just("end"), ends),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 5.0, 70.0, 400.0, 4000.0])),
        st.tuples(st.just("get"), st.sampled_from(EPCS)),
        st.tuples(st.just("silent"), st.booleans()),
        st.tuples(st.just("join"), st.lists(st.sampled_from(AuthenticationStep), max_size=3)),
    ),
    max_size=40,
)


class Rules(FakeModule):
    """Watches what it is told: nothing sent while the gate is shut, no join within 10 s of a session."""

    stage = Stage.WAITING
    expired = False
    limited_until = ended_at = float("-inf")

    def events(self) -> list[Event]:
        events = super().events()
        for event in events:
            match event:
                case SendLimit(engaged):
                    self.limited_until = self.now + 3600 if engaged else self.now
                case SessionExpired() if self.stage is Stage.ONLINE:
                    self.expired = True
                case Joined():
                    self.expired = False
                case SessionClosed() if self.stage in (Stage.ONLINE, Stage.GATED, Stage.WAITING):
                    self.ended_at = self.now
        return events

    def reopened(self) -> None:
        super().reopened()
        self.limited_until = min(self.limited_until, self.now + DOUBTED_S)

    def command(self, command: Command, now: float) -> None:
        match command:
            case Send(to):
                assert to == PAN.address
                assert now >= self.limited_until
                assert not self.expired
            case Join():
                assert now >= max(self.limited_until, self.ended_at + 10)
            case Leave():
                self.ended_at = now
            case Open():
                self.ended_at, self.expired = float("-inf"), False
        super().command(command, now)


@given(chaos, st.booleans(), st.booleans(), st.booleans())
@example([("get", 0xE7), ("event", SendLimit(engaged=True)), ("wait", 70.0)], True, True, True)
@example([("get", 0xE7), ("event", SessionExpired(PAN.address)), ("wait", 70.0)], True, True, True)
@example([("get", 0xE7), ("event", SessionClosed(PAN.address, by_peer=True)), ("wait", 5.0)], True, True, True)
def test_chaos(script: list[tuple[str, object]], remembered: bool, persist: bool, online: bool) -> None:
    """No event sequence makes an illegal move, an endless loop or a forbidden sending; a daemon always comes back.

    It climbs the ladder rung by rung, and no rung takes longer than its bound, but for the send limit's sake.
    """
    module = Rules()
    driven = Driven(module, remembered=PAN if remembered else None, persist=persist)
    driven.begin()
    driven.run(300, lambda: not online or driven.session.stage is Stage.ONLINE)
    for what, how in script:
        module.stage = driven.session.stage
        match what:
            case "event":
                driven.hear(how)  # type: ignore[arg-type]
            case "end":
                module.instead.append(how)  # type: ignore[arg-type]
            case "wait":
                driven.run(how)  # type: ignore[arg-type]
            case "get" if driven.session.stage is Stage.ONLINE and len(driven.link._exchange._queue) < 30:
                driven.get(how)  # type: ignore[arg-type]
            case "silent":
                module.silent = how  # type: ignore[assignment]
            case "join":
                module.joins.append(how)  # type: ignore[arg-type]
        check_the_gate(driven)
    module.instead.clear()
    module.joins.clear()
    module.silent = False
    driven.run(COMES_BACK_S, lambda: driven.session.stage is Stage.ONLINE)
    stage = driven.session.stage
    assert stage is Stage.ONLINE or (stage is Stage.STOPPED and not persist)
    limited = any(isinstance(how, SendLimit) for _, how in script)
    check_the_climb(driven, timed=not limited)


def check_the_gate(driven: Driven) -> None:
    """Open to the meter of a session that stands, while there is no limit; nothing is in flight while it is shut."""
    gate = driven.session.gate
    may_send = driven.session.stage in (Stage.SURVIVING, Stage.ONLINE) and not gate.limited
    assert gate.to == (gate.peer if may_send else None)
    assert gate.to is not None or driven.link._exchange._asking is None


COMES_BACK_S = REFUSED_S + PAUSE_MAX_S * (1 + JITTER) + sum(BOUND_S.values())
"""After everything else: the longest wait there is, an hour for the password or the send limit, and a whole round."""

FOLLOWS: dict[Rung | type | None, set[Rung]] = {
    None: {Rung.RETRY, Rung.REJOIN, Rung.RESCAN},  # while online, or on the way for the first time
    Rung.RETRY: {Rung.RETRY, Rung.REAUTHENTICATE, Rung.REJOIN},  # again: it was heard in between
    Rung.REAUTHENTICATE: {Rung.REJOIN},
    Rung.REJOIN: {Rung.RESCAN},
    Rung.RESCAN: {Rung.RESET},
    Rung.RESET: set(),
    Rung.REOPEN: {Rung.RESCAN},  # trying the surviving session, and joining again, belong to it
    Concluded: {Rung.REJOIN, Rung.RESCAN},
}
"""What may follow a rung without the meter, when the module does what it is told."""


def check_the_climb(driven: Driven, *, timed: bool) -> None:
    """No rung is left out, none takes too long, and what the module is to blame for leads to RESET and REOPEN."""
    last: Rung | type | None = None
    began = 0.0
    for at, event in driven.told:
        if isinstance(event, Online | Concluded | Recovering) and isinstance(last, Rung) and timed:
            assert last is Rung.RETRY or at - began <= BOUND_S[last], (last, at - began)
        match event:
            case Recovering(Rung.RESET, text) if last is not Rung.RESCAN:
                assert text.startswith("the module")
                last, began = Rung.RESET, at
            case Recovering(Rung.REOPEN):
                assert last is Concluded
                last, began = Rung.REOPEN, at
            case Recovering(rung):
                assert rung in FOLLOWS[last], (last, rung)
                last, began = rung, at
            case Concluded():
                last = Concluded
            case Online():
                last = None


class Told:
    """A peer that answers with values that tell which request they were for."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.now = 0.0
        self.requests: list[Request] = []
        self.ended: list[Request] = []
        self.sent: list[tuple[int, int, list[int]]] = []  # TID, number of its request, EPCs

    def ask(self, epcs: list[int], esv: int) -> None:
        if len(self.requests) - len(self.ended) < 20:
            self.requests.append(self.exchange.ask(esv, METER, [Property(epc) for epc in epcs]))

    def send(self) -> None:
        if (datagram := self.exchange.send(self.now)) is None:
            return
        tid, esv, properties = asked(datagram)
        if esv != ESV.INFC_RES:
            number = next(n for n, request in enumerate(self.requests) if not request.done)
            self.sent.append((tid, number, list(properties)))

    def answer(self, back: int, esv: int, kept: int, empty: int) -> None:
        """Answer one of the last askings with its first `kept` properties, the first `empty` of them refused."""
        if back < len(self.sent):
            tid, number, epcs = self.sent[-1 - back]
            given = {epc: "" if at < empty else f"{number:08X}" for at, epc in enumerate(epcs[:kept])}
            self.exchange.receive(frame(tid, esv, given), self.now)

    def check(self) -> None:
        for event in self.exchange.events():
            if isinstance(event, Finished):
                self.ended.append(event.request)
        for number, request in enumerate(self.requests):
            for answer in request.answers.values():
                assert isinstance(answer, Missing) or answer in (b"", number.to_bytes(4, "big"))
            if request.done:
                assert request.wanted == ()


acts = st.lists(
    st.one_of(
        st.builds(
            lambda epcs, esv: ("ask", epcs, esv),
            st.lists(st.sampled_from(EPCS), min_size=1, max_size=9),
            st.sampled_from([ESV.GET, ESV.GET, ESV.SETC]),
        ),
        st.builds(
            lambda *how: ("answer", *how),
            st.integers(0, 3),
            st.sampled_from([ESV.GET_RES, ESV.GET_SNA, ESV.SET_RES, ESV.SETC_SNA, ESV.INF, ESV.INFC]),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.0, 30.0, 61.0])),
        st.tuples(st.sampled_from(["send", "sent", "unsent", "interrupted", "garbage", "cancel", "clear"])),
    ),
    max_size=60,
)


@given(acts, st.binary(max_size=40))
def test_every_request_ends_with_its_own_answers(script: list[tuple[object, ...]], garbage: bytes) -> None:
    """However answers, losses, repetitions and cancellations interleave: one end each, never another's value."""
    told = Told()
    for what, *how in script:
        match what:
            case "ask":
                told.ask(*how)  # type: ignore[arg-type]
            case "answer":
                told.answer(*how)  # type: ignore[arg-type]
            case "wait":
                told.now += how[0]  # type: ignore[operator]
                told.exchange.tick(told.now)
            case "send":
                told.send()
            case "sent":
                told.exchange.sent(told.now)
            case "unsent":
                told.exchange.unsent(told.now)
            case "interrupted":
                told.exchange.interrupted()
            case "clear":
                told.exchange.clear()
            case "garbage":
                told.exchange.receive(garbage, told.now)
            case "cancel" if told.requests:
                told.exchange.cancel(told.requests[-1])
        told.check()
    meter = FakeMeter()
    for _ in range(3000):
        datagram = told.exchange.send(told.now)
        if datagram is not None and asked(datagram)[1] != ESV.INFC_RES:
            for answer in meter.answer(datagram):
                told.exchange.receive(answer, told.now)
        told.now += 1.0
        told.exchange.tick(told.now)
        if all(request.done for request in told.requests):
            break
    assert all(request.done for request in told.requests)
    assert told.exchange.deadline() is None
    kept = [request for request in told.requests if not request.dropped]
    finished = told.ended + [e.request for e in told.exchange.events() if isinstance(e, Finished)]
    assert sorted(map(id, kept)) == sorted(id(request) for request in finished if not request.dropped)
