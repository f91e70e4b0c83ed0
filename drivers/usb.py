"""Which serial ports there are, and which of them the Wi-SUN module is likely to be on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.ports import PortMissing, PortUnclear
from drivers.serialport import holder

FTDI = 0x0403  # USB vendor of the bridge in every Wi-SUN stick known so far, and in countless other gadgets
GPIO_UART = Path("/dev/serial0")  # what Raspberry Pi OS calls the UART on the pin header
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
    problem = "several ports could be the module's" if best else "none of the ports is likely to be the module's"
    raise PortUnclear("", f"{problem}; say which it is:" + "".join(f"\n  {port}" for port in best or ports))


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
