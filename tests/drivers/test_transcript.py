"""Transcripts: the format and its faults, recording a live port, and captures as people publish them."""

from __future__ import annotations

import errno
import io
from itertools import count

import pytest
from support.drivers import MemoryPort

from drivers.masking import MASKED, Masker
from drivers.module import Credentials, Line
from drivers.transcript import Record, Recorder, TranscriptError, quoted, read_published, read_transcript

# --- the format -----------------------------------------------------------------------------------------------

EXAMPLE = r"""# hemsd transcript 1
# module: BP35C2
# id: 00112233445566778899AABBCCDDEEFF
# password: 0123456789AB
# a remark without a key

0.001234 > "SKVER\r\n"
# key: a remark, for the records have begun
0.004 < "EVER \"1.2.10\"\\\x00\xfF\r\n"
"""


def test_reads_header_and_records() -> None:
    """Header, times, directions, escapes and line numbers come out as the format says; remarks do not."""
    transcript = read_transcript(EXAMPLE)
    assert transcript.header == {"module": "BP35C2", "id": MASKED.id, "password": MASKED.password}
    assert transcript.credentials == MASKED
    assert transcript.records == (
        Record(0.001234, True, b"SKVER\r\n", 7),
        Record(0.004, False, b'EVER "1.2.10"\\\x00\xff\r\n', 9),
    )


def test_files_with_crlf_are_read() -> None:
    """A transcript that an editor gave other line ends is the same transcript."""
    assert read_transcript(EXAMPLE.replace("\n", "\r\n")) == read_transcript(EXAMPLE)


def test_every_byte_survives() -> None:
    """What is written quoted is read back, for every byte value, and is printable ASCII in the file."""
    everything = bytes(range(256))
    line = f"1.5 < {quoted(everything)}"
    assert line.isascii()
    assert line.isprintable()
    assert read_transcript(f"# hemsd transcript 1\n{line}\n").records == (Record(1.5, False, everything, 2),)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "no transcript"),
        ('0.1 > "OK"', 1, "no transcript"),
        ("# hemsd transcript 2\n", 1, "version 2"),
        ("# hemsd transcript 1\n\nnonsense\n", 3, "expected: seconds"),
        ('# hemsd transcript 1\n0.1 > "OK\n', 2, "expected: seconds"),
        ('# hemsd transcript 1\n0.1 = "OK"\n', 2, "expected: seconds"),
        ('# hemsd transcript 1\n0.1 > "a\\qb"\n', 2, "column 9"),
        ('# hemsd transcript 1\n0.1 > "a\\x4g"\n', 2, "column 9"),
        ('# hemsd transcript 1\n0.1 > "a"b"\n', 2, "column 9"),
        ('# hemsd transcript 1\n0.1 > "µ"\n', 2, "column 8"),
        ('# hemsd transcript 1\n0.2 > "a"\n0.1 < "b"\n', 3, "goes back"),
    ],
)
def test_faults_are_told_with_their_line(text: str, line: int, problem: str) -> None:
    """A transcript that cannot be read says in which line, and where it can at which column."""
    with pytest.raises(TranscriptError, match=f"line {line}: .*{problem}") as caught:
        read_transcript(text)
    assert caught.value.line == line


# --- recording ------------------------------------------------------------------------------------------------


class Recording:
    """A recorder on a port in memory, with a clock that advances by a second whenever it is read."""

    def __init__(self, masker: Masker | None = None) -> None:
        self.port = MemoryPort()
        self.file = io.StringIO()
        self.heard: list[bytes] = []
        clock = count()
        self.recorder = Recorder(
            self.port, self.file, masker or Masker(), {"module": "test"}, clock=lambda: next(clock)
        )
        self.recorder.start(self.heard.append, lambda error: None)

    def records(self) -> list[tuple[str, bytes]]:
        transcript = read_transcript(self.file.getvalue())
        return [(">" if record.sent else "<", record.data) for record in transcript.records]


async def test_tees_a_live_port() -> None:
    """Everything passes through unchanged, and stands in the file one record a message, in order, with its time."""
    r = Recording()
    r.recorder.write(b"SKVER\r\n")
    for piece in (b"EV", b"ER 1.2.10\r", b"\nOK\r\nEVENT"):
        r.port.receive(piece)
    r.recorder.write(b"ROPT\r")
    r.port.receive(b" 25\r\n")
    r.recorder.configure(Line(57600, rtscts=True))
    await r.recorder.close()
    assert r.port.written == [b"SKVER\r\n", b"ROPT\r", Line(57600, rtscts=True)]
    assert b"".join(r.heard) == b"EVER 1.2.10\r\nOK\r\nEVENT 25\r\n"
    assert r.port.closed
    assert r.file.getvalue() == (
        "# hemsd transcript 1\n"
        f"# id: {MASKED.id}\n"
        f"# password: {MASKED.password}\n"
        "# module: test\n"
        '1.000000 > "SKVER\\r\\n"\n'
        '4.000000 < "EVER 1.2.10\\r\\n"\n'
        '4.000000 < "OK\\r\\n"\n'
        '5.000000 > "ROPT\\r"\n'
        '6.000000 < "EVENT 25\\r\\n"\n'
        "# line set to 57600 baud, RTS/CTS on\n"
    )


