"""Each check by its name, with its code and what the sentence says would do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.control import AIRCON, LAMP, NOON, WATER, Desk, status

from hemsd.control.checks import CHECKS, WORD_MAX, span
from hemsd.echonet.classes.catalogue import class_names, properties_of
from hemsd.echonet.classes.device import Device
from hemsd.hub.messages import ApplianceCommand, ApplianceQuery, Domain

GATEWAY = Domain.GATEWAY


def test_every_property_can_be_asked_for() -> None:
    """Some classes have very long names."""
    names = {each.name for code in class_names() for each in properties_of(Device(eoj=code << 8 | 1)).values()}
    assert max(map(len, names)) <= WORD_MAX


def code_of(desk: Desk, *arguments: Any, says: str = "", **more: Any) -> str:
    answer = desk.refused(*arguments, **more)
    assert says in answer.detail
    return answer.error


def test_unknown_target() -> None:
    """A target that is not there."""
    assert code_of(Desk(), "set", "livingac", says='did you mean "living-ac"?') == "unknown_target"


@pytest.mark.parametrize(
    ("level", "open_to_gateway"),
    [("aggregates", set()), ("appliances", set()), ("control", {"get", "set", "identify"})],
)
def test_exposure(level: str, open_to_gateway: set[str]) -> None:
    """What the home gateway may do at each level; forgetting is never open to it. The operator may do all."""
    for operation in CHECKS:
        desk = Desk(exposure=level)
        if operation in open_to_gateway:
            desk.ask(operation, asker=GATEWAY)
            assert desk.sent(ApplianceCommand, ApplianceQuery)
        else:
            assert code_of(desk, operation, asker=GATEWAY) == "forbidden_origin"
        desk = Desk(exposure=level)
        desk.ask(operation)
        assert desk.sent(ApplianceCommand, ApplianceQuery)


@pytest.mark.parametrize("asker", [Domain.ROUTEB, Domain.HISTORY, Domain.APPLIANCES])
def test_nobody_else_asks(asker: Domain) -> None:
    """A domain without a door is refused even if one were opened by mistake."""
    assert code_of(Desk(exposure="control"), "set", asker=asker) == "forbidden_origin"


def test_a_closed_house_tells_no_names() -> None:
    """The gateway learns nothing about which appliances there are by asking for one that is not."""
    assert code_of(Desk(), "set", "livingac", asker=GATEWAY, says="exposure level") == "forbidden_origin"


def test_from_outside() -> None:
    """Orders of the gateway are marked as from outside the house (property 93), the operator's are not."""
    for asker, outside in ((GATEWAY, True), (Domain.OPERATOR, False)):
        desk = Desk(exposure="control")
        desk.ask(asker=asker)
        (command,) = desk.sent(ApplianceCommand)
        assert isinstance(command, ApplianceCommand)
        assert command.from_outside is outside


def test_expired() -> None:
    """Too late is too late, at the very second as well, for whatever was asked."""
    for operation in CHECKS:
        assert code_of(Desk(), operation, expires_at=NOON) == "expired"
    desk = Desk()
    desk.ask(expires_at=NOON + timedelta(seconds=1))
    assert desk.sent(ApplianceCommand)


def test_form() -> None:
    """What cannot be a request: no time zone, nothing to set, more than fits, words without end."""
    desk = Desk()
    assert code_of(desk, expires_at=NOON.replace(tzinfo=None), says="time zone") == "bad_request"
    assert code_of(desk, values={}, says="word=value") == "bad_request"
    assert code_of(desk, values={f"w{number}": 1 for number in range(33)}, says="32") == "bad_request"
    assert code_of(desk, "get", properties=("x",) * 257, says="256") == "bad_request"
    assert code_of(desk, values={"x" * 129: 1}) == "bad_request"
    assert code_of(desk, values={"on": "x" * 513}) == "bad_request"


@pytest.mark.parametrize("named", [AIRCON, "living-ac"])
def test_watched_only(named: str) -> None:
    """control = false in the configuration, by id or name, forbids setting and showing itself, not reading."""
    desk = Desk(watched_only=frozenset({named}))
    assert code_of(desk, "set", says="control = false") == "not_settable"
    assert code_of(desk, "identify") == "not_settable"
    desk.ask("get")
    desk.ask("set", "lamp")
    assert len(desk.sent(ApplianceCommand, ApplianceQuery)) == 2


