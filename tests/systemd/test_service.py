from __future__ import annotations

import stat
import subprocess
import sys
import time

import pytest
from support.netns import Namespace, run
from support.service import SINGLE as UNIT
from support.service import House

pytestmark = pytest.mark.needs("root", "systemd-nspawn", "mmdebstrap", "ip")

ONE_PACKET_BROKER = """
import socket, subprocess
with socket.create_server(("127.0.0.1", 1883)) as server:
    subprocess.run(["systemd-notify", "--ready"], check=True)
    print(server.accept()[0].recv(4096))
"""


def test_it_reads_the_meter_as_a_user_of_its_own(house: House) -> None:
    """The main job: started by systemd it joins the meter over the tty, and status and journal show it."""
    house.start()
    house.wait_online()
    assert "the meter is online: joined" in house.journal(UNIT)
    status = house.run("cat", f"/proc/{house.main_pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert house.owner(UNIT) == ("hemsd", "hemsd")
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_it_reads_a_meter_on_an_interface(house: House) -> None:
    """Out of the same sandbox, without any right: UDP 3610 kept to one interface, and told when that comes up."""
    grid = Namespace()
    try:
        run(*f"ip link add wl netns {house.init} type veth peer name wl index 77 netns {grid.name}".split())
        grid.ip("link", "set", "wl", "up")
        house.configure('[meter]\ninterface = "wl"\n')
        house.start()
        house.wait("status", lambda: "wl is switched off" in house.show(UNIT, "StatusText"))
        command = ["ip", "netns", "exec", grid.name, sys.executable, "-m", "hemsd.simulator", "--interface", "wl"]
        run("nsenter", "-t", str(house.init), "-n", "ip", "link", "set", "wl", "up")
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as simulator:
            house.wait_online()
            simulator.terminate()
    finally:
        grid.remove()


def test_it_finds_appliances_on_an_interface(house: House) -> None:
    """Out of the same sandbox: multicast over IPv4 on one interface; what is known of them is kept with mode 0600."""
    grid = Namespace()
    try:
        run(*f"ip link add home netns {house.init} type veth peer name home index 78 netns {grid.name}".split())
        for command in ("address add 192.168.7.1/24 dev home", "link set home up"):
            run("nsenter", "-t", str(house.init), "-n", "ip", *command.split())
        grid.ip("address", "add", "192.168.7.20/24", "dev", "home")
        grid.ip("link", "set", "home", "up")
        house.configure('[networks.home]\ninterface = "home"\nipv6 = false\n')
        simulator = [sys.executable, "-m", "hemsd.simulator", "--appliances", "home", "--address", "192.168.7.20"]
        with subprocess.Popen(["ip", "netns", "exec", grid.name, *simulator], stdout=subprocess.DEVNULL) as devices:
            house.start()
            house.wait("appliances", lambda: "appliances online" in house.show(UNIT, "StatusText"))
            house.wait("introspection", lambda: "found at 192.168.7.20" in house.journal(UNIT))
            house.run("systemctl", "stop", UNIT)
            devices.terminate()
    finally:
        grid.remove()
    kept = [house.root / "var/lib/hemsd" / name for name in ("appliances-home.json", "node")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600, 0o600]
    assert "192.168.7.20" in kept[0].read_text()


def test_secrets_and_history_are_its_own(house: House) -> None:
    """ID and password are in its credential only; the state directory is 0700 and what is in it 0600."""
    house.start()
    house.wait_online()
    assert house.meter.password in house.run("cat", f"/run/credentials/{UNIT}/routeb")
    assert "Permission denied" in house.run(
        "runuser", "-u", "nobody", "--", "cat", f"/run/credentials/{UNIT}/routeb", check=False
    )
    state = house.root / "var/lib/hemsd"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()}
    assert modes.keys() >= {"lock", "site", "pans.json", "history.db"}
    assert set(modes.values()) == {0o600}
    told = house.run("journalctl", "-o", "json", "--all", "--no-pager") + house.run("systemctl", "show", UNIT)
    told += "".join(house.run("cat", f"/proc/{house.main_pid}/{name}") for name in ("environ", "cmdline"))
    told += "".join(file.read_text("latin-1") for file in state.iterdir())
    assert "hemsd" in told
    assert house.meter.password not in told
    assert house.meter.id not in told


def test_the_gateway_gets_out_with_a_password_of_root(house: House) -> None:
    """MQTT passes the sandbox, with the password of a file that only root may read."""
    secret = house.root / "etc/hemsd/mqtt-password"
    secret.touch(0o600)
    secret.write_text("fourwordsalluppercase\n")
    house.configure("""[gateway.broker]
url = "mqtt://127.0.0.1"
username = "hemsd"
password_file = "/etc/hemsd/mqtt-password"
""")
    (house.root / "opt/broker.py").write_text(ONE_PACKET_BROKER)
    house.run("systemd-run", "--unit=broker", "--service-type=notify", "python3", "/opt/broker.py")
    house.start()
    house.wait("connection", lambda: house.show("broker", "ActiveState") == "inactive")
    connect = house.journal("broker")
    assert "MQTT" in connect
    assert "hemsd-home-" in connect
    assert "fourwordsalluppercase" in connect


