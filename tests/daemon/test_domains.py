"""What of the configuration reaches the networks of appliances, control over them, and the bridge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hemsd.appliances.network import NetworkSettings
from hemsd.appliances.steward import Plan
from hemsd.appliances.telling import Label
from hemsd.control.settings import Settings
from hemsd.daemon import appliances, domains, gateway
from hemsd.daemon.config import Config, load, parse
from hemsd.daemon.supervision import Kind
from hemsd.gateway.exporter import MetricsError, MetricsMissing
from hemsd.gateway.standing import Home
from hemsd.hub.hub import Hub
from hemsd.hub.routes import ROUTES_6_4_3

TEXT = """version = 1
[controller]
maker = "0000FC"
[control]
writes_per_hour = 6
write_gap_s = 30
[networks.home]
interface = "eth1"
nodes = ["192.168.7.30", "FE80::30"]
[networks.annex]
interface = "eth2"
ipv4 = false
[appliances.living-ac]
id = "0130-1f2e3d4c"
room = "living room"
control = true
min_on_s = 900
[appliances.battery]
address = "192.168.7.32"
object = "027d01"
control = false
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "hemsd.toml").write_text(TEXT)
    return load(tmp_path / "hemsd.toml", {})


def test_each_network_has_a_steward(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its interface and families, all names, for an appliance may move, and a seat of its own in the hub."""
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(appliances, "Steward", lambda *arguments: made.append(arguments))
    domains.stewards(config, tmp_path, Hub(ROUTES_6_4_3))
    labels = (
        Label(name="living-ac", room="living room", id="0130-1f2e3d4c"),
        Label(name="battery", address="192.168.7.32", eoj=0x027D01),
    )
    home = NetworkSettings(name="home", nodes=("192.168.7.30", "fe80::30"))
    annex = NetworkSettings(name="annex")
    assert [each[0] for each in made] == [
        Plan(settings=home, maker="0000FC", interface="eth1", ipv4=True, ipv6=True, labels=labels),
        Plan(settings=annex, maker="0000FC", interface="eth2", ipv4=False, ipv6=True, labels=labels),
    ]
    assert made[0][1] is not made[1][1]
    assert made[0][2] == tmp_path and made[0][3] is made[1][3] and made[0][4] is made[1][4]


def test_a_house_without_networks_has_none(tmp_path: Path) -> None:
    """Nothing is made, and nothing is written."""
    assert domains.stewards(Config(version=1), tmp_path, Hub(ROUTES_6_4_3)) == []
    assert list(tmp_path.iterdir()) == []


async def test_control_keeps_to_the_configuration(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often is set, what is only watched or expressly opened, and how long what stays on or off."""
    given: list[Settings] = []

    class Controller:
        def __init__(self, seat: object, settings: Settings) -> None:
            given.append(settings)

        async def run(self) -> None: ...

    monkeypatch.setattr(domains, "Controller", Controller)
    await domains.run_control(config, Hub(ROUTES_6_4_3))
    assert given == [
        Settings(
            watched_only=frozenset({"battery"}),
            opened=frozenset({"living-ac"}),
            gap_s=30,
            per_hour=6,
            minimums={"living-ac": (900, None), "battery": (None, None)},
        )
    ]


async def test_control_and_bridge_keep_to_the_exposure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go by what the configuration exposes; of the configuration itself only a hash is told."""
    text = 'version = 1\naccept = ["R33"]\n[site]\nid = "home-1"\n[gateway]\nexposure = "control"'
    text += '\n[gateway.broker]\nurl = "mqtts://h"'
    config = parse(text, tmp_path / "hemsd.toml", {})
    controls: list[Settings] = []
    homes: list[Home] = []

    class Recorder:
        def __init__(self, seat: object, *given: Any) -> None:
            controls.extend(each for each in given if isinstance(each, Settings))
            homes.extend(each for each in given if isinstance(each, Home))

        async def run(self) -> None: ...

    monkeypatch.setattr(domains, "Controller", Recorder)
    monkeypatch.setattr(gateway, "Bridge", Recorder)
    hub = Hub(ROUTES_6_4_3)
    assert config.gateway.broker is not None
    await domains.run_control(config, hub)
    await gateway.run_gateway(config, config.gateway.broker, "home-1", tmp_path, hub)
    (control,), (home,) = controls, homes
    assert (control.exposure, home.exposure, home.site, home.profile) == ("control", "control", "home-1", "6.4.3")
    assert (home.discovery, home.live_s) == ("homeassistant", 30)
    assert home.declared == ("R33",)
    assert home.config_hash is not None
    assert re.fullmatch("[0-9a-f]{12}", home.config_hash)


@pytest.mark.parametrize(
    ("text", "prefix"), [("enabled = false", ""), ('prefix = "ha/home"', "ha/home"), ("", "homeassistant")]
)
async def test_home_assistant_is_told_as_configured(
    text: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the prefix that it listens at, or not at all."""
    table = f'version = 1\n[gateway.broker]\nurl = "mqtts://h"\n[gateway.home_assistant]\n{text}'
    config = parse(table, tmp_path / "hemsd.toml", {})
    homes: list[Home] = []

    class Recorder:
        def __init__(self, seat: object, broker: object, home: Home, state: object) -> None:
            homes.append(home)

        async def run(self) -> None: ...

    monkeypatch.setattr(gateway, "Bridge", Recorder)
    assert config.gateway.broker is not None
    await gateway.run_gateway(config, config.gateway.broker, "home-1", tmp_path, Hub(ROUTES_6_4_3))
    assert [home.discovery for home in homes] == [prefix]


async def test_half_hours_are_signed_on_both_links_with_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the configuration says so; the key is in the gateway's state, and there is none where it does not."""
    tables = '[gateway.broker]\nurl = "mqtts://h"\n[gateway.provider]\nurl = "mqtts://p"'
    homes: list[Home] = []

    class Recorder:
        def __init__(self, seat: object, link: object, home: Home, state: object) -> None:
            homes.append(home)

        async def run(self) -> None: ...

    monkeypatch.setattr(gateway, "Bridge", Recorder)
    monkeypatch.setattr(gateway, "ProviderLink", Recorder)
    for sign in ("sign = false", "sign = true"):
        config = parse(f"version = 1\n[gateway]\n{sign}\n{tables}", tmp_path / "hemsd.toml", {})
        hub = Hub(ROUTES_6_4_3)
        assert config.gateway.broker is not None
        assert config.gateway.provider is not None
        await gateway.run_gateway(config, config.gateway.broker, "home-1", tmp_path, hub)
        await gateway.run_provider(config, config.gateway.provider, "home-1", tmp_path, hub)
    keys = [None if home.signer is None else home.signer.public for home in homes]
    assert keys == [None, None, keys[2], keys[2]]
    assert keys[2] is not None
    assert (tmp_path / "gateway" / "signing-key.pem").exists()


def test_metrics_that_cannot_be_served_are_tried_again() -> None:
    """An address may come up later; a package that is missing takes a person."""
    assert gateway.kind_of(MetricsError("in use")) is Kind.TRANSIENT
    assert gateway.kind_of(MetricsMissing("not installed")) is Kind.PERMANENT
