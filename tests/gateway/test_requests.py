"""What is asked over MQTT: form, bounds, time, and that each request has its one answer."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.published import check, kind_of

from hemsd.gateway.requests import (
    ANSWER_S,
    ANSWERS_MAX,
    BURST,
    COMPLAINTS,
    CORRELATION_MAX,
    IN_FLIGHT_MAX,
    PER_S,
    SIZE_MAX,
    TTL_S,
    Incoming,
    Requests,
)
from hemsd.gateway.topics import Publication, Topics
from hemsd.hub.messages import ApplianceProperty, Domain, ErrorCode, Event, UserRequest, UserResponse

NOON = datetime(2025, 1, 15, 3, 0, tzinfo=UTC)
ROOT = "hemsd/v1/home-1"
AIRCON = "0130-00000001"


class Caller:
    """Asks, and plays control."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.requests = Requests(Topics("hemsd", "home-1"), "mqtt-1", self.counters)
        self.now = 0.0

    @property
    def at(self) -> datetime:
        return NOON + timedelta(seconds=self.now)

    def ask(self, op: str = "set", body: Any = None, **more: Any) -> list[UserRequest]:
        """Publish a request; what of it reaches control."""
        payload = body if isinstance(body, bytes) else json.dumps(body if body is not None else SET).encode()
        topic = more.pop("topic", f"{ROOT}/request/{op}")
        self.requests.take(Incoming(topic, payload, **more), self.now, self.at)
        return self.requests.outgoing()

    def answers(self) -> list[Publication]:
        """All answers since the last look, checked against their schema."""
        found = []
        while (answer := self.requests.answer()) is not None:
            if kind_of(answer.topic):
                check(answer.topic, answer.payload)
            found.append(answer)
        return found

    def answer(self) -> Any:
        """The only answer, as JSON."""
        (answer,) = self.answers()
        return json.loads(answer.payload)

    def refused(self, code: str, *arguments: Any, **more: Any) -> str:
        """Ask what is refused at once, with this code; the words for it."""
        assert self.ask(*arguments, **more) == []
        answer = self.answer()
        assert (answer["status"], answer["error"]["code"], answer["data"]) == ("error", code, None)
        return str(answer["error"]["message"])

    def hear(self, asked: UserRequest, **answer: Any) -> None:
        self.requests.hear(UserResponse(request=asked.request, to=Domain.GATEWAY, **answer), self.at)


SET = {"target": "living-ac", "values": {"on": True}, "transaction": "t1"}


@pytest.mark.parametrize("code", [code for code in get_args(ErrorCode) if code])
def test_every_error_code_comes_out_as_it_is(code: ErrorCode) -> None:
    """Also one that nothing says yet, like a rule's: callers may know them all from the beginning."""
    caller = Caller()
    (asked,) = caller.ask("set", SET)
    caller.hear(asked, status="error", error=code, detail="for a reason")
    assert caller.answer()["error"] == {"code": code, "message": "for a reason", "detail": None}


def test_a_set_reaches_control_and_its_answer_comes_back() -> None:
    """Both styles at once: the same answer in response/set and in the response topic, found by either mark."""
    caller = Caller()
    (asked,) = caller.ask("set", SET, response_topic="app/answers", correlation=b"\x00\xff")
    assert (asked.asker, asked.operation, asked.target) == (Domain.GATEWAY, "set", "living-ac")
    assert (asked.values, asked.expires_at) == ({"on": True}, NOON + timedelta(seconds=TTL_S))
    caller.hear(asked, status="ok", outcome="applied", values={"on": True})
    common, own = caller.answers()
    assert (common.topic, own.topic) == (f"{ROOT}/response/set", "app/answers")
    assert common.payload == own.payload
    assert {(each.qos, each.retain, each.correlation) for each in (common, own)} == {(1, False, b"\x00\xff")}
    assert json.loads(own.payload) == {
        "schema": "hemsd.response/1",
        "ts": "2025-01-15T12:00:00+09:00",
        "op": "set",
        "status": "ok",
        "transaction": "t1",
        "target": "living-ac",
        "data": {"outcome": "applied", "values": {"on": True}, "properties": {}},
        "error": None,
    }


