"""`hemsd firewall`: the nftables ruleset that keeps the interfaces of the meter and of appliances apart."""

from __future__ import annotations

import argparse
import sys

from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.daemon.config import Config, load
from hemsd.daemon.firewall import FirewallError, apply, compare, remove
from hemsd.daemon.ruleset import Walls, ruleset, walls

NO_LAN = (
    "name the home network's interface first, so that it is never closed by mistake: write interface = ... in [lan]"
)
NOTHING = "there is no interface to keep apart: the meter is on a serial port, and no [networks] of their own"


def run(arguments: argparse.Namespace) -> int:
    """Print, apply, check or remove it. Raises UsageError, GaveUp."""
    try:
        match arguments.action:
            case "print":
                print(ruleset(_walls(load(arguments.config))), end="")
            case "apply":
                return _apply(_walls(load(arguments.config)))
            case "check":
                return _check(_walls(load(arguments.config)))
            case "remove":
                remove()
    except ValueError as error:  # of a name that nft does not take
        raise UsageError(str(error)) from error
    except FirewallError as error:
        raise GaveUp(Exit.USAGE, str(error)) from error
    return Exit.READ


def _walls(config: Config) -> Walls:
    found = walls(config)
    if found.interfaces and config.lan.interface is None:
        raise UsageError(NO_LAN)
    return found


def _apply(found: Walls) -> int:
    if not found.interfaces:
        remove()
        print(NOTHING)
    else:
        done = "loaded" if apply(found) else "it stood already"
        print(f"{done}: nothing passes to or from {', '.join(found.interfaces)}")
    return Exit.READ


def _check(found: Walls) -> int:
    if not found.interfaces:
        print(NOTHING)
        return Exit.READ
    differing = compare(found)
    for each in differing:
        print(each, file=sys.stderr)
    if differing:
        print("load it anew with `sudo hemsd firewall apply`", file=sys.stderr)
        return Exit.DIFFERS
    print(f"it stands: nothing passes to or from {', '.join(found.interfaces)}")
    return Exit.READ
