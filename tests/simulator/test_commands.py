"""The module's command language, clause by clause of its command reference: what is sent, and what is printed."""

from __future__ import annotations

import pytest
from support.simulator import ADDRESS, OWN, Bench, get

from hemsd.simulator import Flash

FAMILIES = pytest.mark.parametrize("family", ["SE", "DUAL"])

COMMANDS = [
    # command, what the single-hop family prints, what the dual-stack family prints (None: the same)
    ("SKVER", "EVER 1.2.10\nOK\n", "EVER 1.5.2\nOK\n"),
    ("SKAPPVER", "EAPPVER rev26e\nOK\n", "EAPPVER rev0e\nOK\n"),
    (
        "SKINFO",
        f"EINFO {OWN['SE']} 001D12900005747B 21 FFFF FFFE\nOK\n",
        f"EINFO {OWN['DUAL']} 001D12910004E578 21 FFFF 0\nOK\n",
    ),
    ("SKRESET", "OK\n", None),
    ("SKSETPWD C 0123456789AB", "OK\n", None),
    ("SKSETPWD C 0123456789ABC", "FAIL ER06\n", None),
    ("SKSETPWD 21 0123456789AB", "FAIL ER06\n", None),
    ("SKSETPWD 0123456789AB", "FAIL ER05\n", None),
    ("SKSETRBID 00112233445566778899AABBCCDDEEFF", "OK\n", None),
    ("SKSETRBID 00112233445566778899AABBCCDDEEFF0", "FAIL ER06\n", None),
    ("SKSETPSK 10 000102030405060708090A0B0C0D0E0F", "OK\n", None),
    ("SKSETPSK F 000102030405060708090A0B0C0D0E", "FAIL ER06\n", None),
    ("SKLL64 001C6400601421A3", f"{ADDRESS}\n", None),
    ("SKLL64 001c6400601421a3", f"{ADDRESS}\n", None),
    ("SKLL64 XYZ", "FAIL ER06\n", None),
    ("SKJOIN FE80::1", "FAIL ER06\n", None),
    ("SKREJOIN", "FAIL ER10\n", None),
    ("SKTERM", "FAIL ER10\n", None),
    ("SKSCAN 2 FFFFFFFF 6", "OK\n", "FAIL ER05\n"),
    ("SKSCAN 2 FFFFFFFF 6 0", "FAIL ER05\n", "OK\n"),
    ("SKADDNBR FE80:0000:0000:0000:021C:6400:6014:21A3 001C6400601421A3", "OK\n", None),
    (
        "SKTABLE 1",
        f"EADDR\n{OWN['SE']}\nFF02:0000:0000:0000:0000:0000:0000:0001\nOK\n",
        f"EADDR\n{OWN['DUAL']}\nFF02:0000:0000:0000:0000:0000:0000:0001\nOK\n",
    ),
    ("SKTABLE 2", "ENEIGHBOR\nOK\n", None),
    ("SKTABLE E", "EPORT\n3610\n716\n0\n0\n0\n0\n\n0\n0\n0\n0\nOK\n", None),
    ("SKTABLE F", "EHANDLE\nOK\n", None),
    ("SKTABLE 9", "FAIL ER06\n", None),
    ("SKUDPPORT 3 0E1B", "OK\n", None),
    ("SKUDPPORT 1 0E1B", "FAIL ER06\n", None),
    ("SKLOAD", "FAIL ER10\n", None),
    ("SKSAVE", "OK\n", None),
    ("SKERASE", "OK\n", None),
    ("SKRMDEV FE80:0000:0000:0000:021C:6400:6014:21A3", "OK\n", None),
    ("SKSENDTO 1", "FAIL ER05\n", None),
    ("SKSENDTO 1 2 3 4 5 6", "FAIL ER06\n", "FAIL ER05\n"),
    ("SKNONSENSE", "FAIL ER04\n", None),
    ("skver", "FAIL ER04\n", None),
    ("SKVER 1", "FAIL ER05\n", None),
    ("X" * 600, "FAIL ER09\n", None),
    ("", "", None),
    ("SKVER  ", "EVER 1.2.10\nOK\n", "EVER 1.5.2\nOK\n"),  # trailing blanks are tolerated
]


