"""The steps of an installation, from what a machine is to what it shall be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.daemon import PASSWORD, ROUTE_B_ID
from support.install import FRESH, KIT, THREE, usb

from drivers.module import Credentials
from hemsd.daemon.install.machine import Machine
from hemsd.daemon.install.places import (
    APART,
    FIREWALL,
    OWN_RULE,
    RULES,
    SYSUSERS,
    TMPFILES,
    UNITS,
    USERS,
    WIFI_DROP_IN,
)
from hemsd.daemon.install.plan import installation, overriding, removal
from hemsd.daemon.install.proposal import Wishes, broker_at
from hemsd.daemon.install.steps import Seal, Write
from hemsd.daemon.sealing import SYSTEMD_FILE

CREDENTIALS = Credentials(ROUTE_B_ID, PASSWORD)
CONFIGURATION = Path("/etc/hemsd/hemsd.toml")
PLAIN = Path("/etc/hemsd/credentials.toml")
INSTALLED = replace(
    FRESH,
    files={**KIT.files, CONFIGURATION: b"version = 1\n# edited by hand\n"},
    there=frozenset({Path("/etc/hemsd"), SYSTEMD_FILE, Path("/var/lib/hemsd"), UNITS, UNITS.parent}),
    link=FRESH.command,
    users=frozenset(USERS),
    enabled=frozenset({"hemsd.target"}),
    active=frozenset({"hemsd.target"}),
)


def told(machine: Machine, wishes: Wishes | None = None, *, sealing: bool = False) -> list[str]:
    """The plan in words, with one space between them."""
    steps = installation(
        machine, KIT, wishes or Wishes(), sealing=sealing, credentials=CREDENTIALS if sealing else None
    )
    return [" ".join(str(step).split()) for step in steps]


def test_a_fresh_machine_gets_everything_in_order() -> None:
    """Files, then users, then secrets, then what makes the system take note, and the start at the very end."""
    plan = told(FRESH, sealing=True)
    assert plan == [
        *(f"write {path}" for path in KIT.files),
        f"write {CONFIGURATION} (as it is shipped)",
        "link /usr/local/bin/hemsd -> /opt/hemsd/bin/hemsd",
        f"run systemd-sysusers {SYSUSERS}",
        f"run systemd-tmpfiles --create {TMPFILES}",
        f"seal {SYSTEMD_FILE} (Route B ID and password, by systemd-creds, for this machine only)",
        "run udevadm control --reload",
        "run udevadm trigger --subsystem-match=tty --action=change",
        "run udevadm settle --timeout=10",
        "run systemctl daemon-reload",
        "run systemctl enable hemsd.target",
        "run systemctl start hemsd.target",
    ]


def test_where_all_is_in_place_nothing_is_done() -> None:
    """The second time there is no step at all."""
    assert installation(INSTALLED, KIT, Wishes()) == ()


def test_the_password_at_the_broker_is_roots_alone() -> None:
    """It is written before the start, for nobody to read, and the plan does not show it."""
    steps = installation(FRESH, KIT, Wishes(broker=broker_at("mqtt://127.0.0.1", "hemsd")), broker_password="kokeshi")
    (secret,) = [step for step in steps if isinstance(step, Write) and step.private]
    assert (secret.path, secret.content) == (Path("/etc/hemsd/mqtt-password"), b"kokeshi\n")
    assert "kokeshi" not in "".join(map(str, steps)) + repr(steps)
    assert steps.index(secret) < next(n for n, step in enumerate(steps) if "start" in str(step).split())


def test_an_upgrade_replaces_what_is_ours_and_restarts() -> None:
    """A changed unit is written, one that is not shipped any more removed; an edited configuration stays."""
    old = replace(INSTALLED, files={**INSTALLED.files, THREE: b"# older\n", UNITS / "hemsd-old.service": b""})
    assert told(old) == [
        f"write {THREE}",
        f"remove {UNITS / 'hemsd-old.service'} (no part of this version)",
        "run systemctl daemon-reload",
        "run systemctl restart hemsd.target",
    ]


def test_new_credentials_are_sealed_and_older_ones_leave() -> None:
    """A plain file would come before the sealed one, so it goes once that is written; the service is told."""
    machine = replace(INSTALLED, there=INSTALLED.there | {PLAIN})
    assert told(machine, sealing=True)[1:] == [f"remove {PLAIN} (sealed now)", "run systemctl restart hemsd.target"]
    without = replace(machine, tools=machine.tools - {"systemd-creds"})
    assert "seal /etc/hemsd/credentials.sealed (Route B ID" in told(without, sealing=True)[0]


def test_one_process_instead_of_three_and_back() -> None:
    """The other kind is stopped and disabled first: two of them would fight over the meter."""
    assert told(INSTALLED, Wishes(single=True)) == [
        "run systemctl disable --now hemsd.target",
        "run systemctl enable hemsd-single.service",
        "run systemctl start hemsd-single.service",
    ]


def test_what_the_parts_know_goes_along() -> None:
    """The meter's channel, the place in history at the broker, the key it signs with; what is there stays."""
    one = replace(INSTALLED, enabled=frozenset({"hemsd-single.service"}), active=frozenset({"hemsd-single.service"}))
    with_files = replace(one, there=one.there | APART.keys())
    assert told(with_files)[1:3] == [
        "move /var/lib/hemsd/pans.json -> /var/lib/hemsd-routeb/pans.json",
        "move /var/lib/hemsd/gateway -> /var/lib/hemsd-gateway/gateway",
    ]
    three = replace(INSTALLED, there=INSTALLED.there | set(APART.values()))
    assert "move /var/lib/hemsd-gateway/gateway -> /var/lib/hemsd/gateway" in told(three, Wishes(single=True))
    both = replace(with_files, there=with_files.there | set(APART.values()))
    assert not [step for step in told(both) if step.startswith("move")]


