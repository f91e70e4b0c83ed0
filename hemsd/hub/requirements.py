"""The requirements of ITU-T G.9958 by number: what each asks of whom, and where it applies.

R1 to R55 are the sentences with a binding word, in the order of the text; one more, in clause 6, only bounds
its scope. D1 to D10 are sentences without one that can be tested all the same. The words are ours, near to those of
the Recommendation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Profile = Literal["6.2", "6.3.1", "6.3.2", "6.4.1", "6.4.2", "6.4.3"]
"""A network configuration, by its clause."""

Duty = Literal["enforce", "verify", "document"]
"""What hemsd does: cannot do otherwise; looks, and refuses or tells; says what others have to do."""

UTILITY_ONLY: Final[tuple[Profile, ...]] = ("6.2",)
BY_UTILITY: Final[tuple[Profile, ...]] = ("6.3.1", "6.3.2")
BY_GATEWAY: Final[tuple[Profile, ...]] = ("6.4.1", "6.4.2", "6.4.3")
DEDICATED: Final[tuple[Profile, ...]] = ("6.4.2", "6.4.3")
EVERY: Final[tuple[Profile, ...]] = (*UTILITY_ONLY, *BY_UTILITY, *BY_GATEWAY)


class Requirement(NamedTuple):
    """One of them. `binds`: C controller (hemsd), M meter, G home gateway, A appliances, I installer, U utility."""

    id: str
    clause: str
    word: str  # the binding one; empty where there is none
    binds: str
    duty: Duty
    profiles: tuple[Profile, ...]
    text: str
    proofs: tuple[str, ...] = ()  # names in hemsd.hub.proofs.PROOFS


_R = Requirement

REQUIREMENTS: Final[tuple[Requirement, ...]] = (
    _R("R1", "3.2.2.3", "must", "I", "document", EVERY, "A general purpose network provides Internet access.",
       ("T-OFFLINE",)),
    _R("R2", "6", "must", "CMG", "enforce", EVERY, "Energy management services utilize secure communications.",
       ("T-SEC", "T-TLS")),
    _R("R3", "6.2(1)", "shall", "MI", "document", ("6.2",), "A smart meter is connected to a utility network."),
    _R("R4", "6.2(1)", "shall not", "MI", "verify", ("6.2",),
       "A smart meter is not connected to other components in the home, as far as communication goes.",
       ("T-PROFILE",)),
    _R("R5", "6.2(2)", "shall", "M", "document", ("6.2", *BY_UTILITY),
       "The path between meter and utility network is secured."),
    _R("R6", "6.2(2)", "shall not", "MC", "enforce", ("6.2", *BY_UTILITY),
       "No data of that path is leaked to other communication paths.", ("T-PROFILE", "T-LEAK")),
    _R("R7", "6.3", "shall", "MI", "enforce", BY_UTILITY,
       "A smart meter and a utility network are protected from threats.", ("T-METERALLOW",)),
    _R("R8", "6.3.1(1)", "shall", "M", "document", ("6.3.1",), "A smart meter is connected to a utility network."),
    _R("R9", "6.3.1(1)", "shall", "MC", "verify", ("6.3.1",),
       "A smart meter and a HEMS controller are connected to a general purpose home network.", ("T-PROFILE",)),
    _R("R10", "6.3.1(1)", "shall", "CA", "verify", ("6.3.1",),
       "A HEMS controller and its appliances are connected to a HEMS-dedicated home network.", ("T-PROFILE",)),
    _R("R11", "6.3.1(2)", "shall", "M", "document", ("6.3.1",),
       "A smart meter communicates with a utility network as in clause 6.2."),
    _R("R12", "6.3.1(2)", "shall", "MC", "enforce", ("6.3.1",),
       "Meter and controller communicate directly over the general purpose home network.", ("T-ONELINK",)),
    _R("R13", "6.3.1(2)", "shall", "CA", "enforce", ("6.3.1",),
       "Controller and appliances communicate directly over a HEMS-dedicated home network.", ("T-ONELINK",)),
    _R("R14", "6.3.1(2)", "shall not", "MA", "enforce", ("6.3.1",),
       "A smart meter does not communicate directly with an appliance, so that both networks work independently.",
       ("T-PROFILE", "T-NOFWD", "T-WEAKHOST", "T-INDEP")),
    _R("R15", "6.3.1(2)", "must", "C", "enforce", ("6.3.1",),
       "Services over a general purpose home network and services over HEMS-dedicated ones are isolated.",
       ("T-PROFILE", "T-GUARD")),
    _R("R16", "6.3.1(2)", "shall", "CMI", "enforce", ("6.3.1",),
       "On a general purpose home network the path between meter and controller is secured and logically isolated.",
       ("T-PEERPIN",)),
    _R("R17", "6.3.2(1)", "shall", "M", "document", ("6.3.2",), "A smart meter is connected to a utility network."),
    _R("R18", "6.3.2(1)", "shall", "MCA", "verify", ("6.3.2",),
       "Meter, controller and appliances are connected to a HEMS-dedicated home network.", ("T-PROFILE",)),
    _R("R19", "6.3.2(2)", "shall", "M", "document", ("6.3.2",),
       "A smart meter communicates with the utility network as in clause 6.2."),
    _R("R20", "6.3.2(2)", "shall", "MC", "enforce", ("6.3.2",),
       "Meter and controller communicate directly over the HEMS-dedicated home network.", ("T-ONELINK",)),
    _R("R21", "6.3.2(2)", "shall", "CA", "enforce", ("6.3.2",),
       "Controller and appliances communicate directly over the HEMS-dedicated home network.", ("T-ONELINK",)),
    _R("R22", "6.3.2(2)", "shall", "CM", "enforce", ("6.3.2",),
       "The flow between meter and controller is secured and logically isolated, even if overlaid with others.",
       ("T-OVERLAY", "T-PEERPIN")),
    _R("R23", "6.3.2(2)", "must", "C", "enforce", ("6.3.2",),
       "Services over a general purpose home network and services over HEMS-dedicated ones are isolated.",
       ("T-PROFILE", "T-GUARD")),
    _R("R24", "6.4", "shall", "GI", "verify", BY_GATEWAY,
       "The home gateway is installed at the edge of the home network and connected to a general purpose network.",
       ("T-DOCTOR",)),
    _R("R25", "6.4", "shall", "MI", "enforce", BY_GATEWAY,
       "A smart meter and a utility network are protected from threats.", ("T-METERALLOW",)),
    _R("R26", "6.4.1(1)", "shall", "MCAG", "verify", ("6.4.1",),
       "All components with communication interfaces are connected to the general purpose home network.",
       ("T-PROFILE",)),
    _R("R27", "6.4.1(1)", "must", "MG", "document", ("6.4.1",),
       "Meter and home gateway are also connected to a utility network and a general purpose network."),
    _R("R28", "6.4.1(2)", "shall", "G", "enforce", ("6.4.1",),
       "Protocols and operations in the home network and in the general purpose network are independent.",
       ("T-OFFLINE",)),
    _R("R29", "6.4.1(2)", "shall", "G", "document", ("6.4.1",),
       "The home gateway routes between the general purpose network and the home network.", ("T-NOFWD",)),
    _R("R30", "6.4.1(2)", "shall", "CM", "enforce", ("6.4.1",),
       "The flow between meter and controller is secured and logically isolated, even if overlaid with others.",
       ("T-OVERLAY", "T-PEERPIN")),
    _R("R31", "6.4.1(2)", "shall", "UC", "enforce", ("6.4.1",),
       "Services of electric power companies are provided through the meter.", ("T-PCMETER",)),
    _R("R32", "6.4.1(2)", "must not", "UC", "enforce", ("6.4.1",),
       "Services of electric power companies are not provided through the home gateway.", ("T-PCHGW",)),
    _R("R33", "6.4.2(1)", "shall", "CA", "verify", DEDICATED,
       "The HEMS controller connects to its appliances by one or more HEMS-dedicated home networks.",
       ("T-PROFILE",)),
    _R("R34", "6.4.2(1)", "shall", "G", "document", DEDICATED,
       "A home gateway is connected to the general purpose network."),
    _R("R35", "6.4.2(2)", "shall", "AC", "enforce", ("6.4.2",),
       "Appliances communicate directly with the HEMS controller.", ("T-ONELINK",)),
    _R("R36", "6.4.2(2)", "shall not", "AC", "enforce", ("6.4.2",),
       "Appliances do not communicate with a smart meter and a home gateway directly.",
       ("T-PROFILE", "T-NOFWD", "T-WEAKHOST", "T-NORAW")),
    _R("R37", "6.4.2(2)", "shall", "CM", "enforce", ("6.4.2",),
       "The flow between meter and controller is secured and logically isolated, even if overlaid with others.",
       ("T-OVERLAY", "T-PEERPIN")),
    _R("R38", "6.4.2(2)", "shall", "UC", "enforce", ("6.4.2",),
       "Services of electric power companies are provided through the meter.", ("T-PCMETER",)),
    _R("R39", "6.4.2(2)", "must not", "UC", "enforce", ("6.4.2",),
       "Services of electric power companies are not provided through the home gateway.", ("T-PCHGW",)),
    _R("R40", "6.4.3(1)", "shall", "M", "verify", ("6.4.3",),
       "A smart meter is connected to the HEMS-dedicated home network, not to the general purpose one.",
       ("T-PROFILE",)),
    _R("R41", "6.4.3(1)", "shall", "M", "verify", ("6.4.3",),
       "Where there are several HEMS-dedicated home networks, a smart meter is connected to one of them.",
       ("T-PROFILE",)),
    _R("R42", "6.4.3(2)", "shall", "AC", "enforce", ("6.4.3",),
       "Appliances communicate directly with the HEMS controller.", ("T-ONELINK",)),
    _R("R43", "6.4.3(2)", "shall not", "AC", "enforce", ("6.4.3",),
       "Appliances do not communicate with a smart meter and a home gateway directly.",
       ("T-PROFILE", "T-NOFWD", "T-WEAKHOST", "T-NORAW")),
    _R("R44", "6.4.3(2)", "shall", "M", "verify", ("6.4.3",),
       "A smart meter is connected to a single HEMS-dedicated home network.", ("T-PROFILE",)),
    _R("R45", "6.4.3(2)", "shall only", "M", "verify", ("6.4.3",),
       "A smart meter communicates only with a HEMS controller.", ("T-SNIFF",)),
    _R("R46", "6.4.3(2)", "shall", "CM", "enforce", ("6.4.3",),
       "The flow between meter and controller is secured and logically isolated, even if overlaid with others.",
       ("T-OVERLAY", "T-PEERPIN")),
    _R("R47", "6.4.3(2)", "shall", "UC", "enforce", ("6.4.3",),
       "Services of electric power companies are provided through the meter.", ("T-PCMETER",)),
    _R("R48", "6.4.3(2)", "must not", "UC", "enforce", ("6.4.3",),
       "Services of electric power companies are not provided through the home gateway.", ("T-PCHGW",)),
    _R("R49", "I.1", "shall", "CM", "enforce", ("6.4.3",),
       "Encryption for routes A and B is to be considered in the future.", ("T-SEC",)),
    _R("R50", "I.2(1)", "recommended", "M", "enforce", ("6.4.3",),
       "Smart meters implement IPv6 only; on Route B link-local addresses are used.", ("T-LL",)),
    _R("R51", "I.2(2)", "should", "CI", "verify", ("6.4.3",),
       "Communication on Route B is isolated physically from other communications.", ("T-PROFILE", "T-PHYS")),
    _R("R52", "I.2(2)", "shall not", "C", "enforce", ("6.4.3",),
       "Communication on Route B is not routed to other routes or unrelated networks.", ("T-NOFWD", "T-FWDWATCH")),
    _R("R53", "I.2(3)", "shall only", "C", "enforce", ("6.4.3",),
       "Over Route B a HEMS controller communicates only with the smart meter.", ("T-PEERPIN",)),
    _R("R54", "I.2(3)", "shall not", "C", "enforce", ("6.4.3",),
       "A HEMS controller routes no other type of traffic over Route B.", ("T-PROFILE", "T-METERALLOW")),
    _R("R55", "I.2(3)", "shall not", "CI", "verify", ("6.4.3",),
       "Several HEMS controllers are not connected to a single smart meter.", ("T-SINGLE",)),
    _R("D1", "Introduction", "", "C", "enforce", EVERY, "Data protection is an important requirement.", ("T-LEAK",)),
    _R("D2", "6", "", "C", "verify", EVERY,
       "Communication is separated from others by person, device and application software.", ("T-PARTS",)),
    _R("D3", "6.3.1(2), 6.3.2(2)", "", "C", "enforce", BY_UTILITY,
       "A controller can aggregate information of its appliances and transfer the sums to the meter.",
       ("T-AGGREGATE",)),
    _R("D4", "6.3.2(2)", "", "MA", "enforce", ("6.3.2",),
       "Meter and appliances need not communicate directly with each other.", ("T-NOFWD",)),
    _R("D5", "6.4.1(2)", "", "C", "enforce", ("6.4.1",),
       "Communication paths can be limited depending on the services they relate to.", ("T-GUARD",)),
    _R("D6", "6.4.2(2), 6.4.3(2)", "", "C", "enforce", DEDICATED,
       "Where there are several HEMS-dedicated networks, each is operated independently.", ("T-INDEP",)),
    _R("D7", "6.4.2(1)", "", "AI", "verify", DEDICATED,
       "Appliances are not connected to a general purpose home network.", ("T-PROFILE",)),
    _R("D8", "I.2(1)", "", "CM", "enforce", ("6.4.3",), "IPv6 link-local addresses are utilized.", ("T-LL",)),
    _R("D9", "I.2(3), I.3", "", "CMI", "verify", ("6.4.3",),
       "Meter and controller are connected directly, over a dedicated network of their own.", ("T-PROFILE",)),
    _R("D10", "I.1", "", "CI", "enforce", ("6.4.3",),
       "Routes A, B and C are isolated logically or physically from other communication.",
       ("T-GUARD", "T-NORAW", "T-WEAKHOST")),
)  # fmt: skip

BY_ID: Final[Mapping[str, Requirement]] = {each.id: each for each in REQUIREMENTS}
