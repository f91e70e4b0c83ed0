"""Third-party controllers on hosts of their own, beside us and our simulated appliances on the same segment.

PyPI's pychonet (which Home Assistant uses), PyPI's uecho and npm's echonet-lite see our own node, and read and set
the simulated appliances, which were written from the manual; and whatever they set, we notice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from support.netns import Segment, segment
from support.peers import Home, Peer, at_home, peer

from hemsd.appliances.events import Noted
from hemsd.simulator.appliances import AirConditioner, ApplianceNode, Battery, GeneralLighting, World, serve_nodes

pytestmark = [pytest.mark.needs("ip", "root", "node", "echonet-lite"), pytest.mark.asyncio(loop_scope="module")]

OURS, SIMULATED = Segment.address(1), Segment.address(2)
PYCHONET, UECHO, NPM = (Segment.address(number) for number in (3, 4, 5))
PROFILE, CONTROLLER = 0x0EF001, 0x05FF01
AIRCON, LIGHT, BATTERY = 0x013001, 0x029001, 0x027D01
SET_C, GET, INF_REQ, INFC = 0x61, 0x62, 0x63, 0x74
SET_RES, SET_C_SNA, GET_RES, GET_SNA, INFC_RES = 0x71, 0x51, 0x72, 0x52, 0x7A
IDENTIFICATION = "feffffff0102030405060708090a0b0c0d"


@dataclass
class House:
    home: Home
    aircon: AirConditioner
    light: GeneralLighting
    battery: Battery
    pychonet: Peer
    uecho: Peer
    npm: Peer
    met: dict[str, Any]  # by pychonet: nodes by address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    """All have started, and pychonet has asked who is there."""
    world = World(datetime(2026, 8, 1, 13, 0))
    aircon, light, battery = AirConditioner(world), GeneralLighting(world), Battery(world)
    with segment() as lan:
        ours, simulated, *hosts = lan.hosts(5)
        with ours.entered():
            async with AsyncExitStack() as running:
                with simulated.entered():
                    nodes = serve_nodes([ApplianceNode(world, [aircon, light, battery], SIMULATED)], "wl")
                    await running.enter_async_context(nodes)
                home = await running.enter_async_context(at_home(ours))
                pychonet, uecho, npm = [
                    await running.enter_async_context(peer(host, script, address))
                    for host, script, address in (
                        (hosts[0], "pychonet_controller.py", PYCHONET),
                        (hosts[1], "uecho_controller.py", UECHO),
                        (hosts[2], "echonet_lite_controller.js", NPM),
                    )
                ]
                await pychonet.does("search")
                met = {address: await pychonet.does("meet", address) for address in (OURS, SIMULATED)}
                yield House(home, aircon, light, battery, pychonet, uecho, npm, met)


async def test_pychonet_finds_us_all(house: House) -> None:
    """By a multicast to all: our own node with its controller, and the simulated one with its devices."""
    assert {OURS, SIMULATED} <= {line["discovered"] for line in house.pychonet.said if "discovered" in line}
    ours, simulated = house.met[OURS], house.met[SIMULATED]
    assert (ours["maker"], ours["uid"]) == ("Experimental", IDENTIFICATION[2:])
    assert ours["devices"] == {
        "05FF01": {"gets": [0x80, 0x81, 0x82, 0x83, 0x88, 0x8A, 0x9D, 0x9E, 0x9F], "sets": [0x81]}
    }
    assert simulated["devices"].keys() == {"013001", "029001", "027D01"}
    for device in (house.aircon, house.light, house.battery):
        met = simulated["devices"][f"{device.eoj:06X}"]
        assert (set(met["gets"]), set(met["sets"])) == (set(device.epcs("r")), set(device.epcs("s")))


async def test_pychonet_reads(house: House) -> None:
    """Every value, as it decodes it, is what our node and the simulated devices hold."""
    pychonet, aircon, battery = house.pychonet, house.aircon, house.battery
    assert await pychonet.does("read", OURS, CONTROLLER, [0x80, 0x88]) == {"80": "on", "88": "off"}
    read = await pychonet.does("read", SIMULATED, AIRCON, [0x80, 0xB0, 0xB3, 0xBB, 0xBA])
    assert read == {"80": "off", "B0": "cool", "B3": 26, "BB": round(aircon.room.air_c), "BA": aircon[0xBA][0]}
    read = await pychonet.does("read", SIMULATED, BATTERY, [0xDA, 0xCF, 0xE4])
    assert read == {"DA": "auto", "CF": "standby", "E4": battery[0xE4][0]}
    assert await pychonet.does("read", SIMULATED, LIGHT, [0x80, 0xB0]) == {"80": "off", "B0": 100}


async def test_pychonet_sets_while_we_watch(house: House) -> None:
    """It switches the simulated air conditioner to heat; we tell that somebody else did, at once."""
    home = house.home
    aircon = await home.finds(AIRCON, SIMULATED)
    await home.reads(aircon, "on", "mode", "target_temperature_c")
    assert await house.pychonet.does("call", SIMULATED, AIRCON, "setMode", "heat")
    assert await house.pychonet.does("call", SIMULATED, AIRCON, "setOperationalTemperature", 23)
    assert (house.aircon[0x80], house.aircon[0xB0], house.aircon[0xB3]) == (b"\x30", b"\x43", b"\x17")
    for epc in (0x80, 0xB0, 0xB3):
        assert await home.until(lambda epc=epc: home.by_hand(aircon, epc))
    noted = [event.text for event in home.told if isinstance(event, Noted) and event.kind == "appliance.by_hand"]
    assert any("operation mode is now heating" in text for text in noted), noted
    now = await home.reads(aircon, "on", "mode", "target_temperature_c")
    assert now == {"on": True, "mode": "heat", "target_temperature_c": 23}


async def test_pychonet_sets_the_others(house: House) -> None:
    """A lamp and a battery do as it says."""
    pychonet = house.pychonet
    assert await pychonet.does("call", SIMULATED, LIGHT, "setBrightness", 40)
    assert await pychonet.does("call", SIMULATED, BATTERY, "setOperationMode", 0x42)
    assert (house.light[0xB0], house.battery[0xDA]) == (b"\x28", b"\x42")


async def test_pychonet_hears_what_we_set(house: House) -> None:
    """What we order is applied, announced to it by the device, and to us nobody else's doing."""
    home, before = house.home, len(house.pychonet.said)
    aircon = await home.finds(AIRCON, SIMULATED)
    told = len(home.told)
    settled = await home.sets(aircon, mode="dry")
    assert settled.outcome == "applied", settled
    pushed = await house.pychonet.says(
        lambda line: line.get("pushed") == [SIMULATED, "013001"] and line["values"]["B0"] == "dry", before
    )
    assert pushed["values"]["B3"] == 25
    assert not [event for event in home.told[told:] if isinstance(event, Noted)]


