"""Loading the nftables ruleset, looking whether it still stands, and the mark by which others know that it does.

Only root can see the table, so what root saw is left as a mark in /run/hemsd-firewall for the daemon, which may not
look itself. A mark counts for a quarter of an hour and for the network namespace that it was made in; a timer
renews it, and the rules with it should somebody have flushed them.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import msgspec

from drivers import files
from drivers.netlink import survey
from drivers.tcp import served
from hemsd.daemon.places import system_path
from hemsd.daemon.ruleset import TABLE, Walls, differences, ruleset

MARKS = Path("/run/hemsd-firewall")
NAMESPACE = Path("/proc/self/ns/net")
BELIEVED_S = 900.0  # three times what systemd/hemsd-firewall.timer waits
MARK_SIZE = 1 << 16
NFT_S = 30.0
SSH_PORT = 22


class FirewallError(Exception):
    """The firewall is not as it should be, or cannot be set; the text says what to do."""


class Mark(msgspec.Struct, frozen=True):
    """What root saw: these interfaces are walled off. The time is of this machine's boot clock."""

    interfaces: tuple[str, ...]
    seen_s: float
    rules: str  # as they were loaded
    listing: str  # and as nft lists them


def apply(walls: Walls) -> bool:
    """Make the ruleset stand, and mark that it does; whether anything had to be loaded. Raises FirewallError."""
    rules = ruleset(walls)
    missing = compare(walls)
    if missing:
        _keep_doors_open(walls)
        _nft("-f", "-", rules=rules)
    listing = _loaded()
    if listing is None:
        raise FirewallError(f"{TABLE} was loaded and is gone: does another firewall flush what is not its own?")
    _leave(Mark(walls.interfaces, time.clock_gettime(time.CLOCK_BOOTTIME), rules, listing))
    return bool(missing)


def compare(walls: Walls) -> list[str]:
    """How what is loaded differs from what should be, in words; nothing where it does not. Raises FirewallError."""
    loaded, mark = _loaded(), _mark()
    if loaded is None:
        return [f"table {TABLE} is not loaded"]
    if mark is None:
        return [f"table {TABLE} was not loaded by `hemsd firewall apply` since this machine was started"]
    changed = (
        f"since it was loaded the configuration changed: {text}" for text in differences(mark.rules, ruleset(walls))
    )
    return [*differences(loaded, mark.listing), *changed]


def remove() -> None:
    """Take the ruleset and the mark away; there need not be any. Raises FirewallError."""
    path = _mark_path()
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise FirewallError(
            f"{path}: {(error.strerror or str(error)).lower()}; root removes it, with sudo"
        ) from error
    _nft("-f", "-", rules=f"table {TABLE}\ndelete table {TABLE}\n")


def walled() -> frozenset[str]:
    """The interfaces that are known to be walled off: a mark of root's that is new enough says so."""
    mark, now = _mark(), time.clock_gettime(time.CLOCK_BOOTTIME)
    return frozenset(mark.interfaces) if mark and 0 <= now - mark.seen_s <= BELIEVED_S else frozenset()


# --- the mark


def _mark_path() -> Path:
    return MARKS / f"{NAMESPACE.stat().st_ino}.json"


def _mark() -> Mark | None:
    """The mark of this network namespace, where it is one that nobody but root can have made."""
    path = _mark_path()
    try:
        if all(_is_roots(each) for each in (path.parent, path)):
            return msgspec.json.decode(files.read(path, MARK_SIZE), type=Mark)
    except (OSError, ValueError):  # msgspec's own are of the latter
        pass
    return None


def _is_roots(path: Path) -> bool:
    found = path.lstat()
    return found.st_uid == 0 and not stat.S_ISLNK(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _leave(mark: Mark) -> None:
    """For everyone to read. Raises FirewallError."""
    path = _mark_path()
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.parent.chmod(0o755)  # whatever the umask is
        files.replace(path, msgspec.json.encode(mark), mode=0o644)
    except OSError as error:
        raise FirewallError(f"{path}: {(error.strerror or str(error)).lower()}; it is written by root") from error


# --- nft


def _keep_doors_open(walls: Walls) -> None:
    """Refuse to lock out who is logged in by ssh over a network of appliances. Raises FirewallError."""
    if SSH_PORT in walls.admitted:
        return
    serving = set(served(SSH_PORT))
    for name, found in survey(walls.networks).items():
        if not serving.isdisjoint(str(each.ip) for each in found.addresses):
            raise FirewallError(
                f"somebody is logged in by ssh over {name}, and nobody could log in there any more: come by another "
                f"interface, or write admit_tcp = [{SSH_PORT}] in [isolation]. Nothing was changed"
            )


def _loaded() -> str | None:
    """The table as nft lists it; None where there is none."""
    tables = _nft("list", "tables")
    return _nft("-s", "list", "table", *TABLE.split()) if f"table {TABLE}" in tables.splitlines() else None


def _nft(*words: str, rules: str = "") -> str:
    try:
        done = subprocess.run(
            ["nft", *words],
            env={**os.environ, "PATH": system_path()},
            input=rules,
            capture_output=True,
            text=True,
            timeout=NFT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise FirewallError("nft is not installed: apt install nftables") from error
    except subprocess.TimeoutExpired as error:
        raise FirewallError(f"nft did not end within {NFT_S:g} s") from error
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        if os.geteuid() != 0:
            reason = f"this takes root, so put sudo before it ({reason})"
        raise FirewallError(f"nft: {reason}")
    return done.stdout
