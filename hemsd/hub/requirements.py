"""The requirements of ITU-T G.9958 by number: what each asks of whom, where it applies, and which tests prove it.

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
    proofs: tuple[str, ...] = ()  # names in PROOFS

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that prove it, by node id."""
        return tuple(dict.fromkeys(test for proof in self.proofs for test in PROOFS[proof].tests))


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
       ("T-PROFILE", "T-NOFWD", "T-INDEP")),
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
       ("T-PROFILE", "T-NOFWD", "T-NORAW")),
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
       ("T-PROFILE", "T-NOFWD", "T-NORAW")),
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
       ("T-GUARD", "T-NORAW")),
)  # fmt: skip

BY_ID: Final[Mapping[str, Requirement]] = {each.id: each for each in REQUIREMENTS}

UTILITY = "the power company connects its meter to its own network and protects that way; hemsd has no part in it"
GATEWAY = "the router does this, and hemsd has no part in it: it never forwards or routes anything itself"

OTHERS: Final[Mapping[str, str]] = {
    "R1": "the provider of the Internet access does this; hemsd needs none: readings, orders and history do without",
    **dict.fromkeys(("R3", "R5", "R8", "R11", "R17", "R19", "R27"), UTILITY),
    **dict.fromkeys(("R29", "R34"), GATEWAY),
}
"""Who meets a requirement that is not for hemsd to meet."""


class Proof(NamedTuple):
    """What is proven, in a sentence, and the tests that do, by node id."""

    text: str
    tests: tuple[str, ...]


