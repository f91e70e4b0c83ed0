"""How far an authentication has come, read from the meter's PANA messages (RFC 5191; EAP-PSK: RFC 4764).

Only what the meter sends is seen on the serial line, in clear text on UDP port 716; the module does the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from drivers.module import Authentication, AuthenticationStep

_HEADER = Struct(">2xHHHII")  # RFC 5191, 6.1: length, flags, type, session id, sequence number
_AVP = Struct(">HHH2x")  # RFC 5191, 6.3: code, flags, length of the value, which is padded to 4 bytes
_AUTHENTICATION = 2  # message type PAR when the R flag is set
_REQUEST, _START, _COMPLETE = 0x8000, 0x4000, 0x2000
_EAP_PAYLOAD, _RESULT_CODE, _SESSION_LIFETIME = 2, 7, 8
_EAP_REQUEST, _EAP_PSK = 1, 47
_STEPS = {0x00: AuthenticationStep.CHALLENGED, 0x80: AuthenticationStep.ANSWERED}  # by EAP-PSK flags: message 1, 3


def read(message: bytes) -> Authentication | None:
    """The step that a PANA message of the meter stands for; None for any other message and for a broken one."""
    if len(message) < _HEADER.size:
        return None
    length, flags, kind, _session, _sequence = _HEADER.unpack_from(message)
    if length != len(message) or kind != _AUTHENTICATION or not flags & _REQUEST:
        return None
    if flags & _START:
        return Authentication(AuthenticationStep.STARTED)
    values = dict(_attributes(message))
    if flags & _COMPLETE:
        return Authentication(
            AuthenticationStep.COMPLETED, _number(values.get(_RESULT_CODE)), _number(values.get(_SESSION_LIFETIME))
        )
    eap = values.get(_EAP_PAYLOAD, b"")
    if len(eap) < 6 or eap[0] != _EAP_REQUEST or eap[4] != _EAP_PSK or eap[5] not in _STEPS:
        return None
    return Authentication(_STEPS[eap[5]])


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEADER.size
    while at + _AVP.size <= len(message):
        code, _flags, length = _AVP.unpack_from(message, at)
        at += _AVP.size
        yield code, message[at : at + length]
        at += (length + 3) & ~3


def _number(value: bytes | None) -> int | None:
    return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None
