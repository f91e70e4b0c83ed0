"""The course of requests: in line, in flight, answered, each exactly once and in time."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from support.control import AIRCON, LAMP, NOON, Desk, status

from hemsd.control.checks import LINE_S
from hemsd.control.requests import BOUND_S, OPEN_MAX, ORDER_S, QUERY_MAX_S, QUERY_S
from hemsd.hub.messages import ApplianceCommand, ApplianceProperty, ApplianceQuery, Decision, Domain


def command(desk: Desk) -> ApplianceCommand:
    (sent,) = desk.sent(ApplianceCommand)
    assert isinstance(sent, ApplianceCommand)
    return sent


def query(desk: Desk) -> ApplianceQuery:
    (sent,) = desk.sent(ApplianceQuery)
    assert isinstance(sent, ApplianceQuery)
    return sent


@pytest.mark.parametrize(
    ("outcome", "told", "status", "error"),
    [
        ("applied", "", "ok", ""),
        ("unverified", "", "partial", "unverified"),
        ("rejected", "", "error", "device_refused"),
        ("refused", "out_of_range", "error", "out_of_range"),
        ("refused", "", "error", "bad_request"),
        ("timeout", "", "error", "timeout"),
    ],
)
def test_outcomes(outcome: str, told: Any, status: str, error: str) -> None:
    """What became of an order is the answer: ok for applied alone, partial for unverified, an error otherwise."""
    desk = Desk()
    request = desk.ask(values={"mode": "heat"})
    sent = command(desk)
    assert (sent.appliance, sent.operation, sent.values) == (AIRCON, "set", {"mode": "heat"})
    desk.result(sent, outcome, error=told, detail="why", values={"mode": "heat"})
    (answer,) = desk.answers(request)
    assert (answer.status, answer.error, answer.detail, answer.last) == (status, error, "why", True)
    assert (answer.outcome, answer.values, answer.to) == (outcome, {"mode": "heat"}, Domain.OPERATOR)
    assert len(desk.requests) == 0


def test_identify_and_forget() -> None:
    """They are orders without values."""
    desk = Desk()
    for operation in ("identify", "forget"):
        request = desk.ask(operation, values={"on": True})
        sent = command(desk)
        assert (sent.operation, sent.values) == (operation, {})
        desk.result(sent)
        assert [each.status for each in desk.answers(request)] == ["ok"]


def test_no_word_from_the_appliances() -> None:
    """An order nobody answers ends as a timeout that does not say what is not known; a late result is nobody's."""
    desk = Desk()
    request = desk.ask()
    sent = command(desk)
    desk.wait(ORDER_S - 0.1)
    assert desk.answers(request) == []
    desk.wait(0.2)
    (answer,) = desk.answers(request)
    assert (answer.status, answer.error, answer.outcome) == ("error", "timeout", "timeout")
    assert "may or may not" in answer.detail
    assert desk.requests.silent
    desk.result(sent)
    assert desk.answers(request) == []
    assert desk.requests.counters["late"] == 1
    desk.ask("identify", "lamp")
    desk.result(command(desk))
    assert not desk.requests.silent


def test_nothing_is_begun_after_we_said_that_nothing_came_of_it() -> None:
    """An order expires with our patience, or with the asker's, whichever is first."""
    desk = Desk()
    desk.ask()
    assert command(desk).expires_at == NOON + timedelta(seconds=ORDER_S)
    desk.ask("set", "lamp", expires_at=NOON + timedelta(seconds=5))
    assert command(desk).expires_at == NOON + timedelta(seconds=5)


def test_a_result_for_another_appliance_is_not_ours() -> None:
    """A command's id alone is no answer."""
    desk = Desk()
    request = desk.ask()
    sent = command(desk)
    desk.result(ApplianceCommand(command=sent.command, appliance=LAMP))
    assert desk.answers(request) == []
    desk.result(sent)
    assert desk.answers(request)