PROOFS: Final[Mapping[str, Proof]] = {
    "T-AGGREGATE": Proof(
        "the sums of the house can be read by the meter, and by nobody else on its link",
        (
            "tests/routeb/test_offered.py::test_the_meter_reads_them",
            "tests/routeb/test_offered.py::test_only_the_meter_reads_them",
            "tests/routeb/test_offered.py::test_elsewhere_there_is_nothing_to_read",
        ),
    ),
    "T-DOCTOR": Proof("a default route that leads over an interface of meter or appliances is found and told", ()),
    "T-FWDWATCH": Proof(
        "forwarding, proxying and bridging of an interface of meter or appliances are noticed at once, and acted on",
        (),
    ),
    "T-GUARD": Proof(
        "between the worlds only typed messages pass, through doors that the profile opens; all else is denied",
        (
            "tests/hub/test_routes.py::test_only_the_doors_of_the_architecture_are_open",
            "tests/hub/test_routes.py::test_nobody_outside_reaches_the_meter",
            "tests/hub/test_routes.py::test_a_breach_would_be_found",
        ),
    ),
    "T-INDEP": Proof(
        "each network has sockets, queues and a pace of its own; the loss of one does not disturb another",
        ("tests/drivers/test_udp_ipv4.py::test_networks_do_not_disturb_each_other",),
    ),
    "T-LEAK": Proof(
        "the secrets of Route B are found in no log, message, recording or database, and its files are private",
        (
            "tests/systemd/test_service.py::test_secrets_and_history_are_its_own",
            "tests/properties/test_masking.py::test_no_secret_is_written",
            "tests/daemon/test_run.py::test_it_reads_the_meter_and_comes_back_when_unplugged",
        ),
    ),
    "T-LL": Proof(
        "the meter is spoken to between IPv6 link-local addresses only, and nothing else is on that link",
        (
            "tests/routeb/test_ip_link.py::test_a_reading_over_link_local_ipv6_and_nothing_else",
            "tests/routeb/test_ip_link.py::test_the_capture_sees_what_should_not_be_there",
        ),
    ),
    "T-METERALLOW": Proof(
        "nothing leaves for the meter but ECHONET Lite of its application interface, at a bounded rate",
        ("tests/routeb/test_ip.py::test_datagrams_go_to_the_pinned_meter_only_and_only_frames",),
    ),
    "T-NOFWD": Proof(
        "hemsd forwards and relays nothing between networks, and what it sends does not leave the link",
        ("tests/drivers/test_udp.py::test_nothing_leaves_the_link",),
    ),
    "T-NORAW": Proof(
        "no frame crosses between the worlds: no message has room for bytes, and a frame as text is refused",
        (
            "tests/hub/test_routes.py::test_no_message_can_carry_bytes",
            "tests/hub/test_routes.py::test_bytes_would_be_found",
            "tests/hub/test_routes.py::test_a_frame_in_hex_is_refused",
        ),
    ),
    "T-OFFLINE": Proof(
        "without the home network or the Internet nothing is lost: history waits and is handed on later",
        ("tests/gateway/test_forward.py::test_a_day_without_broker",),
    ),
    "T-ONELINK": Proof(
        "each socket is bound to one interface, and hears and reaches nodes of that link only",
        (
            "tests/drivers/test_udp.py::test_other_sources_are_dropped_and_counted",
            "tests/drivers/test_udp_ipv4.py::test_other_sources_are_dropped_and_counted",
            "tests/drivers/test_udp_ipv4.py::test_only_one_interface_is_used",
        ),
    ),
    "T-OVERLAY": Proof(
        "on an interface that meter and appliances share, the meter has a socket that hears it alone", ()
    ),
    "T-PARTS": Proof(
        "as a system service hemsd has a user of its own, and only the rights that it needs",
        ("tests/systemd/test_service.py::test_the_sandbox_holds",),
    ),
    "T-PCHGW": Proof(
        "a request in the power company's name from the home gateway's side is refused and told",
        (
            "tests/control/test_services.py::test_what_comes_by_the_gateway_in_its_name_is_refused",
            "tests/control/test_services.py::test_the_message_itself_has_no_door_from_the_gateway",
            "tests/control/test_services.py::test_a_provider_in_its_own_name_is_not_refused",
            "tests/gateway/test_requests.py::test_the_power_companys_name_is_refused",
            "tests/gateway/test_commands.py::test_every_error_code",
        ),
    ),
    "T-PCMETER": Proof(
        "a request of the power company that comes by the meter is taken and logged with its origin",
        ("tests/control/test_services.py::test_what_comes_by_the_meter_is_taken_and_logged_with_its_origin",),
    ),
    "T-PEERPIN": Proof(
        "one meter is spoken to and heard, by its address; what others send is dropped and counted",
        (
            "tests/routeb/test_ip_link.py::test_a_second_meter_and_forged_sources_change_nothing",
            "tests/routeb/test_ip.py::test_only_the_pinned_meter_is_heard",
            "tests/routeb/test_session.py::test_foreign_datagrams_are_dropped",
        ),
    ),
    "T-PHYS": Proof("an interface to the meter that has other addresses or routes is found and told", ()),
    "T-PROFILE": Proof(
        "a configuration that contradicts its profile does not start, unless it declares that",
        (
            "tests/hub/test_profiles.py::test_what_breaks_which_requirement",
            "tests/hub/test_profiles.py::test_every_rule_has_a_case_that_it_finds_and_one_that_it_leaves",
            "tests/daemon/test_profiles.py::test_a_contradiction_stops_the_start",
            "tests/daemon/test_profiles.py::test_the_example_of_a_profile_runs",
        ),
    ),
    "T-SEC": Proof(
        "what was not encrypted on the way from the meter is dropped and counted",
        (
            "tests/sharp_edges/test_meter.py::test_edge_14_only_what_is_encrypted_counts",
            "tests/sharp_edges/test_j11.py::test_edge_14_the_simulated_module_does_send_in_the_clear",
        ),
    ),
    "T-SINGLE": Proof(
        "a meter has one daemon on this machine, and another controller at it is noticed",
        (
            "tests/daemon/test_instance.py::test_a_meter_has_one_daemon",
            "tests/daemon/test_run.py::test_a_second_daemon_is_refused",
            "tests/routeb/test_contention.py::test_it_is_told",
        ),
    ),
    "T-SNIFF": Proof("a frame of the meter that is meant for somebody else is noticed and told", ()),
    "T-TLS": Proof(
        "MQTT is encrypted, its broker is known by authority or key, and plain MQTT is warned of for ever",
        (
            "tests/gateway/test_tls.py::test_nothing_is_said_to_a_broker_of_another_key",
            "tests/daemon/test_check.py::test_the_broker_is_checked_too",
        ),
    ),
}
"""What each kind of proof proves, by a name that is used in the tests as well."""
