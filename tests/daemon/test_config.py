from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from drivers import usb
from hemsd.daemon import config
from hemsd.daemon.config import Config, ConfigError, find_config, find_port, load, parse
from hemsd.daemon.credentials import load_credentials
from hemsd.daemon.networks import NetworkTable, overlay_problems

PROJECT = Path(__file__).parents[2]
FILE = Path("/etc/hemsd/hemsd.toml")


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE, {})
    return str(caught.value)


def test_a_file_with_only_a_version_is_enough() -> None:
    """Every other key has a default."""
    assert parse("version = 1", FILE, {}) == Config(version=1)


def test_the_shipped_example_shows_the_defaults() -> None:
    """The example as it is changes nothing, and every line in it that is commented out is valid."""
    text = (PROJECT / "config/hemsd.toml").read_text()
    assert parse(text, FILE, {}) == Config(version=1)
    everything = re.sub(r"^#(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE)
    full = parse(re.sub(r"^port = .*", "", everything, flags=re.MULTILINE), FILE, {})
    assert (
        parse(re.sub(r"^(interface = \"wlan1\"|peer = .*)", "", everything, flags=re.MULTILINE), FILE, {}).meter.port
        != "auto"
    )
    keys = {"gateway.broker", "meter", "history", "daemon", "site", "control", "controller"}
    assert full.gateway.broker is not None
    assert full.gateway.provider is not None
    assert full.gateway.metrics is not None
    assert [network.interface for network in full.networks.values()] == ["eth1"]
    assert [appliance.id for appliance in full.appliances.values()] == ["0130-1f2e3d4c", None]
    assert full.meter.live_s == Config(version=1).meter.live_s
    assert all(f"[{key}]" in text for key in keys)
    tables = (full.site, full.meter, full.control, full.controller, full.history, full.daemon)
    for struct in (
        full,
        *tables,
        full.gateway,
        full.gateway.broker,
        full.gateway.provider,
        full.gateway.metrics,
        full.networks["home"],
        full.appliances["battery"],
    ):
        for name in struct.__struct_fields__:
            assert re.search(rf"^#?(\[[a-z.]*)?{name}\b", text, re.MULTILINE), f"{name} is not in the example"


def test_the_shipped_credentials_example_is_valid(tmp_path: Path) -> None:
    """Copied and made private, it is accepted."""
    path = tmp_path / "credentials.toml"
    path.write_text((PROJECT / "config/credentials.toml.example").read_text())
    path.chmod(0o600)
    assert len(load_credentials(path, {}).id) == 32


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[meter]\nprot = "auto"', ':3: [meter] has no key "prot"; did you mean "port"?'),
        ('[metre]\nport = "auto"', ":2: there is no table [metre]; did you mean [meter]?"),
        ("[gateway.brocker]\n", ":2: there is no table [gateway.brocker]; did you mean [gateway.broker]?"),
        (
            '[mqtt]\nhost = "x"',
            ":2: there is no table [mqtt]; tables are site, lan, meter, networks.NAME, appliances.NAME",
        ),
        ('port = "auto"', ':2: the top level has no key "port"; it belongs into [meter]'),
        ("[daemon]\nlive_s = 20", ':3: [daemon] has no key "live_s"; it belongs into [meter]'),
        (
            '[meter]\nport = "/dev/ttyUSB0"\ninterface = "wlan1"',
            ":4: [meter] names a port and an interface: the meter is on one of them, take the other away",
        ),
        (
            '[meter]\ninterface = "fe80::1%wlan1"',
            ':3: [meter] interface must be the name of a network interface, like "wlan1", not this text',
        ),
        (
            '[meter]\npeer = "fe80::1"',
            ":3: [meter] peer is the address of a meter on a network interface: name that as well, as interface",
        ),
        (
            '[meter]\ninterface = "wlan1"\npeer = "192.168.0.1"',
            ":4: [meter] peer must be a link-local IPv6 address like \"fe80::1\", not '192.168.0.1'",
        ),
        (
            '[gateway]\nlog = "info"',
            ':3: [gateway] log tells of single appliances: set exposure = "appliances" as well, or leave it "off"',
        ),
        ("[site]\ncolour = 1", ':3: [site] has no key "colour"; keys are id'),
        ("meter = 3", ":2: meter must be a table: write [meter] with its keys below it"),
        (
            '[meter]\nlive_s = "30"',
            ":3: [meter] live_s must be a whole number of seconds from 1 to 3600, not this text",
        ),
        ("[meter]\nlive_s = 3601", ":3: [meter] live_s must be a whole number of seconds from 1 to 3600, not 3601"),
        (
            "[meter]\nbackfill_pace_s = 0",
            ":3: [meter] backfill_pace_s must be a whole number of seconds from 1 to 60, not 0",
        ),
        ("[meter]\nenergy_s = 301", ":3: [meter] energy_s must be a whole number of seconds from 10 to 300, not 301"),
        ("[meter]\nallow_fast_polling = 1", ":3: [meter] allow_fast_polling must be true or false, not 1"),
        (
            '[meter]\nport = "ttyUSB0"',
            ':3: [meter] port must be "auto", "none" or a path like "/dev/ttyUSB0", not this text',
        ),
        (
            "[meter]\nwatched_s = 5",
            ":3: [meter] watched_s must be at least 10 unless allow_fast_polling = true, not 5",
        ),
        ('[site]\nid = "Home 1"', ":3: [site] id must be 1 to 64 of a-z, 0-9 and hyphen, in quotes, not this text"),
        ('[daemon]\nlog_level = "loud"', ':3: [daemon] log_level must be one of "debug", "info", "warning", "error"'),
        ("[daemon]\nstate_directory = 2026-01-01", ":3: [daemon] state_directory must be text in quotes, not a date"),
        (
            'profile = "6.5"',
            ':2: profile must be one of "6.2", "6.3.1", "6.3.2", "6.4.1", "6.4.2", "6.4.3", not this',
        ),
        ("profile = 6.4", ':2: profile must be one of "6.2", "6.3.1", "6.3.2", "6.4.1", "6.4.2", "6.4.3", not 6.4'),
        ('accept = ["R56"]', ':2: accept: item 1 must be the number of a requirement, "R1" to "R55", not this text'),
        (
            '[gateway]\nexposure = "all"',
            ':3: [gateway] exposure must be one of "aggregates", "appliances", "control", not this',
        ),
        ('[gateway.broker]\nusername = "x"', ":2: [gateway.broker] url is missing"),
        ('[gateway.broker]\nurl = "http://x"', ":2: [gateway.broker] url must begin with mqtt:// or mqtts://"),
        ('[gateway.home_assistant]\nprefix = "a/#"', ":3: [gateway.home_assistant] prefix must be 1 to 3 levels of"),
        ("[gateway]\nbroker = { url = 1 }", ": [gateway.broker] url must be an address like"),
        ("[meter\n", ": this is not TOML: "),
        ("[network.lan]\n", ":2: there is no table [network]; did you mean [networks.NAME]?"),
        ("networks = 1", ":2: networks must be a table: write [networks.NAME] with its keys below it"),
        (
            '[networks]\ninterface = "eth1"',
            ":3: [networks] interface belongs below a name of your choice: write [networks.NAME] above it",
        ),
        ("[networks.lan]\nipv4 = true", ":2: [networks.lan] interface is missing"),
        (
            '[networks."My LAN"]\ninterface = "eth1"',
            ":2: the name in [networks.My LAN] must be 1 to 64 of a-z, 0-9 and hyphen",
        ),
        (
            '[networks.lan]\ninterface = "eth1"\nnode = []',
            ':4: [networks.lan] has no key "node"; did you mean "nodes"?',
        ),
        (
            '[networks.lan]\ninterface = "eth1"\nnodes = "192.168.20.31"',
            ':4: [networks.lan] nodes must be a list, each an address like "192.168.20.31" or "fe80::1", not this',
        ),
        (
            '[networks.lan]\ninterface = "eth1"\nnodes = ["192.168.20.31", 3]',
            ':4: [networks.lan] nodes: item 2 must be an address like "192.168.20.31" or "fe80::1", not 3',
        ),
        (
            "[appliances.ac]\nmin_on_s = -1",
            ":3: [appliances.ac] min_on_s must be a whole number of seconds from 0 to",
        ),
        ("[appliances.ac]\nidd = 1", ':3: [appliances.ac] has no key "idd"; did you mean "id"?'),
        ('[meter]\nroom = "attic"', ':3: [meter] has no key "room"; it belongs into [appliances.NAME]'),
        (
            '[appliances.ac]\nid = "013001"',
            ":3: [appliances.ac] id must be an id as `hemsd appliances` shows it, like",
        ),
        (
            "[control]\nwrites_per_hour = 0",
            ":3: [control] writes_per_hour must be a whole number from 1 to 600",
        ),
        ("[control]\nwrite_gap_s = 601", ":3: [control] write_gap_s must be a whole number of seconds from 0 to 600"),
        ('[controller]\nmaker = "ABC"', ':3: [controller] maker must be 6 hexadecimal digits, like "FFFFFF"'),
    ],
)
def test_an_error_names_file_line_table_and_key(text: str, told: str) -> None:
    """Whatever is wrong, the message begins with the place and says what is expected or was probably meant."""
    assert refused(f"version = 1\n{text}").startswith(f"{FILE}{told}")


