"""Each network configuration of G.9958 against configurations that break it, and those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from hemsd.hub.profiles import RULES, Layout, check, needless, undeclared
from hemsd.hub.requirements import BY_ID, EVERY

SERIAL: dict[str, Any] = {"meter_port": True}
OWN: dict[str, Any] = {"meter_interface": "wlan1"}
ON_LAN: dict[str, Any] = {"meter_interface": "eth0"}
APART: dict[str, Any] = {"networks": {"a": "eth1", "b": "eth2"}}
FLAT: dict[str, Any] = {"networks": {"a": "eth0"}}
BROKER: dict[str, Any] = {"gateway": ("gateway.broker",)}

# Profile, what is connected, and the requirements that it breaks.
CASES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("6.2", {}, set()),
    ("6.2", SERIAL, {"R4"}),
    ("6.2", OWN, {"R4"}),
    ("6.2", BROKER, {"R6"}),
    ("6.3.1", ON_LAN | APART, set()),
    ("6.3.1", ON_LAN, set()),
    ("6.3.1", SERIAL | APART, {"R9"}),
    ("6.3.1", OWN | APART, {"R9"}),
    ("6.3.1", ON_LAN | FLAT, {"R10", "R14"}),
    ("6.3.1", ON_LAN | APART | BROKER, {"R15"}),
    ("6.3.2", SERIAL | APART, set()),
    ("6.3.2", {"meter_interface": "eth1"} | APART, set()),
    ("6.3.2", ON_LAN | APART, {"R18"}),
    ("6.3.2", SERIAL | FLAT, {"R18"}),
    ("6.3.2", SERIAL | BROKER, {"R23"}),
    ("6.4.1", ON_LAN | FLAT | BROKER, set()),
    ("6.4.1", SERIAL | FLAT, {"R26"}),
    ("6.4.1", OWN | FLAT, {"R26"}),
    ("6.4.1", ON_LAN | APART, {"R26"}),
    ("6.4.2", ON_LAN | APART | BROKER, set()),
    ("6.4.2", SERIAL | APART | BROKER, set()),
    ("6.4.2", {"meter_interface": "eth1"} | APART, set()),
    ("6.4.2", ON_LAN | FLAT, {"R33", "R36"}),
    ("6.4.3", SERIAL | APART | BROKER, set()),
    ("6.4.3", SERIAL | BROKER, set()),
    ("6.4.3", OWN | APART, set()),
    ("6.4.3", ON_LAN | APART, {"R40"}),
    ("6.4.3", SERIAL | FLAT | BROKER, {"R33", "R43"}),
    ("6.4.3", {"meter_interface": "eth1"} | APART, {"R51", "R54"}),
]


def connected(profile: str, parts: dict[str, Any], **more: Any) -> Layout:
    return Layout(**{"profile": profile, "lan": "eth0", **parts, **more})


def broken(layout: Layout) -> set[str]:
    return {one.id for each in check(layout) for one in each.requirements}


@pytest.mark.parametrize(("profile", "parts", "numbers"), CASES)
def test_what_breaks_which_requirement(profile: str, parts: dict[str, Any], numbers: set[str]) -> None:
    """T-PROFILE: exactly these, each told with its number, clause and words; a good configuration is left alone."""
    layout = connected(profile, parts)
    assert broken(layout) == numbers
    told = "\n".join(each.text for each in undeclared(layout))
    for number in numbers:
        assert f'{number} ({BY_ID[number].clause}): "{BY_ID[number].text}"' in told


def test_every_rule_has_a_case_that_it_finds_and_one_that_it_leaves() -> None:
    """Control: no requirement is judged without a configuration that breaks it and one that does not."""
    for profile, rules in RULES.items():
        judged = {number for _, numbers in rules for number in numbers}
        found = [numbers for which, _, numbers in CASES if which == profile]
        assert set().union(*found) == judged
        assert set() in found
    assert tuple(RULES) == EVERY


@pytest.mark.parametrize(("profile", "parts", "numbers"), [case for case in CASES if case[2]])
def test_what_is_declared_does_not_stop_the_start(profile: str, parts: dict[str, Any], numbers: set[str]) -> None:
    """All declared: nothing is left; one of them: the others are. No declaration opens a door that is not there."""
    closed = numbers & {"R4", "R6", "R15", "R23"}
    left = undeclared(connected(profile, parts, accepted=frozenset(numbers)))
    assert {one.id for each in left for one in each.requirements} == closed
    assert all("accept" not in each.text for each in left)
    for number in numbers - closed:
        left = undeclared(connected(profile, parts, accepted=frozenset({number})))
        assert {one.id for each in left for one in each.requirements} == numbers - {number}


@pytest.mark.parametrize(("profile", "parts", "numbers"), CASES)
def test_an_unknown_lan_is_not_guessed(profile: str, parts: dict[str, Any], numbers: set[str]) -> None:
    """Without the interface of the home network only what does not depend on it is found."""
    assert broken(connected(profile, parts, lan=None)) <= numbers


def test_what_is_declared_in_vain() -> None:
    """A requirement that is met, or that is another profile's; not one that only running shows."""
    layout = connected("6.4.3", SERIAL | FLAT, accepted=frozenset({"R33", "R43", "R40", "R10", "R52"}))
    assert needless(layout) == ("R10", "R40")
