"""What others ask of the house over MQTT: checked, handed on, answered. Pure.

Theory. Whoever asks publishes to ``request/<op>``, or to ``appliance/<a>/set``, which is op `set`. Each request is
answered once, in ``response/<op>`` and, by MQTT 5 (4.10), in the response topic that it names; the caller finds its
own answer by its correlation data or by `transaction`. What is wrong in form is answered here, everything else by
control, within ANSWER_S. Nothing is answered but counted where it has no operation to answer, and where so much comes
that answers would be a flood, too.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hemsd.gateway.flood import Bucket
from hemsd.gateway.payloads import Answer, Data, Error, Request, Response, Scalar, Transaction, timestamp
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.messages import Domain, ErrorCode, Event, UserRequest, UserResponse, holds_frame

SIZE_MAX = 16 * 1024  # bytes of a payload
CORRELATION_MAX, TOPIC_MAX = 256, 256  # bytes, letters: of what an answer is sent back with, and to
TTL_S, TTL_MAX_S = 60.0, 3600.0
IN_FLIGHT_MAX = 16
ANSWERS_MAX = 64  # that wait for the broker
ANSWER_S = 320.0  # control answers within 300 s
BURST, PER_S = 20, 2.0  # requests
COMPLAINTS, COMPLAINTS_PER_S = 5, 0.2  # answers to those that are too many
POWER_COMPANY = "power-company"  # how an operation in its name begins
FORBIDDEN = (
    "services of the power company are provided through the meter, not through the home gateway "
    "(ITU-T G.9958: R32, R39, R48)"
)
TOLD_EVERY_S = 3600.0  # at most one event of those who try all the same

Operation = Literal["set", "get", "identify", "forget"]
Status = Literal["ok", "partial", "error"]
ABOUT = ("transaction", "ttl_s", "ts")  # keys beside the values in ``appliance/<a>/set``
OPERATIONS: Mapping[str, Operation] = {"set": "set", "get": "get", "identify": "identify", "forget": "forget"}


class Incoming(Struct, frozen=True):
    """A message that the broker delivered; the last three are of MQTT 5."""

    topic: str
    payload: bytes
    retained: bool = False
    response_topic: str = ""
    correlation: bytes | None = None
    expiry_s: float | None = None


class _Caller(Struct, frozen=True):
    """To whom an answer goes, and what it says of the question."""

    op: str
    target: str
    transaction: Transaction = None
    response_topic: str = ""
    correlation: bytes | None = None


@dataclass(slots=True)
class _Open:
    caller: _Caller
    until: float
    properties: dict[str, Answer] = field(default_factory=dict)


class _Refused(Exception):
    """Why a request is not handed on."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Transaction(Struct):
    """All that is wanted of a request that is refused."""

    transaction: Transaction = None


