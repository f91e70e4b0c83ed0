"""Services of others by where they come from: the power company's by the meter, all others by the home gateway. Pure.

ITU-T G.9958, 6.4 (R31, R32 and their like). What a service wants done is a matter of rules; here it is taken, or not.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Literal

from hemsd.hub.messages import Decision, Domain, Event, Message, PowerCompanyRequest, ProviderEvent

POWER_COMPANY = "power_company"  # how the kind of an event in its name begins
TOLD_EVERY_S = 3600.0  # at most one event of those who try all the same
WORD_MAX = 64  # letters told of what others wrote


class Services:
    """Takes what they want, gives messages to publish. `now` is monotonic, `at` the time of day."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._told_at = float("-inf")
        self._out: list[Message] = []

    def by_meter(self, asked: PowerCompanyRequest, at: datetime) -> None:
        """A request of the power company, taken and told with its origin."""
        self.counters["power_company"] += 1
        value = "" if asked.value is None else f" {asked.value:g}"
        what = f"{asked.request[:WORD_MAX]}{value}"
        origin = f"the power company asked it by the meter {asked.meter}"
        self._out.append(Decision(rule=POWER_COMPANY, at=at, decision=f"taken: {what}", reason=origin))
        self._tell("power_company.request", "info", f"{origin}: {what}", at)

    def by_gateway(self, event: ProviderEvent, now: float, at: datetime) -> None:
        """An event of a provider; in the power company's name it is refused, counted and told: forbidden_origin."""
        if not event.kind.lower().replace("-", "_").startswith(POWER_COMPANY):
            return  # rules will have a use for it
        self.counters["forbidden_origin"] += 1
        if now >= self._told_at + TOLD_EVERY_S:
            self._told_at = now
            text = (
                "an event in the power company's name came by the home gateway and was refused: its services are "
                "provided through the meter (ITU-T G.9958: R32, R39, R48)"
            )
            self._tell("control.forbidden_origin", "warning", text, at)

    def outgoing(self) -> list[Message]:
        """What is to be published, in order; empties."""
        out, self._out = self._out, []
        return out

    def _tell(self, kind: str, severity: Literal["info", "warning"], text: str, at: datetime) -> None:
        self._out.append(Event(at=at, source=Domain.CONTROL, kind=kind, severity=severity, text=text))
