"""A USB serial adapter that can be pulled out and put back: umockdev's sysfs and udev events, and a pty as its line.

Needs no GObject bindings. To be used in a process under ``umockdev-wrapper``, whose children see the same /sys, /dev.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

PCI_USB = "/devices/pci0000:00/0000:00:14.0/usb1"
TTY_USB_MAJOR = 188


class MockMachine:
    """The machine: an empty /sys, and a /dev in which only what is put there is seen first."""

    def __init__(self) -> None:
        if "libumockdev-preload" not in os.environ.get("LD_PRELOAD", ""):
            raise RuntimeError("this needs umockdev-wrapper")
        library = ctypes.CDLL("libumockdev.so.0")
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("new", pointer, ()),
            ("add_from_string", ctypes.c_bool, (pointer, text, pointer)),
            ("uevent", None, (pointer, text, text)),
            ("remove_device", None, (pointer, text)),
            ("get_root_dir", text, (pointer,)),
        ):
            function = getattr(library, f"umockdev_testbed_{name}")
            function.restype, function.argtypes = result, arguments
        self._library = library
        self._testbed = library.umockdev_testbed_new()
        self.root = Path(library.umockdev_testbed_get_root_dir(self._testbed).decode())

    def add(self, description: str) -> None:
        """Add a device; udev says `add`."""
        assert self._library.umockdev_testbed_add_from_string(self._testbed, description.encode(), None), description

    def remove(self, path: str) -> None:
        """Take a device away; udev says `remove`."""
        self._library.umockdev_testbed_uevent(self._testbed, f"/sys{path}".encode(), b"remove")
        self._library.umockdev_testbed_remove_device(self._testbed, f"/sys{path}".encode())


class Adapter:
    """One stick with an FT230X. `by_id` is the name that it always has once udev's rules ran for it."""

    def __init__(self, testbed: MockMachine, *, socket: str = "1-1", serial: str = "DM00TEST") -> None:
        self._testbed = testbed
        self._usb = f"{PCI_USB}/{socket}"
        self._interface = f"{self._usb}/{socket}:1.0"
        self._links: list[Path] = []
        self._tty = ""
        self.by_id = f"/dev/serial/by-id/usb-FTDI_FT230X_{serial}-if00-port0"
        attributes = {"idVendor": "0403", "idProduct": "6015", "serial": serial, "product": "FT230X Basic UART"}
        lines = [f"P: {self._usb}", "E: DEVTYPE=usb_device", "E: SUBSYSTEM=usb"]
        testbed.add("\n".join([*lines, *(f"A: {name}={value}\\n" for name, value in attributes.items()), "", ""]))

    def plug_in(self, line: str, node: str = "ttyUSB0", *, links: tuple[str, ...] = ()) -> None:
        """Put it in: `line` is the tty that its node, its by-id name and other `links` lead to."""
        for name in (f"/dev/{node}", self.by_id, *links):
            link = self._testbed.root / name[1:]
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(line)
            self._links.append(link)
        self._tty = f"{self._interface}/{node}/tty/{node}"
        minor = int("".join(filter(str.isdigit, node)))
        self._testbed.add(
            f"P: {self._tty}\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/{node}\nE: MAJOR={TTY_USB_MAJOR}\nE: MINOR={minor}\n"
        )

    def unplug(self) -> None:
        """Pull it out; the far end of its line is for the caller to close, before or after."""
        for link in self._links:
            link.unlink()
        self._links.clear()
        self._testbed.remove(self._tty)
