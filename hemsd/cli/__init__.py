"""The `hemsd` command; each sub-command is a module of its own, imported only when it is called."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper

from hemsd.cli.exits import Exit, explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

RUNS = {  # command -> module here, function in it
    "read": ("read", "run"),
    "status": ("status", "run"),
    "appliances": ("appliances", "run"),
    "history": ("history", "run"),
    "scan": ("scan", "run"),
    "ports": ("ports", "run"),
    "run": ("service", "run"),
    "config": ("service", "check"),
    "conformance": ("conformance", "run"),
    "firewall": ("firewall", "run"),
    "pki": ("pki", "run"),
    "verify": ("verify", "run"),
    "install": ("install", "run"),
    "uninstall": ("install", "remove"),
    "demo": ("demo", "run"),
    "record": ("sessions", "record"),
    "replay": ("sessions", "replay"),
    "decode": ("decode", "run"),
}
PARTS = ("hub", "routeb", "gateway")  # what `run --part` takes


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `Exit`). Errors are told on standard error in plain words."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where the language's encoding has no word for it
    arguments = _parsed(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 128 + 2  # as a shell reports a process ended by SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return Exit.READ
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        code, text = explained
        _complain(f"hemsd: {text}")
        return code


def _complain(text: str) -> None:
    import logging

    from hemsd.daemon.logs import marked

    print(marked(text, logging.ERROR), file=sys.stderr)


def _run(arguments: Any) -> int:
    module, function = RUNS[arguments.command]
    code: int = getattr(__import__(f"hemsd.cli.{module}", fromlist=[function]), function)(arguments)
    return code


def _parsed(argv: Sequence[str]) -> Any:
    if argv[:1] == ["read"] and not any(word.startswith("-") and word != "--json" for word in argv):
        return _PlainRead(argv[1:])
    if argv[:1] == ["run"]:
        options = dict(zip(argv[1::2], argv[2::2], strict=False))
        if len(argv) == 1 + 2 * len(options) and _PlainRun.fits(options):
            return _PlainRun(options)
    from hemsd.cli.parser import parser

    return parser().parse_args(argv)


class _PlainRead:
    """What argparse would make of `read [WHAT ...] [--json]`: it would take half the time of the whole command."""

    command = "read"
    port = interface = credentials = config = timeout = watch = None

    def __init__(self, words: Sequence[str]) -> None:
        self.json = "--json" in words
        self.what = [word for word in words if word != "--json"]


class _PlainRun:
    """What argparse would make of `run [--part PART] [--config FILE]`: it would stay in the daemon's memory."""

    command = "run"

    def __init__(self, options: Mapping[str, str]) -> None:
        from pathlib import Path

        self.part = options.get("--part")
        self.config = Path(options["--config"]) if "--config" in options else None

    @staticmethod
    def fits(options: Mapping[str, str]) -> bool:
        """Whether argparse would have nothing to say about them."""
        parts = options.get("--part", PARTS[0]) in PARTS
        return parts and options.keys() <= {"--part", "--config"} and not options.get("--config", "").startswith("-")
