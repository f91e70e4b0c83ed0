"""What this machine, its configuration and the running daemon say about each requirement of ITU-T G.9958."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from hemsd.daemon.config import Config, layout
from hemsd.daemon.credentials import find_credentials
from hemsd.daemon.state import find_state_directory
from hemsd.gateway.config import LinkConfig
from hemsd.hub.messages import Breach, Health, MeterStatus
from hemsd.hub.profiles import Layout, check
from hemsd.hub.proofs import OTHERS, PROOFS
from hemsd.hub.requirements import REQUIREMENTS, Requirement
from hemsd.hub.routes import doors

OTHERS_MAY = 0o077  # of a file's mode
DECLARED_WITH: Final[Mapping[str, str]] = {"D7": "R33", "D9": "R51"}  # says the same, and has a number of its own

Word = Literal["pass", "fail", "not_applicable", "declared"]


class Verdict(Struct, frozen=True):
    """How it stands with one requirement, and what tells so."""

    id: str
    clause: str
    verdict: Word
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the running daemon said of itself."""

    healths: Mapping[str, Health]  # by name
    meters: tuple[MeterStatus, ...] = ()

    def counted(self, *words: str) -> int:
        """The sum of all counters whose name begins with one of these."""
        counters = [item for health in self.healths.values() for item in health.counters.items()]
        return sum(number for name, number in counters if name.startswith(words))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that is looked at. `lan` is the interface of the default route, `told` None where no daemon runs.

    `around` is what keeps an interface of meter or appliances from being apart, nothing for one that is; an interface
    that could not be looked at is not in it.
    """

    config: Config
    lan: str | None = None
    told: Told | None = None
    around: Mapping[str, tuple[Breach, ...]] = field(default_factory=dict)
    environ: Mapping[str, str]

    @property
    def layout(self) -> Layout:
        return layout(self.config, self.lan)


class Fact(NamedTuple):
    """Something that was found; `good` False where it breaks the requirement that it was looked at for.

    `final`: and no declaration helps.
    """

    text: str
    good: bool = True
    final: bool = False


Look = Callable[[Scene], Iterator[Fact]]


def report(scene: Scene) -> tuple[Verdict, ...]:
    """R1 to R55, then D1 to D10."""
    return tuple(_judge(each, scene) for each in REQUIREMENTS)


def _judge(requirement: Requirement, scene: Scene) -> Verdict:
    def verdict(word: Word, evidence: str) -> Verdict:
        return Verdict(requirement.id, requirement.clause, word, evidence)

    facts = [*_breaches(requirement, scene)]
    if not facts:
        if (why := _beside_the_point(requirement, scene)) is not None:
            return verdict("not_applicable", why)
        if requirement.id in OTHERS:
            return verdict("pass", f"documented: {OTHERS[requirement.id]}")
    for proof in requirement.proofs:
        facts += FACTS[proof](scene) if proof in FACTS else ()
    if bad := [fact for fact in facts if not fact.good]:
        number, told = DECLARED_WITH.get(requirement.id, requirement.id), "; ".join(fact.text for fact in bad)
        if number in scene.config.accept and not any(fact.final for fact in bad):
            return verdict("declared", f'accept = ["{number}"]: {told}')
        return verdict("fail", told)
    proven = [PROOFS[proof].text for proof in requirement.proofs if proof != "T-PROFILE"]  # the facts say that
    found = [*dict.fromkeys(fact.text for fact in facts)]
    if proven:
        found.append(f"by design, and tested: {'; '.join(proven)}")
    return verdict("pass", "; ".join(found))


def _beside_the_point(requirement: Requirement, scene: Scene) -> str | None:
    """Why a requirement does not concern this home; None where it does."""
    config = scene.config
    if config.profile not in requirement.profiles:
        return f"profile {config.profile} does not have it"
    if requirement.id in OF_APPLIANCES and not config.networks:
        return "no appliances are configured"
    if requirement.id in OF_THE_METER and not config.meter.there and config.profile != "6.2":
        return 'there is no link to a meter: [meter] port = "none"'
    return None


OF_APPLIANCES: Final = frozenset(
    {"R10", "R13", "R14", "R21", "R33", "R35", "R36", "R42", "R43", "D4", "D6", "D7"},
)
OF_THE_METER: Final = frozenset(
    {
        f"R{number}"
        for number in (7, 9, 12, 14, 16, 20, 22, 25, 30, 31, 37, 38, 40, 41, 44, 45, 46, 47, *range(49, 56))
    }
    | {"D4", "D8", "D9"}
)


def _breaches(requirement: Requirement, scene: Scene) -> Iterator[Fact]:
    """What the configuration, or the daemon's watch over the interfaces, finds against it."""
    numbers = {requirement.id, DECLARED_WITH.get(requirement.id)}
    for each in check(scene.layout):
        if numbers & {one.id for one in each.requirements}:
            yield Fact(each.found, good=False, final=each.final)
    for interface, breaches in scene.around.items():
        for breach in breaches:
            if breach.requirement in numbers:
                yield Fact(f"{interface}: {breach.text}", good=False)