async def test_uecho_finds_us_all(house: House) -> None:
    """By its search at start."""
    found = await house.uecho.does("found")
    assert found[OURS] == ["05FF01", "0EF001"]
    assert found[SIMULATED] == ["013001", "027D01", "029001", "0EF001"]


async def test_uecho_asks_us(house: House) -> None:
    """Our profile and our controller answer Get, SetC and INFC; what cannot be set comes back."""
    uecho = house.uecho
    asked = await uecho.does("asks", OURS, PROFILE, GET, {"82": "", "83": "", "D6": "", "D7": ""})
    values = {"82": "010e0100", "83": IDENTIFICATION, "D6": "0105ff01", "D7": "0105ff"}
    assert asked == {"esv": GET_RES, "seoj": PROFILE, "properties": values}
    asked = await uecho.does("asks", OURS, CONTROLLER, GET, {"80": "", "88": "", "B0": ""})
    assert asked == {"esv": GET_SNA, "seoj": CONTROLLER, "properties": {"80": "30", "88": "42", "B0": ""}}
    asked = await uecho.does("asks", OURS, CONTROLLER, SET_C, {"81": "10", "80": "31"})
    assert asked == {"esv": SET_C_SNA, "seoj": CONTROLLER, "properties": {"81": "", "80": "31"}}
    asked = await uecho.does("asks", OURS, PROFILE, INFC, {"80": "30"})
    assert asked == {"esv": INFC_RES, "seoj": PROFILE, "properties": {"80": ""}}