def test_who_is_in_the_group_may_ask_the_daemon(house: House) -> None:
    """A plain user in the group hemsd reads through it, another may not and is told what to do."""
    house.start()
    house.wait_online()
    assert house.run("stat", "-c", "%A %G", "/run/hemsd", "/run/hemsd/operator.sock").splitlines() == [
        "drwxr-xr-x hemsd",
        "srw-rw---- hemsd",
    ]
    house.run("useradd", "--groups", "hemsd", "insider")
    house.run("useradd", "--groups", "dialout", "outsider")
    read = ("--", "/opt/hemsd/bin/hemsd", "read", "power")
    assert " W" in house.run("runuser", "-u", "insider", *read)
    assert "usermod -aG hemsd" in house.run("runuser", "-u", "outsider", *read, check=False)
    assert " W" in house.run(*read[1:])
    house.run("systemctl", "stop", UNIT)
    assert "hemsd" not in house.run("ls", "/run").split()


def test_a_second_daemon_is_refused(house: House) -> None:
    """By hand beside the service: exit code 75 and the pid. As a service beside one by hand: once, not for ever."""
    house.start()
    house.wait_online()
    hand = ("/opt/hemsd/bin/hemsd", "run")
    told = house.run("sh", "-c", f"{' '.join(hand)}; echo code $?")
    assert f"(pid {house.main_pid}" in told and "code 75" in told
    house.run("systemctl", "stop", UNIT)
    house.run("systemd-run", "--unit=byhand", "--property=Type=notify", *hand)
    house.run("systemctl", "start", UNIT, check=False)
    house.wait("refusal", lambda: house.show(UNIT, "ActiveState") == "failed")
    assert (house.show(UNIT, "ExecMainStatus"), house.show(UNIT, "NRestarts")) == ("75", "0")
    assert "hemsd is already running" in house.journal(UNIT)


def test_a_hung_process_is_replaced(house: House) -> None:
    """The watchdog notices a process that does nothing any more; its successor takes over the meter's session."""
    house.override("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nRestartSec=100ms\n")
    house.start()
    house.wait_online()
    house.run("systemctl", "kill", "-s", "STOP", UNIT)
    house.wait("restart", lambda: house.show(UNIT, "NRestarts") == "1")
    house.meter.forget_its_user()
    house.wait_online()
    assert "Watchdog timeout" in house.journal(UNIT)
    assert "the session of the last time goes on" in house.journal(UNIT)


def test_a_meter_that_never_answers_restarts_nothing(house: House) -> None:
    """With a module that is not there the service is ready and stays up: that is no fault of the process."""
    house.configure('[meter]\nport = "/dev/ttyUSB9"\n')
    house.override("[Service]\nWatchdogSec=1\n")
    house.start()
    house.wait("status", lambda: "is the module plugged in?" in house.show(UNIT, "StatusText"))
    begun = house.main_pid
    time.sleep(2.5)  # twice the watchdog's time and more
    assert (house.show(UNIT, "ActiveState"), house.main_pid) == ("active", begun)


def test_a_stop_is_quick_and_gentle(house: House) -> None:
    """SIGTERM ends it with success within 5 s and leaves the session in the module; the next start needs no join."""
    house.start()
    house.wait_online()
    begun = time.monotonic()
    house.run("systemctl", "stop", UNIT)
    assert time.monotonic() - begun < 5
    assert (house.show(UNIT, "Result"), house.show(UNIT, "ExecMainStatus")) == ("success", "0")
    house.start()
    house.wait("resumption", lambda: "the session of the last time goes on" in house.journal(UNIT))


def test_a_process_that_dies_is_started_again(house: House) -> None:
    """Whatever kills it, systemd starts a new one, for ever."""
    house.override("[Service]\nRestartSec=0\n")
    house.start()
    for count in range(1, 7):
        house.run("systemctl", "kill", "-s", "KILL", UNIT)
        house.wait("restart", lambda count=count: house.show(UNIT, "NRestarts") == str(count))
        house.wait("start", lambda: house.show(UNIT, "ActiveState") == "active")


def test_a_wrong_configuration_is_told_and_not_tried_again(house: House) -> None:
    """A misspelt key fails the start with its line and a suggestion in the journal, once."""
    house.configure('[meter]\nprot = "auto"\n')
    house.run("systemctl", "start", UNIT, check=False)
    house.wait("failure", lambda: house.show(UNIT, "ActiveState") == "failed")
    assert (house.show(UNIT, "ExecMainStatus"), house.show(UNIT, "NRestarts")) == ("2", "0")
    assert '/etc/hemsd/hemsd.toml:3: [meter] has no key "prot"; did you mean "port"?' in house.journal(UNIT)


def test_missing_credentials_are_told_as_an_error(house: House) -> None:
    """Before the letter of the power company has come the service runs, and says which file it wants."""
    (house.root / "etc/hemsd/credentials.toml").unlink()
    house.start()
    house.wait("status", lambda: "no credentials yet" in house.show(UNIT, "StatusText"))
    errors = house.run("journalctl", "--no-pager", "-o", "cat", "-p", "err", "-u", UNIT)
    assert errors.startswith("meter: /etc/hemsd/credentials.toml: no credentials yet; write id and password into it")