@FAMILIES
@pytest.mark.parametrize(
    ("command", "single", "dual"), COMMANDS, ids=[entry[0][:40] or "empty" for entry in COMMANDS]
)
def test_command(family: str, command: str, single: str, dual: str | None) -> None:
    """Each command's answer: its lines and OK, or FAIL with the code of the reference."""
    bench = Bench(family).quiet()
    expected = single if family == "SE" or dual is None else dual
    assert bench.raw(command.encode() + b"\r\n").decode().replace("\r\n", "\n") == expected


REGISTERS = [
    # register, default, a value written, what is read then; None: refused
    ("S2", "21", "31", "31"),
    ("S02", "21", "3C", "3C"),
    ("S2", "21", "20", None),
    ("S2", "21", "3D", None),
    ("S3", "FFFF", "B5FB", "B5FB"),
    ("S3", "FFFF", "12345", None),
    ("S7", "00000000", "1", None),
    ("SA", "CCDDEEFF", "0194BFAD", "0194BFAD"),
    ("SA", "CCDDEEFF", "0194BFA", None),
    ("S15", "0", "1", "1"),
    ("S16", "00000384", "3C", "0000003C"),
    ("S16", "00000384", "3B", None),
    ("S17", "1", "0", "0"),
    ("SA0", "1", "0", "0"),
    ("SA1", "1", "2", None),
    ("SA2", "0", "1", "1"),
    ("SFB", "0", "1", None),
    ("SFD", "0000000000000000", "0", "0000000000000000"),
    ("SFD", "0000000000000000", "1", None),
    ("SFE", "0", "2", None),
    ("SFF", "0", "1", "1"),
    ("S99", None, "1", None),
]


@FAMILIES
@pytest.mark.parametrize(("name", "default", "written", "read"), REGISTERS)
def test_register(family: str, name: str, default: str | None, written: str, read: str | None) -> None:
    """Registers have their width, default and range; what is out of it draws ER06."""
    bench = Bench(family).quiet()
    assert bench.say(f"SKSREG {name}") == (f"ESREG {default}\nOK\n" if default else "FAIL ER06\n")
    assert bench.say(f"SKSREG {name} {written}") == ("OK\n" if read else "FAIL ER06\n")
    if read:
        assert bench.say(f"SKSREG {name}") == f"ESREG {read}\nOK\n"


def test_sa2_is_something_else_in_single_hop_stacks() -> None:
    """Dual-stack modules know 0 and 1 for SA2; in single-hop stacks it is a power level up to 4."""
    assert Bench("DUAL").quiet().say("SKSREG SA2 4") == "FAIL ER06\n"
    assert Bench("SE").quiet().say("SKSREG SA2 4") == "OK\n"


def test_route_b_id_sets_the_pairing_id() -> None:
    """SKSETRBID puts the last eight characters of the ID into S0A."""
    bench = Bench("SE").quiet()
    bench.say("SKSETRBID 00112233445566778899AABB0194BFAD")
    assert bench.say("SKSREG SA") == "ESREG 0194BFAD\nOK\n"


def test_key_after_password_is_refused() -> None:
    """A PSK can be changed after SKRESET only."""
    bench = Bench("SE").quiet()
    bench.say("SKSETPWD C 0123456789AB")
    assert bench.say("SKSETPSK 10 000102030405060708090A0B0C0D0E0F") == "FAIL ER10\n"