def test_the_topic_of_an_appliance_takes_plain_values() -> None:
    """appliance/<a>/set is a set of that appliance; what is said about the request is not a value of it."""
    caller = Caller()
    body = {"on": True, "target_temperature": 26.5, "mode": "cool", "0xB3": "0x1A", "transaction": 7, "ttl_s": 5}
    (asked,) = caller.ask(body=body, topic=f"{ROOT}/appliance/{AIRCON}/set")
    assert asked.target == AIRCON
    assert asked.values == {"on": True, "target_temperature": 26.5, "mode": "cool", "0xB3": "0x1A"}
    assert asked.expires_at == NOON + timedelta(seconds=5)
    caller.hear(asked, status="partial", error="unverified", detail="it does not read back", outcome="unverified")
    answer = caller.answer()
    assert (answer["op"], answer["target"], answer["transaction"]) == ("set", AIRCON, 7)
    assert answer["error"] == {"code": "unverified", "message": "it does not read back", "detail": None}


def test_a_get_is_one_answer() -> None:
    """What control tells property by property is put together; those that failed are named."""
    caller = Caller()
    (asked,) = caller.ask("get", {"target": "living-ac", "properties": ["room_temperature", "0xF1", "mode"]})
    assert asked.properties == ("room_temperature", "0xF1", "mode")
    told: list[dict[str, Any]] = [
        {"epc": 0xBB, "name": "room_temperature", "value": 21, "unit": "C", "edt": "15"},
        {"epc": 0xF1, "edt": "00FF"},
        {"epc": 0xB0, "name": "mode", "error": "timeout", "last": True},
    ]
    for each in told:
        answer = ApplianceProperty(query="q", appliance=AIRCON, **each)
        caller.hear(asked, status="error" if answer.error else "ok", property=answer, last=False)
    assert caller.answers() == []
    caller.hear(asked, status="partial", error="timeout", detail="1 of 3 properties could not be read")
    answer = caller.answer()
    assert answer["status"] == "partial"
    assert answer["error"]["detail"] == {"mode": "timeout"}
    assert answer["data"]["properties"] == {
        "room_temperature": {"value": 21, "unit": "C", "state": "", "edt": "15", "error": ""},
        "0xF1": {"value": None, "unit": "", "state": "", "edt": "00FF", "error": ""},
        "mode": {"value": None, "unit": "", "state": "", "edt": None, "error": "timeout"},
    }


@pytest.mark.parametrize(
    "code", ["unknown_target", "not_settable", "out_of_range", "device_refused", "forbidden_origin", "internal"]
)
def test_what_control_refuses_is_passed_on(code: Any) -> None:
    """Its code and its sentence, as they are."""
    caller = Caller()
    (asked,) = caller.ask("identify", {"target": "x"})
    caller.hear(asked, status="error", error=code, detail="because")
    answer = caller.answer()
    assert (answer["status"], answer["data"]) == ("error", None)
    assert answer["error"] == {"code": code, "message": "because", "detail": None}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"on",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"values": {"on": [1]}}',
        b'{"value": {"on": true}}',
        b'{"target": 5}',
        b'{"ttl_s": 0}',
        b'{"ttl_s": 3601}',
        b'{"ts": "2025-01-15T03:00:00"}',
        b'{"ts": "yesterday"}',
        b'{"values": {"on": 1e999}}',
        b'{"values":' * 3000,
        b'{"target": "' + b"a" * 65 + b'"}',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_malformed_is_answered(body: bytes) -> None:
    """Whatever it is, it is a bad request, and control never hears of it; by the appliance's topic as well."""
    caller = Caller()
    caller.refused("bad_request", "set", body)
    if b"target" not in body:
        caller.refused("bad_request", body=body, topic=f"{ROOT}/appliance/{AIRCON}/set")


def test_a_refusal_names_the_transaction() -> None:
    """Where only something else is wrong, the caller finds the answer to its request."""
    caller = Caller()
    caller.ask("set", {"transaction": "mine", "vaules": {}})
    answer = caller.answer()
    assert answer["transaction"] == "mine"
    assert "vaules" in answer["error"]["message"]


