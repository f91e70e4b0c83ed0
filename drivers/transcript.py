r"""Transcripts of a serial line: the text format, its reader, the recorder, and a reader for published captures.

A transcript is UTF-8 text, one record a line, one message a record, in the order seen by the host:

    # hemsd transcript 1
    # id: 00112233445566778899AABBCCDDEEFF
    # password: 0123456789AB
    0.001234 > "SKVER\r\n"
    0.004000 < "EVER 1.2.10\r\n"

The first line names the format and its version. ``# key: value`` lines up to the first record are the header;
any other line beginning with ``#``, and an empty one, is a remark. A record is the time in seconds since the
recording began, never going back; ``>`` for host to module or ``<`` for module to host; and the bytes in double
quotes: printable ASCII as it is, ``\r``, ``\n``, ``\"`` and ``\\`` for those, ``\xNN`` for any other byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO

from drivers.j11.framing import REQUEST_CODE
from drivers.masking import MASKED, Masker, Message, Splitter
from drivers.module import Credentials, Line
from drivers.ports import BytePort, Delivery, PermanentPortError, PortError
from drivers.serialport import FdPort

_VERSION = "1"
_FIRST_LINE = "# hemsd transcript "
_HEADER = re.compile(r"# ([a-z-]+): (.*)")
_RECORD = re.compile(r'(\d+(?:\.\d+)?) ([<>]) "(.*)"')
_NAMED = {"r": "\r", "n": "\n", '"': '"', "\\": "\\"}
_QUOTED = re.compile(r'(?:[ !#-\[\]-~]|\\[rn"\\]|\\x[0-9A-Fa-f]{2})*')
_ESCAPE = re.compile(r"\\(?:x(..)|(.))")
_ESCAPES = {byte: f"\\x{byte:02X}" for byte in (*range(0x20), *range(0x7F, 0x100))}
_ESCAPES |= {ord(character): f"\\{name}" for name, character in _NAMED.items()}


class TranscriptError(ValueError):
    """A transcript that cannot be read; `line` is the number of the line at fault."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Record:
    """One message on the line. `at_s` counts from the beginning; `line` is where it stands in its file."""

    at_s: float
    sent: bool  # host to module; otherwise module to host
    data: bytes
    line: int


@dataclass(frozen=True, slots=True)
class Transcript:
    records: tuple[Record, ...]
    header: Mapping[str, str]

    @property
    def received(self) -> bytes:
        """Everything the module said."""
        return b"".join(record.data for record in self.records if not record.sent)

    @property
    def credentials(self) -> Credentials | None:
        """Those to open a replayed module with, where the header tells."""
        if "id" in self.header and "password" in self.header:
            return Credentials(self.header["id"], self.header["password"])
        return None


def read_transcript(text: str) -> Transcript:
    """Read a transcript of version 1. Raises TranscriptError."""
    lines = text.split("\n")
    if not lines[0].startswith(_FIRST_LINE):
        raise TranscriptError(1, f"this is no transcript: its first line should be {_FIRST_LINE + _VERSION!r}")
    if (version := lines[0].removeprefix(_FIRST_LINE).strip()) != _VERSION:
        raise TranscriptError(1, f"version {version} of the format is not known here, only {_VERSION}")
    header: dict[str, str] = {}
    records: list[Record] = []
    for number, line in enumerate(lines[1:], 2):
        line = line.rstrip("\r")
        if line.startswith("#"):
            if not records and (entry := _HEADER.fullmatch(line)):
                header[entry[1]] = entry[2]
        elif line:
            record = _record(line, number)
            if records and record.at_s < records[-1].at_s:
                raise TranscriptError(number, f"the time goes back from {records[-1].at_s} to {record.at_s}")
            records.append(record)
    return Transcript(tuple(records), header)


def _record(line: str, number: int) -> Record:
    match = _RECORD.fullmatch(line)
    if match is None:
        raise TranscriptError(number, "expected: seconds, < or >, and the bytes in double quotes")
    at_s, arrow, quoted = match.groups()
    if (good := _QUOTED.match(quoted)) and good.end() < len(quoted):
        column = match.start(3) + good.end() + 1
        raise TranscriptError(number, f"column {column}: not printable ASCII, nor an escape that is known")
    return Record(float(at_s), arrow == ">", _unquoted(quoted), number)


def _unquoted(text: str) -> bytes:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _NAMED[match[2]], text)
    return plain.encode("latin-1")


def quoted(data: bytes) -> str:
    """Bytes as a record shows them."""
    return '"' + data.decode("latin-1").translate(_ESCAPES) + '"'


