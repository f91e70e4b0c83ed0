"""`hemsd read`: values of the meter, for people or as JSON; through the daemon where one runs, else from the port."""

from __future__ import annotations

import os
import sys
import time

from hemsd.cli.answer import Wanted, answer_of, show, verdict, wanted
from hemsd.cli.asking import Daemon, Gone, find
from hemsd.cli.exits import TROUBLE, Exit, GaveUp, UsageError
from hemsd.daemon.places import likely_sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hemsd.cli.asking import Told

WATCH_FLOOR_S = 10  # hemsd.daemon.config.POLLING_FLOOR_S
ANSWER_S = 100.0  # the daemon itself gives a meter 90 s
LONGEST_S = 600.0  # of waiting for a meter that is being looked for
AT_ONCE = 32  # properties of one ReadMeter


def run(arguments: Any) -> int:
    """Read once, or again and again with --watch."""
    what = wanted(arguments.what, as_json=arguments.json)
    _check_pace(arguments)
    daemon = daemon_for(arguments)
    if daemon is None:
        from hemsd.cli.direct import read_directly

        return read_directly(arguments, what)
    if arguments.watch is not None:
        _watch(daemon, what, arguments)
    status, told = ask(daemon, what.asked(), arguments, _Waiting().tell)
    answer = answer_of(what, status, told)
    show(answer, as_json=arguments.json)
    return verdict(answer, what)


def daemon_for(arguments: Any) -> Daemon | None:
    """The daemon to ask; None where none runs, or where the user says how to reach the meter. Raises GaveUp."""
    if any(getattr(arguments, name, None) is not None for name in ("port", "interface", "credentials")):
        return None
    if arguments.config is None and (daemon := find(likely_sockets())) is not None:
        return daemon
    from hemsd.cli.connect import configured_socket

    return find([configured_socket(arguments)])


def _check_pace(arguments: Any) -> None:
    every_s = arguments.watch
    if every_s is None or every_s >= WATCH_FLOOR_S:
        return
    from hemsd.cli.connect import config_of

    if not config_of(arguments).meter.allow_fast_polling:
        raise UsageError(
            f"a meter should be asked every {WATCH_FLOOR_S} s at most: give --watch {WATCH_FLOOR_S} or more, "
            "or set allow_fast_polling in the configuration"
        )


def ask(
    daemon: Daemon, epcs: tuple[int, ...], arguments: Any, tell: Callable[[Told], object] = id
) -> tuple[Told, dict[int, Told]]:
    """Have the meter asked as soon as it is online: its status after that, and each property. Raises GaveUp, Gone.

    `tell` is called with each status on the way.
    """
    timeout_s: float | None = arguments.timeout
    until = time.monotonic() + (timeout_s or LONGEST_S)
    request, asked = os.urandom(8).hex(), False
    left = 0
    status: Told = {}
    told: dict[int, Told] = {}
    while (message := daemon.next(until)) is not None:
        if message["type"] == "MeterStatus":
            status = message
            tell(status)
            if not status["online"]:
                _look_for_hope(status)
            elif not asked:
                asked = True
                until = min(until, time.monotonic() + ANSWER_S)
                for at in range(0, len(epcs), AT_ONCE):
                    some = epcs[at : at + AT_ONCE]
                    daemon.send({"type": "ReadMeter", "request": request, "asker": "operator", "epcs": some})
                    left += 1
        elif message["type"] == "MeterProperty" and message["request"] == request:
            told[message["epc"]] = message
            left -= message["last"]
            if not left:
                return status, told
        elif message["type"] == "Health" and message["source"] == "operator" and not status:
            look_for_a_meter(arguments)  # the daemon has said how things stand, and nothing of one
    raise _gave_up(status, timeout_s or (ANSWER_S if asked else LONGEST_S))


class _Waiting:
    """Says on a terminal what the daemon does to reach the meter, each thing once."""

    def __init__(self) -> None:
        self._said = ""

    def tell(self, status: Told) -> None:
        if not status["online"] and status["detail"] != self._said and sys.stderr.isatty():
            self._said = status["detail"]
            print(f"hemsd: {self._said} ...", file=sys.stderr)


def look_for_a_meter(arguments: Any) -> None:
    """Raises NoMeter where the configuration has no link to one."""
    from hemsd.cli.connect import config_of
    from hemsd.daemon.config import find_port

    settings = config_of(arguments).meter
    if not settings.there:
        find_port(settings.port)


def _look_for_hope(status: Told) -> None:
    """Raises GaveUp where the daemon has come to a conclusion, and only waits for better times."""
    trouble = TROUBLE.get(status["trouble"])
    if trouble is not None and status["stage"] in ("waiting", "refused"):
        raise GaveUp(trouble, status["detail"])


def _gave_up(status: Told, after_s: float) -> GaveUp:
    stage = status.get("stage", "")
    exit = {"opening": Exit.PORT, "scanning": Exit.NOT_HEARD}.get(stage, Exit.TIMEOUT)
    doing = "" if status.get("online") else status.get("detail", "")
    return GaveUp(exit, f"gave up after {after_s:g} s while {doing or 'waiting for the meter'}")


def _watch(daemon: Daemon, what: Wanted, arguments: Any) -> None:
    """Read for ever; a round that fails is told, and a daemon that is restarted is waited for."""
    due = time.monotonic()
    while True:
        try:
            _round(daemon, what, arguments)
            due = max(due + arguments.watch, time.monotonic())
            while daemon.next(due) is not None:
                pass  # what the house says meanwhile
        except Gone as gone:
            daemon = daemon.back(gone)


def _round(daemon: Daemon, what: Wanted, arguments: Any) -> None:
    try:
        status, told = ask(daemon, what.asked(), arguments, _Waiting().tell)
        show(answer_of(what, status, told), as_json=arguments.json, timed=True)
    except Gone:
        raise
    except GaveUp as error:
        print(f"hemsd: {error}", file=sys.stderr)
