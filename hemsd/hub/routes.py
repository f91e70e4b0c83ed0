"""The doors between the domains: who may tell what to whom. What is not in a table is denied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hemsd.hub.messages import (
    ApplianceCommand,
    ApplianceProperty,
    ApplianceQuery,
    ApplianceResult,
    ApplianceState,
    ApplianceStatus,
    Backfill,
    BackfillProgress,
    Decision,
    Domain,
    Event,
    Health,
    HistoryAnswer,
    HistoryHead,
    HistoryQuery,
    IsolationStatus,
    LifetimeEnergy,
    Message,
    MeterDay,
    MeterInterval,
    MeterMinute,
    MeterProperty,
    MeterReading,
    MeterStatus,
    PowerCompanyRequest,
    ProviderEvent,
    ReadMeter,
    Records,
    RecordsAfter,
    SiteAggregate,
    UserRequest,
    UserResponse,
)
from hemsd.hub.requirements import BY_GATEWAY, Profile

Routes = Mapping[tuple[Domain, type[Message]], frozenset[Domain]]
"""From a domain and what it says to the domains that may hear it; a message with a `to` is heard there only.

A door with nobody behind it is one all the same: what is said there is no breach, and nobody is there to hear it.
"""

Exposure = Literal["aggregates", "appliances", "control"]
"""What the home gateway may have: sums only; also each appliance; also the setting of it."""

ROUTEB, APPLIANCES, GATEWAY, CONTROL, HISTORY, OPERATOR = Domain

_READERS = frozenset({HISTORY, GATEWAY, OPERATOR})

# Configuration 6.4.3: nothing passes between the meter and the home gateway but readings, outward. The gateway hears
# aggregates only, so appliances one by one, and orders from outside, have no door unless a higher exposure opens one.
ROUTES_6_4_3: Routes = {
    (ROUTEB, MeterReading): _READERS | {CONTROL},
    (ROUTEB, MeterStatus): _READERS | {CONTROL},
    (ROUTEB, MeterInterval): _READERS | {CONTROL},
    (ROUTEB, MeterDay): frozenset({HISTORY}),
    (ROUTEB, MeterMinute): frozenset({HISTORY}),
    (ROUTEB, BackfillProgress): frozenset({HISTORY, OPERATOR}),
    (ROUTEB, PowerCompanyRequest): frozenset({CONTROL}),
    (ROUTEB, MeterProperty): frozenset({HISTORY, OPERATOR}),
    (ROUTEB, Event): _READERS,
    (ROUTEB, Health): _READERS,
    (ROUTEB, IsolationStatus): _READERS,
    (APPLIANCES, ApplianceState): frozenset({CONTROL, HISTORY, OPERATOR}),
    (APPLIANCES, ApplianceStatus): frozenset({CONTROL, HISTORY, OPERATOR}),
    (APPLIANCES, ApplianceResult): frozenset({CONTROL, HISTORY, OPERATOR}),
    (APPLIANCES, ApplianceProperty): frozenset({CONTROL}),
    (APPLIANCES, Event): _READERS,
    (APPLIANCES, Health): _READERS,
    (APPLIANCES, IsolationStatus): _READERS,
    (GATEWAY, ProviderEvent): frozenset({CONTROL}),
    (GATEWAY, RecordsAfter): frozenset({HISTORY}),
    (GATEWAY, HistoryQuery): frozenset({HISTORY}),
    (GATEWAY, Event): _READERS,
    (GATEWAY, Health): _READERS,
    (CONTROL, SiteAggregate): _READERS,
    (CONTROL, ApplianceCommand): frozenset({APPLIANCES}),
    (CONTROL, ApplianceQuery): frozenset({APPLIANCES}),
    (CONTROL, UserResponse): frozenset({OPERATOR}),
    (CONTROL, Decision): _READERS,
    (CONTROL, Event): _READERS,
    (CONTROL, Health): _READERS,
    (HISTORY, ReadMeter): frozenset({ROUTEB}),
    (HISTORY, Backfill): frozenset({ROUTEB}),
    (HISTORY, Records): frozenset({GATEWAY, OPERATOR}),
    (HISTORY, HistoryHead): frozenset({GATEWAY}),
    (HISTORY, LifetimeEnergy): frozenset({GATEWAY}),
    (HISTORY, HistoryAnswer): frozenset({GATEWAY, OPERATOR}),
    (HISTORY, Event): _READERS,
    (HISTORY, Health): _READERS,
    (OPERATOR, ReadMeter): frozenset({ROUTEB}),
    (OPERATOR, Backfill): frozenset({ROUTEB}),
    (OPERATOR, UserRequest): frozenset({CONTROL}),
    (OPERATOR, RecordsAfter): frozenset({HISTORY}),
    (OPERATOR, HistoryQuery): frozenset({HISTORY}),
    (OPERATOR, Event): _READERS,
    (OPERATOR, Health): _READERS,
}

_APPLIANCES: Routes = {
    **ROUTES_6_4_3,
    (APPLIANCES, ApplianceState): frozenset({CONTROL, HISTORY, GATEWAY, OPERATOR}),
    (APPLIANCES, ApplianceStatus): frozenset({CONTROL, HISTORY, GATEWAY, OPERATOR}),
    (APPLIANCES, ApplianceResult): frozenset({CONTROL, HISTORY, GATEWAY, OPERATOR}),
}

_CONTROL: Routes = {
    **_APPLIANCES,
    (GATEWAY, UserRequest): frozenset({CONTROL}),
    (CONTROL, UserResponse): frozenset({GATEWAY, OPERATOR}),
}

DOORS_6_4_3: Mapping[Exposure, Routes] = {
    "aggregates": ROUTES_6_4_3,
    "appliances": _APPLIANCES,
    "control": _CONTROL,
}
"""The doors of configuration 6.4.3, and of 6.4.1 and 6.4.2, by what is exposed to the home gateway."""


def _without(routes: Routes, *closed: Domain) -> Routes:
    """The same with no door from these domains, and nobody of them behind any other."""
    return {door: to - frozenset(closed) for door, to in routes.items() if door[0] not in closed}


ROUTES_6_3: Routes = {
    **_without(ROUTES_6_4_3, GATEWAY),
    (CONTROL, SiteAggregate): frozenset({HISTORY, OPERATOR, ROUTEB}),
}
"""Configurations 6.3.1 and 6.3.2: there is no home gateway, and the meter may have the sums of the house."""

ROUTES_6_2: Routes = _without(ROUTES_6_4_3, ROUTEB, APPLIANCES, GATEWAY)
"""Configuration 6.2: there is no controller in the home; what history has can be looked at."""


def doors(profile: Profile, exposure: Exposure) -> Routes:
    """The doors of a configuration, by what is exposed to the home gateway where it has one."""
    if profile in BY_GATEWAY:
        return DOORS_6_4_3[exposure]
    return ROUTES_6_2 if profile == "6.2" else ROUTES_6_3
