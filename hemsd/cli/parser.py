"""The command line as argparse sees it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TypeAlias

from hemsd import __version__
from hemsd.cli import PARTS
from hemsd.cli.exits import EXIT_CODES

WHAT = "power current energy interval clock identity all, or a property code like 0xE7; default: power current energy"

NAME = "its name, its id or a part of it from the beginning, or its address, with /OBJECT where several are there"
EXPOSURES = ["aggregates", "appliances", "control"]
DAEMON = "configuration of the daemon to ask"
WISH = "on=true mode=heat, a property (one of parts as JSON), or 0xB3=1A; `show` says what is accepted"
PACE = (
    "An appliance is ordered once in 10 s and 20 times an hour at most: the second of two orders waits for its turn."
)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="hemsd",
        description="Read the Japanese smart meter over Wi-SUN Route B, read and set the appliances of the house\n"
        "over ECHONET Lite, and give the values to the home over MQTT.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"hemsd {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_read(commands)
    status = _add(commands, "status", "say how the running daemon and its meter are doing")
    _add_config(status)
    status.add_argument("--json", action="store_true", help="one JSON object (one a line with --watch)")
    status.add_argument("--watch", action="store_true", help="go on, and say it anew whenever it changes")
    _add_appliances(commands)
    _add_history(commands)
    scan = _add(commands, "scan", "show which meters answer, and how well")
    _add_connection(scan)
    scan.add_argument("--json", action="store_true", help="one JSON object")
    ports = _add(commands, "ports", "show the serial ports a module could be on")
    ports.add_argument("--json", action="store_true", help="one JSON array")
    run = _add(commands, "run", "run as the daemon (this is what the systemd unit does)")
    run.add_argument("--config", type=Path, metavar="FILE", help="configuration, default /etc/hemsd/hemsd.toml")
    parts = "only this part of it, in a process of its own; the others find the hub's at /run/hemsd"
    run.add_argument("--part", choices=PARTS, help=parts)
    _add_demo(commands)
    _add_sessions(commands)
    decode = _add(commands, "decode", "print ECHONET Lite frames as JSON, one object a line")
    decode.add_argument("frames", nargs="+", metavar="HEX", help="a frame in hexadecimal, or - for standard input")
    config = _add(commands, "config", "work with the configuration")
    check = config.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser(
        "check", help="check the configuration and what it points to", description="Check the configuration."
    )
    check.add_argument("--config", type=Path, metavar="FILE", help="default /etc/hemsd/hemsd.toml")
    conformance = _add(commands, "conformance", "say which requirements of ITU-T G.9958 this home meets, and why")
    conformance.add_argument("--config", type=Path, metavar="FILE", help="default /etc/hemsd/hemsd.toml")
    conformance.add_argument("--json", action="store_true", help="a JSON array with one object for each requirement")
    _add_firewall(commands)
    _add_pki(commands)
    _add_verify(commands)
    _add_install(commands)
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


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help=DAEMON)


def _add_appliances(commands: Commands) -> None:
    appliances = _add(commands, "appliances", "show, read and set the appliances of the house")
    _add_config(appliances)
    appliances.add_argument("--json", action="store_true", help="as JSON")
    actions = appliances.add_subparsers(dest="action", metavar="ACTION", help="default: list")

    def add(action: str, text: str) -> argparse.ArgumentParser:
        command = _add(actions, action, text)
        command.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=DAEMON)
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as JSON")
        return command

    def add_for_one(action: str, text: str) -> argparse.ArgumentParser:
        command = add(action, text)
        command.add_argument("name", metavar="NAME", help=NAME)
        return command

    def add_timeout(command: argparse.ArgumentParser) -> None:
        command.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="wait no longer for an answer")

    add("list", "show all appliances and what they do now")
    add_for_one("show", "show everything that is known of one, and what can be set")
    get = add_for_one("get", "have one read now")
    get.add_argument("properties", nargs="*", metavar="PROPERTY", help="by word, name or code (0xB3); default: all")
    add_timeout(get)
    set_ = add_for_one("set", "set one, and say what became of it")
    set_.description = f"{set_.description}\n{PACE}"
    set_.add_argument("values", nargs="+", metavar="WORD=VALUE", help=WISH)
    set_.add_argument("--ttl", type=_seconds, metavar="SECONDS", help="not to be sent any more after this long")
    add_timeout(set_)
    watch = add("watch", "tell every change as it comes, one a line")
    watch.add_argument("names", nargs="*", metavar="NAME", help="only these")
    add_timeout(add_for_one("identify", "let one show itself, harmlessly: it blinks or beeps where it can"))
    add_timeout(add_for_one("forget", "forget one that is gone for good"))


def _add_history(commands: Commands) -> None:
    history = _add(commands, "history", "show energy by period, what is missing, or fetch it from the meter")
    what = ["day", "week", "month", "30m", "gaps", "backfill"]
    history.add_argument("what", nargs="?", default="day", choices=what, help="default: day")
    history.add_argument("--from", dest="from_", metavar="DATE", help="first day, like 2026-01-31")
    history.add_argument("--to", dest="to_", metavar="DATE", help="last day; default: today")
    history.add_argument("--days", type=int, metavar="N", help="the last N days instead; of a backfill at most 100")
    history.add_argument("--meter", metavar="M", help="short name of a meter; default: the one that is there")
    _add_config(history)
    form = history.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON array with one object for each period or gap")
    form.add_argument("--csv", metavar="FILE", help="write a CSV file with a header; - for standard output")


def _add_demo(commands: Commands) -> None:
    demo = _add(commands, "demo", "run everything against a simulated house, in this terminal")
    demo.add_argument(
        "--family",
        choices=["SE", "DUAL", "J11"],
        default="SE",
        help="language of the simulated module: SKSTACK-IP with one hop or dual stack, or J11",
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


def _add_install(commands: Commands) -> None:
    install = _add(commands, "install", "put the service in place, or bring it up to date, and read the meter")
    uninstall = _add(commands, "uninstall", "take the service away; configuration and history are kept")
    for command in (install, uninstall):
        command.add_argument("--dry-run", action="store_true", help="only show what would be done")
        command.add_argument("--yes", action="store_true", help="do it without asking")
    uninstall.add_argument("--purge", action="store_true", help="with configuration, history and users")
    install.add_argument(
        "--credentials", type=Path, metavar="FILE", help="TOML file with id and password, mode 0600; it is sealed"
    )
    where = install.add_mutually_exclusive_group()
    where.add_argument("--port", metavar="PATH", help="serial port of the module; default: the one that is likely")
    where.add_argument("--interface", metavar="NAME", help="network interface to a second-generation meter instead")
    install.add_argument(
        "--peer", metavar="ADDRESS", help="that meter's address, where appliances are on NAME as well"
    )
    install.add_argument(
        "--appliances", metavar="NAME", help="network interface to the appliances; default: asked, else none"
    )
    install.add_argument(
        "--broker", metavar="URL", help="MQTT broker, mqtt://HOST or mqtts://HOST; default: asked, else none"
    )
    install.add_argument(
        "--username", metavar="NAME", help="there; its password is asked for, or is in /etc/hemsd/mqtt-password"
    )
    levels = f"what it gets: {', '.join(EXPOSURES)}; default: asked, else the first"
    install.add_argument("--exposure", choices=EXPOSURES, metavar="LEVEL", help=levels)
    processes = install.add_mutually_exclusive_group()
    processes.add_argument("--three", action="store_true", help="three processes with rights of their own; default")
    processes.add_argument("--single", action="store_true", help="one process; the default below 512 MB")


def _add_firewall(commands: Commands) -> None:
    text = "keep the interfaces of the meter and of appliances apart, with nftables"
    actions = _add(commands, "firewall", text).add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, what in (
        ("print", "show the rules"),
        ("apply", "load the rules in one step; loads nothing where they stand already"),
        ("check", "say whether the rules stand, and what is different"),
        ("remove", "take the rules away"),
    ):
        command = _add(actions, action, what)
        command.add_argument("--config", type=Path, metavar="FILE", help="default /etc/hemsd/hemsd.toml")


def _add_pki(commands: Commands) -> None:
    text = "make certificates and a configuration for an MQTT broker at home, or show and renew them"
    pki = _add(commands, "pki", text)
    pki.add_argument("directory", type=Path, metavar="DIR", help="where they are; what is there is kept")

    def add_names(option: str, metavar: str, help: str) -> None:
        pki.add_argument(option, action="append", default=[], metavar=metavar, help=help)

    add_names("--broker", "HOST", "name or address by which clients reach the broker; once for each")
    add_names("--client", "hemsd-SITE", "a hemsd, by its client id")
    add_names("--reader", "NAME", "a client that sees all that is told, like a dashboard")
    add_names("--operator", "NAME", "a client that also gives orders, like Home Assistant")
    add_names("--provider", "NAME", "a client that sees half-hours and sums only, like an energy provider")
    base = "first levels of all topics, as base_topic of [gateway.broker]; default: hemsd"
    pki.add_argument("--base-topic", type=_topic, default="hemsd", metavar="TOPIC", help=base)
    pki.add_argument(
        "--renew", action="store_true", help="renew certificates that have less than a third of their time left"
    )
    pki.add_argument("--port", type=_port, default=8883, metavar="PORT", help="of the broker; default: 8883")
    pki.add_argument(
        "--place", type=_absolute, metavar="DIR", help="where the files will be on the broker's machine; default: DIR"
    )
    pki.add_argument("--json", action="store_true", help="one JSON object")


def _add_verify(commands: Commands) -> None:
    verify = _add(commands, "verify", "check the signatures of half-hours that went through other hands")
    verify.add_argument("file", metavar="FILE", help="records, one JSON object a line; - for standard input")
    key = "public key (ed25519:...) as `bridge/info` has it; for one of several homes SITE=KEY, once for each"
    verify.add_argument("--key", action="append", default=[], metavar="KEY", help=key)
    keys = "file with what each home told in `bridge/info`, one a line, instead of keys"
    verify.add_argument("--keys", metavar="FILE", help=keys)
    verify.add_argument("--json", action="store_true", help="one JSON object for each record")


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _topic(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,2}", text):
        raise argparse.ArgumentTypeError(
            "1 to 3 levels of A-Z, a-z, 0-9, _ and hyphen with / between them are wanted"
        )
    return text


def _absolute(text: str) -> Path:
    if not Path(text).is_absolute():
        raise argparse.ArgumentTypeError("an absolute path is wanted")
    return Path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e7:
        raise argparse.ArgumentTypeError(f"a positive number of seconds is wanted, not {text!r}")
    return seconds
