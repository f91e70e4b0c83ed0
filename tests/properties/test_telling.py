from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.telling import appliance, utc

from hemsd.appliances.events import Answered, Settled
from hemsd.appliances.telling import Believed, Teller
from hemsd.echonet.classes.catalogue import class_names
from hemsd.echonet.classes.device import Device
from hemsd.hub.messages import ApplianceCommand, ApplianceProperty, ApplianceResult, ApplianceState, ApplianceStatus

CODES = st.sampled_from([*class_names(), 0x0F02, 0xFFFF])
EPCS = st.integers(0x80, 0xFF)
KEYS = EPCS | st.integers(0x8000, 0xFFFF)
FRAME = bytes.fromhex("1081000005ff010130016201800130")
EDTS = st.binary(max_size=4) | st.binary(max_size=255) | st.just(FRAME) | st.just(FRAME.hex().encode())
MAPS = st.frozensets(EPCS)
DEVICES = st.builds(
    lambda code, release, maps, product: Device(
        eoj=code << 8 | 1, release=release, readable=maps[0], settable=maps[1], announced=maps[2], product=product
    ),
    CODES,
    st.sampled_from(["", "A", "F", "R", "Z"]),
    st.tuples(MAPS, MAPS, MAPS),
    st.text(max_size=48) | st.just(FRAME.hex()),
)
WORDS = st.sampled_from(["on", "mode", "power_w", "operation_status", "0x80", "0xf1", "nonsense"])


def crossed(message: Any, kind: type[Any]) -> str:
    """What another process reads: the same message, and never a frame."""
    line = msgspec.json.encode(message)
    assert msgspec.json.decode(line, type=kind) == message
    text = line.decode()
    assert FRAME.hex().upper() not in text.upper()
    return text


@given(DEVICES, st.dictionaries(KEYS, EDTS, max_size=40), st.dictionaries(WORDS, st.text() | st.integers()))
def test_whatever_a_device_says_can_be_told(device: Device, said: dict[int, bytes], wanted: dict[str, Any]) -> None:
    """Any data in any property of any class: status and state, readable in another process, no frame in them."""
    teller, one = Teller("home", (), utc), appliance(device=device)
    believed = Believed(said, dict.fromkeys(said, (1.0, "notified")))
    crossed(teller.status(one), ApplianceStatus)
    for _ in range(2):  # the second time out of what was worked out before
        crossed(teller.state(one, believed, wanted), ApplianceState)


@given(DEVICES, EPCS, EDTS, st.dictionaries(EPCS, EDTS, max_size=8), st.lists(WORDS, unique=True))
def test_whatever_a_device_answers_can_be_told(
    device: Device, epc: int, edt: bytes, read: dict[int, bytes], words: list[str]
) -> None:
    """Likewise answers to queries, and what is read back after an order."""
    teller, one = Teller("home", (), utc), appliance(device=device)
    crossed(teller.answer(Answered("q1", one, epc, edt), read), ApplianceProperty)
    command = ApplianceCommand(command="c1", appliance=one.id, values=dict.fromkeys(words))
    crossed(teller.result(Settled("c1", one, "applied", read_back=read), command, {epc: edt}), ApplianceResult)