class Requests:
    """Takes messages and answers, gives requests for control and publications.

    Ids of requests begin with `name`, which is to be new with each start. `now` is monotonic, `at` the time of day.
    """

    def __init__(self, topics: Topics, name: str, counters: Counter[str]) -> None:
        self._topics = topics
        self._name = name
        self._counters = counters
        self._numbers = 0
        self._open: dict[str, _Open] = {}
        self._out: list[UserRequest | Event] = []
        self._told_at = float("-inf")  # of somebody who speaks in the power company's name
        self._answers: deque[Publication] = deque(maxlen=ANSWERS_MAX)
        self.connected()

    def connected(self) -> None:
        """A new connection: its requests are counted anew."""
        self._bucket = Bucket(BURST, PER_S)
        self._complaints = Bucket(COMPLAINTS, COMPLAINTS_PER_S)

    # --- what comes in

    def take(self, incoming: Incoming, now: float, at: datetime) -> None:
        """A message on a topic of exposure.REQUESTS."""
        self._counters["requests"] += 1
        asked = self._asked(incoming.topic)
        if asked is None or (incoming.retained and not incoming.payload):  # the latter is somebody clearing up
            self._counters["requests_ignored"] += 1
            return
        op, target = asked
        caller = _Caller(op, target, _transaction(incoming.payload))
        try:
            if not self._bucket.take(now):
                raise _Refused("rate_limited", f"at most {PER_S:g} requests a second: slow down")
            caller = self._identified(caller, incoming)
            self._hand_on(caller, incoming, now, at)
        except _Refused as refused:
            if refused.code == "rate_limited" and not self._complaints.take(now):
                self._counters["requests_ignored"] += 1
                return
            if refused.code == "forbidden_origin":
                self._tell(str(refused), now, at)
            self._answer(caller, "error", at, error=Error(code=refused.code, message=str(refused), detail=None))

    def hear(self, answer: UserResponse, at: datetime) -> None:
        """What control answers."""
        waiting = self._open.get(answer.request)
        if waiting is None:
            self._counters["answers_late"] += 1
            return
        if (told := answer.property) is not None:
            waiting.properties[told.name or f"0x{told.epc:02X}"] = Answer(
                value=told.value, unit=told.unit, state=told.state, edt=told.edt, error=told.error
            )
        if answer.last:
            del self._open[answer.request]
            self._conclude(waiting, answer, at)

    def tick(self, now: float, at: datetime) -> None:
        """Let time pass."""
        for request in [request for request, waiting in self._open.items() if now >= waiting.until]:
            text = "hemsd itself gave no answer in time: see its log"
            error = Error(code="timeout", message=text, detail=None)
            self._answer(self._open.pop(request).caller, "error", at, error=error)

    def deadline(self) -> float | None:
        """When tick() is wanted next."""
        return min((waiting.until for waiting in self._open.values()), default=None)

    # --- what goes out

    def outgoing(self) -> list[UserRequest | Event]:
        """What is to be asked of control, and told the house, in order; empties."""
        out, self._out = self._out, []
        return out

    def answer(self) -> Publication | None:
        """The next answer to publish."""
        return self._answers.popleft() if self._answers else None

    # --- inside

    def _asked(self, topic: str) -> tuple[str, str] | None:
        """Operation and target by the topic."""
        root = f"{self._topics.root}/"
        below = topic.removeprefix(root) if topic.startswith(root) else ""
        if found := re.fullmatch("request/([a-z0-9-]{1,64})", below):
            return found[1], ""
        if found := re.fullmatch("appliance/([a-z0-9-]{1,64})/set", below):
            return "set", found[1]
        return None

    def _identified(self, caller: _Caller, incoming: Incoming) -> _Caller:
        """With what MQTT 5 says about the answer. Raises _Refused where it may not go there."""
        topic, correlation = incoming.response_topic, incoming.correlation
        if correlation is not None and len(correlation) > CORRELATION_MAX:
            raise _Refused("bad_request", f"at most {CORRELATION_MAX} bytes of correlation data")
        if topic and not self._is_response_topic(topic):
            raise _Refused("bad_request", "no answer may go to that response topic: take one that is not hemsd's")
        return replace(caller, response_topic=topic, correlation=correlation)

    def _is_response_topic(self, topic: str) -> bool:
        """Whether an answer may go there: nobody makes us say something in a topic that means something else."""
        if len(topic) > TOPIC_MAX or topic.startswith("$") or set("+#\0") & set(topic):
            return False
        root = self._topics.root
        return not f"{topic}/".startswith(f"{root}/") or topic.startswith(f"{root}/response/")

    def _hand_on(self, caller: _Caller, incoming: Incoming, now: float, at: datetime) -> None:
        """Raises _Refused."""
        if incoming.retained:
            raise _Refused("bad_request", "a retained request would be repeated for ever: publish without retain")
        if len(incoming.payload) > SIZE_MAX:
            raise _Refused("bad_request", f"at most {SIZE_MAX} bytes")
        operation = OPERATIONS.get(caller.op)
        if caller.op.startswith(POWER_COMPANY):
            raise _Refused("forbidden_origin", FORBIDDEN)
        if operation is None:
            raise _Refused("bad_request", f"no operation {caller.op}: there are get, set and identify")
        asked = _request(caller, incoming.payload)
        if holds_frame(asked.target, asked.values, asked.properties):
            raise _Refused("bad_request", "a whole frame is not let through: give properties one by one")
        if len(self._open) >= IN_FLIGHT_MAX:
            raise _Refused("busy", f"{IN_FLIGHT_MAX} requests are being carried out: try again in a minute")
        good_s = [ttl_s for ttl_s in (asked.ttl_s, incoming.expiry_s) if ttl_s is not None]
        self._numbers += 1
        request = f"{self._name}-{self._numbers}"
        self._open[request] = _Open(replace(caller, target=asked.target), now + ANSWER_S)
        self._out.append(
            UserRequest(
                request=request,
                asker=Domain.GATEWAY,
                operation=operation,
                target=asked.target,
                values=asked.values,
                properties=asked.properties,
                expires_at=min(asked.ts or at, at) + timedelta(seconds=min(*good_s, TTL_MAX_S) if good_s else TTL_S),
            )
        )

    def _tell(self, text: str, now: float, at: datetime) -> None:
        """Somebody out there asks what may not come from there."""
        self._counters["forbidden_origin"] += 1
        if now >= self._told_at + TOLD_EVERY_S:
            self._told_at = now
            told = f"a request in the power company's name came by MQTT and was refused: {text}"
            self._out.append(
                Event(at=at, source=Domain.GATEWAY, kind="gateway.forbidden_origin", severity="warning", text=told)
            )

    def _conclude(self, waiting: _Open, answer: UserResponse, at: datetime) -> None:
        properties = waiting.properties
        failed = {name: each.error for name, each in properties.items() if each.error}
        error = None
        if answer.error:
            error = Error(code=answer.error, message=answer.detail, detail=failed or None)
        data = Data(outcome=answer.outcome, values=answer.values, properties=properties)
        something = answer.outcome or answer.values or properties
        self._answer(waiting.caller, answer.status, at, data=data if something else None, error=error)

    def _answer(
        self, caller: _Caller, status: Status, at: datetime, *, data: Data | None = None, error: Error | None = None
    ) -> None:
        self._counters[f"answers_{status}"] += 1
        response = Response(
            ts=timestamp(at),
            op=caller.op,
            status=status,
            transaction=caller.transaction,
            target=caller.target,
            data=data,
            error=error,
        )
        publication = self._topics.response(response)
        for topic in dict.fromkeys((publication.topic, caller.response_topic or publication.topic)):
            self._answers.append(replace(publication, topic=topic, correlation=caller.correlation))


def _request(caller: _Caller, payload: bytes) -> Request:
    """The body of a request. Raises _Refused."""
    try:
        if not caller.target:
            return msgspec.json.decode(payload, type=Request)
        values = msgspec.json.decode(payload, type=dict[str, Scalar])
        about: dict[str, object] = {name: values.pop(name) for name in ABOUT if name in values}
        about.update(target=caller.target, values=values)
        return msgspec.convert(about, Request)
    except (ValueError, RecursionError) as error:  # msgspec's and Unicode's errors are ValueErrors
        text = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise _Refused("bad_request", f"this is no request: {text[:200]}") from error


def _transaction(payload: bytes) -> Transaction:
    """What the caller knows its request by, whatever else may be wrong with it."""
    if len(payload) > SIZE_MAX:
        return None
    try:
        return msgspec.json.decode(payload, type=_Transaction).transaction
    except (ValueError, RecursionError):
        return None
