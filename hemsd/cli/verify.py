"""`hemsd verify`: whether half-hours that went through other hands are still what a home signed."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

from hemsd.cli.exits import Exit, UsageError
from hemsd.gateway.signature import SignatureError, judge, key_id

LINE_MAX: Final = 65_536  # characters; a record has some hundred
ANY = ""  # the site of a key that was given without one

Keys = Mapping[str, str]
"""The public key of each site."""


def run(arguments: argparse.Namespace) -> int:
    """Judge every record of a file; the exit code says whether there are any and all are good."""
    keys = _keys(arguments)
    if str(arguments.file) == "-":
        return _judged(sys.stdin, keys, arguments.json)
    try:
        with Path(arguments.file).open(encoding="utf-8", errors="backslashreplace") as source:
            return _judged(source, keys, arguments.json)
    except OSError as error:
        raise UsageError(f"{arguments.file}: {(error.strerror or str(error)).lower()}") from None


def _judged(source: TextIO, keys: Keys, as_json: bool) -> int:
    if isinstance(source, TextIOWrapper):
        source.reconfigure(errors="backslashreplace")
    counted: Counter[str] = Counter()
    for number, line in enumerate(_lines(source), 1):
        if not line.isspace():
            told = _told(line, keys)
            counted[told["verdict"]] += 1
            if as_json:
                print(json.dumps({"line": number, **told}), flush=True)
            elif told["verdict"] != "good":
                known = " ".join(str(told[name]) for name in ("site", "meter", "start") if told[name] is not None)
                print(f"line {number}: {told['verdict']}{f': {known}' if known else ''}", flush=True)
    if not as_json:
        print(", ".join(f"{count} {verdict}" for verdict, count in counted.most_common()) or "no records")
    return Exit.READ if set(counted) == {"good"} else Exit.MALFORMED


def _told(line: str, keys: Keys) -> dict[str, Any]:
    """The verdict on one line, and which record it is."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        record = {}
    about = {name: _scalar(record.get(name)) for name in ("site", "meter", "start", "seq")}
    public = keys.get(str(about["site"]), keys.get(ANY))
    return {"verdict": judge(record, public), **about}


def _scalar(value: object) -> str | float | None:
    return value if isinstance(value, str | int | float) else None


def _lines(source: TextIO) -> Iterator[str]:
    """Each line; of one that is too long, as much as is needed to refuse it."""
    while line := source.readline(LINE_MAX):
        rest = line
        while len(rest) == LINE_MAX and not rest.endswith("\n"):
            rest = source.readline(LINE_MAX)
        yield line


def _keys(arguments: argparse.Namespace) -> Keys:
    """Of --key and --keys together. Raises UsageError."""
    found: dict[str, str] = {}
    try:
        for text in arguments.key:
            site, _, public = (ANY, "", text) if text.startswith("ed25519:") else text.partition("=")
            key_id(public)
            found[site] = public
        if arguments.keys is not None:
            with Path(arguments.keys).open(encoding="utf-8") as source:
                found |= _told_keys(_lines(source), str(arguments.keys))
    except SignatureError as error:
        raise UsageError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{arguments.keys}: this cannot be read as text: {error}") from None
    if not found:
        raise UsageError("name the key that is to have signed this: --key, or --keys for several homes")
    return found


def _told_keys(lines: Iterable[str], name: str) -> Iterator[tuple[str, str]]:
    """Sites and keys of lines with what each home told in bridge/info. Raises UsageError, SignatureError."""
    for number, line in enumerate(lines, 1):
        try:
            told = json.loads(line)
            site, public = told["site"], told["signing_key"]
        except (ValueError, RecursionError, TypeError, KeyError):
            raise UsageError(f"{name}, line {number}: this is not what a home tells in bridge/info") from None
        if isinstance(site, str) and isinstance(public, str):
            key_id(public)
            yield site, public
