"""The nftables ruleset that keeps interfaces of the meter and of appliances apart, from the configuration. Pure.

A table of its own, so that nobody else's rules are touched: what another table drops stays dropped. ITU-T G.9958,
I.2 (R52, R54) and 6.4 (R36, R43); nft(8). Frames that a bridge passes on are not seen here; hemsd tells of such an
interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from hemsd.daemon.config import Config

TABLE = "inet hemsd"
NOT_IN_NAMES = set('"*\\')
MQTT_PORTS = (1883, 8883)  # IANA: mqtt, secure-mqtt

HEADER = f"""\
# Keeps the meter's and the appliances' networks apart from everything else (ITU-T G.9958). Made by `hemsd firewall
# print` from the configuration, loaded by `sudo hemsd firewall apply`; `nft -f` loads it as well, in one step.
table {TABLE}
delete table {TABLE}
"""

FORWARD = """
    # Nothing passes to, from or between them, whatever the kernel is set to forward.
    chain forward {{
        type filter hook forward priority filter - 10; policy accept;
        iifname {all} counter drop
        oifname {all} counter drop
    }}
"""

METER = """
    # The meter: ECHONET Lite between link-local addresses, and what IPv6 needs to find a neighbour.
    chain meter_in {{
        type filter hook input priority filter - 10; policy accept;
        iifname {meter} jump meter_only
    }}
    chain meter_out {{
        type filter hook output priority filter - 10; policy accept;
        oifname {meter} jump meter_only
    }}
    chain meter_only {{
        ip6 saddr fe80::/10 ip6 daddr {{ fe80::/10, ff02::1 }} udp dport 3610 accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
        icmpv6 type {{ mld-listener-query, mld-listener-report, mld2-listener-report }} ip6 hoplimit 1 accept
        counter drop
    }}
"""

NETWORKS = """
    # Appliances: they reach ECHONET Lite on this machine, and what an interface needs to have addresses. What this
    # machine itself began is answered.
    chain network_in {{
        type filter hook input priority filter - 10; policy accept;
        iifname {networks} jump network_only
    }}
    chain network_only {{
        ct state established,related accept
        udp dport 3610 accept
        udp sport 67 udp dport 68 accept
        ip protocol icmp accept
        ip protocol igmp accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} ip6 hoplimit 255 accept
        icmpv6 type {{ mld-listener-query, mld-listener-report, mld2-listener-report }} ip6 hoplimit 1 accept
        icmpv6 type {{ echo-request, echo-reply }} accept
        icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }} accept
{admitted}        counter drop
    }}
    # Nothing that is for the home gateway's broker goes out there.
    chain network_out {{
        type filter hook output priority filter - 10; policy accept;
        oifname {networks} tcp dport {mqtt} counter reject with tcp reset
    }}
"""


class Walls(Struct, frozen=True, kw_only=True):
    """What is to be kept apart, and the TCP ports that are open or closed there."""

    meter: tuple[str, ...] = ()  # interfaces with the meter and nothing else
    networks: tuple[str, ...] = ()  # of appliances, none of them the home network's
    admitted: tuple[int, ...] = ()  # ports that appliances may reach, like that of ssh
    mqtt: tuple[int, ...] = MQTT_PORTS

    @property
    def interfaces(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.meter, *self.networks)


def walls(config: Config) -> Walls:
    """As the configuration has it. Nothing is kept from the interface of the home network, whoever shares it."""
    lan, broker = config.lan.interface, config.gateway.broker
    networks = {each.interface for each in config.networks.values()} - {lan}
    meter = {config.meter.interface} - networks - {lan, None}
    return Walls(
        meter=tuple(sorted(each for each in meter if each is not None)),
        networks=tuple(sorted(networks)),
        admitted=tuple(sorted(set(config.isolation.admit_tcp))),
        mqtt=tuple(sorted({*MQTT_PORTS} | ({broker.port} if broker is not None else set()))),
    )


def ruleset(walls: Walls) -> str:
    """As nft(8) reads it: in place of an earlier one of ours, all of it or nothing. Raises ValueError."""
    if not walls.interfaces:
        return HEADER
    parts = [FORWARD.format(all=_set(walls.interfaces))]
    if walls.meter:
        parts.append(METER.format(meter=_set(walls.meter)))
    if walls.networks:
        admitted = f"        tcp dport {_set(walls.admitted)} accept\n" if walls.admitted else ""
        parts.append(NETWORKS.format(networks=_set(walls.networks), admitted=admitted, mqtt=_set(walls.mqtt)))
    return f"{HEADER}table {TABLE} {{{''.join(parts)}}}\n"


def differences(loaded: str, wanted: str) -> Iterator[str]:
    """What tells two listings of the table (nft -s list table) apart, in words; nothing for two that do the same."""
    from difflib import SequenceMatcher  # here, because only `hemsd firewall` needs it

    before, after = _rules(loaded), _rules(wanted)
    for chain in [*after, *(chain for chain in before if chain not in after)]:
        old, new = before.get(chain, []), after.get(chain, [])
        for operation, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if operation != "equal":
                yield from (f"{chain}: not ours: {rule}" for rule in old[i1:i2])
                yield from (f"{chain}: missing: {rule}" for rule in new[j1:j2])


def _rules(listing: str) -> dict[str, list[str]]:
    """The rules of each chain, or what else there is, in order."""
    found: dict[str, list[str]] = {}
    part = "table"
    for line in map(str.strip, listing.splitlines()):
        if line.endswith("{") and not line.startswith("table "):
            part = line.removesuffix("{").strip()
            found[part] = []
        elif line and line != "}" and not line.startswith(("table ", "#")):
            found.setdefault(part, []).append(line)
    return found


def _set(items: Iterable[str | int]) -> str:
    """As nft writes a set; names in quotes, where some characters would mean something else."""
    words = [f'"{each}"' if isinstance(each, str) else str(each) for each in items]
    if bad := next((each for each in words if NOT_IN_NAMES & set(each.strip('"'))), None):
        raise ValueError(f"nft cannot be told of an interface called {bad}: rename it (ip link set ... name ...)")
    return "{ " + ", ".join(words) + " }"