class Recorder:
    """A BytePort that writes down what passes through another one, masked, one record a message.

    `sink` stays the caller's; open it line-buffered, so that a crash loses nothing. `header` adds header lines.
    When the sink fails the port goes on working, and close() raises the OSError.
    """

    def __init__(
        self,
        port: BytePort,
        sink: TextIO,
        masker: Masker,
        header: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._sink = sink
        self._masker = masker
        self._clock = clock
        self._began_s = clock()
        self._latest_s = 0.0
        self._sent = Splitter(sent=True)
        self._received = Splitter(sent=False)
        self._failure: OSError | None = None
        head = {"id": MASKED.id, "password": MASKED.password, **(header or {})}
        self._put(_FIRST_LINE + _VERSION, *(f"# {key}: {value}" for key, value in head.items()))

    @property
    def name(self) -> str:
        return self._port.name

    def start(self, on_bytes: Delivery[bytes], on_lost: Callable[[PortError], None]) -> None:
        self._on_bytes = on_bytes
        self._port.start(self._heard, on_lost)

    def write(self, data: bytes) -> None:
        self._port.write(data)
        self._note(self._received.settle(), "<")
        self._note(self._sent.feed(data, self._now_s()), ">")

    def configure(self, line: Line) -> None:
        self._port.configure(line)
        self._put(f"# line set to {line.baudrate} baud, RTS/CTS {'on' if line.rtscts else 'off'}")

    async def close(self) -> None:
        await self._port.close()
        self._note(self._received.flush(), "<")
        self._note(self._sent.flush(), ">")
        if self._failure is not None:
            raise self._failure

    def _heard(self, *chunks: bytes) -> None:
        for data in chunks:
            self._note(self._sent.settle(), ">")
            self._note(self._received.feed(data, self._now_s()), "<")
        self._on_bytes(*chunks)

    def _now_s(self) -> float:
        return self._clock() - self._began_s

    def _note(self, messages: Iterable[Message], arrow: str) -> None:
        for message in messages:
            self._latest_s = max(self._latest_s, message.at_s)
            self._put(f"{self._latest_s:.6f} {arrow} {quoted(self._masker.mask(message))}")

    def _put(self, *lines: str) -> None:
        if self._failure is None:
            try:
                self._sink.writelines(f"{line}\n" for line in lines)
            except OSError as error:
                self._failure = error


class TranscriptMismatch(PermanentPortError):
    """What was written is not what the transcript has; the text says line, expected and got."""


class RxReplay:
    """A BytePort on which the module says what it says in a transcript, whatever is written to it.

    At full speed, or at the recorded pace with `real_time`. At the end it falls silent.
    """

    def __init__(self, transcript: Transcript, *, name: str = "transcript", real_time: bool = False) -> None:
        self._records = [record for record in transcript.records if not record.sent]
        self._name = name
        self._real_time = real_time
        self._over = asyncio.Event()
        self._failure: PortError | None = None
        self._playing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        self._playing = asyncio.get_running_loop().create_task(self._play(on_bytes), name=f"replay {self._name}")

    def write(self, data: bytes) -> None:
        """Ignored."""

    def configure(self, line: Line) -> None:
        """Nothing to set."""

    async def close(self) -> None:
        if self._playing is not None:
            self._playing.cancel()

    async def finished(self) -> None:
        """Wait until the transcript has been played to its end. Raises TranscriptMismatch."""
        await self._over.wait()
        if self._failure is not None:
            raise self._failure

    async def _play(self, on_bytes: Callable[[bytes], None]) -> None:
        now_s = 0.0
        for record in self._records:
            await self._turn_of(record, record.at_s - now_s)
            now_s = record.at_s
            if not record.sent:
                on_bytes(record.data)
        self._over.set()

    async def _turn_of(self, record: Record, pause_s: float) -> None:
        await asyncio.sleep(pause_s if self._real_time else 0)


_J11_CREDENTIALS = REQUEST_CODE + b"\x00\x54"


class DialogueReplay(RxReplay):
    """A BytePort that wants to be written exactly what a transcript has, and says what followed each write then.

    A write that differs raises TranscriptMismatch, from write() and from finished().
    """

    def __init__(self, transcript: Transcript, *, name: str = "transcript", real_time: bool = False) -> None:
        super().__init__(transcript, name=name, real_time=real_time)
        self._records = list(transcript.records)
        self._expected = deque(record for record in transcript.records if record.sent)
        self._partial = b""
        self._matched = asyncio.Semaphore(0)

    @property
    def expected(self) -> Record | None:
        """The write that is waited for, or will be next."""
        return self._expected[0] if self._expected else None

    def write(self, data: bytes) -> None:
        data = self._partial + data
        while self._expected and data.startswith(self._expected[0].data):
            data = data.removeprefix(self._expected.popleft().data)
            self._matched.release()
        if data and not (self._expected and self._expected[0].data.startswith(data)):
            self._fail(data)
        self._partial = data

    def _fail(self, data: bytes) -> None:
        secret = data.startswith((b"SKSETPWD", b"SKSETRBID", _J11_CREDENTIALS))
        got = "other credentials than those in the header" if secret else quoted(data)
        record = self.expected
        where, what = (f"line {record.line}", quoted(record.data)) if record else ("at its end", "nothing more")
        self._failure = TranscriptMismatch(self._name, f"{self._name}, {where}: expected {what}, got {got}")
        self._over.set()
        raise self._failure

    async def _turn_of(self, record: Record, pause_s: float) -> None:
        if record.sent:
            await self._matched.acquire()
        else:
            await super()._turn_of(record, pause_s)


@contextlib.asynccontextmanager
async def serve_on_pty(replay: RxReplay) -> AsyncIterator[str]:
    """Put a replay on a pseudo terminal and give its path, to be opened as a serial port.

    It begins with the first byte that is written to it, because a port's opener discards what came before.
    Leaving hangs up as soon as everything said has been read, or after a second.
    """
    master, slave = os.openpty()  # without the slave kept open, the master fails until somebody opens it
    tty.setraw(slave)
    os.set_blocking(master, False)
    path = os.ttyname(slave)
    terminal = FdPort(path, master, cap=sys.maxsize)  # all that can wait is the transcript
    begun = False

    def written(data: bytes) -> None:
        nonlocal begun
        if not begun:
            begun = True
            replay.start(terminal.write, ignore)
        with contextlib.suppress(TranscriptMismatch):  # finished() tells
            replay.write(data)

    def ignore(error: PortError) -> None: ...

    try:
        terminal.start(written, ignore)
        yield path
        for _ in range(100):
            await asyncio.sleep(0.01)
            unread = fcntl.ioctl(slave, termios.FIONREAD, bytes(4))
            if not terminal.waiting and not any(unread):
                break
    finally:
        await replay.close()
        await terminal.close()
        os.close(slave)


# --- captures as people publish them --------------------------------------------------------------------------

_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{3})|    ) (?=.)")
_RAW_PAYLOAD = re.compile(r"<((?:[0-9A-Fa-f]{2} ?)+)>$")
_J11_FRAME = re.compile(r"D0 (?:EA 83 FC|F9 EE 5D)(?: [0-9A-F]{2})*")
_PRODUCT_COMMANDS = ("ROPT", "WOPT", "RUART", "WUART")
_DAY_MS = 86_400_000


