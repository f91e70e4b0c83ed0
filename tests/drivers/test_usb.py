"""The list of serial ports: what is found, what is likely, and what is taken when the user names none."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import serial.tools.list_ports
from serial.tools.list_ports_common import ListPortInfo
from support.drivers import pseudo_terminal

from drivers import usb
from drivers.ports import PortMissing, PortUnclear
from drivers.usb import PortInfo, choose, guess_port, list_ports

STICK = PortInfo(
    path="/dev/ttyUSB0",
    by_id="/dev/serial/by-id/usb-FTDI_FT230X_DM00-if00-port0",
    description="FTDI FT230X Basic UART",
    vid=0x0403,
    pid=0x6015,
    serial="DM00",
    likely=True,
    holder=None,
)
PINS = PortInfo("/dev/ttyAMA0", None, "UART on the pin header", None, None, None, likely=True, holder=None)
OTHER = PortInfo(
    "/dev/ttyUSB1", None, "Silicon Labs CP2102", 0x10C4, 0xEA60, "0001", likely=False, holder="zigbee (pid 7)"
)


def test_single_likely_port_is_taken() -> None:
    """The one likely port is taken, by the name that stays, whatever else there is."""
    assert choose([OTHER, STICK]) == STICK.by_id
    assert choose([OTHER, PINS]) == PINS.path


def test_usb_goes_before_the_pin_header() -> None:
    """A Raspberry Pi always has its UART: a stick in a USB socket is the better guess."""
    assert choose([PINS, STICK]) == STICK.by_id


@pytest.mark.parametrize(
    ("ports", "error", "texts"),
    [
        ([], PortMissing, ["no serial port", "plugged in"]),
        ([STICK, replace(STICK, path="/dev/ttyUSB2", by_id=None)], PortUnclear, [str(STICK.by_id), "/dev/ttyUSB2"]),
        (
            [OTHER],
            PortMissing,
            ["no port is likely", "is it plugged in?", "/dev/ttyUSB1", "CP2102", "held by zigbee (pid 7)"],
        ),
    ],
)
def test_no_guess_is_made_in_doubt(ports: list[PortInfo], error: type[Exception], texts: list[str]) -> None:
    """Without exactly one likely port the user has to say, from a list."""
    with pytest.raises(error) as caught:
        choose(ports)
    for text in texts:
        assert text in str(caught.value)


def found(monkeypatch: pytest.MonkeyPatch, *ports: usb._Found) -> None:
    monkeypatch.setattr(usb, "_from_udev", lambda: iter(ports))


def test_pin_header_is_likely_unless_it_is_the_console(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The UART that /dev/serial0 names may be the module's; while the kernel's console is on it, it is not."""
    with pseudo_terminal() as pty:
        (tmp_path / "serial0").symlink_to(pty.path)
        monkeypatch.setattr(usb, "GPIO_UART", tmp_path / "serial0")
        found(monkeypatch, usb._Found(pty.path), usb._Found("/dev/null"))
        first, second = list_ports()
        assert (first.path, first.likely, second.likely) == (pty.path, True, False)
        monkeypatch.setattr(usb, "_is_console", lambda path: path == pty.path)
        assert [(port.likely, "console" in port.description) for port in list_ports()] == [
            (False, False),
            (False, True),
        ]


def test_names_without_a_device_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel knows and /dev has not, as in a container, cannot be opened and is not listed."""
    found(monkeypatch, usb._Found("/dev/ttyNONE", "FTDI", 0x0403, 0x6015, "X"))
    assert list_ports() == []
    with pytest.raises(PortMissing):
        guess_port()


def test_works_without_libudev(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where libudev is missing pyserial finds the ports."""
    plain_import: Callable[..., Any] = builtins.__import__

    def without_udev(name: str, *args: Any) -> Any:
        if name == "pyudev":
            raise ImportError(name)
        return plain_import(name, *args)

    with pseudo_terminal() as pty:
        port = ListPortInfo(pty.path)
        port.vid, port.pid, port.serial_number, port.manufacturer, port.product = (
            0x0403,
            0x6015,
            "DM",
            "FTDI",
            "FT230X",
        )
        monkeypatch.setattr(serial.tools.list_ports, "comports", lambda: [port])
        monkeypatch.setattr(builtins, "__import__", without_udev)
        (listed,) = list_ports()
    assert (listed.path, listed.description, listed.serial, listed.likely) == (pty.path, "FTDI FT230X", "DM", True)


PLUGGED = r"""
import ctypes, os, pty
lib = ctypes.CDLL("libumockdev.so.0")
lib.umockdev_testbed_new.restype = ctypes.c_void_p
lib.umockdev_testbed_get_root_dir.restype = ctypes.c_char_p
lib.umockdev_testbed_get_root_dir.argtypes = [ctypes.c_void_p]
lib.umockdev_testbed_add_from_string.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
testbed = lib.umockdev_testbed_new()
root = lib.umockdev_testbed_get_root_dir(testbed).decode()
usb = "/devices/pci0000:00/0000:00:14.0/usb1/1-1"
uart = "/devices/platform/serial8250"
devices = (
    f"P: {usb}\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nA: idVendor=0403\\n\nA: idProduct=6015\\n\n"
    f"A: serial=DM00TEST\\n\nA: manufacturer=FTDI\\n\nA: product=FT230X Basic UART\\n\n\n"
    f"P: {usb}/1-1:1.0/ttyUSB0/tty/ttyUSB0\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/ttyUSB0\n\n"
    f"P: {uart}\nE: SUBSYSTEM=platform\n\n"
    f"P: {uart}/tty/ttyS0\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/ttyS0\nA: type=4\\n\n\n"
    f"P: {uart}/tty/ttyS1\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/ttyS1\nA: type=0\\n\n\n"
    f"P: /devices/virtual/tty/tty1\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/tty1\n\n"
)
for device in devices.strip().split("\n\n"):
    assert lib.umockdev_testbed_add_from_string(testbed, device.encode() + b"\n", None), device
os.makedirs(f"{root}/dev", exist_ok=True)
_, slave = pty.openpty()
for name in ("ttyUSB0", "ttyS0", "ttyS1", "tty1"):
    os.symlink(os.ttyname(slave), f"{root}/dev/{name}")
from drivers.usb import list_ports
for port in list_ports():
    print(port.path, port.description, port.vid, port.pid, port.serial, port.likely, sep="|")
"""


@pytest.mark.needs("umockdev-wrapper")
def test_ports_of_a_machine() -> None:
    """Of a machine's ttys the USB adapter and the real UART are listed, not UARTs without hardware nor consoles."""
    run = subprocess.run(
        ["umockdev-wrapper", sys.executable, "-c", PLUGGED], capture_output=True, text=True, timeout=30, check=False
    )
    assert run.stdout.splitlines() == [
        "/dev/ttyUSB0|FTDI FT230X Basic UART|1027|24597|DM00TEST|True",
        "/dev/ttyS0|UART|None|None|None|False",
    ], run.stderr
