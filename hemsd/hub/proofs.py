"""What proves that the requirements of ITU-T G.9958 are met: tests by name, and who meets those that are not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

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
    "T-DOCTOR": Proof(
        "a default route that leads over an interface of meter or appliances is found and told",
        (
            "tests/daemon/test_isolation.py::test_each_thing_that_leads_elsewhere",
            "tests/isolation/test_fwdwatch.py::test_each_breach_is_told_and_so_is_its_end",
            "tests/daemon/test_conformance.py::test_a_default_route_elsewhere_fails",
        ),
    ),
    "T-FWDWATCH": Proof(
        "forwarding, proxying and bridging of an interface of meter or appliances are noticed at once, and acted on",
        (
            "tests/isolation/test_fwdwatch.py::test_each_breach_is_told_and_so_is_its_end",
            "tests/isolation/test_fwdwatch.py::test_refuse_stays_away_until_it_is_over",
            "tests/isolation/test_conformance.py::test_the_report_follows_the_kernel",
            "tests/isolation/test_fwdwatch.py::test_a_machine_that_has_to_forward_can_be_green",
            "tests/isolation/test_firewall.py::test_nothing_passes_while_the_rules_stand",
        ),
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
        (
            "tests/isolation/test_t_indep.py::test_the_meter_is_asked_at_the_same_moments",
            "tests/isolation/test_t_indep.py::test_readings_go_on_while_another_link_is_down",
            "tests/isolation/test_t_indep.py::test_appliances_are_served_while_the_meter_is_gone",
            "tests/daemon/test_appliances.py::test_one_network_does_not_feel_another_die",
            "tests/drivers/test_udp_ipv4.py::test_networks_do_not_disturb_each_other",
        ),
    ),
    "T-LEAK": Proof(
        "no secret is found in a log, message, recording, database or answer, nor in the memory of another world",
        (
            "tests/isolation/test_t_leak.py::test_after_everything_the_secrets_are_found_nowhere",
            "tests/isolation/test_t_leak.py::test_the_search_finds_every_form",
            "tests/systemd/test_target.py::test_secrets_are_in_one_world",
            "tests/systemd/test_service.py::test_secrets_and_history_are_its_own",
            "tests/properties/test_masking.py::test_no_secret_is_written",
            "tests/daemon/test_run.py::test_it_reads_the_meter_and_comes_back_when_unplugged",
        ),
    ),
    "T-LL": Proof(
        "the meter is spoken to between IPv6 link-local addresses only, and nothing else is on that link",
        (
            "tests/isolation/test_t_ll.py::test_the_daemon_sends_nothing_else_to_the_meter",
            "tests/isolation/test_t_ll.py::test_there_is_no_ipv4_for_the_meter_to_speak_to",
            "tests/isolation/test_t_ll.py::test_the_check_finds_what_else_is_sent",
            "tests/routeb/test_ip_link.py::test_a_reading_over_link_local_ipv6_and_nothing_else",
            "tests/routeb/test_ip_link.py::test_the_capture_sees_what_should_not_be_there",
        ),
    ),
    "T-METERALLOW": Proof(
        "nothing leaves for the meter but ECHONET Lite of its application interface, at a bounded rate",
        (
            "tests/isolation/test_t_meterallow.py::test_whatever_comes_through_the_doors_only_the_meter_interface_is_spoken",
            "tests/isolation/test_t_meterallow.py::test_what_must_not_leave_is_refused_counted_and_told",
            "tests/isolation/test_t_meterallow.py::test_the_check_finds_it_when_nothing_is_withheld",
            "tests/isolation/test_t_meterallow.py::test_any_bytes_that_may_leave_are_of_the_meter_interface",
            "tests/routeb/test_ip.py::test_datagrams_go_to_the_pinned_meter_only_and_only_frames",
        ),
    ),
    "T-NOFWD": Proof(
        "hemsd forwards and relays nothing between networks, and what it sends does not leave the link",
        (
            "tests/isolation/test_t_nofwd.py::test_nobody_gets_through_us",
            "tests/isolation/test_t_nofwd.py::test_no_frame_is_relayed",
            "tests/isolation/test_t_nofwd.py::test_the_check_finds_it_when_the_kernel_forwards",
            "tests/isolation/test_t_nofwd.py::test_the_check_finds_it_when_something_is_relayed",
            "tests/drivers/test_udp.py::test_nothing_leaves_the_link",
        ),
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
        (
            "tests/isolation/test_t_offline.py::test_a_day_without_the_lan",
            "tests/gateway/test_forward.py::test_a_day_without_broker",
        ),
    ),
    "T-ONELINK": Proof(
        "each socket is bound to one interface, and hears and reaches nodes of that link only",
        (
            "tests/isolation/test_t_onelink.py::test_what_we_send_cannot_leave_the_link",
            "tests/isolation/test_t_onelink.py::test_who_is_not_of_the_link_is_dropped_and_counted",
            "tests/isolation/test_t_onelink.py::test_the_check_finds_a_socket_that_sends_farther",
            "tests/drivers/test_udp.py::test_other_sources_are_dropped_and_counted",
            "tests/drivers/test_udp_ipv4.py::test_other_sources_are_dropped_and_counted",
            "tests/drivers/test_udp_ipv4.py::test_only_one_interface_is_used",
        ),
    ),
    "T-OVERLAY": Proof(
        "on an interface that meter and appliances share, the meter has a socket that hears it alone",
        (
            "tests/isolation/test_t_overlay.py::test_each_socket_has_its_own_flow",
            "tests/isolation/test_t_overlay.py::test_nothing_goes_out_by_the_wrong_socket",
            "tests/isolation/test_t_overlay.py::test_the_meter_is_read_on_while_the_appliances_side_is_flooded",
            "tests/isolation/test_t_overlay.py::test_the_check_finds_it_when_the_sockets_are_not_divided",
        ),
    ),
    "T-PARTS": Proof(
        "as a system service hemsd has a user of its own, and only the rights that it needs",
        (
            "tests/daemon/test_processes.py::test_each_process_loads_and_opens_nothing_of_the_others",
            "tests/isolation/test_t_weakhost.py::test_as_three_processes_each_has_sockets_of_its_own_world_only",
            "tests/daemon/test_processes.py::test_who_opens_the_gateways_socket_is_the_gateway",
            "tests/hub/test_wire.py::test_who_may_open_the_socket_speaks_as_its_domain_only",
            "tests/systemd/test_sandbox.py::test_the_sandboxes_hold",
            "tests/systemd/test_target.py::test_three_worlds_are_three_users",
            "tests/systemd/test_target.py::test_secrets_are_in_one_world",
        ),
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
            "tests/isolation/test_t_peerpin.py::test_a_second_meter_and_spoofed_sources_are_dropped_and_counted",
            "tests/isolation/test_t_peerpin.py::test_an_appliance_cannot_speak_as_the_meter",
            "tests/isolation/test_t_peerpin.py::test_through_a_module_too",
            "tests/isolation/test_t_peerpin.py::test_the_check_finds_a_gate_that_stands_open",
            "tests/routeb/test_ip_link.py::test_a_second_meter_and_forged_sources_change_nothing",
            "tests/routeb/test_ip.py::test_only_the_pinned_meter_is_heard",
            "tests/routeb/test_session.py::test_foreign_datagrams_are_dropped",
        ),
    ),
    "T-PHYS": Proof(
        "an interface to the meter that has other addresses or routes is found and told",
        (
            "tests/daemon/test_isolation.py::test_each_thing_that_leads_elsewhere",
            "tests/daemon/test_isolation.py::test_an_interface_that_the_meter_shares_has_addresses",
            "tests/isolation/test_fwdwatch.py::test_what_is_wrong_at_the_start_keeps_the_meter_alone",
        ),
    ),
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
            "tests/isolation/test_t_sec.py::test_what_we_send_is_encrypted_or_not_sent",
            "tests/isolation/test_t_sec.py::test_what_is_not_secured_is_not_taken",
            "tests/sharp_edges/test_meter.py::test_edge_14_only_what_is_encrypted_counts",
            "tests/sharp_edges/test_j11.py::test_edge_14_the_simulated_module_does_send_in_the_clear",
        ),
    ),
    "T-SINGLE": Proof(
        "a port and a state directory have one daemon, and another controller at the meter is noticed",
        (
            "tests/cli/test_read_through.py::test_the_port_by_force_is_refused_while_the_daemon_has_the_meter",
            "tests/daemon/test_instance.py::test_a_meter_has_one_daemon",
            "tests/daemon/test_run.py::test_a_second_daemon_is_refused",
            "tests/routeb/test_contention.py::test_it_is_told",
        ),
    ),
    "T-SNIFF": Proof(
        "a frame of the meter that is meant for somebody else is noticed and told",
        (
            "tests/isolation/test_t_sniff.py::test_what_the_meter_sends_to_other_objects_is_dropped_counted_and_told",
            "tests/isolation/test_t_sniff.py::test_through_a_module_too",
            "tests/isolation/test_t_sniff.py::test_a_meter_among_the_appliances_is_told_and_left_alone",
        ),
    ),
    "T-WEAKHOST": Proof(
        "nothing that listens for one network is reached from another, whatever address is tried",
        (
            "tests/isolation/test_t_weakhost.py::test_each_port_is_reached_from_its_own_link_only",
            "tests/isolation/test_t_weakhost.py::test_as_three_processes_each_has_sockets_of_its_own_world_only",
            "tests/isolation/test_t_weakhost.py::test_groups_are_joined_on_their_own_interface",
            "tests/isolation/test_t_weakhost.py::test_the_check_finds_a_server_that_is_bound_by_its_address_only",
            "tests/isolation/test_t_weakhost.py::test_the_check_finds_a_port_that_forgets_its_interface",
        ),
    ),
    "T-TLS": Proof(
        "MQTT is encrypted, its broker is known by authority or key, and plain MQTT is warned of for ever",
        (
            "tests/isolation/test_t_sec.py::test_an_open_way_out_is_chosen_or_refused",
            "tests/isolation/test_t_sec.py::test_the_warning_stays_while_it_is_so",
            "tests/gateway/test_tls.py::test_nothing_is_said_to_a_broker_of_another_key",
            "tests/daemon/test_check.py::test_the_broker_is_checked_too",
        ),
    ),
}
"""What each kind of proof proves, by a name that is used in the tests as well."""