def read_published(text: str) -> Transcript:
    """Read a capture as published by hand: ``>`` host to module, anything else module to host, ``#`` remarks.

    Lines get back the CRLF they had on the wire, product commands such as ROPT and their OK the bare CR;
    ``<...>`` at the end of a line is raw bytes in hexadecimal, after which a command has no line end. Lines of
    hexadecimal that begin with a unique code of J11 are frames, whose direction that tells. A leading HH:MM:SS.mmm
    is the time; lines without one happen at once. Nothing is repaired: a defective line stays so.
    """
    records: list[Record] = []
    began_ms: int | None = None
    at_ms = 0
    product = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        if _J11_FRAME.fullmatch(line):
            frame = bytes.fromhex(line)
            records.append(Record(at_ms / 1000, frame.startswith(REQUEST_CODE), frame, number))
            continue
        if clock := _CLOCK.match(line):
            line = line[clock.end() :]
            hours, minutes, seconds, thousandths = (int(digits or 0) for digits in clock.groups())
            day_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths
            began_ms = day_ms if began_ms is None else began_ms
            at_ms += (day_ms - began_ms - at_ms) % _DAY_MS
        if sent := line.startswith("> "):
            line = line[2:]
            product = line.startswith(_PRODUCT_COMMANDS)
        bare = product and (sent or line.startswith("OK"))
        if line.startswith(("OK", "FAIL")):
            product = False
        records.append(Record(at_ms / 1000, sent, _on_the_wire(line, sent, b"\r" if bare else b"\r\n"), number))
    return Transcript(tuple(records), {})


def _on_the_wire(line: str, sent: bool, end: bytes) -> bytes:
    if raw := _RAW_PAYLOAD.search(line):
        return line[: raw.start()].encode() + bytes.fromhex(raw[1]) + (b"" if sent else end)
    return line.encode() + end