async def test_cr_alone_ends_a_message() -> None:
    """An answer that ends in CR is one record, before what the host writes upon it, and at its own time."""
    r = Recording()
    r.port.receive(b"OK 01\r")
    r.recorder.write(b"SKRESET\r\n")
    await r.recorder.close()
    assert r.records() == [("<", b"OK 01\r"), (">", b"SKRESET\r\n")]
    assert '1.000000 < "OK 01' in r.file.getvalue()


async def test_binary_payloads_are_one_record() -> None:
    """Datagrams are delimited by their length in both directions, whatever their bytes look like."""
    address = "FE80:0000:0000:0000:0200:5EEF:1000:0001"
    header = f"SKSENDTO 1 {address} 0E1A 1 0 0004 ".encode()
    answer = f"ERXUDP {address} {address} 0E1A 0E1A 00005EEF10000001 1 0 0006 ".encode()
    r = Recording()
    r.recorder.write(header + b"\r\nOK")
    r.port.receive(header + b"\r\nOK\r\n" + answer + b"\r\nOK\r\n\r\nEVENT 25\r\n")
    await r.recorder.close()
    assert r.records() == [
        (">", header + b"\r\nOK"),
        ("<", header + b"\r\n"),
        ("<", b"OK\r\n"),
        ("<", answer + b"\r\nOK\r\n\r\n"),
        ("<", b"EVENT 25\r\n"),
    ]


async def test_unfinished_message_is_written_at_close() -> None:
    """What is incomplete at the end is written then, masked, and times never go back."""
    r = Recording(Masker(Credentials("FEDCBA98765432100123456789ABCDEF", "ZYXWVUTSRQPO")))
    r.port.receive(b"SKSETRBID FEDCBA98765432")
    r.recorder.write(b"SKVER\r\n")
    r.recorder.write(b"SKSETPWD C ZYXWVUTSRQPO")
    assert "SKSETPWD" not in r.file.getvalue()
    await r.recorder.close()
    text = r.file.getvalue()
    assert "SKSETPWD C 0123456789AB" in text
    assert "FEDCBA98" not in text
    assert len(r.records()) == 3


async def test_failing_file_does_not_stop_the_port() -> None:
    """When the disk is full the port goes on working, and close() tells."""
    r = Recording()

    def full(lines: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    r.file.writelines = full  # type: ignore[method-assign]
    r.recorder.write(b"SKVER\r\n")
    r.port.receive(b"OK\r\n")
    assert (r.port.written, r.heard) == ([b"SKVER\r\n"], [b"OK\r\n"])
    with pytest.raises(OSError, match="No space left"):
        await r.recorder.close()
    assert r.port.closed


# --- captures as published ------------------------------------------------------------------------------------


def published(text: str) -> list[tuple[bool, bytes]]:
    return [(record.sent, record.data) for record in read_published(text).records]


def test_published_lines_get_their_ends_back() -> None:
    """Lines end in CRLF, product commands and their OK in CR alone; remarks are left out, blanks are kept."""
    text = "# remark\n> ROPT\nOK 01\n## remark\n> SKSCAN 2 FFFFFFFF 6 0 \nOK\n  LQI:DD\n\nOK\n"
    assert published(text) == [
        (True, b"ROPT\r"),
        (False, b"OK 01\r"),
        (True, b"SKSCAN 2 FFFFFFFF 6 0 \r\n"),
        (False, b"OK\r\n"),
        (False, b"  LQI:DD\r\n"),
        (False, b"\r\n"),
        (False, b"OK\r\n"),
    ]


def test_published_interruption_of_a_product_command() -> None:
    """An event between ROPT and its answer ends as events do; the answer is still the one with the bare CR."""
    assert published("> ROPT\nEVENT 25\nOK 00\nOK\n")[1:] == [
        (False, b"EVENT 25\r\n"),
        (False, b"OK 00\r"),
        (False, b"OK\r\n"),
    ]


def test_published_raw_payloads() -> None:
    """``<...>`` is raw bytes; nothing follows it in a command, the line end does in an answer."""
    assert published("> SKSENDTO 0002 <10 81>\nERXUDP 0002 <0D0A>\n") == [
        (True, b"SKSENDTO 0002 \x10\x81"),
        (False, b"ERXUDP 0002 \r\n\r\n"),
    ]


@pytest.mark.parametrize(
    "line", ["ERXUDP <MeterAddr Omitted> 0 0058 0000", "ERXUDP 0002 <108>", "1081A00", "EVENT <10> 2"]
)
def test_published_defects_stay(line: str) -> None:
    """A defective line is handed on as it was published."""
    assert published(line) == [(False, line.encode() + b"\r\n")]


def test_published_times() -> None:
    """Times count from the first one, run on over midnight, and hold for lines without one."""
    text = "23:59:59.500 > SKSCAN 2 FFFFFFFF 5\nOK\n00:00:01     EVENT 22\n00:00:01.000   LQI:1\n"
    records = read_published(text).records
    assert [(record.at_s, record.data) for record in records] == [
        (0.0, b"SKSCAN 2 FFFFFFFF 5\r\n"),
        (0.0, b"OK\r\n"),
        (1.5, b"EVENT 22\r\n"),
        (1.5, b"  LQI:1\r\n"),
    ]
