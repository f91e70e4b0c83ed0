"""Services of the power company: by the meter, and by nobody else (ITU-T G.9958, R31, R32 and their like)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from support.clock import run
from support.control import NOON
from support.hub import METER, heard

from hemsd.control.controller import Controller
from hemsd.control.services import TOLD_EVERY_S
from hemsd.control.settings import Settings
from hemsd.hub.hub import Denial, Hub
from hemsd.hub.messages import Decision, Domain, Event, Health, PowerCompanyRequest, ProviderEvent
from hemsd.hub.requirements import BY_GATEWAY, BY_UTILITY, Profile
from hemsd.hub.routes import doors

ASKED = PowerCompanyRequest(meter=METER, received_at=NOON, request="curtail", value=50.0)


def provider(kind: str) -> ProviderEvent:
    return ProviderEvent(event="e1", starts_at=NOON, ends_at=NOON + timedelta(hours=1), kind=kind)


class House:
    """Control in the hall of a profile, with an ear for what it tells."""

    def __init__(self, profile: Profile) -> None:
        self.hub = Hub(doors(profile, "control"))
        self.operator = self.hub.seat(Domain.OPERATOR)
        self.controller = Controller(self.hub.seat(Domain.CONTROL), Settings(), clock=lambda: NOON)

    async def after(self, sender: Domain, *messages: Any) -> list[Any]:
        """What the operator hears of control when this was said."""
        seat = self.hub.seat(sender)
        running = asyncio.create_task(self.controller.run())
        for message in messages:
            seat.publish(message)
        await asyncio.sleep(TOLD_EVERY_S / 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [message for message in await heard(self.operator) if isinstance(message, Decision | Event | Health)]


@pytest.mark.parametrize("profile", [*BY_UTILITY, *BY_GATEWAY])
def test_what_comes_by_the_meter_is_taken_and_logged_with_its_origin(profile: Profile) -> None:
    """T-PCMETER: a decision and an event name the power company and the meter."""

    async def story() -> None:
        decision, event, *_ = [
            each for each in await House(profile).after(Domain.ROUTEB, ASKED) if not isinstance(each, Health)
        ]
        assert (decision.rule, decision.decision) == ("power_company", "taken: curtail 50")
        assert decision.reason == f"the power company asked it by the meter {METER}"
        assert (event.source, event.kind) == (Domain.CONTROL, "power_company.request")

    run(story())


@pytest.mark.parametrize("profile", BY_GATEWAY)
@pytest.mark.parametrize("kind", ["power_company", "Power-Company.curtail"])
def test_what_comes_by_the_gateway_in_its_name_is_refused(profile: Profile, kind: str) -> None:
    """T-PCHGW: counted each time, told once an hour; nothing is decided."""

    async def story() -> None:
        told = await House(profile).after(Domain.GATEWAY, *[provider(kind)] * 3)
        (event,) = [each for each in told if isinstance(each, Event)]
        assert event.kind == "control.forbidden_origin"
        assert "R32" in event.text
        assert [each for each in told if isinstance(each, Decision)] == []
        assert [each.counters["forbidden_origin"] for each in told if isinstance(each, Health)][-1] == 3

    run(story())


def test_a_provider_in_its_own_name_is_not_refused() -> None:
    """Control: the same way is open to other services."""

    async def story() -> None:
        told = await House("6.4.3").after(Domain.GATEWAY, provider("price"))
        assert [each for each in told if isinstance(each, Event | Decision)] == []

    run(story())


@pytest.mark.parametrize("profile", BY_GATEWAY)
def test_the_message_itself_has_no_door_from_the_gateway(profile: Profile) -> None:
    """T-PCHGW: the hub denies it, counts and tells, at the highest exposure as well."""

    async def story() -> None:
        house = House(profile)
        told = await house.after(Domain.GATEWAY, ASKED)
        assert house.hub.denied == {Denial(Domain.GATEWAY, "PowerCompanyRequest", None): 1}
        assert [each.kind for each in told if isinstance(each, Event)] == ["hub.denied"]

    run(story())
