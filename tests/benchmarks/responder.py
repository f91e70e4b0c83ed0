"""Nodes that answer at once, the same to whoever asks: ``python -m tests.benchmarks.responder COUNT``.

Each is an air conditioner with an address of its own on the loopback interface. An answer is made once for each
request and node, and then only told again with another TID, so that it is not this process that is measured. A byte
on standard input: each node announces itself, all at once the first time, after that calmly; the line told then says
how many it sent. The end of standard input ends it.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from collections.abc import Iterator

PORT = 3610
WHO_ASKS = ("127.0.0.1", PORT)
PROFILE, DEVICE, CONTROLLER = b"\x0e\xf0\x01", b"\x01\x30\x01", b"\x05\xff\x01"
GET, GET_RES, GET_SNA, INF = b"\x62", b"\x72", b"\x52", b"\x73"
POLLED = (0x80, 0xB0, 0xB3, 0xBB)  # by everyone who is measured: on, mode, temperature wanted, temperature measured
ANNOUNCED_LIST, IDENTIFICATION = 0xD5, 0x83
CALMLY_S = 0.001  # between two announcements, so that nobody's buffer runs over
READ_AT_ONCE = 16


def addresses(count: int) -> list[str]:
    """Of the nodes, in order."""
    return [f"127.0.{1 + each // 250}.{1 + each % 250}" for each in range(count)]


class Node:
    """One of them; `frames` are what follows the TID."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, PORT))
        self.socket.setblocking(False)
        common = {IDENTIFICATION: b"\xfe\xff\xff\xff" + socket.inet_aton(address).rjust(13, b"\x01")}
        common |= {0x80: b"\x30", 0x82: b"\x00\x00R\x00", 0x8A: b"\xff\xff\xff"}
        instances = b"\x01" + DEVICE
        self._objects = {
            PROFILE: {**common, ANNOUNCED_LIST: instances, 0xD6: instances},
            DEVICE: {**common, 0xB0: b"\x42", 0xB3: b"\x1a", 0xBB: b"\x18", 0x9D: b"\x00", 0x9E: b"\x01\x80"},
        }
        for told in self._objects.values():
            told[0x9F] = bytes([len(told) + 1, *told, 0x9F])
        self.answers: dict[bytes, bytes] = {}

    def answer(self, request: bytes) -> bytes:
        """What follows the TID of the answer to a Get; nothing for other requests."""
        mine = self._objects.get(request[3:6])
        if request[6:7] != GET or mine is None:
            return b""
        told = b"".join(bytes((epc, len(edt := mine.get(epc, b"")))) + edt for epc in request[8::2])
        whole = all(epc in mine for epc in request[8::2])
        return request[3:6] + request[:3] + (GET_RES if whole else GET_SNA) + request[7:8] + told

    def announcement(self) -> bytes:
        """Who it is and what it has."""
        profile = self._objects[PROFILE]
        told = b"".join(bytes((epc, len(profile[epc]))) + profile[epc] for epc in (IDENTIFICATION, ANNOUNCED_LIST))
        return b"\x10\x81\x00\x00" + PROFILE + CONTROLLER + INF + b"\x02" + told


def main(count: str) -> None:
    """Answer until the end of standard input."""
    nodes = [Node(address) for address in addresses(int(count))]
    waiting = selectors.DefaultSelector()
    for node in nodes:
        waiting.register(node.socket, selectors.EVENT_READ, node)
    waiting.register(0, selectors.EVENT_READ, pauses())
    while True:
        for key, _ in waiting.select():
            if isinstance(key.data, Node):
                serve(key.data)
            elif not os.read(0, 1):
                return
            else:
                announce(nodes, next(key.data))


def pauses() -> Iterator[float]:
    """Before each announcement of a round."""
    yield 0.0
    while True:
        yield CALMLY_S


def serve(node: Node) -> None:
    """Answer what has come."""
    receive, send, answers = node.socket.recvfrom, node.socket.sendto, node.answers
    try:
        for _ in range(READ_AT_ONCE):
            request, source = receive(2048)
            key = request[4:]
            if (answer := answers.get(key)) is None:
                answer = answers[key] = node.answer(key)
            if answer:
                send(request[:4] + answer, source)
    except BlockingIOError:
        pass


def announce(nodes: list[Node], pause_s: float) -> None:
    """Let each of them tell that it is there."""
    prepared = [(node.socket, node.announcement()) for node in nodes]
    for sender, told in prepared:
        sender.sendto(told, WHO_ASKS)
        time.sleep(pause_s)
    print(json.dumps({"sent": len(nodes)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