LAN = '[networks.lan]\ninterface = "eth1"\n'
ID = 'id = "0130-1f2e3d4c"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f'[meter]\ninterface = "eth1"\npeer = "fe80::1"\n{LAN}',
            ":6: the meter and the appliances of [networks.lan] are both on eth1, against ITU-T G.9958 R51 (",
        ),
        (
            f'{LAN}[networks.wifi]\ninterface = "eth1"',
            ":5: [networks.wifi] interface is that of [networks.lan]: take one of them away",
        ),
        (f"{LAN}ipv4 = false\nipv6 = false", ":4: [networks.lan] ipv4 and ipv6 are both false: at least one"),
        (
            f'{LAN}nodes = ["192.168.20.31", "192.168.20.256"]',
            ":4: [networks.lan] nodes: item 2 must be an address like",
        ),
        (f'{LAN}nodes = ["2001:db8::1"]', ":4: [networks.lan] nodes: item 1 must be a link-local IPv6 address like"),
        (f'{LAN}nodes = ["224.0.23.0"]', ":4: [networks.lan] nodes: item 1 must be the address of one node, not"),
        (
            f'{LAN}ipv4 = false\nnodes = ["192.168.20.31"]',
            ":5: [networks.lan] nodes: item 1 is an IPv4 address, and ipv4 = false",
        ),
        (
            f'{LAN}ipv6 = false\nnodes = ["fe80::1"]',
            ":5: [networks.lan] nodes: item 1 is an IPv6 address, and ipv6 = false",
        ),
        ('[appliances.ac]\nroom = "attic"', ":2: [appliances.ac] says not which appliance it is: give its id"),
        (
            f'[appliances.ac]\n{ID}address = "192.168.20.31"',
            ":3: [appliances.ac] has an id and an address: the id finds it wherever it is, take the address away",
        ),
        (f'[appliances.ac]\n{ID}object = "013001"', ":4: [appliances.ac] object tells apart what is at one address"),
        ('[appliances.ac]\naddress = "8.8.8."', ":3: [appliances.ac] address must be an address like"),
        ("[appliances.0130-1f2e3d4c]\n" + ID, ":2: [appliances.0130-1f2e3d4c] is no name: it looks like an id"),
        (
            f"[appliances.ac]\n{ID}[appliances.b]\n{ID}",
            ":5: [appliances.b] id is that of [appliances.ac]: one appliance has one name",
        ),
        (
            '[appliances.ac]\naddress = "fe80::1"\nobject = "013001"\n'
            '[appliances.b]\naddress = "FE80:0::1"\nobject = "013001"',
            ":6: [appliances.b] address is that of [appliances.ac]: one appliance has one name",
        ),
        (
            '[appliances.ac]\naddress = "192.168.20.31"\nobject = "013001"\n'
            '[appliances.b]\naddress = "192.168.20.31"',
            ":3: [appliances.ac] address is that of [appliances.b], which needs an object too, to tell them apart",
        ),
    ],
)
def test_networks_and_appliances_that_do_not_go_together(text: str, told: str) -> None:
    """One interface is one network, one appliance has one name, and each is told apart from the next."""
    assert refused(f"version = 1\n{text}").startswith(f"{FILE}{told}")
    assert "\n" not in refused(f"version = 1\n{text}")


