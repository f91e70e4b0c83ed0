"""hemsd.target on a real systemd: three processes for three worlds, each a unit, a user and a sandbox of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.netns import Namespace, run
from support.secrets import given_away
from support.service import GATEWAY, HUB, ROUTEB, SINGLE, TARGET, House

pytestmark = pytest.mark.needs("root", "systemd-nspawn", "mmdebstrap", "ip")

UNITS = (HUB, ROUTEB, GATEWAY)
USERS = ("hemsd", "hemsd-routeb", "hemsd-gateway")
SOCKETS = ("operator", "routeb", "gateway")
READ = ("/opt/hemsd/bin/hemsd", "read", "power")
ASK = ("python3", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/hemsd/operator.sock')")
ONE_PACKET_BROKER = """
import socket, subprocess
with socket.create_server(("127.0.0.1", 1883)) as server:
    subprocess.run(["systemd-notify", "--ready"], check=True)
    print(server.accept()[0].recv(4096))
"""


def test_three_worlds_are_three_users(three: House) -> None:
    """Each process is a user of its own, without rights; each socket, state directory and network is its world's."""
    three.start()
    three.wait_online(ROUTEB)
    three.wait_online(HUB)
    assert [three.owner(unit)[0] for unit in UNITS] == ["hemsd", "hemsd-routeb", "hemsd-gateway"]
    for unit in UNITS:
        status = three.run("cat", f"/proc/{three.pid(unit)}/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        rights = [int(fields[name], 16) for name in ("CapEff", "CapBnd", "CapAmb")]
        assert (rights, fields["NoNewPrivs"], fields["Seccomp"]) == ([0, 0, 0], "1", "2")
        assert fields["Groups"].split() in ([], fields["Gid"].split()[:1])
    assert three.run("stat", "-c", "%A %U %G", *(f"/run/hemsd/{name}.sock" for name in SOCKETS)).splitlines() == [
        "srw-rw---- root hemsd",
        "srw------- hemsd-routeb hemsd-routeb",
        "srw------- hemsd-gateway hemsd-gateway",
    ]
    assert three.run("stat", "-c", "%A %U %n", *(f"/var/lib/{name}" for name in USERS)).splitlines() == [
        f"drwx------ {name} /var/lib/{name}" for name in USERS
    ]
    networks = [three.run("readlink", f"/proc/{three.pid(unit)}/ns/net") for unit in UNITS]
    assert networks[0] == networks[2] != networks[1]
    three.run("useradd", "--groups", "hemsd", "insider")
    assert " W" in three.run("runuser", "-u", "insider", "--", *READ)


def test_secrets_are_in_one_world(three: House) -> None:
    """ID and password are nowhere but in the meter's process: not in journal, properties, environments, state."""
    three.configure('[daemon]\nlog_level = "debug"\n')
    three.start()
    three.wait_online(HUB)
    assert three.meter.password in three.run("cat", f"/run/credentials/{ROUTEB}/routeb")
    assert three.run("ls", "/run/credentials").split().count(HUB) == 0
    told = three.run("journalctl", "-o", "json", "--all", "--no-pager") + three.run("systemctl", "show", *UNITS)
    for unit in UNITS:
        told += "".join(three.run("cat", f"/proc/{three.pid(unit)}/{name}") for name in ("environ", "cmdline"))
        limits = three.run("cat", f"/proc/{three.pid(unit)}/limits")
        assert re.search("Max core file size +0 +0 ", limits)  # no secret on a disk after a crash
    for name in USERS:
        files = [file for file in (three.root / "var/lib" / name).iterdir() if file.is_file()]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        told += "".join(file.read_text("latin-1") for file in files)
    assert "online: joined" in told
    own = {"password": three.meter.password.encode(), "ID": three.meter.id.encode()}
    assert given_away({"everything": told.encode()}, own) == []
    held = three.run("cat", f"/run/credentials/{ROUTEB}/routeb")  # the control
    assert len(given_away({"everything": (told + held).encode()}, own)) == 4  # as it is, and its letters


def test_credentials_may_be_sealed(three: House) -> None:
    """The same unit takes what systemd-creds sealed for this machine, and no plain file is left."""
    (three.root / "etc/hemsd/credentials.toml").unlink()
    (three.root / "etc/credstore.encrypted").mkdir()
    (three.root / "root/plain").write_text(three.meter.credentials)
    sealed = "/etc/credstore.encrypted/hemsd-routeb"
    three.run("systemd-creds", "encrypt", "--name=hemsd-routeb", "/root/plain", sealed)
    assert three.meter.password not in three.run("cat", sealed)
    three.start()
    three.wait_online(ROUTEB)


def test_each_can_be_restarted_alone(three: House) -> None:
    """Stopped, killed or hung, one process comes back and the others go on; the sockets stay."""
    for unit in UNITS:
        three.override("[Service]\nRestartSec=100ms\nWatchdogSec=2\nTimeoutAbortSec=1\n", unit)
    three.start()
    three.wait_online(HUB)
    sockets = three.run("stat", "-c", "%i", *(f"/run/hemsd/{name}.sock" for name in SOCKETS))
    for unit in UNITS:
        before = {each: three.pid(each) for each in UNITS}
        three.run("systemctl", "restart", unit)
        three.run("systemctl", "kill", "-s", "KILL", unit)
        three.wait("restart", lambda unit=unit: three.show(unit, "NRestarts") == "1")
        three.wait("start", lambda unit=unit: three.show(unit, "ActiveState") == "active")
        after = {each: three.pid(each) for each in UNITS}
        assert {each for each in UNITS if after[each] != before[each]} == {unit}
        three.meter.forget_its_user()
    for unit in UNITS:
        three.run("systemctl", "kill", "-s", "STOP", unit)
    for unit in UNITS:
        three.wait("restart", lambda unit=unit: three.show(unit, "NRestarts") == "2")
        assert "Watchdog timeout" in three.journal(unit)
    three.meter.forget_its_user()
    three.wait_online(HUB)
    assert three.run("stat", "-c", "%i", *(f"/run/hemsd/{name}.sock" for name in SOCKETS)) == sockets


def test_one_process_and_three_replace_each_other(three: House) -> None:
    """Starting the one ends the other, sockets and all; the state of the house is the same."""
    three.start()
    three.wait_online(HUB)
    three.run("systemctl", "start", SINGLE)
    assert {three.show(unit, "ActiveState") for unit in (*UNITS, TARGET)} == {"inactive"}
    assert three.run("ls", "/run/hemsd").split() == ["operator.sock"]
    three.wait_online()
    site = (three.root / "var/lib/hemsd/site").read_text()
    assert f"site {site.strip()}" in three.journal(SINGLE)
    assert f"site {site.strip()}" in three.journal(HUB)
    three.start()
    assert three.show(SINGLE, "ActiveState") == "inactive"
    three.wait_online(HUB)
    three.run("systemctl", "stop", TARGET)
    three.wait("end", lambda: {three.show(unit, "ActiveState") for unit in UNITS} == {"inactive"})
    three.wait("end of the sockets", lambda: three.run("ls", "/run/hemsd") == "")


def test_a_wrong_configuration_is_told_once_and_can_be_put_right(three: House) -> None:
    """All three say what is wrong and stay away until somebody asks; put right, the next question starts the hub."""
    three.configure('[meter]\nprot = "auto"\n')
    three.run("systemctl", "start", TARGET)
    for unit in UNITS:
        three.wait("failure", lambda unit=unit: three.show(unit, "ActiveState") == "failed")
        assert (three.show(unit, "ExecMainStatus"), three.show(unit, "NRestarts")) == ("2", "0")
        assert 'did you mean "port"?' in three.run("journalctl", "-p", "err", "-u", unit, "-o", "cat")
    three.run(*ASK)
    three.wait("attempt", lambda: three.journal(HUB).count("Starting hemsd.service") == 2)
    three.wait("failure", lambda: three.show(HUB, "ActiveState") == "failed")
    assert three.show("hemsd-operator.socket", "ActiveState") == "active"
    three.configure("")
    three.run(*ASK)
    three.wait("start", lambda: three.show(HUB, "ActiveState") == "active")


def test_the_journal_knows_what_matters(three: House) -> None:
    """Each line has its priority: what a person must mend is an error, what may pass a warning, the rest informs."""
    (three.root / "etc/hemsd/credentials.toml").unlink()
    three.start()
    three.wait("error", lambda: "no credentials yet" in three.journal(ROUTEB))
    three.give_credentials()
    three.configure('[meter]\nport = "/dev/ttyUSB9"\n')
    three.run("systemctl", "restart", ROUTEB)
    three.wait("warning", lambda: "/dev/ttyUSB9 does not exist" in three.journal(ROUTEB))
    told = {}
    for name in ("hemsd", "hemsd-routeb"):
        for line in three.run("journalctl", "-o", "json", "-t", name).splitlines():
            entry = json.loads(line)
            told[entry["MESSAGE"]] = entry["PRIORITY"]
    for part, priority in (("no credentials yet", "3"), ("/dev/ttyUSB9 does not exist", "4"), (": site ", "6")):
        assert {told[message] for message in told if part in message} == {priority}


def test_the_gateway_gets_out_with_a_password_of_root(three: House) -> None:
    """MQTT passes the sandbox, with the password of a file that only root may read; a provider's come as well."""
    for name in ("mqtt-password", "provider-password", "provider-key.pem"):
        (three.root / "etc/hemsd" / name).touch(0o600)
        (three.root / "etc/hemsd" / name).write_text(f"{name}-alllowercase\n")
    three.configure("""[gateway.broker]
url = "mqtt://127.0.0.1"
username = "hemsd"
password_file = "/etc/hemsd/mqtt-password"
""")
    (three.root / "opt/broker.py").write_text(ONE_PACKET_BROKER)
    three.run("systemd-run", "--unit=broker", "--service-type=notify", "python3", "/opt/broker.py")
    three.start()
    three.wait("connection", lambda: three.show("broker", "ActiveState") == "inactive")
    assert "mqtt-password-alllowercase" in three.journal("broker")
    handed = f"/run/credentials/{GATEWAY}"
    for name in ("provider-password", "provider-key.pem"):
        assert three.run("cat", f"{handed}/{name}") == f"{name}-alllowercase"
    assert three.run("cat", f"{handed}/mqtt-key.pem") == ""


def test_a_meter_on_an_interface_with_the_drop_in(three: House) -> None:
    """The example that is shipped for a meter on Wi-Fi: IPv6 on that interface, and no serial port any more."""
    example = Path(__file__).parents[2] / "systemd/examples/hemsd-routeb-wifi.conf"
    three.configure('[meter]\ninterface = "wlan1"\n')
    three.override(example.read_text(), ROUTEB)
    grid = Namespace()
    try:
        run(*f"ip link add wlan1 netns {three.init} type veth peer name wl index 77 netns {grid.name}".split())
        grid.ip("link", "set", "wl", "up")
        run("nsenter", "-t", str(three.init), "-n", "ip", "link", "set", "wlan1", "up")
        command = ["ip", "netns", "exec", grid.name, sys.executable, "-m", "hemsd.simulator", "--interface", "wl"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as simulator:
            three.start()
            try:
                three.wait_online(ROUTEB)
            finally:
                simulator.terminate()
    finally:
        grid.remove()
    assert three.run("nsenter", "-m", "-t", three.pid(ROUTEB), "ls", "/dev/ttyUSB0", check=False).endswith(
        "No such file or directory"
    )