def test_one_in_flight_one_in_line() -> None:
    """The second waits for the end of the first and the gap after it; a third is refused; others are not held up."""
    desk = Desk()
    first, second = desk.ask(values={"mode": "heat"}), desk.ask(values={"mode": "cool"})
    sent = command(desk)
    assert desk.refused().error == "busy"
    desk.ask("set", "lamp")
    assert command(desk).appliance == LAMP
    desk.wait(4)
    desk.result(sent)
    desk.wait(5.9)
    assert desk.sent(ApplianceCommand) == []
    desk.wait(0.2)
    sent = command(desk)
    assert sent.values == {"mode": "cool"}
    desk.result(sent)
    assert [len(desk.answers(request)) for request in (first, second)] == [1, 1]


def test_in_line_it_expires() -> None:
    """One that is good for a short time only is not sent after it; the order of the answers does not matter."""
    desk = Desk()
    first = desk.ask()
    second = desk.ask(expires_at=NOON + timedelta(seconds=3))
    desk.wait(3)
    (answer,) = desk.answers(second)
    assert answer.error == "expired"
    desk.result(command(desk))
    desk.wait(60)
    assert desk.answers(first)
    assert desk.sent(ApplianceCommand) == []


def test_in_line_it_is_judged_again() -> None:
    """What changed while it waited counts: gone, forgotten, switched."""
    for change, code in (
        (lambda desk: desk.targets.hear(status(online=False)), "timeout"),
        (lambda desk: desk.targets.hear(status(forgotten=True)), "unknown_target"),
        (lambda desk: (desk.state(on=True), desk.state(on=False)), "rate_limited"),
    ):
        desk = Desk()
        desk.ask("identify")
        second = desk.ask(values={"on": True})
        sent = command(desk)
        change(desk)
        desk.result(sent)
        desk.wait(10)
        (answer,) = desk.answers(second)
        assert answer.error == code


def test_behind_a_silent_one() -> None:
    """One in line is not kept for ever; but if its turn comes when the first has timed out, it goes out."""
    desk = Desk()
    first, second = desk.ask(), desk.ask(values={"mode": "cool"})
    command(desk)
    desk.wait(LINE_S)
    assert desk.answers(second)[0].error == "busy"
    desk.wait(ORDER_S - LINE_S - 10)
    third = desk.ask(values={"mode": "cool"})
    desk.wait(10)
    assert desk.answers(first)[0].error == "timeout"
    desk.result(command(desk))
    assert desk.answers(third)[0].status == "ok"


def test_a_long_gap_is_not_waited_for() -> None:
    """Where the configuration wants long gaps, the asker is told when instead of being kept waiting."""
    desk = Desk(gap_s=LINE_S + 30)
    desk.ask()
    desk.result(command(desk))
    assert desk.refused().error == "rate_limited"
    desk.wait(31)
    second = desk.ask()
    desk.wait(LINE_S)
    desk.result(command(desk))
    assert desk.answers(second)


def test_refused_by_the_device_knowledge_costs_nothing() -> None:
    """What was refused before anything was sent does not count as an order: the next one goes out at once."""
    desk = Desk(per_hour=1)
    desk.ask()
    desk.result(command(desk), "refused", error="out_of_range")
    desk.ask()
    desk.result(command(desk), "timeout")
    assert desk.refused().error == "rate_limited"


def test_get() -> None:
    """Each property is one answer, and one more says that this was all."""
    desk = Desk()
    request = desk.ask("get", properties=("room_temperature", "0xF1"))
    asked = query(desk)
    assert (asked.appliance, asked.properties) == (AIRCON, ("room_temperature", "0xF1"))
    desk.property(asked, epc=0xBB, value=21)
    desk.property(asked, epc=0xF1, edt="01", last=True)
    first, second, last = desk.answers(request)
    assert (first.status, first.last) == ("ok", False)
    assert isinstance(first.property, ApplianceProperty)
    assert (first.property.value, second.property and second.property.edt) == (21, "01")
    assert (last.status, last.error, last.property, last.last) == ("ok", "", None, True)


