"""`hemsd ports`: which serial ports there are, and which of them a Wi-SUN module may be on."""

from __future__ import annotations

import argparse
import dataclasses
import json

from drivers.usb import list_ports


def run(arguments: argparse.Namespace) -> int:
    """Print a table, or with --json an array of objects."""
    ports = list_ports()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(port) for port in ports], ensure_ascii=False))
        return 0
    if not ports:
        print("no serial port found; plug the module in, or see docs/hardware.md for the pins of a Raspberry Pi")
        return 0
    for port in ports:
        print(f"{'*' if port.likely else ' '} {port.by_id or port.path}")
        about = [port.path if port.by_id else "", port.description, f"in use by {port.holder}" if port.holder else ""]
        print("    " + ", ".join(text for text in about if text))
    print("\n* may be a Wi-SUN module; hemsd asks it before believing it")
    return 0
