"""From what a machine is and what a person wants to the steps that lead there; pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drivers.module import Credentials
from hemsd.daemon.config import SYSTEM_FILE as CONFIGURATION
from hemsd.daemon.credentials import SYSTEM_FILE as PLAIN
from hemsd.daemon.install.machine import Machine
from hemsd.daemon.install.places import (
    APART,
    ASKERS,
    BROKER_PASSWORD,
    COMMAND,
    DROP_INS,
    FIREWALL,
    MADE,
    OWN_RULE,
    RULES,
    SINGLE,
    STATE,
    SYSUSERS,
    TARGET,
    TMPFILES,
    UNITS,
    USERS,
    WIFI_DROP_IN,
    WIFI_EXAMPLE,
    Kit,
)
from hemsd.daemon.install.proposal import Wishes, configuration, own_rule
from hemsd.daemon.install.steps import Link, Move, Remove, RemoveEmpty, Run, Seal, Step, Write
from hemsd.daemon.sealing import SYSTEMD_FILE

RELOAD_UNITS = Run(("systemctl", "daemon-reload"))
RELOAD_RULES = Run(("udevadm", "control", "--reload"))
APPLY_RULES = (
    Run(("udevadm", "trigger", "--subsystem-match=tty", "--action=change")),
    Run(("udevadm", "settle", "--timeout=10")),  # the service is to find the port as the rules make it
)


def installation(
    machine: Machine,
    kit: Kit,
    wishes: Wishes,
    *,
    sealing: bool = False,
    credentials: Credentials | None = None,
    broker_password: str | None = None,
) -> tuple[Step, ...]:
    """What is to be done so that hemsd runs as a service here; nothing where it does already.

    `sealing`: the Route B credentials are given anew, these or (in a plan that is only shown) ones to be asked for.
    `broker_password` is written where the configuration is new; None: there is none, or it is in its place.
    """
    files = [*_files(machine, kit), *_first_files(machine, kit, wishes)]
    changed = {step.path for step in files}
    link = [] if machine.link is not None else [Link(COMMAND, machine.command)]
    secrets = list(_secrets(machine, credentials)) if sealing else []
    if broker_password is not None:
        content = f"{broker_password}\n".encode()
        secrets.append(Write(BROKER_PASSWORD, content, "the password at the broker", private=True))
    rules = changed & {RULES, OWN_RULE} and "udevadm" in machine.tools and machine.booted
    told = [RELOAD_RULES, *APPLY_RULES] if rules else []
    running = _running(machine, SINGLE if wishes.single else TARGET, changed, anew=bool(secrets))
    return (*files, *link, *_users(machine, changed), *secrets, *_person(machine), *told, *running)


def overriding(machine: Machine, kit: Kit) -> list[Path]:
    """The units and rules in /etc that are used instead of those that are shipped."""
    ours = {path.name for path in kit.files if path.parent == UNITS}
    return sorted(path for path in machine.there if path.parent == DROP_INS and path.name in ours)


def removal(machine: Machine, *, purge: bool) -> tuple[Step, ...]:
    """What is to be done so that hemsd is no service any more; configuration and state go with `purge` only."""
    return (*_stopped(machine), *_ours_removed(machine), *(_purged(machine) if purge else ()))


# --- putting in place -----------------------------------------------------------------------------------------


def _files(machine: Machine, kit: Kit) -> Iterator[Write | Remove]:
    """Ours: written where they are not as they are shipped; removed where a former version shipped them."""
    for path, content in kit.files.items():
        if machine.files.get(path) != content:
            yield Write(path, content)
    for path in machine.files:
        if path.parent == UNITS and path not in kit.files:
            yield Remove(path, "no part of this version")


def _first_files(machine: Machine, kit: Kit, wishes: Wishes) -> Iterator[Write]:
    """The person's: written where there is none, and never touched again."""
    if CONFIGURATION not in machine.files:
        text = configuration(machine, kit, wishes)
        yield Write(CONFIGURATION, text.encode(), "; ".join(_settings(text, kit.configuration)) or "as it is shipped")
        rule = own_rule(machine, kit, wishes.port)
        if rule is not None and OWN_RULE not in machine.files:
            yield Write(OWN_RULE, rule.encode(), f"makes {wishes.port} /dev/hemsd-wisun")
        if wishes.interface is not None and WIFI_DROP_IN.parent not in machine.there:
            text = kit.wifi.replace(WIFI_EXAMPLE, wishes.interface)
            yield Write(WIFI_DROP_IN, text.encode(), f"lets the meter's process use {wishes.interface}")