def test_without_a_running_systemd_nothing_is_started() -> None:
    """In an image that is being built all is prepared for the first start."""
    plan = told(replace(FRESH, booted=False), sealing=True)
    assert plan[-1] == "run systemctl enable hemsd.target"
    assert not [step for step in plan if "start" in step or "daemon-reload" in step or "udevadm" in step]


def test_whoever_called_sudo_may_ask_the_daemon() -> None:
    """They are put into the group once, and leave it when it goes; root may anyway."""
    assert "run usermod --append --groups hemsd hanako" in told(replace(FRESH, person="hanako"))
    admitted = replace(INSTALLED, person="hanako", askers=frozenset({"hanako"}))
    for machine in (FRESH, replace(FRESH, person="root"), admitted):
        assert not [step for step in told(machine) if "usermod" in step]
    purge = [" ".join(str(step).split()) for step in removal(admitted, purge=True)]
    assert purge.index("run gpasswd --delete hanako hemsd") < purge.index("run userdel hemsd")


def test_a_service_older_than_its_files_is_restarted() -> None:
    """A new program under the old units, a configuration that was edited, or an installation that was cut short."""
    assert told(replace(INSTALLED, outdated=True)) == ["run systemctl restart hemsd.target"]


def test_a_rule_and_a_drop_in_are_written_once() -> None:
    """The person's files come with the first configuration, and are never replaced."""
    machine = replace(FRESH, ports=(usb("/dev/ttyUSB0"),))
    assert f"write {OWN_RULE} (makes /dev/ttyUSB0 /dev/hemsd-wisun)" in told(machine, Wishes(port="/dev/ttyUSB0"))
    changed = replace(machine, files={OWN_RULE: b"# mine"})
    assert not [step for step in told(changed, Wishes(port="/dev/ttyUSB0")) if str(OWN_RULE) in step]
    (drop_in,) = [
        step
        for step in installation(FRESH, KIT, Wishes(interface="wlan7"))
        if isinstance(step, Write) and step.path == WIFI_DROP_IN
    ]
    assert b"RestrictNetworkInterfaces=wlan7" in drop_in.content