@FAMILIES
def test_product_commands_end_with_cr_alone(family: str) -> None:
    """WOPT, ROPT, WUART and RUART are sent and answered with CR only; a stray LF after them does no harm."""
    bench = Bench(family, flash=Flash(wopt=1, wuart=0x80))
    bench.raw(b"SKSREG SFE 0\r\n")
    assert bench.raw(b"ROPT\r") == b"OK 01\r"
    assert bench.raw(b"RUART\r\n") == b"OK 80\r"
    assert bench.raw(b"WOPT 00\r") == b"OK\r"
    assert bench.raw(b"ROPT\r") == b"OK 00\r"
    assert bench.raw(b"WOPT 02\r") == b"FAIL ER06\r"
    assert bench.raw(b"WUART 00\r") == b"OK\r"
    assert bench.raw(b"SKVER\r") == b""  # an SK command is not over yet
    assert bench.raw(b"\n").endswith(b"OK\r\n")


def test_flash_writes_are_counted() -> None:
    """WOPT, WUART, SKSAVE and SKERASE wear the flash, whether the value changes or not; reading does not."""
    bench = Bench("DUAL")
    bench.raw(b"WOPT 01\rWOPT 01\rWUART 00\rROPT\rRUART\rSKSAVE\r\nSKERASE\r\nSKLOAD\r\n")
    assert bench.module.flash.writes == 5
    assert bench.module.flash.wopt == 1


def test_missing_commands_draw_er04() -> None:
    """Some sticks have no ROPT."""
    bench = Bench("SE", without=("ROPT",))
    bench.raw(b"SKSREG SFE 0\r\n")
    assert bench.raw(b"ROPT\r") == b"FAIL ER04\r"


@FAMILIES
def test_echo_is_on_after_power_up_and_reset(family: str) -> None:
    """The line comes back, with whatever secret it holds, until SFE is 0; the command that turns it off is echoed."""
    bench = Bench(family)
    assert bench.say("SKSETPWD C 0123456789AB") == "SKSETPWD C 0123456789AB\nOK\n"
    assert bench.raw(b"ROPT\r") == b"ROPT\rOK 00\r"
    assert bench.say("SKSREG SFE 0") == "SKSREG SFE 0\nOK\n"
    assert bench.say("SKRESET") == "OK\n"
    assert bench.say("SKVER").startswith("SKVER\n")


@FAMILIES
def test_sendto_echoes_its_header_only(family: str) -> None:
    """The echo ends with the blank before the data; with echo off an empty line stands in its place."""
    bench = Bench(family).joined()
    header = bench.header(get(0xE7))
    sent = bench.event("21", "00") + "OK\n"
    assert bench.get(0xE7, seconds=0.1) == "\n" + sent
    bench.say("SKSREG SFE 1")
    assert bench.get(0xE7, seconds=0.1) == header + "\n" + sent


@FAMILIES
def test_sendto_swallows_what_is_missing(family: str) -> None:
    """Data shorter than announced is completed by whatever comes next, be it a command."""
    bench = Bench(family).joined()
    payload = get(0xE7)
    assert bench.raw(bench.header(payload).encode() + payload[:-7]) == b"\r\n"
    assert bench.raw(b"SKVER\r\n", 0.1).endswith(b"OK\r\n")
    assert bench.say("SKVER").startswith("EVER")


@FAMILIES
def test_what_follows_the_data_is_a_command(family: str) -> None:
    """Bytes beyond the length announced are read as a command line; CR LF alone does no harm."""
    bench = Bench(family).joined()
    payload = get(0xE7)
    text = bench.raw(bench.header(payload).encode() + payload + b"\r\nSKVER\r\n", 0.1).decode()
    assert text.endswith("OK\r\nEVER " + ("1.2.10" if family == "SE" else "1.5.2") + "\r\nOK\r\n")


