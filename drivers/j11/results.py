"""How a command to a J11 module ends: the result that begins each response (J11 UART interface, table 34)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class Result(IntEnum):
    """How a command ended."""

    DONE = 0x01
    NOT_LISTED = 0x02
    UNKNOWN_COMMAND = 0x03
    BAD_PARAMETER = 0x04
    BAD_DESTINATION = 0x06
    PORT_OPEN = 0x0A
    PORT_NOT_OPEN = 0x0B
    NO_CALIBRATION = 0x0C
    NOT_CONNECTED = 0x0E
    HAN_RUNNING = 0x0F
    NOT_STARTED = 0x10
    BAD_LENGTH = 0x11
    TOO_MANY_PORTS = 0x12
    GAP = 0x13
    WRONG_MODE = 0x14
    HAN_AUTHENTICATED = 0x33
    RUNNING = 0x34
    AUTHENTICATED = 0x35
    NOT_SET_UP = 0x37
    BUSY = 0x3D
    NO_CREDENTIALS = 0x51
    AUTHENTICATING = 0x52
    NO_ENTRY = 0x53
    ALREADY_SET = 0x58
    TABLE_FULL = 0x59
    HEADER_SUM = 0xF0
    DATA_SUM = 0xF1
    TOO_SHORT = 0xF2
    TOO_LONG = 0xF3


WORDS: Mapping[int, str] = {
    Result.DONE: "done",
    Result.NOT_LISTED: "no such device is listed",
    Result.UNKNOWN_COMMAND: "unknown command",
    Result.BAD_PARAMETER: "bad parameter",
    Result.BAD_DESTINATION: "bad destination",
    Result.PORT_OPEN: "the port is open already",
    Result.PORT_NOT_OPEN: "the port is not open",
    Result.NO_CALIBRATION: "the radio's calibration cannot be read",
    Result.NOT_CONNECTED: "the meter was not reached",
    Result.HAN_RUNNING: "the HAN side is running, or another mode is set",
    Result.NOT_STARTED: "Route B is not started",
    Result.BAD_LENGTH: "bad length of a parameter",
    Result.TOO_MANY_PORTS: "too many ports are open",
    Result.GAP: "the command stopped in the middle",
    Result.WRONG_MODE: "not in this mode",
    Result.HAN_AUTHENTICATED: "the HAN side is in authentication",
    Result.RUNNING: "Route B is running",
    Result.AUTHENTICATED: "Route B is in authentication",
    Result.NOT_SET_UP: "the module is not set up",
    Result.BUSY: "another command is under way",
    Result.NO_CREDENTIALS: "the credentials are missing",
    Result.AUTHENTICATING: "PANA is running",
    Result.NO_ENTRY: "no such entry",
    Result.ALREADY_SET: "set already",
    Result.TABLE_FULL: "the table is full",
    Result.HEADER_SUM: "the header's sum is wrong",
    Result.DATA_SUM: "the data's sum is wrong",
    Result.TOO_SHORT: "the frame is too short",
    Result.TOO_LONG: "the frame is too long",
}

MISHEARD = frozenset({Result.GAP, Result.HEADER_SUM, Result.DATA_SUM, Result.TOO_SHORT})
"""The line spoilt the command: it may be said again."""

GONE = frozenset({Result.NOT_STARTED, Result.NOT_SET_UP})
"""Answers to a command for a session of which the module knows nothing."""


def words(result: int) -> str:
    """A result as it is told to a person."""
    return f"{result:02X}, {WORDS.get(result, 'an error without a name')}"
