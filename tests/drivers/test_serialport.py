"""The serial port on pseudo terminals: opening, its refusals, reading, writing, stalling, loss and closing."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from support.drivers import Pty, open_as_nobody, pseudo_terminal, until

from drivers import serialport
from drivers.module import Line
from drivers.ports import (
    BytePort,
    NotAPort,
    PortBusy,
    PortDenied,
    PortError,
    PortLost,
    PortMissing,
    PortStalled,
)
from drivers.serialport import QUEUE_CAP, holder, open_serial

TIOCGEXCL = 0x80045440  # linux/ioctls.h


@pytest.fixture
def pty() -> Iterator[Pty]:
    with pseudo_terminal() as pty:
        yield pty


class Ear:
    """What a started port told."""

    def __init__(self, port: BytePort) -> None:
        self.heard = bytearray()
        self.lost: list[PortError] = []
        port.start(self.heard.extend, self.lost.append)


# --- opening --------------------------------------------------------------------------------------------------


async def test_every_byte_passes_both_ways(pty: Pty) -> None:
    """All 256 byte values go through unchanged: the line is raw, with 8 bits."""
    everything = bytes(range(256))
    port = await open_serial(pty.path)
    ear = Ear(port)
    os.write(pty.master, everything)
    port.write(everything)
    got = bytearray()
    await until(lambda: got.extend(pty.read()) or (len(got) == 256 and len(ear.heard) == 256))
    assert (bytes(ear.heard), bytes(got), port.name) == (everything, everything, pty.path)
    await port.close()


async def test_line_is_set_and_changed(pty: Pty) -> None:
    """Baud rate and RTS/CTS are set on opening and by configure()."""

    def line() -> tuple[int, bool]:
        _, _, cflag, _, speed, *_ = termios.tcgetattr(pty.master)
        return speed, bool(cflag & termios.CRTSCTS)

    port = await open_serial(pty.path)
    assert line() == (termios.B115200, False)
    port.configure(Line(57600, rtscts=True))
    assert line() == (termios.B57600, True)
    await port.close()


async def test_second_opener_is_told_who_holds_the_port(pty: Pty) -> None:
    """Root too is kept out of a port that is open, and told by whom; after close it can be opened."""
    port = await open_serial(pty.path)
    with pytest.raises(PortBusy, match=rf"in use: held by .* \(pid {os.getpid()}\)"):
        await open_serial(pty.path)
    await port.close()
    await (await open_serial(pty.path)).close()


async def test_device_is_exclusive_while_open(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that ignore the lock are kept out of a real device too, until it is closed."""

    def exclusive() -> int:
        return int.from_bytes(fcntl.ioctl(pty.slave, TIOCGEXCL, bytes(4)), sys.byteorder)

    monkeypatch.setattr(Path, "resolve", lambda self, strict=False: Path("/dev/ttyNONE"))
    port = await open_serial(pty.path)
    assert exclusive() == 1
    await port.close()
    assert exclusive() == 0


@pytest.mark.needs("root")
async def test_unprivileged_opener_is_kept_out_and_told_by_whom(pty: Pty) -> None:
    """Another user's process gets the same answer, though it may not look into ours; close lets it in."""
    Path(pty.path).chmod(0o666)
    port = await open_serial(pty.path)
    assert f"(pid {os.getpid()})" in open_as_nobody(pty.path)
    await port.close()
    assert open_as_nobody(pty.path) == "opened"


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("missing", PortMissing, "does not exist.*hemsd ports"),
        ("plain", NotAPort, "a plain file, not a serial port"),
        (".", NotAPort, "a directory, not a serial port"),
        ("plain/below", PortMissing, "does not exist"),
        ("/dev/zero", NotAPort, "not a serial port"),
    ],
)
async def test_not_a_port(tmp_path: Path, path: str, error: type[PortError], text: str) -> None:
    """What is no serial port is named for what it is."""
    (tmp_path / "plain").touch()
    with pytest.raises(error, match=text) as caught:
        await open_serial(str(tmp_path / path))
    assert caught.value.port == str(tmp_path / path)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENXIO, PortMissing),
        (errno.EBUSY, PortBusy),
        (errno.EAGAIN, PortBusy),
        (errno.ENOTTY, NotAPort),
        (errno.EIO, PortMissing),
    ],
)
async def test_errors_of_the_system(
    pty: Pty, monkeypatch: pytest.MonkeyPatch, number: int, error: type[PortError]
) -> None:
    """What the system says on opening, in whatever wrapping, decides what is raised."""

    def refuse(*_: object, **__: object) -> None:
        try:
            raise termios.error(number, "as raised by tcgetattr")
        except termios.error as cause:
            raise serial.SerialException(f"Could not configure port: {cause}")  # noqa: B904 - as pyserial does

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(error):
        await open_serial(pty.path)


