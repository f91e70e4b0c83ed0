"""`hemsd appliances`: what there is in the house and what it does, reading and setting it, by way of the daemon."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import convert, to_builtins

from hemsd.cli.asking import Daemon
from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.cli.household import first
from hemsd.cli.inventory import as_json, print_all, print_one, read_back, shown, telling
from hemsd.cli.read import daemon_for
from hemsd.cli.status import NONE_RUNS
from hemsd.cli.words import plain
from hemsd.hub.messages import (
    PROPERTY_CODE,
    ApplianceProperty,
    ApplianceStatus,
    Domain,
    ErrorCode,
    Scalar,
    UserRequest,
    UserResponse,
)

ANSWER_S = 240.0  # of a command, at most: the daemon gives it 50 s in line and 180 s on its way
PROPERTY_S = 70.0  # from one property to the next: the daemon gives each 60 s
NOTHING = "no appliance has been found yet; [networks.NAME] in the configuration says where to look"

EXITS: Mapping[ErrorCode, Exit] = {
    "": Exit.READ,
    "bad_request": Exit.USAGE,
    "out_of_range": Exit.USAGE,
    "unknown_target": Exit.ABSENT,
    "not_settable": Exit.ABSENT,
    "busy": Exit.TIMEOUT,
    "timeout": Exit.TIMEOUT,
    "unverified": Exit.TIMEOUT,
    "expired": Exit.TIMEOUT,
    "internal": Exit.TIMEOUT,
    "device_refused": Exit.REFUSED,
    "forbidden_origin": Exit.REFUSED,
    "forbidden_profile": Exit.REFUSED,
    "overridden_by_rule": Exit.REFUSED,
    "rate_limited": Exit.REFUSED,
}
"""What an answer means for the exit code."""

_INTEGER = re.compile("[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
_SWITCH: Mapping[str, bool] = {"true": True, "false": False}
_ON: Mapping[str, bool] = {"on": True, "off": False, **_SWITCH}


def run(arguments: argparse.Namespace) -> int:
    """Do one of ACTIONS with the daemon that runs."""
    daemon = daemon_for(arguments)
    if daemon is None:
        raise GaveUp(Exit.NO_DAEMON, NONE_RUNS)
    return ACTIONS[arguments.action or "list"](daemon, arguments)


def _list(daemon: Daemon, arguments: argparse.Namespace) -> int:
    household = first(daemon)
    every = [(status, household.states.get(status.appliance)) for status in household]
    if arguments.json:
        print(json.dumps([as_json(*each) for each in every], ensure_ascii=False))
    elif every:
        print_all(every, datetime.now(UTC))
    else:
        print(NOTHING)
    return Exit.READ


def _show(daemon: Daemon, arguments: argparse.Namespace) -> int:
    household = first(daemon)
    status = household.find(arguments.name)
    state = household.states.get(status.appliance)
    if arguments.json:
        print(json.dumps(as_json(status, state, whole=True), ensure_ascii=False))
    else:
        print_one(status, state, datetime.now(UTC))
    return Exit.READ


# --- reading --------------------------------------------------------------------------------------------------


def _get(daemon: Daemon, arguments: argparse.Namespace) -> int:
    """Have properties read now, one line each as they come."""
    status = first(daemon).find(arguments.name)
    named = tuple(dict.fromkeys(_property(each, status) for each in arguments.properties))
    asked = _asked("get", status, properties=named)
    width = max(map(len, named or status.readable), default=0)
    found: dict[str, dict[str, Any]] = {}
    last: UserResponse | None = None
    errors: set[str] = set()
    for answer in _answers(daemon, asked, arguments.timeout, PROPERTY_S):
        last = answer
        if (told := answer.property) is None:
            continue
        errors.add(told.error)
        name = told.name or f"0x{told.epc:02X}"
        found[name] = plain(told)
        if not arguments.json:
            print(f"{name:<{width}}  {_told(told)}", flush=True)
    if arguments.json:
        print(json.dumps({name: _answer_json(each) for name, each in found.items()}, ensure_ascii=False))
    if not found and last is not None and last.error:
        raise GaveUp(EXITS[last.error], last.detail or f"{status.name}: {_words(last.error)}")
    return _judged(status, errors, last, named=bool(named))


def _property(word: str, status: ApplianceStatus) -> str:
    """A property as the daemon names it; for a word, the one that tells it. Raises GaveUp where there is none."""
    if PROPERTY_CODE.fullmatch(word):
        return f"0x{word[2:].upper()}"
    if not status.known or word in status.readable:
        return word
    words = telling(status)
    if word in words:
        return words[word]
    near = difflib.get_close_matches(word, [*words, *status.readable], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"`hemsd appliances show {status.name}` lists what it has"
    raise GaveUp(Exit.ABSENT, f"{status.name} has no {word!r} to read; {hint}")


def _told(told: ApplianceProperty) -> str:
    if told.error:
        return {"absent": "it has no such property", "refused": "refused", "timeout": "no answer in time"}[told.error]
    if told.state:
        return _words(told.state)
    if told.value is None:
        return f"{told.edt} (hexadecimal)"
    return f"{shown(told.value)} {told.unit}".rstrip()


def _answer_json(told: Mapping[str, Any]) -> dict[str, Any]:
    """With its code as `show` has it."""
    rest = {key: told[key] for key in ("value", "unit", "state", "edt", "error")}
    return {"code": f"0x{told['epc']:02X}", **rest}


def _judged(status: ApplianceStatus, errors: set[str], last: UserResponse | None, *, named: bool) -> int:
    """What the user named and is not there tells more than what is only late."""
    if named and errors & {"absent", "refused"}:
        return Exit.REFUSED if "absent" not in errors else Exit.ABSENT
    if "timeout" in errors or (last is not None and last.error == "timeout"):
        print(f"hemsd: {status.name} did not answer everything in time", file=sys.stderr)
        return Exit.TIMEOUT
    return Exit.READ


# --- setting --------------------------------------------------------------------------------------------------


def _set(daemon: Daemon, arguments: argparse.Namespace) -> int:
    values = values_of(arguments.values)
    status = first(daemon).find(arguments.name)
    expires_at = None if arguments.ttl is None else datetime.now(UTC) + timedelta(seconds=arguments.ttl)
    return _ordered(daemon, arguments, _asked("set", status, values=values, expires_at=expires_at), status)


def _identify(daemon: Daemon, arguments: argparse.Namespace) -> int:
    status = first(daemon).find(arguments.name)
    return _ordered(daemon, arguments, _asked("identify", status), status)


def _forget(daemon: Daemon, arguments: argparse.Namespace) -> int:
    status = first(daemon).find(arguments.name)
    return _ordered(daemon, arguments, _asked("forget", status), status)


def values_of(words: list[str]) -> dict[str, Scalar]:
    """What WORD=VALUE on the command line means. Raises UsageError."""
    values: dict[str, Scalar] = {}
    for each in words:
        word, equals, text = each.partition("=")
        if not word or not equals:
            raise UsageError(f"{each!r} sets nothing: write it like on=true or target_temperature_c=26")
        word = f"0x{word[2:].upper()}" if PROPERTY_CODE.fullmatch(word) else word
        if word in values:
            raise UsageError(f"{word} is given twice")
        values[word] = _value(word, text)
    return values


def _value(word: str, text: str) -> Scalar:
    """A truth, a number or text, by how it is written; data of a property by its code stays text."""
    if PROPERTY_CODE.fullmatch(word):
        return text
    if (switch := (_ON if word == "on" else _SWITCH).get(text.lower())) is not None:
        return switch
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _ordered(daemon: Daemon, arguments: argparse.Namespace, asked: UserRequest, status: ApplianceStatus) -> int:
    """Have it done and say what became of it."""
    (*_, answer) = _answers(daemon, asked, arguments.timeout, ANSWER_S)
    if arguments.json:
        outcome = answer.outcome or ("refused" if answer.error else "")
        told = {"appliance": status.appliance, "name": status.name, "outcome": outcome}
        told |= {key: getattr(answer, key) for key in ("error", "detail", "values")}
        print(json.dumps(told, ensure_ascii=False))
        return EXITS[answer.error]
    if answer.error and not answer.outcome:  # it was not tried
        raise GaveUp(EXITS[answer.error], answer.detail or f"{status.name}: {_words(answer.error)}")
    said = _outcome(asked, answer)
    if answer.error and answer.error != "unverified":
        raise GaveUp(EXITS[answer.error], f"{status.name}: {said}")
    print(f"{status.name}: {said}")
    return EXITS[answer.error]


def _outcome(asked: UserRequest, answer: UserResponse) -> str:
    """What became of an order, in a line."""
    done = {"set": "set", "identify": "it showed itself", "forget": "forgotten"}[asked.operation]
    what = {
        "applied": done,
        "unverified": "accepted, not confirmed",
        "rejected": "the appliance refused",
        "timeout": "no answer in time",
        "refused": _words(answer.error),
    }.get(answer.outcome, done)
    more = "; ".join(text for text in (read_back(answer.values), answer.detail) if text)
    return ": ".join(text for text in (what, more) if text)


def _words(code: str) -> str:
    return code.replace("_", " ")


# --- asking ---------------------------------------------------------------------------------------------------


def _asked(
    operation: Literal["set", "get", "identify", "forget"], status: ApplianceStatus, **more: Any
) -> UserRequest:
    return UserRequest(
        request=os.urandom(8).hex(), asker=Domain.OPERATOR, operation=operation, target=status.appliance, **more
    )


def _answers(daemon: Daemon, asked: UserRequest, timeout_s: float | None, pause_s: float) -> Iterator[UserResponse]:
    """All answers, to the last; within `timeout_s`, or else `pause_s` from one to the next. Raises GaveUp."""
    began = time.monotonic()
    daemon.send(to_builtins(asked))
    until = began + (timeout_s or pause_s)
    while (told := daemon.next(until)) is not None:
        if told["type"] == "UserResponse" and told["request"] == asked.request:
            answer = convert(told, UserResponse)
            yield answer
            if answer.last:
                return
            until = until if timeout_s else time.monotonic() + pause_s
    text = f"gave up after {time.monotonic() - began:.0f} s without an answer of the daemon"
    if asked.operation != "get":
        text += ": it may or may not be done; look before you repeat it"
    raise GaveUp(Exit.TIMEOUT, text)


def _watch(daemon: Daemon, arguments: argparse.Namespace) -> int:
    from hemsd.cli.changes import watch

    watch(daemon, arguments.names, as_json=arguments.json)
    return Exit.READ


ACTIONS: Mapping[str, Callable[[Daemon, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "get": _get,
    "set": _set,
    "watch": _watch,
    "identify": _identify,
    "forget": _forget,
}