@pytest.mark.parametrize(
    ("errors", "status", "error"),
    [
        (["", "refused"], "partial", "device_refused"),
        (["timeout", "timeout"], "error", "timeout"),
        (["absent"], "error", "bad_request"),
        (["timeout", "refused", "timeout", ""], "partial", "timeout"),
    ],
)
def test_get_in_part(errors: list[str], status: str, error: str) -> None:
    """Some that could not be read make it partial, all of them an error, with the commonest reason."""
    desk = Desk()
    request = desk.ask("get")
    asked = query(desk)
    for number, each in enumerate(errors):
        desk.property(asked, error=each, last=number == len(errors) - 1)
    *_, last = desk.answers(request)
    assert (last.status, last.error) == (status, error)
    assert "could not be read" in last.detail


def test_get_without_end() -> None:
    """Where the last property never comes, silence ends it; where they never cease, so does the bound."""
    desk = Desk()
    nothing = desk.ask("get")
    query(desk)
    desk.wait(QUERY_S)
    (answer,) = desk.answers(nothing)
    assert (answer.status, answer.error, answer.last) == ("error", "timeout", True)
    assert desk.requests.silent

    endless = desk.ask("get")
    asked = query(desk)
    begun = desk.now
    while not any(answer.last for answer in desk.answers(endless)):
        desk.property(asked)
        desk.wait(QUERY_S / 2)
    assert desk.now - begun <= QUERY_MAX_S + QUERY_S / 2
    assert not desk.requests.silent
    desk.property(asked, last=True)
    assert desk.answers(endless) == []


def test_bounded() -> None:
    """So many requests are open at most; one more is told to come later, and room is made by answers."""
    desk = Desk(*(status(f"0290-{number:08x}", f"lamp-{number}") for number in range(OPEN_MAX + 1)))
    for number in range(OPEN_MAX):
        desk.ask("get" if number % 2 else "set", f"lamp-{number}")
    sent = desk.sent(ApplianceCommand)
    desk.sent(ApplianceQuery)
    for operation in ("set", "get", "forget"):
        assert desk.refused(operation, f"lamp-{OPEN_MAX}").error == "busy"
    desk.result(sent[0])
    desk.ask("forget", "lamp-3")
    assert len(desk.requests) == OPEN_MAX
    desk.wait(BOUND_S)
    assert len(desk.requests) == 0
    assert desk.requests.deadline() is None


def test_decisions() -> None:
    """Every set, identify and forget is one, when it goes out or is refused; a get is none."""
    desk = Desk()
    desk.ask("set", values={"on": True, "mode": "heat"})
    desk.ask("set", values={"mode": "cool"}, expires_at=NOON + timedelta(seconds=1))
    assert desk.decisions() == [(AIRCON, "set on=true mode=heat")]
    desk.wait(5)
    assert desk.decisions() == [(AIRCON, "refused: expired")]
    desk.ask("forget", "lamp")
    desk.ask("get", "lamp")
    desk.ask("identify", "lampp")
    assert desk.decisions() == [(LAMP, "forget"), (None, "refused: unknown_target")]
    desk.wait(60)
    assert desk.decisions() == []


def test_who_asked_and_why_not() -> None:
    """A decision tells who asked for what, and the sentence that the asker was told; both are bounded."""
    desk = Desk()
    answer = desk.refused("set", "lamp", Domain.GATEWAY, values={"on": True})
    (decision,) = desk.sent(Decision)
    assert isinstance(decision, Decision)
    assert decision.rule == "request"
    assert decision.reason == f"the gateway asked to set on=true: {answer.detail}"
    desk.ask("set", values={f"word-{number}": "x" * 500 for number in range(32)})
    (decision,) = desk.sent(Decision)
    assert isinstance(decision, Decision)
    assert len(decision.reason) < 1000


def test_an_impatient_person() -> None:
    """Someone who presses every second for an hour: twenty reach the appliance, 10 s apart, the others are told."""
    desk = Desk()
    given, errors = [], set()
    while desk.now < 3600:
        request = desk.ask(values={"mode": "heat"})
        for sent in desk.sent(ApplianceCommand):
            given.append(desk.now)
            desk.result(sent)
        errors |= {answer.error for answer in desk.answers(request)}
        desk.heard.clear()
        desk.wait(1)
    assert len(given) == 20
    assert min(after - before for before, after in itertools.pairwise(given)) >= 10
    assert errors == {"", "busy", "rate_limited"}
