"""Captures of real modules as judges: the same commands make the simulated one print lines of the same shape."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from support.simulator import ADDRESS, NETWORK, Bench

from hemsd.simulator import Fault, Flash, Flaw, Plate

CAPTURES = Path(__file__).parents[2] / "hw-test" / "transcripts"
PAYLOAD = re.compile(r"<([0-9A-F ]+)>$")


def capture(number: int) -> list[str]:
    """The lines of a published capture without its remarks; commands begin with "> "."""
    (path,) = CAPTURES.glob(f"{number:02}-*.txt")
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def shape(line: str) -> str:
    """A line with every digit masked, but EVENT numbers and their parameters kept; raw bytes as their count."""
    if raw := PAYLOAD.search(line):
        line = line[: raw.start()] + f"<{len(bytes.fromhex(raw[1]))}>"
    if event := re.fullmatch(r"(EVENT \w\w) (\S+)(.*)", line):
        return f"{event[1]} {len(event[2])}{event[3]}"
    return re.sub(r"[0-9A-F]", "x", line)


def printed(text: str, *, but: str = "") -> list[str]:
    """The shapes of printed lines without empty ones and the command's echo."""
    return [shape(line) for line in re.split(r"\r\n|\r|\n", text) if line and line != but]


def exchanges(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Each command of a capture with the shapes of the lines up to the next one."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("> "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(shape(line))
    return found


def test_full_join_of_a_dual_stack_stick() -> None:
    """Version, options, scan, join with PANA and the first announcement look as on an RS-WSUHA-P."""
    bench = Bench("DUAL", flash=Flash(wopt=1, wuart=0x80))
    for command, expected in exchanges(capture(1)):
        command = re.sub(r"SKJOIN .*", f"SKJOIN {ADDRESS}", command)
        command = re.sub(r"SKSETRBID .*", f"SKSETRBID {NETWORK.route_b_id}", command)
        end = b"\r" if command in ("ROPT", "RUART") else b"\r\n"
        text = bench.raw(command.encode() + end, 30).decode()
        assert printed(text, but=command) == expected, command


def test_announcement_between_command_and_echo() -> None:
    """The half-hour INF may come first; the echo has no payload, EVENT 21 stands before OK."""
    (command, expected), *_ = exchanges(capture(2))
    bench = Bench("DUAL", flash=Flash(wopt=1)).joined()
    bench.say("SKSREG SFE 1")
    bench.module.faults.add(Fault(Flaw.INF_BEFORE_ECHO))
    payload = PAYLOAD.search(command)
    assert payload is not None
    sent = re.sub("FE80:[0-9A-F:]+", ADDRESS, command[: payload.start()]).encode() + bytes.fromhex(payload[1])
    expected[-1] = expected[-1].removeprefix(shape("SKSENDTO"))  # typed by hand before the answer came
    assert printed(bench.raw(sent, 3).decode()) == expected


def test_properties_of_a_first_generation_meter() -> None:
    """Every property line of a BP35A1 and a Toshiba meter has its counterpart; maps and refusals are the same."""
    bench = Bench("SE", meter={"plate": Plate(serial="F00000000000")}, flash=Flash(wopt=1)).joined()
    bench.send(bytes.fromhex("1081000105FF010288016101E5010B"))
    for line in capture(3)[1:]:
        answer = line.split(" ")[-1]
        mine = bench.send(bytes.fromhex(f"1081000105FF010288016201{answer[24:26]}00")).splitlines()[-1]
        assert shape(mine) == shape(line)
        if answer[24:26] in ("80", "81", "82", "83", "88", "8A", "8D", "9C", "9D", "9E", "9F", "D3", "D7"):
            assert mine.split(" ")[-1] == answer


@pytest.mark.parametrize(("place", "family"), [(0, "SE"), (1, "DUAL")])
def test_wrong_number_of_scan_arguments(place: int, family: str) -> None:
    """Each family refuses the other's SKSCAN."""
    command, _ = exchanges(capture(7))[place]
    assert Bench(family).quiet().say(command) == "FAIL ER05\n"


def test_binary_payloads_of_a_dual_stack_module() -> None:
    """With WOPT 00 PANA and answers are raw bytes of the length that their line tells."""
    lines = capture(11)
    joining = [shape(line) for line in lines[lines.index(next(line for line in lines if "EVENT 22" in line)) + 1 :]]
    bench = Bench("DUAL", flash=Flash()).identify()
    bench.say("SKSREG SFE 0")
    bench.say(f"SKADDNBR {ADDRESS} {NETWORK.mac}")
    begun = len(bench.printed)
    bench.say(f"SKJOIN {ADDRESS}", 3)
    payload = bytes.fromhex("1081000105FF010288016201E700")
    bench.raw(bench.header(payload).encode() + payload, 3)
    mine = [_visible(data) for _, data in bench.printed[begun:]]
    mine = [shape(line) for line in mine if line and "FF02" not in line]
    asked = next(place for place, line in enumerate(joining) if line.startswith("> "))
    assert mine == ["OK", *joining[:asked], *joining[asked + 1 :]]


def _visible(data: bytes) -> str:
    """A printed line with its raw payload as published captures show it."""
    if not data.startswith(b"ERXUDP"):
        return data.decode().removesuffix("\r\n")
    words = data.split(b" ", 9)
    raw = words[9].removesuffix(b"\r\n")
    assert len(raw) == int(words[8], 16)
    return b" ".join(words[:9]).decode() + f" <{raw.hex().upper()}>"


def _attributes(payload: bytes) -> list[tuple[int, int]]:
    """Codes and lengths of a PANA message's attributes, after its flags and type."""
    found = [struct.unpack_from(">HH", payload, 4)]
    at = 16
    while at < len(payload):
        code, _, length = struct.unpack_from(">HHH", payload, at)
        found.append((code, length))
        at += 8 + (length + 3) // 4 * 4
    return found


def test_pana_messages_are_built_as_captured() -> None:
    """Flags, attributes and their lengths, the EAP heads and the identity are those of a real meter."""
    real = [bytes.fromhex(line.split(" ")[-1]) for line in capture(1) if " 02CC 02CC " in line]
    bench = Bench("DUAL").quiet().identify()
    lines = bench.say(f"SKJOIN {ADDRESS}", 10).splitlines()
    mine = [bytes.fromhex(line.split(" ")[-1]) for line in lines if " 02CC 02CC " in line]
    assert [_attributes(payload) for payload in mine] == [_attributes(payload) for payload in real]
    sequences = [struct.unpack_from(">I", payload, 12)[0] for payload in mine]
    assert [sequence - sequences[0] for sequence in sequences] == [0, 1, 2, 3]
    assert len({payload[8:12] for payload in mine}) == 1
    assert mine[1].endswith(b"SM" + NETWORK.route_b_id.encode())
    assert mine[1][52:54] == real[1][52:54] == b"\x2f\x00"
    assert mine[3][16:32] == real[3][16:32]
    assert b"\x00\x01\x51\x80" in mine[3]


def test_each_session_has_its_own_numbers() -> None:
    """Session number, nonces and sequence are fresh at every authentication."""
    bench = Bench("SE").joined()
    first = bench.say("SKREJOIN", 10)
    second = bench.say("SKREJOIN", 10)
    pana = re.compile(r"02CC 02CC \w+ \d \w{4} (\w+)")
    for one, other in zip(pana.findall(first), pana.findall(second), strict=True):
        assert one[16:32] != other[16:32]
