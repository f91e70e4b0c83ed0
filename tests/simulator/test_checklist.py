"""What an emulator of these modules and meters must be able to play: each item singly, and seen on the serial line.

The first list is the checklist of the module side; the second is what owners of such meters complain of. Each item
is played, must show, and must not show where it is not played.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from support.simulator import ADDRESS, NETWORK, Bench, get, payloads
from support.table import Table

from hemsd.simulator import Fault, Flash, Flaw, Network, Plate, Spell, Strike


@dataclass(frozen=True)
class Item:
    """`options` make the bench and `faults` are played on it; `otherwise` makes the one where it must not show."""

    shows: Callable[[Bench], bool]
    faults: tuple[Fault, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    otherwise: dict[str, Any] = field(default_factory=dict)
    prepare: Callable[[Bench], Any] = Bench.joined


def fresh(bench: Bench) -> None:
    """As it comes out of its box."""


def is_raw(text: bytes) -> Callable[[Bench], bool]:
    return lambda bench: text in bench.raw(bench.header(get(0xE0)).encode() + get(0xE0), 3)


def answers(esv: str, count: int = 2, epcs: tuple[int, ...] = (0xE1, 0xD7)) -> Callable[[Bench], bool]:
    """The answer to a Get has this ESV and so many properties."""
    return lambda bench: payloads(bench.get(*epcs))[0][20:24] == f"{esv}{count:02X}"


def ends(epc: int, edt: str) -> Callable[[Bench], bool]:
    return lambda bench: payloads(bench.get(epc))[0].endswith(edt)


def prints(pattern: str, line: str = "", seconds: float = 1.0) -> Callable[[Bench], bool]:
    """Said this, the module prints a line that matches within so many seconds."""
    return lambda bench: re.search(pattern, bench.say(line, seconds), re.MULTILINE) is not None


def refused_with(code: str) -> Item:
    return Item(prints(f"^FAIL {code}$", "SKVER"), (Fault(Flaw.COMMAND, arg=("SKVER", code)),))


def announces(seconds: float, pattern: str) -> Callable[[Bench], bool]:
    return lambda bench: any(re.search(pattern, each) for each in payloads(bench.say("", seconds)))


def copies(count: int, seconds: float) -> Callable[[Bench], bool]:
    """Exactly so many answers come within so many seconds of a Get."""
    return lambda bench: len(payloads(bench.get(0xE1, seconds=seconds))) == count


def joins(bench: Bench) -> bool:
    return "EVENT 25" in bench.say(f"SKJOIN {ADDRESS}", 60)


def identified(bench: Bench) -> None:
    bench.quiet().identify()


CHECKLIST: dict[str, Item] = {
    "dialect: single hop": Item(prints("^EINFO .* FFFE$", "SKINFO"), otherwise={"family": "DUAL"}),
    "dialect: dual stack": Item(prints("^EINFO .* 0$", "SKINFO"), options={"family": "DUAL"}),
    "echo on, of SKSENDTO only the header": Item(
        lambda bench: bench.send(get(0xE1)).startswith(bench.header(get(0xE1)) + "\n"),
        prepare=lambda bench: bench.say("SKSREG SFE 1"),
        otherwise={"prepare": Bench.joined},
    ),
    "WOPT kept through SKRESET": Item(
        lambda bench: "OK 01" in bench.say("SKRESET") + bench.raw(b"ROPT\r").decode(),
        options={"flash": Flash(wopt=1)},
        otherwise={"flash": Flash(wopt=0), "prepare": fresh},
        prepare=fresh,
    ),
    "writes of the flash are counted": Item(
        lambda bench: bench.module.flash.writes == 1,
        prepare=lambda bench: bench.raw(b"WOPT 01\r"),
        otherwise={"prepare": fresh},
    ),
    "line ends in a binary payload": Item(
        is_raw(b"\xe0\x04\r\n\r\n\r\n"),
        (Fault(Spell.VALUE, seconds=99, arg=(0xE0, b"\r\n\r\n")),),
        prepare=lambda bench: (bench.joined(), bench.raw(b"WOPT 00\r")),
        otherwise={"prepare": Bench.joined},
    ),
    "ER04": refused_with("ER04"),
    "ER05": refused_with("ER05"),
    "ER06": refused_with("ER06"),
    "ER09": refused_with("ER09"),
    "ER10": refused_with("ER10"),
    "SKSENDTO draws ER10": Item(lambda bench: "FAIL ER10" in bench.get(0xE1), (Fault(Flaw.SEND_REFUSED),)),
    "a scan too short to hear the meter": Item(
        lambda bench: "EPANDESC" not in bench.say("SKSCAN 2 FFFFFFFF 6", 20),
        options={"network": Network(scan_threshold=8)},
        prepare=identified,
    ),
    "the meter changes its PAN": Item(
        prints("Pan ID:1234", "SKSCAN 2 FFFFFFFF 6", 20), (Fault(Strike.MOVE_PAN, arg=(0x39, 0x1234)),)
    ),
    "EVENT 21 01": Item(lambda bench: bench.event("21", "01") in bench.get(0xE1), (Fault(Flaw.SEND_FAILS),)),
    "EVENT 21 02": Item(lambda bench: bench.event("21", "02") in bench.get(0xE1), (Fault(Strike.FORGET_NEIGHBOUR),)),
    "ERXUDP delayed": Item(copies(0, 60), (Fault(Flaw.ANSWER_LATE, seconds=65),)),
    "ERXUDP twice": Item(copies(2, 3), (Fault(Flaw.ANSWER_TWICE),)),
    "ERXUDP missing": Item(copies(0, 300), (Fault(Flaw.ANSWER_LOST),)),
    "INF after the half-hour": Item(
        announces(900, "^1081.{4}02880105FF0173"), otherwise={"meter": {"confirmed": True}}
    ),
    "INFC after the half-hour": Item(
        announces(900, "^1081.{4}02880105FF0174"), options={"meter": {"confirmed": True}}
    ),
    "INF after authentication": Item(announces(3, "0EF0010EF0017301D5"), (Fault(Strike.GREET),)),
    "Get_SNA without values": Item(answers("52"), (Fault(Flaw.ANSWER_REFUSED),)),
    "Get_SNA with fewer properties": Item(answers("52", 1), (Fault(Flaw.ANSWER_SHORT),)),
    "a meter that answers few properties at once": Item(answers("52", 1), options={"meter": {"limit_properties": 1}}),
    "E8 7FFE": Item(ends(0xE8, "7FFE7FFE"), (Fault(Spell.VALUE, seconds=99, arg=(0xE8, b"\x7f\xfe\x7f\xfe")),)),
    "E0 FFFFFFFE": Item(ends(0xE0, "FFFFFFFE"), (Fault(Spell.VALUE, seconds=99, arg=(0xE0, b"\xff\xff\xff\xfe")),)),
    "E7 7FFFFFFE": Item(ends(0xE7, "7FFFFFFE"), (Fault(Spell.VALUE, seconds=99, arg=(0xE7, b"\x7f\xff\xff\xfe")),)),
    "EVENT 24": Item(prints("^EVENT 24"), (Fault(Strike.LOSE_SESSION),)),
    "EVENT 26": Item(prints("^EVENT 26"), (Fault(Strike.PEER_CLOSES),)),
    "EVENT 28": Item(prints("^EVENT 28", "SKTERM", 60), (Fault(Flaw.CLOSE_UNANSWERED),)),
    "EVENT 29": Item(prints("^EVENT 29"), (Fault(Strike.EXPIRE),)),
    "EVENT 32": Item(prints("^EVENT 32"), (Fault(Strike.LIMIT, seconds=60),)),
    "EVENT 33": Item(prints("^EVENT 33", seconds=61), (Fault(Strike.LIMIT, seconds=60),)),
    "a line stalls in the middle": Item(
        lambda bench: not bench.get(0xE1).endswith("\n"), (Fault(Flaw.ANSWER_STALLED, seconds=10),)
    ),
    "the stick is pulled out": Item(lambda bench: not bench.module.plugged, (Fault(Spell.UNPLUGGED, seconds=60),)),
    "9F without D3": Item(answers("52", 1, (0xD3,)), options={"meter": {"plate": Plate(coefficient=None)}}),
}

COMPLAINTS: dict[str, Item] = {
    "the session dies and nobody says so": Item(copies(0, 60), (Fault(Strike.METER_RESTARTS),)),
    "a power cut at the meter": Item(
        lambda bench: bench.event("21", "01") in bench.get(0xE1, seconds=60) and copies(0, 120)(bench),
        (Fault(Spell.METER_OFF, seconds=60),),
    ),
    "the radio is gone for a while": Item(
        lambda bench: bench.event("21", "01") in bench.get(0xE1), (Fault(Spell.RADIO_LOST, seconds=60),)
    ),
    "the meter acknowledges and says nothing": Item(copies(0, 60), (Fault(Spell.METER_SILENT, seconds=60),)),
    "announced out of turn": Item(announces(1, "7302EA"), (Fault(Strike.NOTIFY),)),
    "the meter reports a fault": Item(announces(1, "7301880141"), (Fault(Strike.METER_STATUS, arg=(0x88, b"A")),)),
    "the meter asks its controller": Item(announces(1, "05FF016201F000"), (Fault(Strike.METER_ASKS, arg=[0xF0]),)),
    "another meter in its place": Item(
        prints("Addr:001C640060142200", "SKSCAN 2 FFFFFFFF 6", 20),
        (Fault(Strike.METER_EXCHANGED, arg=(Plate(), "001C640060142200")),),
    ),
    "the meter counts in another unit": Item(ends(0xE1, "E10102"), (Fault(Strike.METER_SET_UP, arg=Plate(unit=2)),)),
    "another controller moves the selector": Item(
        lambda bench: payloads(bench.get(0xE2))[0][28:32] == "0005",
        (Fault(Flaw.SELECTOR_MOVED, arg=(0xE5, b"\x05")),),
    ),
    "an interferer that comes and goes": Item(
        lambda bench: sum(bool(payloads(bench.get(0xE1))) for _ in range(40)) < 25,
        (Fault(Spell.NOISE, seconds=900, arg=0.4),),
    ),
    "noise that an energy scan shows": Item(
        prints("33 (B[C-F]|C[0-9A])( |$)", "SKSCAN 0 FFFFFFFF 4", 20), (Fault(Spell.NOISE, seconds=60, arg=0.4),)
    ),
    "a congested site": Item(
        lambda bench: 5 <= sum(not payloads(bench.get(0xE1, seconds=3)) for _ in range(40)) <= 20,
        (Fault(Spell.SLOW, seconds=900, arg=5.0),),
    ),
    "an answer after more than a minute": Item(
        lambda bench: copies(0, 61)(bench) and bool(payloads(bench.say("", 10))),
        (Fault(Flaw.ANSWER_LATE, seconds=65),),
    ),
    "an INF with the TID of the request": Item(
        lambda bench: payloads(bench.get(0xE1))[0].startswith("1081123402880105FF0173"),
        (Fault(Spell.CHATTER, seconds=60, arg=0x73),),
    ),
    "an INFC with the TID of the request": Item(
        lambda bench: payloads(bench.get(0xE1))[0].startswith("1081123402880105FF0174"),
        (Fault(Spell.CHATTER, seconds=60, arg=0x74),),
    ),
    "a flood of instance lists": Item(
        lambda bench: len(payloads(bench.say("", 2))) == 50, (Fault(Strike.GREET, times=50),)
    ),
    "an announcement before the echo": Item(
        lambda bench: bench.get(0xE1).startswith("ERXUDP"), (Fault(Flaw.INF_BEFORE_ECHO),)
    ),
    "an echo glued to what follows": Item(
        prints("^SKVEREVER 1.2.10$", "SKVER"), (Fault(Flaw.ECHO_STRAY, arg="SKVER"),)
    ),
    "an echo of a datagram glued to what follows": Item(
        lambda bench: bench.get(0xE1).startswith(bench.header(get(0xE1)) + "\n"),
        (Fault(Flaw.ECHO_STRAY, arg="SKSENDTO"),),
    ),
    "a byte is lost": Item(
        lambda bench: len(bench.get(0xE1).splitlines()[-1]) % 2 != len(bench.get(0xE1).splitlines()[-1]) % 2,
        (Fault(Flaw.ANSWER_DAMAGED),),
    ),
    "rubbish on the line": Item(lambda bench: b"\xff" in bench.raw(b"", 1), (Fault(Strike.GARBAGE, arg=b"\xff\0"),)),
    "another controller holds the session": Item(
        lambda bench: not joins(bench), (Fault(Spell.OCCUPIED, seconds=99),), prepare=identified
    ),
    "a wrong password": Item(
        lambda bench: not joins(bench), options={"network": Network(password="A" * 12)}, prepare=identified
    ),
    "a wrong ID": Item(
        lambda bench: "EPANDESC" not in bench.say("SKSCAN 2 FFFFFFFF 6", 20),
        options={"network": Network(route_b_id="0" * 32)},
        prepare=identified,
    ),
    "the join breaks off": Item(lambda bench: not joins(bench), (Fault(Flaw.JOIN_FAILS),), prepare=identified),
    "the module hangs": Item(lambda bench: bench.say("SKVER", 1) == "", (Fault(Spell.HANG, seconds=60),)),
    "the module is silent until it is plugged in again": Item(
        lambda bench: bench.say("SKVER", 5000) == "" and "EVER" in (bench.say("", 5000) + bench.say("SKVER", 1)),
        (Fault(Strike.DIE), Fault(Spell.UNPLUGGED, at=6000, seconds=10)),
    ),
    "the module restarts": Item(prints("^SKVER$", "SKVER"), (Fault(Strike.REBOOT),)),
    "the module restarts amid a command": Item(
        lambda bench: bench.raw(b"SKVER\r\n", 1) == b"\0\xf8", (Fault(Flaw.BROWN_OUT, arg="SKVER"),)
    ),
    "the module restarts amid a datagram": Item(
        lambda bench: "OK" not in bench.get(0xE1), (Fault(Flaw.BROWN_OUT, arg="SKSENDTO"),)
    ),
    "another rate is stored": Item(
        lambda bench: bench.module.baudrate == 19200, options={"flash": Flash(wuart=4)}, prepare=fresh
    ),
    "another rate is stored meanwhile": Item(
        lambda bench: bench.module.baudrate == 9600, (Fault(Strike.REBOOT, arg=3),)
    ),
    "flow control is stored": Item(
        lambda bench: bench.module.rtscts, options={"flash": Flash(wuart=0x80)}, prepare=fresh
    ),
    "the first command after power-up is lost": Item(
        lambda bench: "EVER" not in bench.say("SKVER"), options={"eats_first": True}, prepare=fresh
    ),
    "a firmware without ROPT": Item(
        lambda bench: b"FAIL ER04" in bench.raw(b"ROPT\r"), options={"without": ["ROPT"]}, prepare=fresh
    ),
}

ITEMS = CHECKLIST | COMPLAINTS


def bench_for(item: Item, options: dict[str, Any]) -> Bench:
    chosen = {"family": "SE", "prepare": item.prepare, **options}
    prepare = chosen.pop("prepare")
    bench = Bench(**chosen)
    prepare(bench)
    return bench


@pytest.mark.parametrize("words", ITEMS)
def test_item(words: str) -> None:
    """Played it shows on the line; not played it does not."""
    item = ITEMS[words]
    bench = bench_for(item, item.options)
    bench.module.faults.add(*(replace(fault, at=fault.at + bench.now) for fault in item.faults))
    bench.module.tick(bench.now)
    assert item.shows(bench)
    assert not item.shows(bench_for(item, item.otherwise))


J11: dict[str, tuple[tuple[Fault, ...], Callable[[Table], bytes], str]] = {
    # what, faults, what is done, the frame's code and the result in it
    "3D: busy with another command": (
        (),
        lambda table: tell(table, "0051", SCAN) + tell(table, "0051", SCAN),
        "2051 3D",
    ),
    "0E: nobody there to connect to": (
        (Fault(Spell.RADIO_LOST, seconds=9e9),),
        lambda table: tell(table, "0053"),
        "2053 0E",
    ),
    "52: still at PANA": (
        (Fault(Spell.METER_SILENT, seconds=9e9),),
        lambda table: tell(table, "0053") + tell(table, "0056") + tell(table, "00D2") + tell(table, "0057"),
        "2057 52",
    ),
    "6028 03: PANA unanswered for minutes": (
        (Fault(Spell.METER_SILENT, seconds=9e9),),
        lambda table: tell(table, "0053") + tell(table, "0056", seconds=710),
        "6028 03",
    ),
    "a command refused": ((Fault(Flaw.COMMAND, arg=("0053", "F1")),), lambda table: tell(table, "0053"), "2053 F1"),
    "a restart out of the blue": ((Fault(Strike.REBOOT),), lambda table: tell(table, "006B", seconds=9), "6019"),
    "a restart amid a command": (
        (Fault(Flaw.BROWN_OUT, arg="0053"),),
        lambda table: tell(table, "0053", seconds=9),
        "6019",
    ),
    "a datagram under another key": (
        (Fault(Flaw.UNDECIPHERED),),
        lambda table: tell(table, "0053") + tell(table, "0005", "0E1A") + tell(table, "0056", seconds=30),
        "6038 01",
    ),
}
SCAN = "06 0003FFF0 01" + NETWORK.route_b_id[-8:].encode().hex()


def tell(table: Table, code: str, data: str = "", *, seconds: float = 3.0) -> bytes:
    """Give a J11 module a command by its bytes; what it prints in that time."""
    body = bytes.fromhex(data)
    head = bytes.fromhex(f"D0EA83FC {code} {len(body) + 4:04X}")
    table.module.receive(
        head + b"".join((sum(part) & 0xFFFF).to_bytes(2, "big") for part in (head, body)) + body, table.now
    )
    printed, end = b"".join(table.module.outgoing()), table.now + seconds
    while (due := table.module.deadline()) is not None and due <= end:
        table.now = due
        table.module.tick(due)
        printed += b"".join(table.module.outgoing())
    table.now = end
    return printed


@pytest.mark.parametrize("words", J11)
def test_item_of_j11(words: str) -> None:
    """Likewise, in frames."""
    faults, do, shown = J11[words]

    def shows(faults: tuple[Fault, ...]) -> bool:
        table = Table("J11")
        table.run(5)  # it has started
        for code, data in (("005F", "05000C00"), ("0054", (NETWORK.route_b_id + NETWORK.password).encode().hex())):
            tell(table, code, data)
        table.module.faults.add(*(replace(fault, at=table.now) for fault in faults))
        code, _, result = shown.partition(" ")
        frames = do(table).split(bytes.fromhex("D0F9EE5D"))
        return any(frame[:2].hex() == code and frame[8:].startswith(bytes.fromhex(result)) for frame in frames)

    assert shows(faults)
    if faults:
        assert not shows(())


def test_every_fault_is_an_item() -> None:
    """There is no kind of fault that no item plays."""
    played = [fault for item in ITEMS.values() for fault in item.faults]
    played += [fault for faults, _, _ in J11.values() for fault in faults]
    assert {fault.kind for fault in played} == {*Strike, *Flaw, *Spell}