@pytest.mark.parametrize(
    "header",
    [
        "SKSENDTO 1 {} E1A 1 000E  ",
        "SKSENDTO 1 {} 0E1A 3 000E ",
        "SKSENDTO 1 {} 0E1A 1 0000 ",
        "SKSENDTO 1 {} 0E1A 1 04D1 ",
        "SKSENDTO 9 {} 0E1A 1 000E ",
    ],
)
def test_sendto_wants_exact_widths_and_ranges(header: str) -> None:
    """A field of another width, a length of 0 or beyond 1232, or an impossible handle draws ER06."""
    bench = Bench("SE").joined()
    assert bench.raw(header.format(ADDRESS).encode()) == b"FAIL ER06\r\n"


def test_sendto_of_the_other_family_fails() -> None:
    """The argument SIDE decides where the length stands: the other family's header is refused."""
    payload = get(0xE7)
    single = f"SKSENDTO 1 {ADDRESS} 0E1A 1 000E ".encode() + payload
    dual = f"SKSENDTO 1 {ADDRESS} 0E1A 1 0 000E ".encode() + payload
    assert b"FAIL ER06" in Bench("SE").joined().raw(dual, 1)
    assert b"FAIL ER06" in Bench("DUAL").joined().raw(single, 1)


def test_sendto_with_an_unused_handle() -> None:
    """A handle that has no port draws ER10 once its data is complete."""
    bench = Bench("SE").joined()
    assert bench.send(get(0xE7), handle=4) == "\nFAIL ER10\n"


def test_commands_wait_for_the_one_before() -> None:
    """A line that comes while SKSENDTO is at work is carried out after its OK."""
    bench = Bench("SE").joined()
    payload = get(0xE7)
    bench.raw(bench.header(payload).encode() + payload + b"SKVER\r\n")
    assert bench.say("", 0.1) == bench.event("21", "00") + "OK\nEVER 1.2.10\nOK\n"


def test_first_command_after_power_up_may_be_lost() -> None:
    """Some modules eat the first line they get."""
    bench = Bench("SE", eats_first=True)
    assert bench.say("SKVER") == ""
    assert bench.say("SKVER") == "SKVER\nEVER 1.2.10\nOK\n"


def test_reset_forgets_all_but_the_flash() -> None:
    """SKRESET puts registers, credentials and session back and leaves WOPT alone."""
    bench = Bench("DUAL").joined()
    bench.say("SKSREG SA2 1")
    bench.say("SKRESET")
    assert "ESREG 0\n" in bench.say("SKSREG SA2")
    assert "ESREG FFFF\n" in bench.say("SKSREG S3")
    assert "FAIL ER10\n" in bench.say("SKTERM")
    assert bench.raw(b"ROPT\r").endswith(b"OK 01\r")


def test_saved_registers_are_loaded_at_power_up() -> None:
    """With SFF saved as 1 channel and PAN ID come back at power-up, not after SKRESET."""
    bench = Bench("SE").quiet()
    for line in ("SKSREG S2 31", "SKSREG SFF 1", "SKSAVE", "SKRESET"):
        bench.say(line)
    assert "ESREG 21" in bench.say("SKSREG S2")
    again = Bench("SE", flash=bench.module.flash).quiet()
    assert again.say("SKSREG S2") == "ESREG 31\nOK\n"


def test_deep_sleep() -> None:
    """SKDSLEEP makes the module deaf until its WKUP pin is pulled; EVENT C0 has no address."""
    bench = Bench("SE").quiet()
    assert bench.say("SKDSLEEP") == "OK\n"
    assert bench.say("SKVER") == ""
    bench.module.wake()
    assert bench.say("SKVER") == "EVENT C0\nEVER 1.2.10\nOK\n"


def test_stored_baud_rate_needs_a_power_cycle() -> None:
    """WUART changes the rate at the next start, as the low three bits say."""
    bench = Bench("SE").quiet()
    bench.raw(b"WUART 06\r")
    assert bench.module.baudrate == 115200
    assert Bench("SE", flash=bench.module.flash).module.baudrate == 57600
