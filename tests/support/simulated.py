"""The simulator's node by itself, nothing of ours near it: a virtual clock, and all that it said with its time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from hemsd.simulator.appliances import ApplianceNode, Device, Said, Temper, World

US, THEM = "192.168.1.5", "192.168.1.6"
ADDRESS = "192.168.1.20"
SUMMER = datetime(2026, 8, 3, 13, 0)  # a Monday
WINTER = datetime(2026, 1, 19, 18, 0)

D = TypeVar("D", bound=Device)


def world(start: datetime = SUMMER) -> World:
    return World(start)


def lived(device: D, hours: float, each: Callable[[D], None] = lambda _: None) -> D:
    """Some hours later; `each` is called after every step of its physics."""
    step_s = device.world.step_s
    begun = round((device.wall_clock - device.world.start).total_seconds() / step_s)
    for step in range(begun + 1, begun + 1 + round(hours * 3600 / step_s)):
        device.advance(step * step_s)
        each(device)
    return device


def request(esv: int, deoj: int, *properties: tuple[int, str], tid: int = 1, seoj: int = 0x05FF01) -> bytes:
    """A frame; the EDTs in hexadecimal."""
    body = b"".join(bytes((epc, len(edt) // 2)) + bytes.fromhex(edt) for epc, edt in properties)
    return bytes.fromhex(f"1081{tid:04X}{seoj:06X}{deoj:06X}{esv:02X}{len(properties):02X}") + body


def get(deoj: int, *epcs: int, tid: int = 1) -> bytes:
    return request(0x62, deoj, *((epc, "") for epc in epcs), tid=tid)


def set_c(deoj: int, *properties: tuple[int, str], tid: int = 1) -> bytes:
    return request(0x61, deoj, *properties, tid=tid)


class NodeBench:
    """`ask` and `wait` give what the node said meanwhile; its greeting is over unless `fresh`."""

    def __init__(self, node: ApplianceNode, *, fresh: bool = False) -> None:
        self.node = node
        self.now = 0.0
        self.said: list[tuple[float, Said]] = []
        if not fresh:
            self.wait(0.0)
            self.said.clear()

    def wait(self, seconds: float) -> list[Said]:
        begun, end = len(self.said), self.now + seconds
        self._collect()
        while (due := self.node.deadline()) <= end:
            self.now = max(due, self.now)
            self.node.tick(self.now)
            self._collect()
        self.now = end
        return [said for _, said in self.said[begun:]]

    def ask(self, payload: bytes | str, sender: str = US, *, seconds: float = 0.1) -> list[Said]:
        payload = bytes.fromhex(payload) if isinstance(payload, str) else payload
        self.node.receive(sender, payload, self.now)
        return self.wait(seconds)

    def _collect(self) -> None:
        self.said += [(self.now, said) for said in self.node.outgoing()]


def bench(*devices: Device, temper: Temper | None = None, fresh: bool = False) -> NodeBench:
    """A node with these devices, all of one world, behaving as told."""
    return NodeBench(ApplianceNode(devices[0].world, devices, ADDRESS, temper=temper or Temper()), fresh=fresh)


def frames(said: list[Said]) -> list[str]:
    """From the objects on: SEOJ, DEOJ, ESV, OPC and properties, in hexadecimal."""
    return [each.payload[4:].hex() for each in said]