# --- facts, each looked for where a proof of its name is asked for


def _placed(scene: Scene) -> Iterator[Fact]:
    """Which network is where."""
    found, meter = scene.layout, scene.config.meter
    if meter.there:
        where = f"interface {meter.interface}" if meter.interface else f"a Wi-SUN module ({meter.port})"
        yield Fact(f"the meter is on {where}")
    else:
        yield Fact("there is no link to a meter")
    for name, interface in found.networks.items():
        yield Fact(f"the appliances of [networks.{name}] are on {interface}")
    nowhere = "no home network is named, and no default route leads to one"
    yield Fact(f"the home network is on {found.lan}" if found.lan else nowhere)


def _doors(scene: Scene) -> Iterator[Fact]:
    """How many there are, and who tried others."""
    config = scene.config
    open_ = sum(map(len, doors(config.profile, config.gateway.exposure).values()))
    exposed = f" at exposure {config.gateway.exposure}" if config.profile.startswith("6.4") else ""
    yield Fact(f"profile {config.profile} opens {open_} doors{exposed}")
    if scene.told is not None:
        yield Fact(f"the daemon denied {scene.told.counted('denied:')} messages")


def _dropped(*reasons: str) -> Look:
    """How many datagrams were dropped for these."""

    def look(scene: Scene) -> Iterator[Fact]:
        for meter in scene.told.meters if scene.told else ():
            dropped = meter.radio.dropped
            number = sum(count for reason, count in dropped.items() if reason.startswith(reasons))
            yield Fact(f"the daemon dropped {number} such datagrams")

    return look


def _watched(scene: Scene) -> Iterator[Fact]:
    """What was found around the interfaces that are to be kept apart."""
    layout = scene.layout
    apart = {*layout.networks.values(), layout.meter_interface} - {layout.lan, None}
    if not apart:
        yield Fact("no network interface is the meter's or the appliances' own")
    for interface in sorted(filter(None, apart)):
        if interface not in scene.around:
            yield Fact(f"how {interface} stands could not be looked at by this user")
        elif not scene.around[interface]:
            yield Fact(f"nothing leads from {interface} elsewhere")
    if scene.told is None:
        yield Fact("no daemon runs that would go on watching")


def _way_out(scene: Scene) -> Iterator[Fact]:
    """Where the default route leads."""
    apart = {*scene.layout.networks.values(), scene.config.meter.interface} - {scene.config.lan.interface}
    named = scene.config.lan.interface
    if scene.lan is None:
        yield Fact("there is no default route now")
    elif named is not None and scene.lan in apart:
        yield Fact(f"the default route leads over {scene.lan}, and the home network is on {named}", good=False)
    else:
        yield Fact(f"the default route leads over {scene.lan}")


def _private(scene: Scene) -> Iterator[Fact]:
    """Who may look into the files that hold secrets or history."""
    config, environ = scene.config, scene.environ
    yield from _modes(find_state_directory(config.daemon.state_directory, environ))
    if config.meter.there and config.meter.interface is None:
        yield from _modes(find_credentials(config.meter.credentials, environ))


