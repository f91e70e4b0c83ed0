"""What the link alone takes for days of history: ``python -m tests.benchmarks.by_nobody PORT COUNT``.

Writes prepared datagrams and looks at nothing but where an answer ends. The module has a session already, and tells
datagrams as they are.
"""

from __future__ import annotations

import json
import os
import re
import sys
import termios
import time
import tty

from hemsd.simulator import Network

ANSWER = re.compile(rb"ERXUDP (?:\S{39} ){2}(?:0E1A ){2}\S{16} (?:\S{1,2} )+([0-9A-F]{4}) ")
SETC, GET = "1081{:04X}05FF010288016101E501{:02X}", "1081{:04X}05FF010288016201E200"


def main(port: str, count: str) -> None:
    """Tell the seconds from the first byte written to the last byte read."""
    line = os.open(port, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    attributes = termios.tcgetattr(line)
    attributes[4] = attributes[5] = termios.B115200
    termios.tcsetattr(line, termios.TCSANOW, attributes)
    began = time.monotonic()
    for day in range(1, int(count) + 1):
        for tid, form in ((2 * day, SETC), (2 * day + 1, GET)):
            _exchange(line, bytes.fromhex(form.format(tid, day)))
    print(json.dumps({"took_s": time.monotonic() - began}), flush=True)


def _exchange(line: int, payload: bytes) -> None:
    os.write(line, f"SKSENDTO 1 {Network().address} 0E1A 1 0 {len(payload):04X} ".encode() + payload)
    heard = b""
    while True:
        heard += os.read(line, 4096)
        for found in ANSWER.finditer(heard):
            end = found.end() + int(found[1], 16) + 2
            if heard[found.end() + 2 : found.end() + 4] == payload[2:4] and len(heard) >= end:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
