"""A serial port for asyncio: pyserial opens and sets it up, this module reads and writes its file descriptor.

`serial.Serial.write` spins when the transmit buffer is full, and so do the transports built on it; hence our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import stat
import termios
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.line import Line
from drivers.ports import NotAPort, PortBusy, PortDenied, PortError, PortLost, PortMissing, PortStalled

if TYPE_CHECKING:
    from serial import Serial

READ_SIZE = 4096  # bytes; what a terminal hands over at most in one read
PTS_MAJORS = range(136, 144)  # Linux's devices.txt
QUEUE_CAP = 65536  # bytes waiting to be sent: 5.7 s at 115200 baud

_AS_SHIPPED = Line()


async def open_serial(path: str, line: Line = _AS_SHIPPED) -> SerialPort:
    """Open a serial port raw, 8N1, for this process alone, and discard what it had received.

    Raises PortMissing, PortDenied, PortBusy or NotAPort; each says what to do about it.
    """
    return SerialPort(path, await asyncio.to_thread(_open, path, line))


class FdPort:
    """A BytePort on a terminal's non-blocking file descriptor, which it owns; there is no line to configure."""

    def __init__(self, name: str, fd: int, cap: int = QUEUE_CAP) -> None:
        self._name = name
        self._fd = fd
        self._cap = cap
        self._loop = asyncio.get_running_loop()
        self._queue = bytearray()
        self._gone = ""  # why nothing can be written any more
        self._closing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def waiting(self) -> int:
        """How many bytes are queued here, waiting for the kernel to take them."""
        return len(self._queue)

    def start(self, on_bytes: Callable[[bytes], None], on_lost: Callable[[PortError], None]) -> None:
        self._on_bytes = on_bytes
        self._on_lost = on_lost
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        self._check()
        if len(self._queue) + len(data) > self._cap:
            raise PortStalled(
                self._name,
                f"{self._name} takes no data, {self.waiting} bytes are waiting: "
                "is hardware flow control on, and nothing at the other end?",
            )
        if self._queue:
            self._queue += data
        elif rest := data[self._send(data) :]:
            self._check()
            self._queue += rest
            self._loop.add_writer(self._fd, self._writable)

    def configure(self, line: Line) -> None:
        """Nothing to set."""

    async def close(self) -> None:
        if self._closing is None:
            self._detach(f"{self._name} is closed")
            # In a thread, because the kernel may drain a terminal before it lets go of it.
            self._closing = asyncio.create_task(asyncio.to_thread(self._release), name=f"close {self._name}")
        await asyncio.shield(self._closing)

    def _release(self) -> None:
        os.close(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._on_bytes(data)
        else:
            self._lose()  # hung up

    def _writable(self) -> None:
        del self._queue[: self._send(self._queue)]
        if not self._queue:
            self._loop.remove_writer(self._fd)

    def _send(self, data: bytes | bytearray) -> int:
        """How many bytes the kernel took."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(error)
            return 0

    def _check(self) -> None:
        if self._gone:
            raise PortLost(self._name, self._gone)

    def _lose(self, error: Exception | None = None) -> None:
        reason = os.strerror(_errno(error) or errno.EIO)
        self._detach(f"{self._name} went away ({reason}): was the module unplugged?")
        self._loop.call_soon(self._on_lost, PortLost(self._name, self._gone))

    def _detach(self, why: str) -> None:
        self._gone = why
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._queue.clear()


class SerialPort(FdPort):
    """A BytePort on a serial device that pyserial opened."""

    def __init__(self, path: str, device: Serial) -> None:
        super().__init__(path, device.fileno())
        self._device = device

    def configure(self, line: Line) -> None:
        self._check()
        try:
            self._device.baudrate = line.baudrate
            self._device.rtscts = line.rtscts
        except (OSError, termios.error) as error:
            self._lose(error)
            self._check()

    def _release(self) -> None:
        with contextlib.suppress(OSError, termios.error):  # a device that is gone refuses everything but close
            self._device.rtscts = False  # a peer that never says it is clear to send cannot hold up the close
            termios.tcflush(self._fd, termios.TCIOFLUSH)
            fcntl.ioctl(self._fd, termios.TIOCNXCL)
        self._device.close()


def _open(path: str, line: Line) -> Serial:
    import serial  # here, because most of what is done with this software opens no port

    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISCHR(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "a plain file"
            raise NotAPort(path, f"{path} is {kind}, not a serial port; {_HINT}")
        real = Path(path).resolve().name.startswith("tty")  # and not a pty, which somebody always holds
        if real and (who := holder(path)):  # a login prompt or a terminal program takes no lock
            raise PortBusy(path, f"{path} is in use: held by {who}")
        device = serial.Serial(
            path,
            line.baudrate,
            rtscts=line.rtscts,
            exclusive=True,  # flock, which binds root as well
            inter_byte_timeout=0,  # VMIN 1: an empty read then means hung up, never merely nothing there
        )
        if real:  # keep out programs that do not ask for the lock; a pty would stay so if we were killed
            fcntl.ioctl(device.fileno(), termios.TIOCEXCL)
    except (OSError, termios.error) as error:
        raise _explained(path, error) from error
    return device


_HINT = "`hemsd ports` lists the ports there are"


def _explained(path: str, error: Exception) -> PortError:
    match _errno(error):
        case errno.ENOENT | errno.ENOTDIR | errno.ENXIO | errno.ENODEV:
            return PortMissing(path, f"{path} does not exist: is the module plugged in? {_HINT}")
        case errno.EACCES | errno.EPERM:
            return PortDenied(path, f"no permission to open {path}: {_who_may(path)}")
        case errno.EBUSY | errno.EAGAIN:
            who = holder(path) or f"another process (`sudo fuser -v {path}` tells which)"
            return PortBusy(path, f"{path} is in use: held by {who}")
        case errno.ENOTTY | errno.EINVAL:
            return NotAPort(path, f"{path} is not a serial port; {_HINT}")
        case number:
            reason = os.strerror(number) if number else error
            return PortMissing(path, f"{path} exists, but nothing works behind it ({reason}); {_HINT}")


def _errno(error: BaseException | None) -> int | None:
    """The error number at the bottom of what pyserial made of it."""
    while error is not None:
        if isinstance(error, termios.error):
            return int(error.args[0])
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__context__
    return None


def _who_may(path: str) -> str:
    device = Path(path)
    try:
        info, owner, group = device.stat(), device.owner(), device.group()
    except OSError:
        return "a directory above it may not be entered"
    except KeyError:
        return "its owner and group have no names here (a container started without --group-add?)"
    if not info.st_mode & stat.S_IRGRP or not info.st_mode & stat.S_IWGRP:
        return f"only {owner} may"
    if info.st_gid in (os.getegid(), *os.getgroups()):
        return f"the group {group} may, but a sandbox forbids it (DeviceAllow= in the systemd unit?)"
    return f"it belongs to the group {group}. Run `sudo usermod -aG {group} $USER`, then log out and in again"


def holder(path: str) -> str | None:
    """Who has this serial port open, as ``getty (pid 123)``; None where nobody has or it cannot be told from here."""
    try:
        device = Path(path).resolve(strict=True)
        info = device.stat()
        processes = Path("/proc").glob("[0-9]*")
        process = _locker(info) or next((each for each in processes if _holds(each, info)), None)
        return None if process is None else f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    except OSError:
        return None


def _is_same(file: os.stat_result, device: os.stat_result) -> bool:
    """Whether a file is the device; each container has pseudo-terminals of its own with the same numbers (pts(4))."""
    if not stat.S_ISCHR(file.st_mode) or file.st_rdev != device.st_rdev:
        return False
    return os.major(device.st_rdev) not in PTS_MAJORS or file.st_dev == device.st_dev


def _locker(info: os.stat_result) -> Path | None:
    """The process that locked the file, told to everybody by the kernel (proc_locks(5))."""
    inode = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        match line.split():
            case [_, "FLOCK", _, _, pid, where, *_] if where == inode:
                return Path("/proc", pid)
    return None


def _holds(process: Path, device: os.stat_result) -> bool:
    """Whether the process has the device as its controlling terminal (a login) or, where we may look, open."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        if int(fields[4]) == device.st_rdev:  # tty_nr, proc_pid_stat(5)
            return True
        return any(_is_same(file.stat(), device) for file in (process / "fd").iterdir())
    except OSError:  # it ended, or is not ours to see
        return False
