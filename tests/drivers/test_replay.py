"""Replays of transcripts: received bytes only, strict dialogue, recorded pace, and both on a pty."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.clock import VirtualLoop
from support.drivers import MemoryPort, until

from drivers.masking import MASKED, Masker
from drivers.module import Credentials, Line
from drivers.ports import BytePort, PortError
from drivers.serialport import open_serial
from drivers.transcript import (
    DialogueReplay,
    Recorder,
    RxReplay,
    TranscriptMismatch,
    read_transcript,
    serve_on_pty,
)

DIALOGUE = read_transcript(r"""# hemsd transcript 1
0.5 < "EVENT 25\r\n"
1.0 > "SKVER\r\n"
1.5 < "EVER 1.2.10\r\n"
1.5 < "OK\r\n"
10.0 > "ROPT\r"
12.0 < "OK 01\r"
""")


class Host:
    """What a started port told, and when."""

    def __init__(self, port: BytePort) -> None:
        self.lost: list[PortError] = []
        self.heard: list[tuple[float, bytes]] = []
        loop = asyncio.get_running_loop()
        port.start(lambda data: self.heard.append((loop.time(), data)), self.lost.append)

    @property
    def texts(self) -> list[bytes]:
        return [data for _, data in self.heard]


def virtual(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())


async def test_rx_ignores_what_is_written() -> None:
    """An rx replay says everything that was received, then falls silent, whatever the host does."""
    replay = RxReplay(DIALOGUE, name="capture")
    host = Host(replay)
    replay.write(b"anything")
    replay.configure(Line(9600))
    await replay.finished()
    assert host.texts == [b"EVENT 25\r\n", b"EVER 1.2.10\r\n", b"OK\r\n", b"OK 01\r"]
    assert (host.lost, replay.name) == ([], "capture")
    await replay.close()


def test_rx_in_real_time() -> None:
    """In real time bytes come when they came."""

    async def scenario() -> None:
        replay = RxReplay(DIALOGUE, real_time=True)
        host = Host(replay)
        await replay.finished()
        assert [at for at, _ in host.heard] == [0.5, 1.5, 1.5, 12.0]

    virtual(scenario)


def test_closing_ends_a_replay() -> None:
    """After close() nothing more is delivered."""

    async def scenario() -> None:
        replay = RxReplay(DIALOGUE, real_time=True)
        host = Host(replay)
        await asyncio.sleep(1)
        await replay.close()
        await asyncio.sleep(100)
        assert host.texts == [b"EVENT 25\r\n"]

    virtual(scenario)


async def test_dialogue_waits_for_each_write() -> None:
    """What followed a write comes only after that write, however it is cut."""
    replay = DialogueReplay(DIALOGUE)
    host = Host(replay)
    await asyncio.sleep(0.001)
    assert host.texts == [b"EVENT 25\r\n"]
    assert replay.expected is not None
    assert replay.expected.data == b"SKVER\r\n"
    replay.write(b"SK")
    replay.write(b"VER\r\n")
    await asyncio.sleep(0.001)
    assert host.texts[1:] == [b"EVER 1.2.10\r\n", b"OK\r\n"]
    replay.write(b"ROPT\r")
    await replay.finished()
    assert host.texts[3:] == [b"OK 01\r"]
    assert replay.expected is None
    await replay.close()


async def test_dialogue_takes_writes_before_their_turn() -> None:
    """A host that is quicker than the recorded one is no mismatch, as long as it writes the same."""
    replay = DialogueReplay(DIALOGUE)
    host = Host(replay)
    replay.write(b"SKVER\r\nROPT\r")
    await replay.finished()
    assert len(host.texts) == 4


def test_dialogue_in_real_time() -> None:
    """In real time an answer takes as long after its write as it did."""

    async def scenario() -> None:
        replay = DialogueReplay(DIALOGUE, real_time=True)
        host = Host(replay)
        await asyncio.sleep(100)
        replay.write(b"SKVER\r\n")
        await asyncio.sleep(100)
        replay.write(b"ROPT\r")
        await replay.finished()
        assert [at for at, _ in host.heard] == [0.5, 100.5, 100.5, 202.0]

    virtual(scenario)


@pytest.mark.parametrize(
    ("writes", "text"),
    [
        ([b"SKINFO\r\n"], r'capture.txt, line 3: expected "SKVER\\r\\n", got "SKINFO\\r\\n"'),
        ([b"SKVER\r\n", b"ROPT\r\n"], 'capture.txt, at its end: expected nothing more, got "\\\\n"'),
        ([b"SKVER\r\nROX"], 'line 6: expected "ROPT\\\\r", got "ROX"'),
        ([b"SKSETPWD C ZYXWVUTSRQPO\r\n"], "line 3: expected .*, got other credentials than those in the header$"),
    ],
)
async def test_differing_write(writes: list[bytes], text: str) -> None:
    """A write that differs is refused with line, expected and got, without showing credentials."""
    replay = DialogueReplay(DIALOGUE, name="capture.txt")
    Host(replay)
    with pytest.raises(TranscriptMismatch, match=text):
        for data in writes:
            replay.write(data)
    with pytest.raises(TranscriptMismatch, match=text):
        await replay.finished()
    await replay.close()


async def test_recording_replays_with_the_masked_credentials() -> None:
    """What was recorded with real credentials is a dialogue for the masked ones, with matching addresses."""
    real = Credentials(id="0A1B2C3D4E5F60718293A4B5C6D7E8F9", password="QWERTY123456")
    mac, address = b"001D129012345678", b"FE80:0000:0000:0000:021D:1290:1234:5678"

    def writes(credentials: Credentials, mac: bytes) -> list[bytes]:
        return [
            b"SKSETPWD C " + credentials.password.encode() + b"\r\n",
            b"SKSETRBID " + credentials.id.encode() + b"\r\n",
            b"SKLL64 " + mac + b"\r\n",
        ]

    port, file = MemoryPort(), io.StringIO()
    recorder = Recorder(port, file, Masker(real))
    recorder.start(lambda data: None, lambda error: None)
    beacon = b"  Addr:" + mac + b"\r\n  PairID:" + real.pairing_id.encode() + b"\r\n"
    for data, answer in zip(writes(real, mac), [b"OK\r\n", beacon, address + b"\r\n"], strict=True):
        recorder.write(data)
        port.receive(answer)
    await recorder.close()

    transcript = read_transcript(file.getvalue())
    assert transcript.credentials == MASKED
    replay = DialogueReplay(transcript)
    host = Host(replay)
    for data in writes(MASKED, b"00005EEF10000001"):
        replay.write(data)
    await replay.finished()
    assert b"".join(host.texts) == (
        b"OK\r\n  Addr:00005EEF10000001\r\n  PairID:CCDDEEFF\r\nFE80:0000:0000:0000:0200:5EEF:1000:0001\r\n"
    )


async def test_dialogue_on_a_pty() -> None:
    """A replay on a pty is a serial port to whoever opens it, and begins when it is first written to."""
    replay = DialogueReplay(DIALOGUE)
    async with serve_on_pty(replay) as path:
        port = await open_serial(path)
        host = Host(port)
        port.write(b"SKVER\r\n")
        port.write(b"ROPT\r")
        await replay.finished()
        await until(lambda: b"".join(host.texts) == DIALOGUE.received)
        await port.close()


async def test_leaving_waits_for_the_reader() -> None:
    """Who stops serving when the replay is finished does not take its end away from the reader."""
    replay = DialogueReplay(DIALOGUE)
    async with serve_on_pty(replay) as path:
        port = await open_serial(path)
        port.write(b"SKVER\r\nROPT\r")
        await replay.finished()
        host = Host(port)
    assert b"".join(host.texts) == DIALOGUE.received
    await port.close()


async def test_long_replay_on_a_pty() -> None:
    """At full speed a reader that is slower than the replay loses nothing."""
    line = r'0.0 < "' + "X" * 500 + r'\r\n"' + "\n"
    replay = RxReplay(read_transcript("# hemsd transcript 1\n" + line * 400))
    async with serve_on_pty(replay) as path:
        port = await open_serial(path)
        port.write(b"\r\n")
        await replay.finished()
        host = Host(port)
        await until(lambda: sum(map(len, host.texts)) == 400 * 502)
        await port.close()


async def test_mismatch_on_a_pty() -> None:
    """What does not match on a pty is told by finished()."""
    replay = DialogueReplay(DIALOGUE)
    async with serve_on_pty(replay) as path:
        port = await open_serial(path)
        port.write(b"SKINFO\r\n")
        with pytest.raises(TranscriptMismatch):
            await replay.finished()
        await port.close()