def test_addresses_are_as_the_kernel_writes_them() -> None:
    """However they were written: what comes in from them is told by these."""
    text = f'{LAN}nodes = ["FE80:0:0:0::01"]\n[appliances.ac]\naddress = "FE80::2"\nobject = "027d01"'
    read = parse(f"version = 1\n{text}", FILE, {})
    assert read.networks["lan"].nodes == ("fe80::1",)
    assert (read.appliances["ac"].address, read.appliances["ac"].object) == ("fe80::2", "027D01")


def test_two_objects_at_one_address_are_two_appliances() -> None:
    """As a gateway for several appliances has them; and each network has its own interface."""
    text = """version = 1
[networks.lan]
interface = "eth1"
[networks.wifi]
interface = "wlan1"
ipv4 = false
[appliances.ac]
address = "192.168.20.31"
object = "013001"
[appliances.bedroom-ac]
address = "192.168.20.31"
object = "013002"
"""
    assert len(parse(text, FILE, {}).appliances) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": version is missing: write version = 1 as the first line"),
        ("version = 2\n[future]\nkey = 1", ":1: version must be 1: this hemsd knows no other format"),
        ('version = "1"', ":1: version must be 1"),
    ],
)
def test_the_version_comes_first(text: str, told: str) -> None:
    """A file of another format is not judged by the rules of this one."""
    assert refused(text).startswith(f"{FILE}{told}")
    assert "\n" not in refused(text)