def _modes(path: Path) -> Iterator[Fact]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Fact(f"{path}: not to be seen by this user ({os.strerror(error.errno or 0).lower()})")
        return
    text = f"{path} has mode {mode:04o}"
    yield Fact(f"{text}: chmod go= {path}" if mode & OTHERS_MAY else text, good=not mode & OTHERS_MAY)


def _encrypted(scene: Scene) -> Iterator[Fact]:
    """What encrypts the link to the meter."""
    meter = scene.config.meter
    if meter.interface is not None:
        yield Fact(f"{meter.interface} is encrypted by the Wi-Fi network that it is joined to, as far as that is")
    elif meter.there:
        yield Fact("the module authenticates by PANA and encrypts the radio link")
    yield from _dropped("unsecured")(scene)


def _brokers(scene: Scene) -> Iterator[Fact]:
    """How each connection of the gateway to a broker is protected."""
    gateway = scene.config.gateway
    tables = [getattr(gateway, name) for name in gateway.__struct_fields__]
    brokers = [table for table in tables if isinstance(table, LinkConfig)]
    for broker in brokers:
        yield _protected(broker)
    if not brokers:
        yield Fact("no broker is configured")


def _protected(broker: LinkConfig) -> Fact:
    if broker.exposed:
        return Fact(f"the broker {broker.host} is reached in clear (plain = true): use mqtts://", good=False)
    if broker.tls:
        known = " and ".join(
            name for name, used in (("its authority", broker.ca_file), ("its key", broker.pin)) if used
        )
        return Fact(f"the broker {broker.host} is reached by TLS and known by {known or 'the public authorities'}")
    return Fact(f"the broker {broker.host} is on this machine")


def _link_local(scene: Scene) -> Iterator[Fact]:
    """Which addresses the meter is spoken to by."""
    meter = scene.config.meter
    if meter.interface is None:
        yield Fact("the Wi-SUN module speaks IPv6 link-local only")
    else:
        yield Fact(f"the socket on {meter.interface} is IPv6 only")


def _shared(scene: Scene) -> Iterator[Fact]:
    """Whether the meter's flow has an interface of its own."""
    meter, found = scene.config.meter, scene.layout
    if meter.interface is None:
        yield Fact("the meter has a network of its own")
    else:
        shared = [name for name, interface in found.networks.items() if interface == meter.interface]
        where = " and ".join(f"[networks.{name}]" for name in shared)
        yield Fact(f"{meter.interface} is shared with {where}" if shared else f"{meter.interface} is the meter's")


def _alone(scene: Scene) -> Iterator[Fact]:
    """Whether another controller seems to be at the meter."""
    for meter in scene.told.meters if scene.told else ():
        if meter.contended:
            yield Fact("another controller seems to be at the meter: find it and end it", good=False)
        else:
            yield Fact("no other controller was noticed")


def _services(scene: Scene) -> Iterator[Fact]:
    """Requests in the power company's name."""
    if scene.told is not None:
        refused = scene.told.counted("forbidden_origin", "denied: PowerCompanyRequest")
        yield Fact(f"the daemon refused {refused} by the home gateway")


def _parts(scene: Scene) -> Iterator[Fact]:
    """Whether a user of its own runs each world."""
    if scene.told is not None:
        apart = Path("/run/hemsd/routeb.sock").exists()
        yield Fact("each world is a process and a user of its own" if apart else "one process runs all worlds")


FACTS: Final[Mapping[str, Look]] = {
    "T-DOCTOR": _way_out,
    "T-FWDWATCH": _watched,
    "T-GUARD": _doors,
    "T-LEAK": _private,
    "T-LL": _link_local,
    "T-METERALLOW": _dropped("not sent"),
    "T-NOFWD": _watched,
    "T-OVERLAY": _shared,
    "T-PARTS": _parts,
    "T-PCHGW": _services,
    "T-PEERPIN": _dropped("sender", "port"),
    "T-PHYS": _watched,
    "T-PROFILE": _placed,
    "T-SEC": _encrypted,
    "T-SINGLE": _alone,
    "T-SNIFF": _dropped("object"),
    "T-TLS": _brokers,
}
"""What to look at on this machine beside what the tests prove, by the name of the proof."""