@pytest.mark.parametrize("appliance", ["026f-00000004", "0263-00000005"])
def test_locks_house(appliance: str) -> None:
    """The gateway neither unlocks nor locks, by no word, unless control = true is written; the operator may."""
    door = status(appliance, "door", wishes={"locked": "true or false"})
    for values in ({"locked": False}, {"locked": True}, {"0xE0": "0x42"}):
        desk = Desk(door, exposure="control")
        assert code_of(desk, "set", "door", GATEWAY, values=values, says="control = true") == "not_settable"
    desk.ask("set", "door", values={"locked": False})
    assert desk.sent(ApplianceCommand)
    for named in (appliance, "door"):
        desk = Desk(door, exposure="control", opened=frozenset({named}))
        desk.ask("set", "door", GATEWAY, values={"locked": False})
        assert desk.sent(ApplianceCommand)


@pytest.mark.parametrize("operation", ["set", "get", "identify"])
def test_online(operation: str) -> None:
    """One that has not been heard is not tried; the sentence says since when, and why where that is known."""
    desk = Desk(status(online=False, last_heard_at=NOON - timedelta(hours=5)))
    assert code_of(desk, operation, says="has power and is on its network; it was heard 5 h ago") == "timeout"
    desk = Desk(status(online=False, last_heard_at=None, detail="its network is down"))
    assert code_of(desk, operation, says="living-ac is offline: its network is down") == "timeout"


def test_forget_what_is_gone() -> None:
    """What is offline, or only watched, can be forgotten."""
    desk = Desk(status(online=False), watched_only=frozenset({"living-ac"}))
    desk.ask("forget")
    (command,) = desk.sent(ApplianceCommand)
    assert isinstance(command, ApplianceCommand)
    assert command.operation == "forget"


@pytest.mark.parametrize("operation", ["set", "get", "identify"])
def test_known(operation: str) -> None:
    """One that has not told its properties yet is to be asked again later."""
    assert code_of(Desk(status(known=False)), operation, says="in a minute") == "busy"


def test_settable() -> None:
    """A word it cannot be set by is refused, with the nearest that it can; one wrong word refuses all of them."""
    desk = Desk()
    assert code_of(desk, values={"on": True, "mod": "heat"}, says='did you mean "mode"?') == "not_settable"
    assert code_of(desk, values={"ON": True}, says='did you mean "on"?') == "not_settable"
    assert code_of(desk, values={"xyz": 1}, says="it can by on, mode, operation_status") == "not_settable"
    assert code_of(Desk(status(settable=(), wishes={})), values={"xyz": 1}) == "not_settable"


@pytest.mark.parametrize("word", ["on", "operation_mode", "0xB3", "0xb3", "0XB3"])
def test_what_can_be_set(word: str) -> None:
    """By a word of the common language, a property by name, and any by code: its device will know."""
    desk = Desk()
    desk.ask(values={word: "42"})
    assert desk.sent(ApplianceCommand)


def test_readable() -> None:
    """A property it does not have is refused, with the nearest that it has; codes are asked for."""
    desk = Desk()
    says = 'did you mean "room_temperature"?'
    assert code_of(desk, "get", properties=("room_temprature",), says=says) == "bad_request"
    assert code_of(desk, "get", properties=("xyz",), says="all are read") == "bad_request"
    desk.ask("get", properties=("room_temperature", "0xF1", "0x80"))
    (query,) = desk.sent(ApplianceQuery)
    assert isinstance(query, ApplianceQuery)
    assert query.properties == ("room_temperature", "0xF1", "0x80")


def test_rate() -> None:
    """Twenty orders an hour for one appliance; another one is not touched by that."""
    desk = Desk()
    for _ in range(20):
        desk.ask("identify")
        (command,) = desk.sent(ApplianceCommand)
        desk.result(command)
        desk.wait(10)
    assert code_of(desk, says="20 times an hour): again in 57 min") == "rate_limited"
    desk.ask("set", "lamp")
    desk.wait(3400)
    desk.ask()
    assert len(desk.sent(ApplianceCommand)) == 2