def test_an_oversized_request_is_refused_unread() -> None:
    """One byte more than may be, and control still takes what is just as large as it may be."""
    caller = Caller()
    body = json.dumps(SET).encode()
    assert len(caller.ask("set", body + b" " * (SIZE_MAX - len(body)))) == 1
    assert "16384 bytes" in caller.refused("bad_request", "set", body + b" " * (SIZE_MAX + 1 - len(body)))


def test_a_retained_request_is_refused() -> None:
    """The broker would repeat it with every connection. Whoever clears it away is not answered."""
    caller = Caller()
    assert "without retain" in caller.refused("bad_request", retained=True)
    assert caller.ask("set", b"", retained=True) == caller.answers() == []


def test_an_unknown_operation_is_answered_and_an_impossible_one_counted() -> None:
    """The answer to an operation that there is not comes where it would come if there were."""
    caller = Caller()
    assert "get, set and identify" in caller.refused("bad_request", "explode")
    for topic in ("request/SET", "request/a/b", "request/", "appliance/a/get", "bridge/info", "../request/set"):
        assert caller.ask(topic=f"{ROOT}/{topic}") == caller.answers() == []
    for topic in ("hemsd/v1/home-2/request/set", "request/set", ""):
        assert caller.ask(topic=topic) == caller.answers() == []
    assert caller.counters["requests_ignored"] == 9


def test_a_frame_is_refused() -> None:
    """A whole ECHONET Lite frame does not get through as a value, nor as a name."""
    frame = "1081000105FF010130016001800130"
    for body in ({"values": {"0xF1": frame}}, {"values": {frame: 1}}, {"properties": [frame]}, {"target": frame}):
        assert "frame" in Caller().refused("bad_request", "get", body)


@pytest.mark.parametrize(
    "topic",
    [
        "a/+",
        "#",
        "$SYS/x",
        "a\0b",
        "x" * 257,
        ROOT,
        f"{ROOT}/availability",
        f"{ROOT}/request/set",
        f"{ROOT}/appliance/{AIRCON}/set",
        f"{ROOT}/responses/x",
    ],
)
def test_an_answer_goes_nowhere_that_means_something_else(topic: str) -> None:
    """Nobody makes hemsd say something in a topic of its own, or in one that cannot be."""
    caller = Caller()
    caller.refused("bad_request", response_topic=topic)


@pytest.mark.parametrize("topic", ["home/answers", f"{ROOT}/response/app-1", "hemsd/v1/home-10/x"])
def test_an_answer_goes_where_it_may(topic: str) -> None:
    """Anywhere else, and below our own response/."""
    caller = Caller()
    (asked,) = caller.ask(response_topic=topic)
    caller.hear(asked, status="ok")
    assert [answer.topic for answer in caller.answers()] == [f"{ROOT}/response/set", topic]


def test_correlation_data_has_a_bound() -> None:
    """More than that is not carried about."""
    caller = Caller()
    assert len(caller.ask(correlation=b"x" * CORRELATION_MAX)) == 1
    caller.refused("bad_request", correlation=b"x" * (CORRELATION_MAX + 1))


@pytest.mark.parametrize(
    ("body", "expiry_s", "good_s"),
    [
        ({}, None, TTL_S),
        ({"ttl_s": 5}, None, 5),
        ({"ttl_s": 500}, None, 500),
        ({}, 3, 3),
        ({}, 0, 0),
        ({}, 300, 300),
        ({}, 2**32 - 1, 3600),
        ({"ttl_s": 5}, 3, 3),
        ({"ttl_s": 5}, 30, 5),
        ({"ts": "2025-01-15T02:59:50Z", "ttl_s": 5}, None, -5),
        ({"ts": "2025-01-15T12:59:00+09:00", "ttl_s": 5}, None, 5),
    ],
)
def test_how_long_a_request_is_good(body: dict[str, Any], expiry_s: float | None, good_s: float) -> None:
    """By what it says, by MQTT's message expiry, whichever is shorter; from its `ts`, but never from the future."""
    (asked,) = Caller().ask("set", SET | body, expiry_s=expiry_s)
    assert asked.expires_at == NOON + timedelta(seconds=good_s)


