"""Which appliance is meant."""

from __future__ import annotations

import pytest
from support.control import AIRCON, LAMP, WATER, status

from hemsd.control.settings import Refused
from hemsd.control.targets import APPLIANCES_MAX, GUESSED_MAX, Targets
from hemsd.hub.messages import ApplianceStatus


def house(*appliances: ApplianceStatus) -> Targets:
    targets = Targets()
    for each in appliances:
        targets.hear(each)
    return targets


@pytest.mark.parametrize("target", [AIRCON, "living-ac", "Living-AC", "192.0.2.1", "192.0.2.1%eth1"])
def test_by_id_name_and_address(target: str) -> None:
    """Each of the three finds it, names in any case, addresses with or without a zone."""
    found = house(status(), status(LAMP, "lamp")).find(target)
    assert isinstance(found, ApplianceStatus)
    assert found.appliance == AIRCON


def test_an_id_comes_before_a_name_and_a_name_before_an_address() -> None:
    """Nobody hides an appliance by naming another one after it."""
    targets = house(status(), status(LAMP, AIRCON), status(WATER, "192.0.2.1"))
    by_id, by_name = targets.find(AIRCON), targets.find("192.0.2.1")
    assert isinstance(by_id, ApplianceStatus)
    assert isinstance(by_name, ApplianceStatus)
    assert (by_id.appliance, by_name.appliance) == (AIRCON, WATER)


def test_two_at_one_address_are_named() -> None:
    """An address with several objects is no target; the sentence says what would do."""
    found = house(status(), status("0130-00000004", "bed-ac", address="192.0.2.1")).find("192.0.2.1")
    assert isinstance(found, Refused)
    assert found.code == "unknown_target"
    assert "living-ac (0130-00000001), bed-ac (0130-00000004); give the id" in found.text


def test_did_you_mean() -> None:
    """A name with a slip of the finger is suggested; where none is like it, all are listed."""
    targets = house(status(), status(LAMP, "lamp"))
    near, far = targets.find("livingac"), targets.find("xyz")
    assert isinstance(near, Refused)
    assert isinstance(far, Refused)
    assert 'did you mean "living-ac"?' in near.text
    assert "living-ac, lamp" in far.text


def test_a_house_without_appliances() -> None:
    """It says that none has been found yet."""
    found = house().find("lamp")
    assert isinstance(found, Refused)
    assert "none has been found" in found.text


def test_many_names_and_long_targets_make_short_sentences() -> None:
    """A sentence is bounded whatever is asked and however large the house."""
    found = house(*(status(f"0290-{number:08x}", f"lamp-{number}") for number in range(300))).find("x" * 100_000)
    assert isinstance(found, Refused)
    assert "and 292 more" in found.text
    assert len(found.text) < 4 * GUESSED_MAX


def test_forgotten_and_too_many() -> None:
    """What is forgotten is gone; beyond the bound nothing is taken in, but what is known stays up to date."""
    targets = Targets()
    told = [targets.hear(status(f"0290-{number:08x}")) for number in range(APPLIANCES_MAX + 1)]
    assert told == [True] * APPLIANCES_MAX + [False]
    assert targets.hear(status("0290-00000000", "new name"))
    assert targets.hear(status("0290-00000001", forgotten=True))
    assert len(targets) == APPLIANCES_MAX - 1
    assert targets.get("0290-00000001") is None
    assert targets.get("0290-00000000") == status("0290-00000000", "new name")