def test_minimum_times_for_what_may_be_an_automation() -> None:
    """Behind the gateway may be a script: an air conditioner stays on for 20 min and off for 10."""
    desk = Desk(exposure="control")
    desk.state(on=False)
    desk.state(on=True)
    desk.wait(60)
    assert code_of(desk, asker=GATEWAY, values={"on": False}, says="again in 19 min") == "rate_limited"
    desk.state(on=False)
    desk.wait(60)
    assert code_of(desk, asker=GATEWAY, values={"mode": "heat", "on": "on"}, says="again in 9 min") == "rate_limited"
    desk.wait(540)
    desk.ask(asker=GATEWAY)
    assert desk.sent(ApplianceCommand)


def test_minimum_times_for_a_person() -> None:
    """A person switches off whenever they want, and on again once the compressor has rested for 3 min."""
    desk = Desk()
    desk.state(on=False)
    desk.state(on=True)
    desk.ask(values={"on": False})
    (command,) = desk.sent(ApplianceCommand)
    desk.state(on=False)
    desk.result(command)
    desk.wait(60)
    assert code_of(desk, says="again in 120 s") == "rate_limited"
    assert code_of(desk, values={"0x80": "30"}) == "rate_limited"
    desk.wait(120)
    desk.ask()
    assert desk.sent(ApplianceCommand)


def test_minimum_times_bind_switching_only() -> None:
    """What leaves it on or off, what was never seen to be switched, and other classes are free."""
    desk = Desk(exposure="control")
    desk.state(on=True)  # since when is not known
    desk.ask(asker=GATEWAY, values={"on": False})
    desk.state(LAMP, on=False)
    desk.state(LAMP, on=True)
    desk.ask("set", "lamp", asker=GATEWAY, values={"on": False})
    assert len(desk.sent(ApplianceCommand)) == 2
    desk = Desk(exposure="control")
    desk.state(on=False)
    desk.state(on=True)
    desk.ask(asker=GATEWAY, values={"on": True, "mode": "cool"})
    assert desk.sent(ApplianceCommand)


def test_water_heaters_are_switched_by_their_mode() -> None:
    """What counts for an EcoCute is whether it heats; auto leaves that to it."""
    desk = Desk(status(WATER, "water", wishes={"on": "", "mode": ""}), exposure="control")
    desk.state(WATER, heating=False, mode="auto")
    desk.state(WATER, heating=True, mode="auto")
    assert code_of(desk, "set", "water", asker=GATEWAY, values={"mode": "stop"}) == "rate_limited"
    assert code_of(desk, "set", "water", asker=GATEWAY, values={"on": False}) == "rate_limited"
    assert code_of(desk, "set", "water", asker=GATEWAY, values={"0xB0": "43"}) == "rate_limited"
    desk.ask("set", "water", asker=GATEWAY, values={"mode": "auto"})
    assert desk.sent(ApplianceCommand)


def test_minimum_times_as_configured() -> None:
    """By id or name, for classes that have none as well; what is not given stays as its class has it."""
    desk = Desk(exposure="control", minimums={"living-ac": (60, None), LAMP: (None, 300)})
    for appliance in (AIRCON, LAMP):
        desk.state(appliance, on=False)
        desk.state(appliance, on=True)
    assert code_of(desk, asker=GATEWAY, values={"on": False}, says="again in 60 s") == "rate_limited"
    desk.ask("set", "lamp", asker=GATEWAY, values={"on": False})
    desk.wait(60)
    desk.ask(asker=GATEWAY, values={"on": False})
    assert len(desk.sent(ApplianceCommand)) == 2
    desk.state(on=False)
    desk.state(LAMP, on=False)
    assert code_of(desk, asker=GATEWAY, says="again in 10 min") == "rate_limited"
    assert code_of(desk, "set", "lamp", asker=GATEWAY, says="again in 5 min") == "rate_limited"


def test_no_rest_where_the_configuration_wants_none() -> None:
    """min_off_s = 0 also takes the rest of the compressor away."""
    desk = Desk(minimums={"living-ac": (None, 0)})
    desk.state(on=True)
    desk.state(on=False)
    desk.ask()
    assert desk.sent(ApplianceCommand)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (0.2, "1 s"), (119.5, "120 s"), (121, "3 min"), (7300, "3 h"), (200_000, "3 d")],
)
def test_span(seconds: float, words: str) -> None:
    """Times are rounded up: what is promised for then works then."""
    assert span(seconds) == words
