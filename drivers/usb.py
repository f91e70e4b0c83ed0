"""Which serial ports there are, which of them the Wi-SUN module is likely to be on, and when it is plugged in."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from drivers.ports import PortError, PortMissing, PortUnclear
from drivers.serialport import holder

FTDI = 0x0403  # USB vendor of the bridge in every Wi-SUN stick known so far, and in countless other gadgets
GPIO_UART = Path("/dev/serial0")  # what Raspberry Pi OS calls the UART on the pin header
LOOK_S = 1.0  # between two looks for a port, wherever udev says nothing (no udevd, another network namespace)
NO_UART = "0"  # serial_core's type of a port that has a name but no hardware (linux/serial.h, PORT_UNKNOWN)


@dataclass(frozen=True, slots=True)
class PortInfo:
    """A serial port; `likely` says that a module could well be on it, never that one is."""

    path: str  # the kernel's name for it, which may change at the next start
    by_id: str | None  # the name that stays with a USB device
    description: str
    vid: int | None  # USB only, as are pid and serial
    pid: int | None
    serial: str | None
    likely: bool
    holder: str | None  # who has it open, as ``hemsd (pid 123)``, where that can be told

    @property
    def name(self) -> str:
        """The best name to put into a configuration."""
        return self.by_id or self.path

    def __str__(self) -> str:
        return f"{self.name} ({self.description}{f', held by {self.holder}' if self.holder else ''})"


def list_ports() -> list[PortInfo]:
    """Every serial port a module could be on, likely ones first."""
    try:
        found = list(_from_udev())
    except ImportError:  # libudev is not there
        found = list(_from_pyserial())
    links = {str(link.resolve()): str(link) for link in Path("/dev/serial/by-id").glob("*")}
    ports = [_described(device, links) for device in found if Path(device.path).exists()]
    return sorted(ports, key=lambda port: (not port.likely, port.path))


def guess_port() -> str:
    """The name of the one port that is likely, USB before GPIO. Raises PortMissing or PortUnclear."""
    return choose(list_ports())


def choose(ports: list[PortInfo]) -> str:
    """The one of these that guess_port() would take."""
    if not ports:
        raise PortMissing("", "there is no serial port here: is the module plugged in?")
    likely = [port for port in ports if port.likely]
    best = [port for port in likely if port.vid is not None] or likely
    if len(best) == 1:
        return best[0].name
    listed = "".join(f"\n  {port}" for port in best or ports)
    if best:
        raise PortUnclear("", f"several ports could be the module's; say which it is:{listed}")
    raise PortMissing(
        "", f"no port is likely to be the module's: is it plugged in? If it is one of these, say so:{listed}"
    )


async def plugged(find: Callable[[], str]) -> None:
    """Wait until there is a port under the name that `find` gives, other than the one there when this is called.

    A module that comes back is another device even under its old name, and one that is about to go is still there
    when reading fails. `find` may raise PortError, and give another name each time. udev tells at once; without it
    this takes up to a second.
    """
    before, told = _device(find), asyncio.Event()
    with _udev_events(told.set):
        while (there := _device(find)) is None or there == before:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), LOOK_S)
            told.clear()


def _device(find: Callable[[], str]) -> tuple[int, ...] | None:
    """What tells the device under a name from every other one; None where there is none that we may open.

    udev makes a device before it gives it to its group: opened too early it would be refused for good.
    """
    try:
        path = find()
        about = Path(path).stat()
    except (PortError, OSError):
        return None
    usable = stat.S_ISCHR(about.st_mode) and os.access(path, os.R_OK | os.W_OK)
    return (about.st_rdev, about.st_dev, about.st_ino, about.st_ctime_ns) if usable else None


@contextmanager
def _udev_events(on_event: Callable[[], None]) -> Iterator[None]:
    """Call `on_event` in the running loop when a tty comes, goes or changes; never where udev is not to be had."""
    try:
        import pyudev  # here, because it takes time

        monitor = pyudev.Monitor.from_netlink(pyudev.Context())
        monitor.filter_by("tty")
        monitor.start()
    except (ImportError, OSError):  # no libudev, or a sandbox without AF_NETLINK
        yield
        return

    def heard() -> None:
        with suppress(OSError):  # more than the kernel could keep
            while monitor.poll(0) is not None:
                pass
        on_event()

    loop = asyncio.get_running_loop()
    loop.add_reader(monitor.fileno(), heard)
    try:
        yield
    finally:
        loop.remove_reader(monitor.fileno())


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    description: str = ""
    vid: int | None = None
    pid: int | None = None
    serial: str | None = None


def _from_udev() -> Iterator[_Found]:
    """From sysfs by way of libudev, so that it works where no udev daemon runs."""
    import pyudev  # here, because it takes time and only this needs it

    for device in pyudev.Context().list_devices(subsystem="tty"):
        attributes = device.attributes
        if device.device_node is None or device.parent is None or attributes.get("type") == NO_UART.encode():
            continue
        usb = device.find_parent("usb", "usb_device")
        if usb is None:
            yield _Found(device.device_node)
            continue
        vid, pid, serial, maker, product = (
            usb.attributes.get(name, b"").decode(errors="replace").strip()
            for name in ("idVendor", "idProduct", "serial", "manufacturer", "product")
        )
        yield _Found(
            device.device_node, f"{maker} {product}", int(vid or "0", 16), int(pid or "0", 16), serial or None
        )


def _from_pyserial() -> Iterator[_Found]:
    from serial.tools import list_ports as pyserial  # here, as pyudev above

    for port in pyserial.comports():
        description = f"{port.manufacturer or ''} {port.product or ''}"
        yield _Found(port.device, description, port.vid, port.pid, port.serial_number)


def _described(found: _Found, links: dict[str, str]) -> PortInfo:
    if found.vid is not None:
        likely, description = found.vid == FTDI, found.description.strip() or "USB serial port"
    elif _is_console(found.path):
        likely, description = False, "UART, used by the kernel as its console"
    elif GPIO_UART.exists() and str(GPIO_UART.resolve()) == found.path:
        likely, description = True, "UART on the pin header"
    else:
        likely, description = False, "UART"
    return PortInfo(
        found.path,
        links.get(found.path),
        description,
        found.vid,
        found.pid,
        found.serial,
        likely,
        holder(found.path),
    )


def _is_console(path: str) -> bool:
    try:
        return Path(path).name in Path("/sys/class/tty/console/active").read_text().split()
    except OSError:
        return False
