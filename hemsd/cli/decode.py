"""`hemsd decode`: ECHONET Lite frames in hexadecimal, each as one JSON object a line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from typing import Any, Final, TextIO

from hemsd.cli.exits import Exit
from hemsd.echonet.describe import describe_frame
from hemsd.echonet.frame import FrameError, decode

TEXT_MAX: Final = 4 * 65_536  # characters of one frame: a UDP datagram, with "0x" or blanks between its bytes
_SEPARATOR: Final = re.compile(r"\b0[xX]|[\s:-]")


def run(arguments: argparse.Namespace) -> int:
    """Print the frames that the arguments are, or that standard input holds, one a line."""
    return print_frames(arguments.frames, sys.stdin, sys.stdout)


def print_frames(items: Iterable[str], source: TextIO, out: TextIO) -> int:
    """Print each item, or for the item ``-`` each line of `source`; the exit code tells whether all were frames.

    Upper and lower case, ``0x``, blanks, colons and dashes between bytes are all understood; empty lines are passed
    over. Only what `out` raises is raised, BrokenPipeError above all.
    """
    if isinstance(source, TextIOWrapper):
        source.reconfigure(errors="backslashreplace")
    worst = 0
    for item in items:
        for text in _lines(source) if item == "-" else (item,):
            told = _told(text)
            if "error" in told:
                worst = Exit.MALFORMED
            print(json.dumps(told), file=out, flush=True)
    return worst


def _lines(source: TextIO) -> Iterator[str]:
    """The lines that are not empty, none of them longer than can be refused."""
    while line := source.readline(TEXT_MAX + 1):
        if not line.isspace():
            yield line
        while len(line) > TEXT_MAX and not line.endswith("\n"):  # the rest of it
            line = source.readline(TEXT_MAX + 1)


def _told(text: str) -> dict[str, Any]:
    if len(text) > TEXT_MAX:
        return {"error": "longer than any datagram"}
    digits = _SEPARATOR.sub("", text)
    if wrong := re.search("[^0-9A-Fa-f]", digits):
        return {"error": f"byte {wrong.start() // 2}: {wrong[0]!r} is no hexadecimal digit"}
    if len(digits) % 2:
        return {"error": f"byte {len(digits) // 2}: half a byte"}
    try:
        return describe_frame(decode(bytes.fromhex(digits)))
    except FrameError as error:
        return {"error": str(error)}
