"""PANA messages as real meters sent them (RFC 5191, 6; EAP-PSK: RFC 4764, 5)."""

from __future__ import annotations

import pytest

from drivers.module import Authentication, AuthenticationStep
from drivers.skstack import pana

START = bytes.fromhex("00000028C00000021C2FF4B92384415800060000000400000000000500030000000400000000000C")
CHALLENGE = bytes.fromhex(
    "00000068800000021C2FF4B92384415900050000001000004B5AD190998EE92EFD8A95FC29389FA200020000003800000148"
    "00382F00983B5C1B723326E7BE2B4C07E8090CF1534D30303030303030303030303030303030303030303030303030313132"
    "43453637"
)
PROOF_ACCEPTED = bytes.fromhex(
    "00000054800000021C2FF4B92384415A00020000003B00000149003B2F80983B5C1B723326E7BE2B4C07E8090CF11988788F"
    "485E6994ED46F0F5361E9AB700000000739716C580AD496217B7688AE46EFFAF7E00"
)
COMPLETE = bytes.fromhex(
    "00000058A00000021C2FF4B92384415B00070000000400000000000000020000000400000349000400040000000400000000"
    "12100008000000040000000151800001000000100000108E7957B9B26C04345D7025C24A2472"
)


def test_the_four_messages_of_a_join_are_its_steps() -> None:
    """Start, EAP-PSK 1, EAP-PSK 3, completion with result and a lifetime of a day."""
    assert [pana.read(message) for message in (START, CHALLENGE, PROOF_ACCEPTED, COMPLETE)] == [
        Authentication(AuthenticationStep.STARTED),
        Authentication(AuthenticationStep.CHALLENGED),
        Authentication(AuthenticationStep.ANSWERED),
        Authentication(AuthenticationStep.COMPLETED, result_code=0, lifetime_s=86_400),
    ]


def test_a_result_other_than_success_is_told() -> None:
    """RFC 5191, 8.7: 1 is authentication rejected."""
    at = COMPLETE.index(bytes.fromhex("0007000000040000")) + 11
    heard = pana.read(COMPLETE[:at] + b"\x01" + COMPLETE[at + 1 :])
    assert heard == Authentication(AuthenticationStep.COMPLETED, result_code=1, lifetime_s=86_400)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        START[:15],
        START[:-1],
        START + b"\0",
        START[:4] + b"\x40\x00" + START[6:],  # an answer, which a meter does not send
        START[:6] + b"\x00\x03" + START[8:],  # termination
        CHALLENGE.replace(b"\x00\x38\x2f\x00", b"\x00\x38\x2f\x40"),  # EAP-PSK 2
        CHALLENGE.replace(b"\x00\x38\x2f\x00", b"\x00\x38\x01\x00"),  # EAP identity
    ],
)
def test_other_and_broken_messages_are_none(message: bytes) -> None:
    """What is not a step of authentication stays a datagram."""
    assert pana.read(message) is None


def test_a_completion_without_values_tells_none() -> None:
    """A truncated list of attributes costs the values, nothing else."""
    short = b"\0\0\0\x14\xa0\0\0\x02" + b"\0" * 8 + b"\0\x08\0\0"
    assert pana.read(short) == Authentication(AuthenticationStep.COMPLETED)
