"""`hemsd conformance`: which requirements of ITU-T G.9958 this home meets, with the evidence on this machine."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import convert, to_builtins

from drivers.interface import default_interface
from hemsd.cli.asking import Daemon, find
from hemsd.cli.exits import Exit, GaveUp
from hemsd.cli.words import painted
from hemsd.daemon.config import Config, load
from hemsd.daemon.conformance import Scene, Told, Verdict, report
from hemsd.daemon.operator import find_operator_socket
from hemsd.daemon.places import likely_sockets
from hemsd.daemon.state import find_state_directory
from hemsd.daemon.watch import breaches_of, watched
from hemsd.hub.messages import Breach, Domain, Health, MeterStatus
from hemsd.hub.requirements import BY_ID

FIRST_S = 5.0  # for the daemon to tell how things stand
WIDTH = 100  # of a line
GREEN, YELLOW, RED, GREY = 32, 33, 31, 90
COLOURS: Mapping[str, int] = {"pass": GREEN, "declared": YELLOW, "fail": RED, "not_applicable": GREY}


def run(arguments: argparse.Namespace) -> int:
    """Say it for each requirement; the exit code is 1 where one is not met and not declared."""
    config = load(arguments.config, judge=False)
    told = _told(arguments.config, config)
    around, lan = _around(config), default_interface()
    verdicts = report(Scene(config=config, lan=lan, told=told, around=around, environ=os.environ))
    if arguments.json:
        print(json.dumps(to_builtins(verdicts), ensure_ascii=False, indent=1))
    else:
        print("\n".join(lines(verdicts, config.profile)))
    return Exit.NOT_MET if any(each.verdict == "fail" for each in verdicts) else Exit.READ


def lines(verdicts: Iterable[Verdict], profile: str) -> list[str]:
    """For a person: what concerns this home one by one, then the sum."""
    shown, numbers = [], Counter[str]()
    for each in verdicts:
        numbers[each.verdict] += 1
        if each.verdict == "not_applicable":
            continue
        word = painted(f"{each.verdict:<9}", COLOURS[each.verdict])
        shown.append(f"{each.id:<4} {word} {each.clause}: {BY_ID[each.id].text}")
        shown += textwrap.wrap(each.evidence, WIDTH, initial_indent=" " * 15, subsequent_indent=" " * 15)
    parts = ", ".join(f"{numbers[word]} {word.replace('_', ' ')}" for word in COLOURS)
    return [*shown, f"profile {profile} of ITU-T G.9958: {parts}"]


def _around(config: Config) -> Mapping[str, tuple[Breach, ...]]:
    """What keeps interfaces of meter and appliances from being apart now; nothing where the kernel does not tell."""
    try:
        apart = watched(config, Domain.ROUTEB, Domain.APPLIANCES)
        return breaches_of([each for each in apart if each.interface != config.lan.interface], config)
    except OSError as error:
        print(f"hemsd: the kernel does not tell how interfaces stand: {error}", file=sys.stderr)
        return {}


def _told(named: Path | None, config: Config) -> Told | None:
    """What the running daemon says of itself; None where none can be asked."""
    state = find_state_directory(config.daemon.state_directory)
    places = [*(likely_sockets() if named is None else ()), str(find_operator_socket(config.daemon, state))]
    try:
        daemon = find(places)
        return None if daemon is None else _heard(daemon)
    except GaveUp as error:
        print(f"hemsd: {error}; without what it knows:", file=sys.stderr)
        return None


def _heard(daemon: Daemon) -> Told:
    """What it tells everyone at once, ending with its own health."""
    healths: dict[str, Health] = {}
    meters: dict[str | None, MeterStatus] = {}
    until = time.monotonic() + FIRST_S
    while Domain.OPERATOR.value not in healths and (told := daemon.next(until)) is not None:
        match told["type"]:
            case "Health":
                health = convert(told, Health)
                healths[health.name] = health
            case "MeterStatus":
                meter = convert(told, MeterStatus)
                meters[meter.meter] = meter
    return Told(healths=healths, meters=tuple(meters.values()))
