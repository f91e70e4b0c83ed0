"""What a wish has to pass before anything of it reaches an appliance, each check by name. Pure.

The order is that of the tables: who may ask at all before which appliance is meant, so that nobody learns the names
of a house that is closed to them; what can never be done before what can be done later. What a value may be is not
checked here: the appliances' domain knows the device, and refuses before it sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct

from hemsd.control.limits import Orders, Switches
from hemsd.control.settings import Refused, Settings
from hemsd.control.targets import class_code, listed, nearest, shortened
from hemsd.hub.messages import PROPERTY_CODE, ApplianceStatus, Domain, UserRequest
from hemsd.hub.routes import Exposure

VALUES_MAX, PROPERTIES_MAX = 32, 256  # of one request
WORD_MAX = 128  # letters of a name; the longest of the Appendix has 97
EDT_MAX = 512  # letters of a value: "0x", and 255 bytes in hexadecimal
LINE_S = 50.0  # a set waits so long for its turn, as a person might

LEVELS: tuple[Exposure, ...] = ("aggregates", "appliances", "control")
FROM_GATEWAY: Mapping[str, Exposure] = {"get": "control", "set": "control", "identify": "control"}
"""Which level of exposure opens an operation to the home gateway: to ask an appliance costs it something, too. To
forget is for the operator alone."""

LOCKS_HOUSE = frozenset({0x0263, 0x026F})
"""Classes that keep people out: rain shutter, electric lock. Whoever gets at the broker is not to open the door."""


class Wish(Struct, frozen=True):
    """A request and all that is known when it is judged."""

    asked: UserRequest
    status: ApplianceStatus  # of the appliance that is meant
    settings: Settings
    orders: Orders
    switches: Switches
    now: float  # monotonic
    at: datetime

    @property
    def person(self) -> bool:
        """Whether surely a person asks: the gateway may hide an automation."""
        return self.asked.asker is Domain.OPERATOR


def exposure(asked: UserRequest, settings: Settings) -> Refused | None:
    """The operator may do anything; the gateway what the configuration exposes; nobody else has a door."""
    if asked.asker is Domain.OPERATOR:
        return None
    needed = FROM_GATEWAY.get(asked.operation)
    if asked.asker is not Domain.GATEWAY or needed is None:
        return Refused("forbidden_origin", f"{asked.operation} is for the command line on this machine alone")
    if LEVELS.index(settings.exposure) < LEVELS.index(needed):
        text = f'{asked.operation} takes exposure level "{needed}", the home gateway has "{settings.exposure}"'
        return Refused("forbidden_origin", text)
    return None


def form(asked: UserRequest) -> Refused | None:
    """Within bounds, and something is asked for."""
    if asked.expires_at is not None and asked.expires_at.tzinfo is None:
        return Refused("bad_request", "expires_at needs a time zone, like 2025-01-15T12:00:00Z")
    if asked.operation == "set" and not asked.values:
        return Refused("bad_request", "there is nothing to set: give at least one word=value")
    if len(asked.values) > VALUES_MAX or len(asked.properties) > PROPERTIES_MAX:
        return Refused("bad_request", f"at most {VALUES_MAX} values or {PROPERTIES_MAX} properties in one request")
    words = (*asked.values, *asked.properties)
    texts = (value for value in asked.values.values() if isinstance(value, str))
    if any(len(word) > WORD_MAX for word in words) or any(len(text) > EDT_MAX for text in texts):
        return Refused("bad_request", f"words have at most {WORD_MAX} letters, values {EDT_MAX}")
    return None


def expiry(asked: UserRequest, at: datetime) -> Refused | None:
    """It is not too late; with form() before."""
    if asked.expires_at is not None and asked.expires_at <= at:
        return Refused("expired", "the request was only good for a time that is over: ask again")
    return None


def watched_only(wish: Wish) -> Refused | None:
    """The configuration lets it be set."""
    if {wish.status.appliance, wish.status.name}.isdisjoint(wish.settings.watched_only):
        return None
    return Refused(
        "not_settable", f"{wish.status.name} is only watched: the configuration says control = false for it"
    )


def locks_house(wish: Wish) -> Refused | None:
    """What keeps people out is for who is at this machine, unless the configuration says otherwise."""
    status, opened = wish.status, {wish.status.appliance, wish.status.name} & wish.settings.opened
    if wish.person or opened or class_code(status) not in LOCKS_HOUSE:
        return None
    text = f"{status.name} keeps people out: give it control = true in its table of [appliances] to set it from there"
    return Refused("not_settable", text)


def online(wish: Wish) -> Refused | None:
    """It was heard lately. Whoever is silent would only cost the asker a long wait, and is looked for anyway."""
    status = wish.status
    if status.online:
        return None
    heard = status.last_heard_at
    ago = "" if heard is None else f"; it was heard {span((wish.at - heard).total_seconds())} ago"
    why = status.detail or "see that it has power and is on its network"
    return Refused("timeout", f"{status.name} is offline: {why}{ago}")


def known(wish: Wish) -> Refused | None:
    """It has told what it can do."""
    if wish.status.known:
        return None
    return Refused("busy", f"{wish.status.name} has not told yet what it can do: try again in a minute")


def settable(wish: Wish) -> Refused | None:
    """It can be set by each of these words."""
    status = wish.status
    words = (*status.wishes, *(name for name in status.settable if name not in status.wishes))
    for word in wish.asked.values:
        if word not in words and not PROPERTY_CODE.fullmatch(word):
            near = nearest(word, words)
            hint = f'did you mean "{near}"?' if near else f"it can by {listed(words)}" if words else "nor by anything"
            return Refused("not_settable", f'{status.name} cannot be set by "{shortened(word)}"; {hint}')
    return None


def readable(wish: Wish) -> Refused | None:
    """It has each of these properties, by name or by code."""
    status = wish.status
    for word in wish.asked.properties:
        if word not in status.readable and not PROPERTY_CODE.fullmatch(word):
            near = nearest(word, status.readable)
            hint = f'did you mean "{near}"?' if near else "without any name all are read"
            return Refused("bad_request", f'{status.name} has no property "{shortened(word)}" to read; {hint}')
    return None


def rate(wish: Wish) -> Refused | None:
    """It has not been ordered so often that this one could not even wait for its turn."""
    wait_s = wish.orders.next_at(wish.status.appliance, wish.now) - wish.now
    if wait_s <= LINE_S:
        return None
    text = f"{wish.status.name} has been ordered as often as it may be ({wish.settings.per_hour} times an hour)"
    return Refused("rate_limited", f"{text}: again in {span(wait_s)}")


def minimum_time(wish: Wish) -> Refused | None:
    """It has been on, or off, for as long as its class needs."""
    status = wish.status
    until = wish.switches.held_until(status, wish.asked.values, person=wish.person)
    if until is None or until <= wish.now:
        return None
    text = f"{status.name} was switched lately and is to stay as it is: again in {span(until - wish.now)}"
    return Refused("rate_limited", text)


CHECKS: Mapping[str, tuple[Callable[[Wish], Refused | None], ...]] = {
    "set": (watched_only, locks_house, online, known, settable, rate, minimum_time),
    "identify": (watched_only, online, known, rate),
    "get": (online, known, readable),
    "forget": (),
}
"""What each operation has to pass, in this order, once the appliance is found."""


def refusal_of(wish: Wish) -> Refused | None:
    """The first check that it does not pass; None where it may go out."""
    return next((refused for check in CHECKS[wish.asked.operation] if (refused := check(wish))), None)


def span(seconds: float) -> str:
    """A time in words, rounded up."""
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds > 2 * length_s:
            return f"{-int(-seconds // length_s)} {unit}"
    return f"{max(1, -int(-seconds // 1))} s"