def test_everything_wrong_is_told_at_once() -> None:
    """Three mistakes make three lines, each with its place."""
    lines = refused('version = 1\n[meter]\nprot = "auto"\nlive_s = 0\n[demon]\n').splitlines()
    assert [line.split(":")[1] for line in lines] == ["3", "4", "5"]


def test_text_is_never_repeated() -> None:
    """What stands in the wrong place may be a secret: messages do not quote it."""
    for text in ('[meter]\nport = "SECRET"', '[gateway.broker]\nurl = "mqtt://u:SECRET@h"', 'profile = ["SECRET"]'):
        assert "SECRET" not in refused(f"version = 1\n{text}")


def test_a_provider_is_not_the_broker_of_the_house() -> None:
    """It would be told the same twice, and each of the two clients push the other one out."""
    tables = 'version = 1\n[gateway.broker]\nurl = "mqtts://b"\n[gateway.provider]\nurl = "mqtts://{}"\n'
    assert ":5: [gateway.provider] url is the broker of [gateway.broker]" in refused(tables.format("b:8883"))
    provider = parse(tables.format("p") + 'cert_file = "p.crt"\nkey_file = "p.key"', FILE, {}).gateway.provider
    assert provider is not None
    assert provider.cert_file == str(FILE.absolute().parent / "p.crt")


def test_fast_polling_must_be_asked_for() -> None:
    """Below 10 s the person has to say that it is meant."""
    text = "version = 1\n[meter]\nlive_s = 2\nwatched_s = 1\n"
    assert refused(text).count("unless allow_fast_polling") == 2
    assert parse(text + "allow_fast_polling = true", FILE, {}).meter.watched_s == 1


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """A configuration directory can be moved as a whole; absolute paths and ~ stay what they are."""
    text = """version = 1
meter.credentials = "credentials.toml"
daemon.state_directory = "~/state"
[gateway.broker]
url = "mqtts://h"
username = "u"
password_file = "/run/secret"
"""
    read = parse(text, tmp_path / "hemsd.toml", {})
    assert read.meter.credentials == str(tmp_path / "credentials.toml")
    assert read.daemon.state_directory == str(Path.home() / "state")
    assert read.gateway.broker is not None
    assert read.gateway.broker.password_file == "/run/secret"