@pytest.mark.parametrize("place", ["/home/pi/venv/bin/hemsd", "/root/venv/bin/hemsd", "/tmp/v/bin/hemsd"])
def test_a_home_directory_is_no_place_for_a_service(place: str) -> None:
    """Neither for hemsd nor, by whatever links, for Python; the commands that mend it are told."""
    assert FRESH.trouble is None
    for machine in (replace(FRESH, command=Path(place)), replace(FRESH, interpreter=Path(place))):
        assert machine.trouble is not None
        assert machine.trouble.startswith(f"{place} is where the service may not look.")
        assert "\n  sudo /usr/bin/python3 -m venv /opt/hemsd\n" in machine.trouble


def test_removal_leaves_what_is_the_persons() -> None:
    """Only our own files go; with --purge also configuration, secrets, state, changes to units and users."""
    machine = replace(
        INSTALLED,
        files={**INSTALLED.files, OWN_RULE: b"x"},
        there=INSTALLED.there | {Path("/etc/systemd/system/hemsd.service.d")},
    )
    plan = [" ".join(str(step).split()) for step in removal(machine, purge=False)]
    ours = [step.split()[1] for step in plan if step.startswith("remove") and "(if" not in step]
    assert ours == [*map(str, sorted(KIT.files)), "/usr/local/bin/hemsd"]
    assert plan[:2] == [
        "run systemctl stop hemsd-single.service hemsd.target",
        "run systemctl disable hemsd-single.service hemsd.target",
    ]
    purge = [" ".join(str(step).split()) for step in removal(machine, purge=True)]
    assert purge[: len(plan)] == plan
    assert [step.partition(" (")[0] for step in purge[len(plan) :]] == [
        "remove /etc/hemsd",
        f"remove {SYSTEMD_FILE}",
        f"remove {SYSTEMD_FILE.parent}",
        f"remove {OWN_RULE}",
        "remove /etc/systemd/system/hemsd.service.d",
        "remove /var/lib/hemsd",
        *(f"run userdel {name}" for name in USERS),
    ]


def test_a_firewall_that_stands_is_taken_down_first() -> None:
    """While the command that knows its rules is still there."""
    standing = replace(INSTALLED, there=INSTALLED.there | {FIREWALL})
    assert str(removal(standing, purge=False)[0]).split() == ["run", "/opt/hemsd/bin/hemsd", "firewall", "remove"]


def test_what_is_not_there_is_not_removed() -> None:
    """On a machine without hemsd there is nothing to do, not even with --purge; a foreign `hemsd` stays."""
    assert removal(FRESH, purge=True) == ()
    assert "/usr/local/bin/hemsd" not in str(removal(replace(INSTALLED, link=Path("/else")), purge=True))


def test_a_unit_of_the_persons_own_is_pointed_out() -> None:
    """One in /etc/systemd/system is used instead of ours, and never touched."""
    own = Path("/etc/systemd/system/hemsd.target")
    machine = replace(FRESH, there=frozenset({own, own.with_name("hemsd.service.d")}))
    assert overriding(machine, KIT) == [own]
    assert rules_of(machine) == [RULES]


def rules_of(machine: Machine) -> list[Path]:
    steps = installation(machine, KIT, Wishes())
    return [step.path for step in steps if isinstance(step, Write) and step.path.suffix == ".rules"]


def test_no_step_shows_a_secret() -> None:
    """Neither in words nor in repr()."""
    for step in (Seal(CREDENTIALS, True), Seal(CREDENTIALS, False), Write(CONFIGURATION, PASSWORD.encode())):
        assert PASSWORD not in f"{step} {step!r}"
        assert ROUTE_B_ID not in f"{step} {step!r}"
