"""Sharp edges of J11 modules, through the whole link: long silences, and what is sent in the clear."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.wired import METER, PAN, Wired

from drivers.module import Joined, JoinFailed
from hemsd.routeb.stages import Stage
from hemsd.simulator import Fault, Flaw, J11Module, Spell, Strike

SEND, START_PANA, RESET, REQUEST = b"\x00\x08", b"\x00\x56", b"\x00\xd9", b"\xd0\xea\x83\xfc"


def said(bench: Wired, code: bytes, since: float = 0.0) -> list[float]:
    """When we gave a command."""
    return [at for at, data in bench.written if at >= since and data.startswith(REQUEST + code)]


def in_the_clear(bench: Wired) -> list[bytes]:
    assert isinstance(bench.module, J11Module)
    return bench.module.plaintext


def test_edge_14_before_pana_a_j11_module_sends_in_the_clear() -> None:
    """So it is given nothing to send until PANA has succeeded, nor after its session is gone."""
    bench = Wired("J11")
    bench.strike(Fault(Flaw.JOIN_FAILS))
    bench.link.begin(0)
    request = bench.get(0xE7)
    bench.run(900, lambda: request.done)
    assert isinstance(request.answers[0xE7], bytes)
    assert said(bench, SEND)[0] >= said(bench, START_PANA)[-1]
    assert in_the_clear(bench) == []
    for strike in (Strike.PEER_CLOSES, Strike.REBOOT, Strike.EXPIRE):
        bench.strike(Fault(strike, at=bench.now))
        bench.run(0.1)
        for _ in range(30):
            if bench.stage is Stage.ONLINE:
                bench.get(0xE7)
            bench.run(20)
        assert bench.stage is Stage.ONLINE, strike
    assert in_the_clear(bench) == []


def test_edge_14_the_simulated_module_does_send_in_the_clear() -> None:
    """The check above can fail: a datagram given between the start of Route B and PANA goes out as it is."""
    bench = Wired("J11")
    bench.strike(Fault(Spell.METER_SILENT, seconds=900))
    bench.link.begin(0)
    bench.run(60, lambda: bool(said(bench, START_PANA)))
    bench.run(5)
    bench.module.air._gated = False
    payload = bytes.fromhex("1081000105FF010288016201E700")
    body = bytes.fromhex(METER.replace(":", "")) + b"\x0e\x1a\x0e\x1a" + len(payload).to_bytes(2, "big") + payload
    head = REQUEST + SEND + (len(body) + 4).to_bytes(2, "big")
    bench.module.receive(head + _sum(head) + _sum(body) + body, bench.now)
    assert in_the_clear(bench) == [payload]


def _sum(data: bytes) -> bytes:
    return (sum(data) & 0xFFFF).to_bytes(2, "big")


@pytest.mark.parametrize(("how", "after_s"), [(Flaw.JOIN_FAILS, 311.5), (Spell.METER_SILENT, 491.9)])
def test_edge_22_a_failure_of_pana_may_take_minutes_to_be_told(how: Flaw | Spell, after_s: float) -> None:
    """A join that is given up before is ended by a reset of the module, which then joins; none is left half-way."""
    bench = Wired("J11")
    bench.strike(Fault(how, seconds=400))
    bench.link.begin(0)
    bench.run(1800, lambda: bench.stage is Stage.ONLINE)
    assert bench.stage is Stage.ONLINE
    starts, resets = said(bench, START_PANA), said(bench, RESET)
    for earlier, later in pairwise(starts):
        told = any(isinstance(event, JoinFailed) for event in bench.heard) and later - earlier >= after_s
        assert told or any(earlier < reset < later for reset in resets)
    assert starts[1] - starts[0] <= after_s + 30
    assert bench.printed.count(b"\x20\x56\x00\x05") >= len(starts)  # each was taken, none refused as running


def test_edge_22_renewal_succeeds_in_silence() -> None:
    """After 80 % of the lifetime the module authenticates again and says nothing: the session is not doubted."""
    bench = Wired("J11", remembered=PAN).online()
    joined = bench.heard.count(Joined(METER))
    for _ in range(2 * 24 * 12):
        request = bench.get(0xE7)
        bench.run(300)
        assert isinstance(request.answers[0xE7], bytes)
    assert bench.now > 2 * 86_400
    assert bench.heard.count(Joined(METER)) == joined
    assert bench.losses == 0
    assert bench.stage is Stage.ONLINE
