"""The report on every requirement of G.9958, each verdict against a home that earns it."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.cli import daemon_of, hemsd, house, stage

from hemsd.cli.exits import Exit
from hemsd.daemon.config import Config, LanTable, load, parse
from hemsd.daemon.conformance import Scene, Told, Verdict, report
from hemsd.hub.messages import Breach, Domain, Health, MeterStatus, RadioHealth
from hemsd.hub.requirements import REQUIREMENTS

EXAMPLES = sorted((Path(__file__).parents[2] / "config/profiles").glob("*.toml"))
AT = datetime(2026, 10, 1, tzinfo=UTC)
FLAT = '[networks.home]\ninterface = "eth0"\n'


def config_of(directory: Path, more: str = "") -> Config:
    """A home whose files are where only its owner may look."""
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    credentials = directory / "credentials.toml"
    credentials.touch(0o600)
    text = 'version = 1\n{}\n[lan]\ninterface = "eth0"\n[daemon]\nstate_directory = "state"\n[meter]\n{}\n{}'
    top, _, tables = more.partition("---\n")
    return parse(text.format(top, 'credentials = "credentials.toml"', tables), directory / "x.toml", {}, judge=False)


def verdicts(config: Config, told: Told | None = None, **more: Any) -> Mapping[str, Verdict]:
    scene = Scene(**{"config": config, "lan": "eth0", "told": told, "environ": {}, **more})
    return {each.id: each for each in report(scene)}


def having(found: Mapping[str, Verdict], word: str) -> set[str]:
    return {each.id for each in found.values() if each.verdict == word}


def heard(**more: Any) -> Told:
    counters = more.pop("counters", {})
    health = Health(at=AT, source=Domain.OPERATOR, ok=True, counters=counters)
    return Told(healths={health.name: health}, **more)


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_conform(path: Path, tmp_path: Path) -> None:
    """Each requirement once and in order; those of the profile are met, those of others do not apply."""
    example = load(path, {})
    config = replace(example, daemon=replace(example.daemon, state_directory=str(tmp_path)))
    found = verdicts(replace(config, meter=replace(config.meter, credentials="/nonexistent")))
    assert [(each.id, each.clause) for each in found.values()] == [(each.id, each.clause) for each in REQUIREMENTS]
    assert having(found, "not_applicable") == {
        each.id for each in REQUIREMENTS if config.profile not in each.profiles
    }
    assert having(found, "fail") == set()
    assert having(found, "declared") == ({"R33", "R43", "D7"} if config.accept else set())
    assert all(each.evidence for each in found.values())


def test_what_is_not_there_does_not_apply(tmp_path: Path) -> None:
    """Without appliances theirs do not, without a meter its own do not."""
    found = verdicts(config_of(tmp_path))
    assert found["R42"].evidence == "no appliances are configured"
    assert found["R53"].verdict == "pass"
    config = config_of(tmp_path)
    found = verdicts(replace(config, meter=replace(config.meter, port="none")))
    assert found["R53"].evidence == 'there is no link to a meter: [meter] port = "none"'


def test_what_contradicts_the_profile_fails_unless_declared(tmp_path: Path) -> None:
    """With what was found as evidence; a sentence without a binding word goes with the one that says the same."""
    assert having(verdicts(config_of(tmp_path, f"---\n{FLAT}")), "fail") == {"R33", "R43", "D7"}
    found = verdicts(config_of(tmp_path, f'accept = ["R33", "R43"]\n---\n{FLAT}'))
    assert having(found, "declared") == {"R33", "R43", "D7"}
    assert having(found, "fail") == set()
    assert "the appliances of [networks.home] are on eth0" in found["R33"].evidence


def test_no_declaration_opens_a_door(tmp_path: Path) -> None:
    """A broker in 6.3 is a failure whatever is declared: hemsd does not start with it."""
    broker = 'profile = "6.3.2"\naccept = ["R23"]\n---\n[gateway.broker]\nurl = "mqtt://127.0.0.1"\n'
    assert having(verdicts(config_of(tmp_path, broker)), "fail") == {"R23"}


def test_a_broker_in_clear_fails(tmp_path: Path) -> None:
    """R2, whatever else is right; TLS tells by what the broker is known."""
    broker = '---\n[gateway.broker]\nurl = "mqtt://broker.home"\nplain = true\n'
    assert having(verdicts(config_of(tmp_path, broker)), "fail") == {"R2"}
    found = verdicts(config_of(tmp_path, '---\n[gateway.broker]\nurl = "mqtts://broker.home"\nca_file = "ca"\n'))
    assert "by TLS and known by its authority" in found["R2"].evidence


@pytest.mark.parametrize("name", ["state", "credentials.toml"])
def test_files_that_others_may_read_fail(tmp_path: Path, name: str) -> None:
    """D1, with the command that mends it."""
    config = config_of(tmp_path)
    assert verdicts(config)["D1"].verdict == "pass"
    path = tmp_path / name
    path.chmod(path.stat().st_mode | stat.S_IROTH)
    found = verdicts(config)
    assert having(found, "fail") == {"D1"}
    assert f"chmod go= {path}" in found["D1"].evidence


def test_what_is_found_around_an_interface_counts(tmp_path: Path) -> None:
    """A breach is the verdict on its requirement, whether the profile has that or not, until it is over."""
    config = config_of(tmp_path, '---\n[networks.a]\ninterface = "eth1"\n')
    assert "nothing leads from eth1 elsewhere" in verdicts(config, around={"eth1": ()})["R43"].evidence
    broken = {"eth1": (Breach(requirement="R43", text="forwarding is on"),)}
    found = verdicts(config, around=broken)
    assert having(found, "fail") == {"R43"}
    assert found["R43"].evidence == "eth1: forwarding is on"
    assert having(verdicts(replace(config, accept=("R43",)), around=broken), "declared") == {"R43"}
    elsewhere = {"eth1": (Breach(requirement="R29", text="forwarding is on"),)}
    assert having(verdicts(config, around=elsewhere), "fail") == {"R29"}


def test_of_the_home_network_itself_nothing_is_claimed(tmp_path: Path) -> None:
    """The default route leads over it: that appliances are on it is declared, whether [lan] names it or not."""
    named = config_of(tmp_path, f'accept = ["R33", "R43"]\n---\n{FLAT}')
    for config, around in ((named, {}), (replace(named, lan=LanTable()), {"eth0": ()})):
        evidence = verdicts(config, around=around)["R52"].evidence
        assert "no network interface is the meter's or the appliances' own" in evidence
        assert "leads from" not in evidence and "looked at by" not in evidence
    apart = config_of(tmp_path, '---\n[networks.a]\ninterface = "eth1"\n')
    assert "how eth1 stands could not be looked at" in verdicts(apart)["R52"].evidence


def test_what_the_daemon_counts_is_evidence(tmp_path: Path) -> None:
    """Dropped datagrams and denied messages are shown; another controller at the meter is a failure."""
    meter = MeterStatus(online=True, stage="online", since=AT, radio=RadioHealth(dropped={"sender": 3, "port": 1}))
    found = verdicts(config_of(tmp_path), heard(meters=(meter,), counters={"denied: X from gateway": 2}))
    assert "the daemon dropped 4 such datagrams" in found["R53"].evidence
    assert "the daemon denied 2 messages" in found["D10"].evidence
    found = verdicts(config_of(tmp_path), heard(meters=(replace(meter, contended=True),)))
    assert having(found, "fail") == {"R55"}


def test_a_default_route_elsewhere_fails(tmp_path: Path) -> None:
    """R24: the way out of the house is by the home network alone."""
    config = config_of(tmp_path, '---\n[networks.a]\ninterface = "eth1"\n')
    assert having(verdicts(config, lan="eth1"), "fail") == {"R24"}


async def test_the_command(tmp_path: Path) -> None:
    """As JSON and for people, without a daemon and with one; exit code 1 as soon as something is not met."""
    async with house(tmp_path) as home:
        config = tmp_path / "hemsd.toml"
        told = ("conformance", "--config", str(config))
        async with daemon_of(home):
            ran = await home.hemsd(*told, "--json", connect=False)
            assert ran.code == 0
            found = json.loads(ran.out)
            assert [set(each) for each in found] == [{"id", "clause", "verdict", "evidence"}] * 65
            assert "the daemon denied 0 messages" in next(each["evidence"] for each in found if each["id"] == "D10")
        config.write_text(f'{config.read_text()}\n{FLAT}[lan]\ninterface = "eth0"\n')
        ran = await home.hemsd(*told, connect=False)
        assert ran.code == Exit.NOT_MET == 1
        assert "R43  fail      6.4.3(2): Appliances do not communicate with a smart meter and a home" in ran.out
        assert "no daemon runs" in ran.out
        assert ran.out.splitlines()[-1].startswith("profile 6.4.3 of ITU-T G.9958: ")
    ran = await hemsd("conformance", "--config", "/nonexistent", env=home.environment, directory=tmp_path)
    assert ran.code == Exit.USAGE


async def test_each_part_of_a_domain_is_counted(tmp_path: Path) -> None:
    """The gateway tells of its broker and of its provider by themselves: neither hides what the other counts."""
    async with stage(tmp_path) as playing:
        seat = playing.hub.seat(Domain.GATEWAY)
        for part, number in (("", 3), ("provider", 4)):
            counters = {"forbidden_origin": number}
            seat.publish(Health(at=AT, source=Domain.GATEWAY, part=part, ok=True, counters=counters))
        (tmp_path / "hemsd.toml").write_text("version = 1\n")
        ran = await playing.hemsd("conformance", "--config", str(tmp_path / "hemsd.toml"), "--json")
        assert "refused 7 by the home gateway" in ran.out
