"""T-SEC (G.9958: R2, R49): what is not secured is not taken from the meter, and on the LAN not without a warning.

What TLS is made of is tried in tests/gateway/test_tls.py and test_bridge.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.wired import Wired
from support.worlds import House

from hemsd.daemon.check import check
from hemsd.hub.messages import Domain, Health
from hemsd.routeb.gate import Gate
from hemsd.simulator.radio import Datagram

ANNOUNCED = bytes.fromhex("1081000102880105FF017301E704000F423F")

PLAIN = 'gateway.broker.url = "mqtt://192.0.2.1"'
CONFIGURED: dict[str, tuple[str, str, str]] = {  # what is written, how bad it is, and a word of why
    "an open connection to another host": (PLAIN, "error", "write mqtts://"),
    "the same by choice": (f"{PLAIN}\ngateway.broker.plain = true", "warning", "in clear"),
    "TLS": ('gateway.broker.url = "mqtts://192.0.2.1"', "", ""),
    "this machine": ('gateway.broker.url = "mqtt://127.0.0.1"', "", ""),
    "metrics for one network": ('gateway.metrics.listen = "127.0.0.1:9850"', "", ""),
}


@pytest.mark.parametrize("what", CONFIGURED)
def test_an_open_way_out_is_chosen_or_refused(what: str, tmp_path: Path) -> None:
    """What crosses a network in clear is an error; where a person wrote `plain` it is a warning for ever."""
    text, severity, why = CONFIGURED[what]
    path = tmp_path / "hemsd.toml"
    path.write_text(f"version = 1\n{text}\n")
    found = [each for each in check(path) if "[gateway" in each.text]
    assert [each.severity.value for each in found] == ([severity] if severity else [])
    assert all(why in each.text for each in found)


@pytest.mark.needs("ip", "root", "mosquitto")
async def test_the_warning_stays_while_it_is_so(house: House) -> None:
    """The daemon goes on telling it, where everybody sees it: in the gateway's health."""
    health = await house.hears(Health, lambda health: health.source is Domain.GATEWAY)
    assert "crosses the network to 192.168.30.2 in clear" in health.detail


@pytest.mark.parametrize("family", ["SE", "DUAL"])
def test_what_we_send_is_encrypted_or_not_sent(family: str) -> None:
    """SEC is 1 in every SKSENDTO; a J11 module is never told whether, and encrypts what is sent within a session."""
    bench = Wired(family).online()
    for epc in (0xE7, 0xE0, 0x97):
        bench.get(epc)
        bench.run(5)
    sent = [data.split()[4] for _, data in bench.said("SKSENDTO")]
    assert len(sent) >= 3 and set(sent) == {b"1"}


@pytest.mark.parametrize("family", ["SE", "DUAL", "J11"])
def test_what_is_not_secured_is_not_taken(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A datagram in the clear is dropped and counted; the same one secured is heard; breach: an open gate."""
    bench = Wired(family).online()
    before = len(bench.told)
    for secured, dropped in ((False, {"unsecured": 1}), (True, {"unsecured": 1})):
        bench.module.datagram(Datagram("", 3610, secured, ANNOUNCED, 200))
        bench.run(1)
        assert bench.session.gate.dropped == dropped
        assert (len(bench.told) > before) is secured
    monkeypatch.setattr(Gate, "accept", lambda self, datagram, now: datagram.sender == self.peer)
    before = len(bench.told)
    bench.module.datagram(Datagram("", 3610, False, ANNOUNCED, 200))
    bench.run(1)
    assert len(bench.told) > before
