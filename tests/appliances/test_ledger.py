from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.telling import AC, appliance, told, utc

from hemsd.appliances.events import Answered, Changed, Forgotten, Noted, Settled
from hemsd.appliances.ledger import OPEN_MAX, PENDING_S, Ledger
from hemsd.appliances.telling import Teller
from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceStatus,
    Event,
    Message,
)

ONE = appliance()
ID = ONE.id


def ledger(*appliances: Any) -> Ledger:
    kept = Ledger(Teller("home", (), utc), {})
    kept.begin((), 0.0)
    for each in appliances or (ONE,):
        kept.hear(Changed(each), 0.0)
    return kept


def command(number: int = 1, **changes: Any) -> ApplianceCommand:
    values: dict[str, Any] = {"command": f"c{number}", "appliance": ID, "values": {"mode": "heat"}}
    return ApplianceCommand(**(values | changes))


def query(*properties: str, number: int = 1) -> ApplianceQuery:
    return ApplianceQuery(query=f"q{number}", appliance=ID, properties=properties)


def only(messages: list[Message]) -> Any:
    (message,) = messages
    return message


# --- what the network tells


def test_what_is_remembered_is_told_at_once() -> None:
    """A run begins with the status of every appliance that is known."""
    kept = Ledger(Teller("home", (), utc), {})
    remembered = [appliance(id, online=False, since=0.0, heard_at=None) for id in (ID, "0130-00000002")]
    told_ = [each for each in kept.begin(remembered, 50.0) if isinstance(each, ApplianceStatus)]
    assert [each.appliance for each in told_] == [ID, "0130-00000002"]
    assert [(each.online, each.since, each.last_heard_at) for each in told_] == [(False, utc(50.0), None)] * 2
    assert kept.counters == {"appliances": 2, "online": 0}


def test_values_gather_into_one_state() -> None:
    """However often an appliance speaks in between; then there is nothing more to tell."""
    kept = ledger()
    for edt in ("19", "1A", "1B"):
        assert kept.hear(told(ONE, {0xB3: edt}), 60.0) == []
    assert kept.gathering
    assert only(list(kept.states(60.0))).values["target_temperature_c"] == 27
    assert not kept.gathering and kept.states(61.0) == []


def test_what_is_believed_is_taken_when_it_is_told() -> None:
    """The network's own record goes on changing; a state is of the moment it was told in."""
    kept, event = ledger(), told(ONE, {0xB3: "1A"})
    kept.hear(event, 60.0)
    event.known.clear()  # type: ignore[attr-defined]
    assert only(list(kept.states(60.0))).values["target_temperature_c"] == 26


def test_a_forgotten_appliance_is_told_once_more() -> None:
    """As forgotten; then it takes no orders, and what it had told is gone."""
    kept = ledger()
    kept.hear(told(ONE, {0xB3: "1A"}), 60.0)
    assert only(kept.hear(Forgotten(ONE), 61.0)).forgotten
    assert not kept.has(ID) and kept.states(61.0) == []


def test_changes_and_news_are_passed_on() -> None:
    """A change as a status, news as an event."""
    kept = ledger()
    assert not only(kept.hear(Changed(appliance(online=False)), 61.0)).online
    assert isinstance(only(kept.hear(Noted("appliance.lost", "warning", "gone"), 61.0)), Event)
    assert kept.counters == {"appliances": 1, "online": 0}


# --- orders


def test_an_order_is_shown_until_it_is_confirmed() -> None:
    """Requested at once, and no longer when the appliance was read as wished."""
    kept = ledger()
    kept.hear(told(ONE, {0x80: "30", 0xB0: "42"}), 60.0)
    kept.states(60.0)
    assert kept.order(command(), utc(60.0)) is None
    state = only(list(kept.states(60.0)))
    assert (state.values["mode"], state.requested) == ("cool", {"mode": "heat"})
    kept.hear(told(ONE, {0x80: "30", 0xB0: "43"}), 62.0)
    result = only(kept.hear(Settled("c1", ONE, "applied", read_back={0xB0: b"\x43"}), 62.0))
    assert (result.outcome, result.values) == ("applied", {"mode": "heat"})
    assert only(list(kept.states(62.0))).requested == {}


@pytest.mark.parametrize("outcome", ["unverified", "timeout"])
def test_what_may_have_been_taken_is_shown_for_a_while(outcome: Any) -> None:
    """It may yet come true; after a minute nobody believes in it."""
    kept = ledger()
    kept.order(command(), utc(60.0))
    kept.hear(Settled("c1", ONE, outcome), 62.0)
    for at, shown in ((63.0, {"mode": "heat"}), (62.0 + PENDING_S, {})):
        kept.hear(told(ONE, {0xB0: "42"}, at), at)
        assert only(list(kept.states(at))).requested == shown


