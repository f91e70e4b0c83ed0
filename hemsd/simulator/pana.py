"""The four datagrams in which a meter admits its controller, as they are seen on the serial line (PANA, port 716).

Formed as in RFC 5191 (header and attributes) and RFC 4764 (EAP-PSK); what is encrypted or a proof is random here,
because the module alone can tell.
"""

from __future__ import annotations

import struct
from random import Random

REQUEST_START, REQUEST, REQUEST_COMPLETE = 0xC000, 0x8000, 0xA000  # PANA-Auth-Request with its flag bits
PANA_AUTH = 2
AUTH, EAP_PAYLOAD, INTEGRITY, KEY_ID, NONCE, PRF, RESULT, LIFETIME = 1, 2, 3, 4, 5, 6, 7, 8  # attribute codes
HMAC_SHA2_256, HMAC_SHA2_256_128 = 5, 0x0C
EAP_REQUEST, EAP_SUCCESS, EAP_PSK = 1, 3, 0x2F


def authentication(chance: Random, route_b_id: str, lifetime_s: int) -> list[bytes]:
    """A new session's datagrams in order: start, first EAP-PSK message, third EAP-PSK message, completion."""
    session, sequence, eap, key_id = (chance.getrandbits(bits) for bits in (32, 31, 7, 16))
    challenge = chance.randbytes(16)
    first = b"\0" + challenge + b"SM" + route_b_id.encode("ascii")
    third = b"\x80" + challenge + chance.randbytes(16) + bytes(4) + chance.randbytes(17)
    bodies = [
        (REQUEST_START, _attribute(PRF, _u32(HMAC_SHA2_256)) + _attribute(INTEGRITY, _u32(HMAC_SHA2_256_128))),
        (REQUEST, _attribute(NONCE, chance.randbytes(16)) + _attribute(EAP_PAYLOAD, _eap(eap, first))),
        (REQUEST, _attribute(EAP_PAYLOAD, _eap(eap + 1, third))),
        (
            REQUEST_COMPLETE,
            _attribute(RESULT, _u32(0))
            + _attribute(EAP_PAYLOAD, struct.pack(">BBH", EAP_SUCCESS, eap + 1, 4))
            + _attribute(KEY_ID, _u32(key_id))
            + _attribute(LIFETIME, _u32(lifetime_s))
            + _attribute(AUTH, chance.randbytes(16)),
        ),
    ]
    return [
        struct.pack(">HHHHII", 0, 16 + len(body), flags, PANA_AUTH, session, sequence + step) + body
        for step, (flags, body) in enumerate(bodies)
    ]


def _attribute(code: int, value: bytes) -> bytes:
    return struct.pack(">HHHH", code, 0, len(value), 0) + value + bytes(-len(value) % 4)


def _eap(identifier: int, data: bytes) -> bytes:
    return struct.pack(">BBHB", EAP_REQUEST, identifier, 5 + len(data), EAP_PSK) + data


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)
