"""The `hemsd` command; each sub-command is a module of its own, imported only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from hemsd import __version__
from hemsd.cli.exits import EXIT_CODES, Exit, explain

WHAT = "power current energy interval clock identity all, or a property code like 0xE7; default: power current energy"

RUNS = {  # command -> module here, function in it
    "read": ("read", "run"),
    "scan": ("scan", "run"),
    "ports": ("ports", "run"),
    "run": ("service", "run"),
    "config": ("service", "check"),
    "demo": ("demo", "run"),
    "record": ("sessions", "record"),
    "replay": ("sessions", "replay"),
    "decode": ("decode", "run"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `Exit`). Errors are told on standard error in plain words."""
    arguments = parser().parse_args(argv)
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
        print(f"hemsd: {explained.text}", file=sys.stderr)
        return explained.exit


def _run(arguments: argparse.Namespace) -> int:
    module, function = RUNS[arguments.command]
    code: int = getattr(import_module(f"hemsd.cli.{module}"), function)(arguments)
    return code


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    top = argparse.ArgumentParser(
        prog="hemsd",
        description="Read the Japanese smart meter over Wi-SUN Route B, and give it to the home over MQTT.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"hemsd {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_read(commands)
    scan = _add(commands, "scan", "show which meters answer, and how well")
    _add_connection(scan)
    scan.add_argument("--json", action="store_true", help="one JSON object")
    ports = _add(commands, "ports", "show the serial ports a module could be on")
    ports.add_argument("--json", action="store_true", help="one JSON array")
    run = _add(commands, "run", "run as the daemon (this is what the systemd unit does)")
    run.add_argument("--config", type=Path, metavar="FILE", help="configuration, default /etc/hemsd/hemsd.toml")
    _add_demo(commands)
    _add_sessions(commands)
    decode = _add(commands, "decode", "print ECHONET Lite frames as JSON, one object a line")
    decode.add_argument("frames", nargs="+", metavar="HEX", help="a frame in hexadecimal, or - for standard input")
    config = _add(commands, "config", "work with the configuration")
    check = config.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "check", help="check the configuration and what it points to", description="Check the configuration."
    )
    check.add_argument("--config", type=Path, metavar="FILE", help="default /etc/hemsd/hemsd.toml")
    return top


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_connection(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--port", metavar="PATH", help="serial port; default: the configured one, or the only likely one"
    )
    where.add_argument(
        "--interface", metavar="NAME", help="network interface instead, for a second-generation meter over Wi-Fi"
    )
    command.add_argument("--credentials", type=Path, metavar="FILE", help="TOML file with id and password, mode 0600")
    command.add_argument("--config", type=Path, metavar="FILE", help="configuration that names both")
    command.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="give up after this long; default: when there is no hope left",
    )


def _add_read(commands: Commands) -> None:
    read = _add(commands, "read", "read the meter")
    read.add_argument("what", nargs="*", metavar="WHAT", help=WHAT)
    _add_connection(read)
    read.add_argument("--json", action="store_true", help="one JSON object (one a line with --watch)")
    read.add_argument("--watch", type=_seconds, metavar="SECONDS", help="go on reading, this often; at least 10")


def _add_demo(commands: Commands) -> None:
    demo = _add(commands, "demo", "run everything against a simulated house, in this terminal")
    demo.add_argument(
        "--family", choices=["SE", "DUAL", "J11"], default="SE", help="language of the simulated module"
    )
    demo.add_argument("--seconds", type=_seconds, metavar="SECONDS", help="end after this long; default: at Ctrl-C")


def _add_sessions(commands: Commands) -> None:
    record = _add(commands, "record", "read the meter while writing the session down, secrets masked")
    record.add_argument("file", type=Path, metavar="FILE", help="transcript to write; must not exist")
    _add_connection(record)
    record.add_argument("--seconds", type=_seconds, metavar="SECONDS", help="go on listening this long after reading")
    replay = _add(commands, "replay", "run a recorded session through the driver and show what it makes of it")
    replay.add_argument(
        "file", type=Path, metavar="FILE", help="a transcript, or a published capture of the same style"
    )
    replay.add_argument("--pty", action="store_true", help="put it on a pseudo-terminal instead, for another program")
    replay.add_argument("--real-time", action="store_true", help="keep the recorded pace")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError("a positive number of seconds is wanted")
    return seconds