async def test_pychonet_hears_what_uecho_makes_us_say(house: House) -> None:
    """The new place of our controller, and what an INF_REQ is for, are announced to all.

    uecho would not hear it: an INF that was addressed to another controller (05FF01) has made it deaf to all of them.
    """
    pychonet, uecho, before = house.pychonet, house.uecho, len(house.pychonet.said)
    asked = await uecho.does("asks", OURS, CONTROLLER, SET_C, {"81": "20"})
    assert asked == {"esv": SET_RES, "seoj": CONTROLLER, "properties": {"81": ""}}
    await pychonet.says(lambda line: line.get("pushed") == [OURS, "05FF01"] and line["values"]["81"] == "20", before)
    assert not any("82" in line["values"] for line in pychonet.said if "pushed" in line)
    assert await uecho.does("says", OURS, CONTROLLER, INF_REQ, {"82": ""})
    await pychonet.says(lambda line: line.get("pushed") == [OURS, "05FF01"] and "82" in line["values"], before)


async def test_uecho_reads_and_sets(house: House) -> None:
    """A simulated air conditioner; of two settings the one that it refuses comes back, the other is done."""
    uecho, aircon = house.uecho, house.aircon
    asked = await uecho.does("asks", SIMULATED, AIRCON, SET_C, {"B0": "42", "B3": "1C"})
    assert asked == {"esv": SET_RES, "seoj": AIRCON, "properties": {"B0": "", "B3": ""}}
    asked = await uecho.does("asks", SIMULATED, AIRCON, SET_C, {"A0": "33", "B3": "70"})
    assert asked == {"esv": SET_C_SNA, "seoj": AIRCON, "properties": {"A0": "", "B3": "70"}}
    asked = await uecho.does("asks", SIMULATED, AIRCON, GET, {"A0": "", "B0": "", "B3": "", "C0": ""})
    assert asked == {"esv": GET_SNA, "seoj": AIRCON, "properties": {"A0": "33", "B0": "42", "B3": "1c", "C0": ""}}
    assert (aircon[0xA0], aircon[0xB0], aircon[0xB3]) == (b"\x33", b"\x42", b"\x1c")


async def test_echonet_lite_sees_us_all(house: House) -> None:
    """It searches and reads whatever a map says can be read, all in one request: each property is there."""
    npm = house.npm
    await npm.does("search")
    for address, eoj, last in ((OURS, "05ff01", "8a"), (SIMULATED, "027d01", "ec"), (SIMULATED, "013001", "be")):
        await npm.says(
            lambda line, at=address, eoj=eoj, last=last: (
                line.get("from") == at and line["seoj"] == eoj and line["esv"] == "72" and line["details"].get(last)
            )
        )
    found = await npm.does("found")
    assert found[OURS]["05ff01"]["83"] == found[OURS]["0ef001"]["83"] == IDENTIFICATION
    assert found[OURS]["05ff01"].keys() == {"80", "81", "82", "83", "88", "8a", "9d", "9e", "9f"}
    for device in (house.aircon, house.battery):
        assert {int(epc, 16) for epc in found[SIMULATED][f"{device.eoj:06x}"]} == set(device.epcs("r"))


async def test_echonet_lite_sets(house: House) -> None:
    """It switches the simulated light on, hears that it is, and so do we."""
    home, npm = house.home, house.npm
    light = await home.finds(LIGHT, SIMULATED)
    await home.reads(light, "on")
    before = len(npm.said)
    await npm.does("set", SIMULATED, "029001", "80", "30")
    for esv in ("71", "73"):
        await npm.says(lambda line, esv=esv: line.get("seoj") == "029001" and line["esv"] == esv, before)
    assert house.light.on
    assert await home.until(lambda: home.by_hand(light, 0x80))
