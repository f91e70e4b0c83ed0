"""The simulator's nodes and our network on a link in virtual time, and what is asked alike of scripted nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from drivers.packet import Packet
from hemsd.appliances.events import Answered, Appliance, NetworkEvent, Noted, Settled, Told
from hemsd.appliances.memory import Remembered
from hemsd.appliances.network import Addresses, Network, NetworkSettings
from hemsd.appliances.ourselves import OwnNode
from hemsd.echonet.classes.device import Scalar
from hemsd.echonet.classes.views import normal
from hemsd.simulator.appliances import ApplianceNode, Segment
from support.scripted import GET, SETC, UNIQUE, Heard

US, AT, BESIDE = "192.168.7.1", "192.168.7.20", "192.168.7.21"


class Bench(Protocol):
    """A network that lives in virtual time: a House of scripted nodes, or a Link of simulated ones."""

    network: Network

    def run(self, seconds: float) -> list[NetworkEvent]: ...


class Passed(NamedTuple):
    """A frame on the link: when, from whom, to whom (None: to all), and what it says."""

    at: float
    source: str
    to: str | None
    frame: Heard


class Link:
    """We are at US; the rest is as with Segment."""

    def __init__(
        self,
        *nodes: ApplianceNode,
        remembered: Remembered | None = None,
        loses_one_of: int = 0,
        doubles: float = 0.0,
    ) -> None:
        self.segment = Segment(nodes, loses_one_of=loses_one_of, doubles=doubles)
        self.network = Network(
            NetworkSettings(name="living"),
            own=Addresses(ipv4=US),
            remembered=remembered or Remembered(),
            ourselves=OwnNode(unique=UNIQUE),
            chance=lambda: 0.5,
        )
        self.segment.join(self.network, US, lambda *came: Packet(came[0], came[1], came[2], multicast=came[3]))
        self.events: list[NetworkEvent] = []

    def run(self, seconds: float) -> list[NetworkEvent]:
        """Let time pass; what the network told in it."""
        self.segment.poke(self.network)
        self.segment.run(self.segment.now + seconds)
        events = list(self.network.events())
        self.events += events
        return events

    def network_known(self, eoj: int) -> dict[int, bytes]:
        """All that is believed of an appliance now."""
        return dict(told(self.events, eoj)[-1].known)

    def passed(self, since: float = 0.0) -> Iterator[Passed]:
        """What was said on the link."""
        for at, said in self.segment.passed:
            if at >= since:
                yield Passed(at, said.source, said.to, Heard.of(said.payload))

    def asked(self, address: str = AT, since: float = 0.0) -> list[Passed]:
        """Our requests to one node."""
        return [each for each in self.passed(since) if each.to == address and each.frame.esv in (GET, SETC)]

    def largest(self, address: str = AT, since: float = 0.0) -> int:
        """The most properties in one of them."""
        return max(len(each.frame.properties) for each in self.asked(address, since))

    def writes(self, address: str = AT) -> list[tuple[int, bytes]]:
        """What was written to a node, in order."""
        return [each for sent in self.asked(address) if sent.frame.esv == SETC for each in sent.frame.properties]


def of(bench: Bench, eoj: int) -> Appliance:
    """The one appliance with this object code that is known."""
    (found,) = [each for each in bench.network.appliances() if each.device.eoj == eoj and each.known]
    return found


def told(events: list[NetworkEvent], eoj: int) -> list[Told]:
    return [each for each in events if isinstance(each, Told) and each.appliance.device.eoj == eoj]


def noted(events: list[NetworkEvent], kind: str) -> list[str]:
    return [each.text for each in events if isinstance(each, Noted) and each.kind == f"appliance.{kind}"]


def answers(bench: Bench, eoj: int, *epcs: int, within_s: float = 60.0) -> dict[int, bytes | str]:
    """Ask for properties: the data of each, or why there are none; nothing for what was not answered in time."""
    bench.network.query("asked", of(bench, eoj).id, epcs)
    return answered(bench.run(within_s))


def answered(events: list[NetworkEvent]) -> dict[int, bytes | str]:
    found = [each for each in events if isinstance(each, Answered)]
    return {each.epc: each.error if each.edt is None else each.edt for each in found}


def settled(bench: Bench, eoj: int, within_s: float = 60.0, **values: Scalar) -> Settled:
    """Order by words of the common language, or by codes as ``x80="30"``; what became of it."""
    words = {f"0{word}" if word[0] == "x" else word: value for word, value in values.items()}
    bench.network.order("ordered", of(bench, eoj).id, words, from_outside=False)
    (found,) = [each for each in bench.run(within_s) if isinstance(each, Settled)]
    return found


def spoken(events: list[NetworkEvent], eoj: int) -> dict[str, Scalar]:
    """What all that was told of an appliance means in the common language."""
    last = told(events, eoj)[-1]
    return normal(last.appliance.device, last.known)