@pytest.mark.parametrize("outcome", ["rejected", "refused"])
def test_what_was_not_taken_is_not_shown(outcome: Any) -> None:
    """A refusal ends it."""
    kept = ledger()
    kept.order(command(), utc(60.0))
    kept.hear(Settled("c1", ONE, outcome, "device_refused"), 62.0)
    kept.hear(told(ONE, {0xB0: "42"}), 62.0)
    assert only(list(kept.states(62.0))).requested == {}


def test_an_order_that_comes_too_late_is_refused() -> None:
    """Nobody wants the heating of an hour ago."""
    late = command(expires_at=utc(60.0))
    for at, error in ((59.9, None), (60.0, "expired")):
        refusal = ledger().order(late, utc(at))
        assert (refusal and refusal.error) == error
        assert refusal is None or refusal.outcome == "refused"


def test_orders_under_way_are_bounded() -> None:
    """One more is told to try again; it is shown nowhere as requested."""
    kept = ledger()
    for number in range(OPEN_MAX):
        assert kept.order(command(number), utc(60.0)) is None
    refusal = kept.order(command(OPEN_MAX), utc(60.0))
    assert refusal is not None and (refusal.outcome, refusal.error) == ("refused", "busy")


def test_an_end_of_nothing_is_no_news() -> None:
    """A command that is not under way (any more) has no second result."""
    assert ledger().hear(Settled("c9", ONE, "applied"), 60.0) == []


# --- queries


def test_a_query_by_names_is_asked_by_codes() -> None:
    """In the order asked; each once."""
    kept = ledger()
    assert kept.query(query("room_temperature", "0xF1", "0xBB")) == ((0xBB, 0xF1), [])
    assert kept.is_open("q1")
    kept.hear(Answered("q1", ONE, 0xBB, b"\x1c"), 60.0)
    assert kept.is_open("q1")
    kept.hear(Answered("q1", ONE, 0xF1, None, "refused", last=True), 60.0)
    assert not kept.is_open("q1")


def test_names_that_the_class_does_not_have_are_absent() -> None:
    """They are answered beside those that are asked; where there are no others, the last of them is the last."""
    kept = ledger()
    epcs, answers = kept.query(query("warmth", "room_temperature"))
    assert epcs == (0xBB,)
    assert [(each.name, each.error, each.last) for each in answers if isinstance(each, ApplianceProperty)] == [
        ("warmth", "absent", False)
    ]
    epcs, answers = kept.query(query("warmth", "light", number=2))
    assert (epcs, kept.is_open("q2")) == ((), False)
    assert [each.last for each in answers if isinstance(each, ApplianceProperty)] == [False, True]


def test_a_query_for_nothing_is_one_for_all() -> None:
    """No names, no codes."""
    kept = ledger()
    assert kept.query(query()) == ((), []) and kept.is_open("q1")


def test_queries_under_way_are_bounded() -> None:
    """One more is refused."""
    kept = ledger()
    for number in range(OPEN_MAX):
        kept.query(query(number=number))
    assert only(kept.query(query(number=OPEN_MAX))[1]).error == "refused"


# --- two networks


def test_an_appliance_that_two_networks_reach_belongs_to_one() -> None:
    """Or it would be set twice. It is said once that the networks are the same; forgotten, it is anybody's."""
    owners: dict[str, str] = {}
    home, annex = (Ledger(Teller(name, (), utc), owners) for name in ("home", "annex"))
    home.hear(Changed(ONE), 60.0)
    event = only(annex.hear(Changed(ONE), 61.0))
    assert (event.kind, event.severity) == ("network.overlap", "warning")
    assert event.text == "networks home and annex reach the same appliances: take one of them away"
    for nothing in (Changed(ONE), told(ONE, {0xB3: "1A"}), Forgotten(ONE)):
        assert annex.hear(nothing, 62.0) == []
    assert annex.begin([ONE], 63.0) == []
    assert home.has(ID) and not annex.has(ID) and not annex.gathering
    home.hear(Forgotten(ONE), 64.0)
    assert isinstance(only(annex.hear(Changed(ONE), 65.0)), ApplianceStatus)
    assert annex.has(ID)


# --- a network that is lost


