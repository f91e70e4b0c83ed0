"""Tries, from within the service's sandbox, what it must and what it must not be able to do; prints what it could."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h


def write(path: str) -> None:
    Path(path).write_text("")


def read(path: str) -> None:
    Path(path).read_bytes()


def open_socket(family: int, kind: int = socket.SOCK_DGRAM) -> None:
    socket.socket(family, kind).close()


def unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def listen_to_netlink() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 1))


def change_an_interface() -> None:
    """Switch the loopback interface on (rtnetlink(7)): RTM_NEWLINK, to be acknowledged."""
    up = struct.pack("IHHIIBxHiII", 32, 16, 5, 1, 0, 0, 0, 1, 1, 1)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(up)
        (error,) = struct.unpack_from("i", kernel.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def run_written_memory() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def open_tty() -> None:
    os.close(os.open("/dev/ttyUSB0", os.O_RDWR | os.O_NOCTTY))


def make_setuid() -> None:
    file = Path(os.environ["STATE_DIRECTORY"], "setuid")
    file.touch()
    file.chmod(0o4700)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open the module's tty": open_tty,
    "read its credential": lambda: read(f"{os.environ['CREDENTIALS_DIRECTORY']}/routeb"),
    "write its state": lambda: write(f"{os.environ['STATE_DIRECTORY']}/probe"),
    "use IPv4": lambda: open_socket(socket.AF_INET),
    "use IPv6": lambda: open_socket(socket.AF_INET6),
    "read the credentials file": lambda: read("/etc/hemsd/credentials.toml"),
    "read /etc/shadow": lambda: read("/etc/shadow"),
    "write /etc": lambda: write("/etc/hemsd/probe"),
    "write /usr": lambda: write("/usr/probe"),
    "write /opt": lambda: write("/opt/hemsd/probe"),
    "look into /root": lambda: list(Path("/root").iterdir()),
    "see other processes": lambda: Path("/proc/1").stat(),
    "read kernel settings": lambda: read("/proc/sys/kernel/hostname"),
    "use raw packets": lambda: open_socket(socket.AF_PACKET),
    "listen to netlink": listen_to_netlink,
    "change an interface": change_an_interface,
    "execute memory it wrote": run_written_memory,
    "give a file away": lambda: os.chown(f"{os.environ['STATE_DIRECTORY']}/probe", 1, 1),
    "make a setuid file": make_setuid,
    "make a namespace": unshare,  # last, for it changes who we are
}


def attempt(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


print(json.dumps({name: attempt(action) for name, action in ATTEMPTS.items()}))