async def test_program_without_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login prompt takes no lock, and yet its port is not opened: it would eat half of what arrives."""
    monkeypatch.setattr(serialport, "holder", lambda path: "getty (pid 123)")
    with pytest.raises(PortBusy, match=r"held by getty \(pid 123\)"):
        await open_serial("/dev/tty")


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o660, "belongs to the group dialout. Run `sudo usermod -aG dialout \\$USER`"),
        (0o600, "only root may"),
        (0o640, "only root may"),
    ],
)
def test_no_permission(pty: Pty, mode: int, text: str) -> None:
    """A refusal names the group to join, or who may where no group does."""
    import grp

    os.chown(pty.path, 0, grp.getgrnam("dialout").gr_gid)
    Path(pty.path).chmod(mode)
    told = open_as_nobody(pty.path)
    assert told.startswith("PortDenied")
    assert text.replace("\\", "") in told


@pytest.mark.needs("root")
def test_nameless_group(pty: Pty) -> None:
    """In a container the device's group may have no name: that is told, not stumbled over."""
    os.chown(pty.path, 0, 54321)
    Path(pty.path).chmod(0o660)
    assert "--group-add" in open_as_nobody(pty.path)


@pytest.mark.needs("root")
def test_closed_directory(pty: Pty, tmp_path: Path) -> None:
    """A directory that may not be entered is no missing port."""
    tmp_path.chmod(0o700)
    (tmp_path / "port").symlink_to(pty.path)
    assert "PortDenied" in open_as_nobody(str(tmp_path / "port"))


