"""The nftables ruleset as text: what the configuration makes of it, and the example that is shipped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hemsd.daemon.config import Config, parse
from hemsd.daemon.ruleset import HEADER, Walls, differences, ruleset, walls

ROOT = Path(__file__).parents[2]
EXAMPLE = """version = 1
lan.interface = "eth0"
meter.interface = "wlan1"
[networks.home]
interface = "eth1"
"""


def configured(text: str = EXAMPLE) -> Config:
    return parse(text, Path("/etc/hemsd/hemsd.toml"), {}, judge=False)  # whatever profile that would be


def test_the_shipped_example_is_what_print_makes() -> None:
    """config/nftables/hemsd.nft, for the home network on eth0, appliances on eth1 and the meter on wlan1."""
    assert (ROOT / "config/nftables/hemsd.nft").read_text() == ruleset(walls(configured()))


def test_what_is_kept_apart() -> None:
    """Each interface by whose it is; never that of the home network; one that is shared as one of appliances."""
    assert walls(configured()) == Walls(meter=("wlan1",), networks=("eth1",))
    assert walls(configured(EXAMPLE.replace("eth0", "eth1"))) == Walls(meter=("wlan1",))
    assert walls(configured(EXAMPLE.replace('"eth0"', '"wlan1"'))) == Walls(networks=("eth1",))
    more = '[gateway.broker]\nurl = "mqtts://broker:8884"\n[isolation]\nadmit_tcp = [443, 22, 22]\n'
    found = walls(configured(EXAMPLE + more))
    assert (found.admitted, found.mqtt) == ((22, 443), (1883, 8883, 8884))
    text = ruleset(found)
    assert "tcp dport { 22, 443 } accept" in text and "tcp dport { 1883, 8883, 8884 } counter reject" in text
    assert walls(Config(version=1)) == Walls() and ruleset(Walls()) == HEADER


@pytest.mark.parametrize("name", ['a"b', "eth*", "a\\b"])
def test_a_name_that_would_mean_something_else_is_refused(name: str) -> None:
    """Nothing but the name of an interface gets into the rules."""
    with pytest.raises(ValueError, match="rename it"):
        ruleset(Walls(networks=(name,)))


@pytest.mark.needs("nft", "root")
@pytest.mark.parametrize(
    "walls",
    [
        Walls(),
        Walls(meter=("wlan1",)),
        Walls(networks=("eth1", "eth2.20", "br-x")),
        Walls(meter=("wlan1",), networks=("eth1",), admitted=(22, 443), mqtt=(1, 65535)),
    ],
)
def test_nft_takes_every_form(walls: Walls) -> None:
    """Checked by nft itself; nothing is loaded."""
    done = subprocess.run(["nft", "-c", "-f", "-"], input=ruleset(walls), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_listings_are_told_apart_in_words() -> None:
    """By chain and rule, in their order; how they are indented, and what is a comment, does not count."""
    before = "table inet hemsd {\n\tchain a {\n\t\tone\n\t\ttwo\n\t}\n\tchain b {\n\t\tx\n\t}\n}\n"
    assert list(differences(before, before.replace("\t", "  "))) == []
    assert list(differences(before, before.replace("two", "three"))) == [
        "chain a: not ours: two",
        "chain a: missing: three",
    ]
    swapped = before.replace("one\n\t\ttwo", "two\n\t\tone")
    assert list(differences(before, swapped)) != []
    assert list(differences(before, before.replace("one", "# about it\n\t\tone"))) == []
    assert list(differences(before, before.partition("\tchain b")[0])) == ["chain b: not ours: x"]
