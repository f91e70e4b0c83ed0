"""What can be wrong between us and the meter, in words for the person who has to do something about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from drivers.module import NoAnswer, Open, Refused
from hemsd.hub.messages import Trouble


class RouteBError(Exception):
    """Trouble on Route B; the text says what happened and what to do."""

    trouble: ClassVar[Trouble] = "radio"


class MeterNotHeard(RouteBError):
    """Nothing with our pairing ID, or on our network interface, answered a whole round of scans."""

    trouble = "not_heard"

    def __init__(self, *, by_radio: bool = True) -> None:
        super().__init__(
            "no meter answered the scan: check the Route B ID (its last 8 characters are what the meter answers to), "
            "that Route B has been opened by the power company, and bring the module closer to the meter"
            if by_radio
            else "no meter answered on this network interface: is it the one that is joined to the meter's network, "
            "and has Route B been opened by the power company?"
        )


class MeterUnclear(RouteBError):
    """Several nodes of the link say that they are a meter; taking one of them would be a guess."""

    trouble = "unclear"

    def __init__(self, addresses: Iterable[str]) -> None:
        super().__init__(
            f"several meters answer on this network interface: {', '.join(addresses)}; "
            "name yours in the configuration: [meter] peer"
        )


class RadioTrouble(RouteBError):
    """The meter was heard and the join failed for want of a good radio link."""

    def __init__(self, dbm: float | None) -> None:
        heard = "" if dbm is None else f" (heard at {dbm:.0f} dBm)"
        super().__init__(
            f"the meter was found{heard} but joining it failed: bring the module or its antenna closer to the meter, "
            "away from metal and other radios, and see that no other device is joined to this meter"
        )


class MeterMute(RouteBError):
    """The meter admits us and then answers nothing."""

    def __init__(self) -> None:
        super().__init__(
            "the meter lets us join and then answers nothing: see that no other device is joined to it, and bring "
            "the module closer to the meter, which may hear us worse than we hear it"
        )


class CredentialsRefused(RouteBError):
    """The meter challenged us several times over a good link and never accepted the proof: the password, probably."""

    trouble = "refused"

    def __init__(self) -> None:
        super().__init__(
            "the meter refused us several times over a good radio link: the Route B password is probably wrong; "
            "compare it with the power company's letter (12 characters, 0 is not O, 1 is not I)"
        )


class MeterTaken(RouteBError):
    """The meter refuses us over a good link although the password has been right before."""

    def __init__(self) -> None:
        super().__init__(
            "the meter refuses us over a good radio link although it has admitted us before: another controller is "
            "probably joined to it, switch that off; if Route B was applied for anew, the password has changed"
        )


class NoAnswerInTime(RouteBError):
    """The meter is not reachable now, or did not answer within the limit."""


class ModuleTrouble(RouteBError):
    """The Wi-SUN module is of no use as it is: silent, or refusing commands."""

    trouble = "module"


def module_trouble(event: Refused | NoAnswer) -> ModuleTrouble:
    """What to tell a person of a module that does not do what it was told."""
    if isinstance(event, Refused):
        return ModuleTrouble(f"the module refused {event.line} with {event.code}: unplug it for 10 s and try again")
    if isinstance(event.command, Open):
        return ModuleTrouble(
            "nothing answers on this port: is it the Wi-SUN module's port, is the module powered and plugged in well?"
        )
    return ModuleTrouble("the module stopped answering: unplug it for 10 s and try again")
