"""Tries what a part of hemsd must and what it must not be able to do, and prints as JSON what could be done.

Run within a unit's sandbox, and outside of any as the proof that each attempt can succeed at all. `BY_CGROUP` names
the attempts that only a kernel with cgroup v2 refuses, so not one in a container. They want addresses to send to:
192.168.255.1 and 198.51.100.1 behind an interface of the machine.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000  # linux/sched.h
STATE = Path(os.environ.get("STATE_DIRECTORY", "/nonexistent"))
BY_CGROUP = (
    "open another device",
    "send within the house",
    "send to the Internet",
    "listen on UDP 3610",
    "listen on UDP 3611",
    "listen on TCP 9850",
)


def write(path: str | Path) -> None:
    Path(path).write_text("")


def read(path: str) -> None:
    Path(path).read_bytes()


def read_credential(unit: str, name: str) -> None:
    """Handed to this sandbox, or that of the running unit."""
    handed = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), name)
    if not handed.exists():
        handed = Path("/run/credentials", unit, name)
    handed.read_bytes()


def look_into(path: str) -> None:
    list(Path(path).iterdir())


def open_device(path: str) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))


def open_socket(family: int, kind: int = socket.SOCK_DGRAM) -> None:
    socket.socket(family, kind).close()


def connect(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(f"/run/hemsd/{name}.sock")


def send(address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"", (address, 3610))


def listen(kind: int, port: int) -> None:
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("0.0.0.0", port))


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


def see_an_interface() -> None:
    """One that is not the loopback (proc_pid_net(5): two lines of head, one for each interface)."""
    if len(Path("/proc/thread-self/net/dev").read_text().splitlines()) < 4:
        raise OSError("there is none")


def run_written_memory() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def run_a_written_file() -> None:
    file = STATE / "program"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o700)
    subprocess.run([file], check=True)


def make_setuid() -> None:
    file = STATE / "setuid"
    file.touch()
    file.chmod(0o4700)


def watch_memory_faults() -> None:
    """userfaultfd(2), which exploits are fond of; its number in the two architectures that hemsd is tested on."""
    number = {"x86_64": 323, "aarch64": 282}[os.uname().machine]
    if (made := ctypes.CDLL(None, use_errno=True).syscall(number, 1)) < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    os.close(made)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "open the module's tty": lambda: open_device("/dev/ttyUSB0"),
    "open another tty": lambda: open_device("/dev/ttyUSB1"),
    "open another device": lambda: open_device("/dev/net/tun"),
    "read the meter's credential": lambda: read_credential("hemsd-routeb.service", "routeb"),
    "read the broker's credential": lambda: read_credential("hemsd-gateway.service", "mqtt-password"),
    "read the credentials file": lambda: read("/etc/hemsd/credentials.toml"),
    "read the configuration": lambda: read("/etc/hemsd/hemsd.toml"),
    "write its state": lambda: write(STATE / "probe"),
    "look into the meter's state": lambda: look_into("/var/lib/hemsd-routeb"),
    "look into the hub's state": lambda: look_into("/var/lib/hemsd"),
    "look into the gateway's state": lambda: look_into("/var/lib/hemsd-gateway"),
    "speak as the operator": lambda: connect("operator"),
    "speak as the meter": lambda: connect("routeb"),
    "speak as the gateway": lambda: connect("gateway"),
    "use IPv4": lambda: open_socket(socket.AF_INET),
    "use IPv6": lambda: open_socket(socket.AF_INET6),
    "use raw packets": lambda: open_socket(socket.AF_PACKET),
    "use netlink": listen_to_netlink,
    "see an interface": see_an_interface,
    "change an interface": change_an_interface,
    "send within the house": lambda: send("192.168.255.1"),
    "send to the Internet": lambda: send("198.51.100.1"),
    "listen on UDP 3610": lambda: listen(socket.SOCK_DGRAM, 3610),
    "listen on UDP 3611": lambda: listen(socket.SOCK_DGRAM, 3611),
    "listen on TCP 9850": lambda: listen(socket.SOCK_STREAM, 9850),
    "read /etc/shadow": lambda: read("/etc/shadow"),
    "write /etc": lambda: write("/etc/hemsd/probe"),
    "write /usr": lambda: write("/usr/probe"),
    "write /opt": lambda: write("/opt/hemsd/probe"),
    "look into /root": lambda: look_into("/root"),
    "see other processes": lambda: Path("/proc/1").stat(),
    "read kernel settings": lambda: read("/proc/sys/kernel/hostname"),
    "execute memory it wrote": run_written_memory,
    "execute a file it wrote": run_a_written_file,
    "watch memory faults": watch_memory_faults,
    "become more urgent": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "give a file away": lambda: os.chown(STATE / "probe", 1, 1),
    "make a setuid file": make_setuid,
    "make a namespace": unshare,  # last, for it changes who we are
}


def attempt(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps({name: attempt(action) for name, action in ATTEMPTS.items()}))