def test_a_flood_is_limited() -> None:
    """As many as may be at once, then few refusals, then silence and a count; later it is open again."""
    caller = Caller()
    passed = sum(len(caller.ask("explode")) or len(caller.answers()) for _ in range(BURST))
    assert passed == BURST
    for _ in range(1000):
        assert caller.ask() == []
    assert [json.loads(answer.payload)["error"]["code"] for answer in caller.answers()] == [
        "rate_limited"
    ] * COMPLAINTS
    assert caller.counters["requests_ignored"] == 1000 - COMPLAINTS
    caller.now += 1 / PER_S
    assert len(caller.ask()) == 1
    caller.requests.connected()
    assert sum(len(caller.ask()) for _ in range(BURST)) == IN_FLIGHT_MAX - 1


def test_requests_in_flight_are_bounded() -> None:
    """One more is told to come back; when one is answered there is room for one."""
    caller = Caller()
    asked = [request for _ in range(IN_FLIGHT_MAX) for request in caller.ask()]
    assert len(asked) == IN_FLIGHT_MAX
    caller.refused("busy")
    caller.hear(asked[0], status="ok")
    assert len(caller.ask()) == 1


def test_a_silent_house_is_told() -> None:
    """Where control never answers the caller hears of it, once; a late answer is nobody's."""
    caller = Caller()
    (asked,) = caller.ask()
    assert caller.requests.deadline() == ANSWER_S
    caller.now = ANSWER_S
    caller.requests.tick(caller.now, caller.at)
    assert caller.answer()["error"]["code"] == "timeout"
    assert caller.requests.deadline() is None
    caller.hear(asked, status="ok")
    assert caller.answers() == []
    assert caller.counters["answers_late"] == 1


def test_answers_that_nobody_takes_are_bounded() -> None:
    """While the broker takes none the oldest are dropped."""
    caller = Caller()
    for number in range(ANSWERS_MAX + 10):
        caller.now += 10
        caller.ask("explode", {"transaction": number})
    answers = [json.loads(answer.payload)["transaction"] for answer in caller.answers()]
    assert answers == list(range(10, ANSWERS_MAX + 10))


@given(
    st.sampled_from(["set", "get", "identify", "forget"]) | st.text("abrequestlincos/-+#", max_size=40),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ).map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {},
            optional={
                "target": st.text(max_size=70),
                "values": st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.floats(), max_size=3),
                "properties": st.lists(st.text(), max_size=3),
                "transaction": st.text() | st.integers() | st.lists(st.none()),
                "ttl_s": st.floats() | st.integers(),
                "ts": st.text() | st.datetimes().map(str),
            },
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.booleans(),
    st.text(max_size=300),
    st.none() | st.binary(max_size=300),
    st.none() | st.integers(0, 2**32 - 1),
)
def test_anything_gets_an_answer_or_a_count(
    op: str, payload: bytes, retained: bool, response_topic: str, correlation: bytes | None, expiry_s: int | None
) -> None:
    """Whatever is published, it goes to control, is answered, or is counted; never anything else."""
    caller = Caller()
    asked = caller.ask(
        op, payload, retained=retained, response_topic=response_topic, correlation=correlation, expiry_s=expiry_s
    )
    answered = bool(caller.answers())
    assert len(asked) + answered + caller.counters["requests_ignored"] == 1


@pytest.mark.parametrize("op", ["power-company", "power-company-curtail"])
def test_the_power_companys_name_is_refused(op: str) -> None:
    """T-PCHGW: its services come through the meter. Each is answered and counted, and told once an hour."""
    caller = Caller()
    told = [caller.ask(op), caller.ask(op)]
    assert [[type(each) for each in some] for some in told] == [[Event], []]
    assert told[0][0].kind == "gateway.forbidden_origin"
    answers = [json.loads(each.payload) for each in caller.answers()]
    assert [each["error"]["code"] for each in answers] == ["forbidden_origin"] * 2
    assert "R32" in answers[0]["error"]["message"]
    assert caller.counters["forbidden_origin"] == 2
    caller.now += 3600
    assert len(caller.ask(op)) == 1