def test_what_is_under_way_ends_with_the_network() -> None:
    """Orders time out, for they may have been taken; so do queries; and both are over."""
    kept = ledger()
    kept.order(command(), utc(60.0))
    kept.query(query())
    result, answer = kept.end()
    assert isinstance(result, ApplianceResult) and isinstance(answer, ApplianceProperty)
    assert (result.command, result.outcome, answer.error, answer.last) == ("c1", "timeout", "timeout", True)
    assert kept.end() == [] and not kept.is_open("q1")


def test_appliances_of_a_network_that_is_down_stay_known() -> None:
    """Told once as unreachable, with the reason; the time is that of the loss, or of an earlier one of their own."""
    kept = ledger(ONE, appliance("0130-00000002", online=False, since=30.0))
    event, *down = kept.down("eth1 is switched off", 90.0)
    assert isinstance(event, Event)
    assert (event.kind, event.text) == ("network.lost", "network home cannot be reached: eth1 is switched off")
    told_ = [(each.online, each.since, each.detail) for each in down if isinstance(each, ApplianceStatus)]
    detail = "its network is down: eth1 is switched off"
    assert told_ == [(False, utc(90.0), detail), (False, utc(30.0), detail)]
    assert kept.down("eth1 is switched off", 95.0) == []
    assert kept.counters == {"appliances": 2, "online": 0}


def test_a_network_that_is_back_begins_with_what_was_known() -> None:
    """Its return is an event; since when appliances are away, and when they were heard, is not forgotten by it."""
    kept = ledger()
    kept.down("eth1 is switched off", 90.0)
    event, status = kept.begin([appliance(online=False, since=0.0, heard_at=None)], 95.0)
    assert isinstance(event, Event) and isinstance(status, ApplianceStatus)
    assert (event.kind, event.severity) == ("network.back", "info")
    assert (status.online, status.since, status.last_heard_at) == (False, utc(90.0), utc(60.0))
    assert status.detail == "not heard since its network is back"
    asked = appliance(online=False, since=96.0, heard_at=None, detail="not heard since hemsd started")
    assert only(kept.hear(Changed(asked), 96.0)) == status
    there = only(kept.hear(Changed(appliance(since=97.0, heard_at=97.0)), 97.0))
    assert (there.online, there.since, there.last_heard_at, there.detail) == (True, utc(97.0), utc(97.0), "")
    assert kept.order(command(), utc(96.0)) is None


def test_what_a_new_run_does_not_know_is_forgotten() -> None:
    """Nobody may order something of an appliance that the network has no record of."""
    kept = ledger(ONE, appliance("0130-00000002"))
    gone, there = kept.begin([ONE], 95.0)
    assert isinstance(gone, ApplianceStatus) and isinstance(there, ApplianceStatus)
    assert (gone.appliance, gone.forgotten, there.appliance, there.forgotten) == ("0130-00000002", True, ID, False)
    assert not kept.has("0130-00000002")


def test_a_network_that_is_down_takes_no_orders() -> None:
    """They are refused with the reason, and not kept for later."""
    kept = ledger()
    kept.down("eth1 is switched off", 90.0)
    refusal = kept.order(command(expires_at=utc(90.0) + timedelta(hours=1)), utc(90.0))
    assert refusal is not None and refusal.outcome == "refused" and "eth1 is switched off" in refusal.detail
    epcs, answers = kept.query(query("room_temperature"))
    assert (epcs, only(answers).error, only(answers).last) == ((), "timeout", True)
    assert kept.end() == []


def test_what_was_believed_before_a_loss_is_not_told_as_new() -> None:
    """After it everything is read anew; until then the old values stand with their old times."""
    kept = ledger()
    kept.hear(told(ONE, {0xB3: "1A", 0xBB: "1C"}), 60.0)
    kept.states(60.0)
    kept.end()
    kept.begin([ONE], 90.0)
    assert kept.states(90.0) == []
    kept.hear(told(ONE, {0xB3: "1B"}, 95.0), 95.0)
    assert set(only(list(kept.states(95.0))).properties) == {"target_temperature"}


def test_when_it_was_heard_is_known_from_what_it_told() -> None:
    """Values are told more often than changes: a status tells the latest of both."""
    kept = ledger()
    kept.hear(told(appliance(heard_at=80.0), {0xB3: "1A"}, 80.0), 80.0)
    (_, status) = kept.down("eth1 is switched off", 90.0)
    assert isinstance(status, ApplianceStatus) and status.last_heard_at == utc(80.0)


def test_the_device_is_the_one_told_last() -> None:
    """Its maps may come after its first values."""
    kept = ledger(appliance(device=AC, known=False))
    kept.hear(Changed(ONE), 60.0)
    assert kept.query(query("room_temperature"))[0] == (0xBB,)