async def test_forbidden_in_spite_of_the_group(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who is in the group already is not told to join it: something else forbids."""

    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EPERM, "no")

    os.chown(pty.path, -1, os.getegid())
    Path(pty.path).chmod(0o660)
    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(PortDenied, match="sandbox"):
        await open_serial(pty.path)


# --- holders --------------------------------------------------------------------------------------------------

HOLD = "import os, sys; fd = os.open(sys.argv[1], os.O_RDWR{}); print(flush=True); sys.stdin.read()"
LOGIN = "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR)); print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize("script", [HOLD.format(" | os.O_NOCTTY"), LOGIN], ids=["open", "controlling terminal"])
def test_holder_is_named(pty: Pty, script: str) -> None:
    """A process is found by its open file, or by the terminal it is logged in on."""
    pty.release()
    process = subprocess.Popen(
        [sys.executable, "-c", script, pty.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert f"(pid {process.pid})" in str(holder(pty.path))
        process.kill()
    assert holder(pty.path) is None


def test_holder_of_nothing() -> None:
    """A port that is not there is held by nobody."""
    assert holder("/dev/ttyNONE") is None


# --- writing --------------------------------------------------------------------------------------------------


async def test_full_buffer_neither_blocks_nor_spins(pty: Pty, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 kB to a peer that does not read wait without the loop going round; when read, all of it arrives."""
    attempts = 0
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        nonlocal attempts
        attempts += 1
        return write(fd, data)

    async def rounds() -> int:
        before = attempts
        for _ in range(1000):
            await asyncio.sleep(0)
        return attempts - before

    port = await open_serial(pty.path)
    Ear(port)
    monkeypatch.setattr(os, "write", counted)
    message = os.urandom(30_000)
    port.write(message[:29_000])
    port.write(message[29_000:])
    await rounds()  # the kernel passes on what it took in the meantime
    assert await rounds() == 0
    got = bytearray()
    await until(lambda: got.extend(pty.read()) or len(got) == len(message))
    assert got == message
    assert await rounds() == 0
    port.write(b"again")
    await until(lambda: pty.read() == b"again")
    await port.close()


async def test_stalled_port_refuses_more(pty: Pty) -> None:
    """A queue at its cap refuses a message whole, and delivers what it accepted before."""
    port = await open_serial(pty.path)
    Ear(port)
    accepted = 0
    with pytest.raises(PortStalled, match="flow control"):
        while True:
            port.write(b"x" * 1000)
            accepted += 1000
    assert QUEUE_CAP - 1000 < accepted < QUEUE_CAP + 40_000  # what the kernel takes comes on top
    got = bytearray()
    await until(lambda: got.extend(pty.read()) or len(got) == accepted)
    port.write(b"after")
    await until(lambda: pty.read() == b"after")
    await port.close()


# --- loss and closing -----------------------------------------------------------------------------------------


async def test_unplugged_while_reading(pty: Pty) -> None:
    """A port whose device goes is lost, once; what is written then is refused as lost."""
    port = await open_serial(pty.path)
    ear = Ear(port)
    os.write(pty.master, b"EVENT 2")
    await until(lambda: ear.heard == b"EVENT 2")
    pty.hang_up()
    await until(lambda: ear.lost)
    assert isinstance(ear.lost[0], PortLost)
    assert "unplugged" in str(ear.lost[0])
    for _ in range(2):
        with pytest.raises(PortLost):
            port.write(b"SKVER\r\n")
    with pytest.raises(PortLost):
        port.configure(Line())
    await asyncio.sleep(0)
    assert len(ear.lost) == 1
    await port.close()


@pytest.mark.parametrize("what", ["write", "configure"])
async def test_loss_noticed_by_a_command(pty: Pty, what: str) -> None:
    """A loss that a write or a setting notices first is raised there and told once, never from within."""
    port = await open_serial(pty.path)
    ear = Ear(port)
    pty.hang_up()
    with pytest.raises(PortLost):
        port.write(b"x") if what == "write" else port.configure(Line(9600))
    assert ear.lost == []
    await until(lambda: ear.lost)
    await port.close()
    assert len(ear.lost) == 1


async def test_loss_with_output_waiting(pty: Pty) -> None:
    """A device that goes while output waits for it is lost like any other."""
    port = await open_serial(pty.path)
    ear = Ear(port)
    port.write(bytes(60_000))
    pty.hang_up()
    await until(lambda: ear.lost)
    await port.close()


async def test_close_does_not_wait_for_output(pty: Pty) -> None:
    """Closing with undrained output returns, discards it, and leaves the port to be opened again."""
    port = await open_serial(pty.path, Line(rtscts=True))
    Ear(port)
    port.write(bytes(60_000))
    async with asyncio.timeout(5):
        await port.close()
    with pytest.raises(PortLost, match="closed"):
        port.write(b"x")
    pty.read()
    again = await open_serial(pty.path)
    ear = Ear(again)
    again.write(b"fresh")
    os.write(pty.master, b"start")
    got = bytearray()
    await until(lambda: got.extend(pty.read()) or (got.endswith(b"fresh") and ear.heard == b"start"))
    await again.close()


async def test_close_from_a_callback_and_twice(pty: Pty) -> None:
    """close() may be begun by the handler of the bytes, and called again by others, who wait for the same end."""
    port = await open_serial(pty.path)
    closing: list[asyncio.Task[None]] = []
    heard: list[bytes] = []

    def on_bytes(data: bytes) -> None:
        heard.append(data)
        closing.append(asyncio.create_task(port.close()))

    port.start(on_bytes, lambda error: None)
    os.write(pty.master, b"bye")
    await until(lambda: closing)
    await port.close()
    await port.close()
    await closing[0]
    os.write(pty.master, b"nobody listens")
    await (await open_serial(pty.path)).close()
    assert heard == [b"bye"]


async def test_cancelled_close_still_closes(pty: Pty) -> None:
    """A caller that is cancelled while closing does not leave the port locked."""
    port = await open_serial(pty.path)
    task = asyncio.create_task(port.close())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await port.close()
    await (await open_serial(pty.path)).close()