def _settings(text: str, shipped: str) -> list[str]:
    before = set(shipped.splitlines())
    return [line for line in text.splitlines() if line not in before]


def _users(machine: Machine, changed: set[Path]) -> Iterator[Step]:
    if SYSUSERS in changed or (SYSUSERS in machine.files and set(USERS) - machine.users):
        yield Run(("systemd-sysusers", str(SYSUSERS)))
    if TMPFILES in changed:
        yield Run(("systemd-tmpfiles", "--create", str(TMPFILES)))


def _person(machine: Machine) -> Iterator[Step]:
    """Whoever called sudo may ask the daemon without it from now on."""
    if machine.person not in (None, "root", *machine.askers):
        yield Run(("usermod", "--append", "--groups", ASKERS, str(machine.person)))


def _secrets(machine: Machine, credentials: Credentials | None) -> Iterator[Step]:
    yield Seal(credentials, "systemd-creds" in machine.tools)
    if PLAIN in machine.there:  # it would come before what is sealed
        yield Remove(PLAIN, "sealed now")


def _running(machine: Machine, unit: str, changed: set[Path], *, anew: bool) -> Iterator[Step]:
    """Have the unit started now and with each start of the machine, and the other one not."""
    other = SINGLE if unit == TARGET else TARGET
    units_changed = any(path.parent in (UNITS, WIFI_DROP_IN.parent) for path in changed)
    if other in machine.enabled | machine.active:
        yield _disable(machine, other)
    yield from _moved(machine, single=unit == SINGLE)
    if machine.booted and units_changed:
        yield RELOAD_UNITS
    if unit not in machine.enabled:
        yield Run(("systemctl", "enable", unit))
    if not machine.booted:
        return
    if unit not in machine.active:
        yield Run(("systemctl", "start", unit))
    elif units_changed or anew or machine.outdated:
        yield Run(("systemctl", "restart", unit))


def _moved(machine: Machine, *, single: bool) -> Iterator[Move]:
    """What the parts know, to where they look for it; what is there already stays."""
    for one, three in APART.items():
        path, target = (three, one) if single else (one, three)
        if path in machine.there and target not in machine.there:
            yield Move(path, target)


def _disable(machine: Machine, unit: str) -> Run:
    return Run(("systemctl", "disable", *(["--now"] if machine.booted else []), unit))


# --- taking away ----------------------------------------------------------------------------------------------


def _stopped(machine: Machine) -> Iterator[Step]:
    names = sorted(path.name for path in machine.files if path.parent == UNITS)
    if not names:
        return
    if FIREWALL in machine.there:
        yield Run((str(machine.command), "firewall", "remove"))
    if machine.booted:
        yield Run(("systemctl", "stop", *names))
    yield Run(("systemctl", "disable", *names))


def _ours_removed(machine: Machine) -> Iterator[Step]:
    ours = sorted(path for path in machine.files if path.parent == UNITS or path in (SYSUSERS, TMPFILES, RULES))
    yield from (Remove(path) for path in ours)
    if machine.link == machine.command:
        yield Remove(COMMAND)
    if ours:
        yield from (RemoveEmpty(path) for path in MADE if path in machine.there)
    if not machine.booted:
        return
    if any(path.parent == UNITS for path in ours):
        yield RELOAD_UNITS
    if RULES in ours and "udevadm" in machine.tools:
        yield RELOAD_RULES


def _purged(machine: Machine) -> Iterator[Step]:
    if CONFIGURATION.parent in machine.there:
        yield Remove(CONFIGURATION.parent, "configuration, secrets and certificates")
    if SYSTEMD_FILE in machine.there:
        yield Remove(SYSTEMD_FILE, "Route B ID and password")
        yield RemoveEmpty(SYSTEMD_FILE.parent)
    if OWN_RULE in machine.files:
        yield Remove(OWN_RULE)
    yield from (Remove(path, "your changes to units") for path in sorted(machine.there) if path.parent == DROP_INS)
    yield from (Remove(path, "history and what is remembered") for path in STATE if path in machine.there)
    # a user's own group goes with the user, unless somebody else is in it
    yield from (Run(("gpasswd", "--delete", name, ASKERS)) for name in sorted(machine.askers))
    yield from (Run(("userdel", name)) for name in USERS if name in machine.users)