@pytest.mark.parametrize("broker", ["", '[gateway.broker]\nurl = "mqtts://h"'])
def test_exposure_is_as_written(broker: str) -> None:
    """With a broker or without one; sums only where nothing is said."""
    for exposure in ("aggregates", "appliances", "control"):
        text = f'version = 1\n[gateway]\nexposure = "{exposure}"\n{broker}'
        assert parse(text, FILE, {}).gateway.exposure == exposure
    assert parse(f"version = 1\n{broker}", FILE, {}).gateway.exposure == "aggregates"


def test_files_of_etc_are_taken_from_systemd_where_it_handed_them_over(tmp_path: Path) -> None:
    """The daemon may not read root's /etc/hemsd/mqtt-password; systemd's copy of it is used. Other files are not."""
    for name in ("mqtt-password", "provider-password", "provider-key.pem"):
        (tmp_path / name).write_text("secret\n")
    (tmp_path / "mqtt-key.pem").write_text("\n")  # stands in for a file that is not there: that one is named
    text = """
        version = 1
        [gateway.{link}]
        url = "mqtts://h"
        username = "u"
        password_file = "{place}/{name}-password"
        cert_file = "/etc/hemsd/{name}-cert.pem"
        key_file = "{place}/{name}-key.pem"
    """
    for link, name, key in (("broker", "mqtt", "/etc/hemsd"), ("provider", "provider", str(tmp_path))):
        for place, used, used_key in (("/etc/hemsd", str(tmp_path), key), ("/a", "/a", "/a")):
            filled = text.format(link=link, name=name, place=place)
            gateway = parse(filled, FILE, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).gateway
            files = gateway.broker or gateway.provider
            assert files is not None
            assert files.password_file == f"{used}/{name}-password"
            assert files.key_file == f"{used_key}/{name}-key.pem"
            assert files.cert_file == f"/etc/hemsd/{name}-cert.pem"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file, a directory and bytes that are no text are named plainly."""
    (tmp_path / "latin").write_bytes(b"# \xe9")
    for name, words in (("none", "no such file or directory"), ("", "is a directory"), ("latin", "not UTF-8 text")):
        with pytest.raises(ConfigError, match=rf"^{tmp_path / name}: .*{words}"):
            load(tmp_path / name)


def test_the_file_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain user's own file comes before the system's; root has the system's; without any there are defaults."""
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc/hemsd.toml")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find_config(environ) is None
    assert load(None, environ) == Config(version=1)
    for directory in ("etc", "hemsd"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "hemsd.toml").write_text("version = 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert find_config(environ) == tmp_path / "hemsd/hemsd.toml"
    assert find_config({}) == tmp_path / "etc/hemsd.toml"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_config(environ) == tmp_path / "etc/hemsd.toml"


def test_a_file_out_of_reach_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that this user may not enter is told, and never taken for a missing configuration."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigError, match=r"hemsd\.toml: permission denied"):
        load(None, {"HOME": str(tmp_path)})


def test_the_port_is_found_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named port is taken as it is; "auto" is the udev rule's name if there is one, else the likely port."""
    monkeypatch.setattr(config, "UDEV_NAME", tmp_path / "hemsd-wisun")
    monkeypatch.setattr(usb, "guess_port", lambda: "/dev/ttyUSB7")
    assert find_port("/dev/ttyAMA0") == "/dev/ttyAMA0"
    assert find_port("auto") == "/dev/ttyUSB7"
    (tmp_path / "hemsd-wisun").touch()
    assert find_port("auto") == str(tmp_path / "hemsd-wisun")


def test_a_meter_among_appliances_has_to_be_named() -> None:
    """On an interface of its own it may be looked for; beside appliances its address has to be known beforehand."""
    networks = {"home": NetworkTable(interface="eth1"), "annex": NetworkTable(interface="eth2")}
    assert list(overlay_problems(networks, "wlan1")) == list(overlay_problems(networks, None)) == []
    ((where, text),) = overlay_problems(networks, "eth1")
    assert where == ("networks.home", "interface")
    assert "peer in [meter]; `hemsd scan --interface eth1` finds it" in text
