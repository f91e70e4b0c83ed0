"""`hemsd install` and `hemsd uninstall`: show what is to be done, do it, and read the meter once."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.module import Credentials
from hemsd.cli import dialogue
from hemsd.cli.answer import answer_of, show, verdict, wanted
from hemsd.cli.asking import Daemon, find
from hemsd.cli.exits import Exit, GaveUp, UsageError
from hemsd.cli.read import ask
from hemsd.daemon.config import SYSTEM_FILE as CONFIGURATION
from hemsd.daemon.config import UDEV_NAME, Config, load, parse
from hemsd.daemon.credentials import SYSTEM_FILE as PLAIN
from hemsd.daemon.credentials import find_credentials, load_credentials
from hemsd.daemon.install.machine import Machine, look
from hemsd.daemon.install.places import (
    BROKER_PASSWORD,
    MODULE_GROUP,
    SECRETS,
    SINGLE,
    STATE,
    TARGET,
    Kit,
    load_kit,
)
from hemsd.daemon.install.plan import installation, overriding, removal
from hemsd.daemon.install.proposal import (
    Wishes,
    appliance_interfaces,
    broker_at,
    configuration,
    has_a_name,
    likely_port,
    profile_of,
    single_is_better,
)
from hemsd.daemon.install.steps import InstallError, Step, carry_out
from hemsd.daemon.places import SYSTEM_DIRECTORY
from hemsd.gateway.config import BrokerConfig
from hemsd.hub.messages import Domain
from hemsd.hub.protocol import OPERATOR_SOCKET
from hemsd.hub.routes import Exposure

if TYPE_CHECKING:
    from hemsd.cli.asking import Told

NOBODY = "there is no terminal to ask at: add --yes to do it without a question, or --dry-run to see what it would do"
NO_CREDENTIALS = (
    "the Route B ID and password are wanted, and there is no terminal to ask at: add --credentials FILE, "
    "a file with id and password as in credentials.toml.example (mode 0600)"
)
LAN_NOTE = (
    "Appliances on the network of everything else are a deviation from G.9958, which wants one of their own;\n"
    'the configuration declares it (accept = ["R33", "R43"]), and `hemsd conformance` shows it as declared.'
)
EXPOSURES: dict[Exposure, str] = {
    "aggregates": "sums of the house, and no single appliance",
    "appliances": "each appliance too",
    "control": "each appliance, and a say: whoever may publish there can set them",
}
NO_PASSWORD = (
    f"the password of {{}} at the broker is wanted, and there is no terminal to ask at: "
    f"write it into {BROKER_PASSWORD} (one line, mode 0600)"
)
LATER = "The service goes on by itself: `hemsd status` tells how it is doing."
SILENT = "the service does not answer; `journalctl -u 'hemsd*'` says why"
NONE_YET = (
    "\nhemsd runs, and waits for the Route B ID and password. When the letter has come:\n"
    "  sudo hemsd install --credentials FILE"
)
PROFILES = {  # those that are proposed
    "6.4.1": "the meter is on the home network",
    "6.4.2": "the meter shares a network with the appliances, or is on the home network",
    "6.4.3": "the meter has a link of its own",
}
START_S = 30.0  # for the daemon to listen
BROKER_S = 20.0  # to be connected to
READ_S = 600.0  # for the meter to be found and asked: two scans, a join and a second one


def run(arguments: argparse.Namespace) -> int:
    """Install: look, ask, show, do, read."""
    machine = look()
    if machine.trouble is not None:
        raise UsageError(machine.trouble)
    _check_rights(machine, arguments, "install")
    kit = load_kit(machine.command.parents[1])
    is_new = CONFIGURATION not in machine.files
    may_ask = is_new and dialogue.is_somebody_there() and not (arguments.yes or arguments.dry_run)
    wishes = _wishes(arguments, machine, may_ask=may_ask)
    text = configuration(machine, kit, wishes)
    config = parse(text, CONFIGURATION, lan=machine.lan) if is_new else load(CONFIGURATION, lan=machine.lan)
    sealing, credentials = _credentials(arguments, machine, config)
    password = _broker_password(arguments, machine, wishes.broker) if is_new else None
    steps = installation(machine, kit, wishes, sealing=sealing, credentials=credentials, broker_password=password)
    _show_notes(arguments, machine, kit, wishes)
    if _is_to_be_done(steps, arguments, "Everything is in place already."):
        _do(steps)
    if arguments.dry_run:
        return Exit.READ
    if machine.booted and config.gateway.broker is not None:
        _test_broker(config, config.gateway.broker)
    has_credentials = sealing or any(path in machine.there for path in SECRETS)
    code = _test_read(machine, config, has_credentials=has_credentials)
    if arguments.credentials and arguments.credentials != PLAIN:
        print(f"{arguments.credentials} is not needed any more; delete it.")
    return code


def remove(arguments: argparse.Namespace) -> int:
    """Uninstall; configuration and state only with --purge."""
    machine = look()
    _check_rights(machine, arguments, "uninstall")
    steps = removal(machine, purge=arguments.purge)
    if _is_to_be_done(steps, arguments, "hemsd is not installed as a service here."):
        _do(steps)
    if arguments.dry_run:
        return Exit.READ
    kept = [str(path) for path in (CONFIGURATION.parent, *SECRETS, *STATE) if path in machine.there]
    if kept and not arguments.purge:
        print(f"Kept: {', '.join(kept)}; `hemsd uninstall --purge` removes them too, and the users of the service.")
    print(f"The program itself is in {machine.command.parents[1]}.")
    return Exit.READ


# --- what is wanted -------------------------------------------------------------------------------------------


def _check_rights(machine: Machine, arguments: argparse.Namespace, command: str) -> None:
    if not machine.root and not arguments.dry_run:
        raise UsageError(f"this is for root: sudo {machine.command} {command}")
    if not (arguments.yes or arguments.dry_run or dialogue.is_somebody_there()):
        raise UsageError(NOBODY)


def _wishes(arguments: argparse.Namespace, machine: Machine, *, may_ask: bool) -> Wishes:
    single = arguments.single or SINGLE in machine.enabled
    if not (arguments.single or arguments.three or {SINGLE, TARGET} & machine.enabled):
        single = single_is_better(machine)
    port = arguments.port and _known_name(machine, arguments.port)
    if port is None and arguments.interface is None:
        port = _port(machine, may_ask=may_ask)
    appliances = arguments.appliances
    if appliances is None and may_ask:
        appliances = _ask_for_appliances(machine)
    appliances = None if appliances == "none" else appliances
    broker, exposure = _broker(arguments, may_ask=may_ask), arguments.exposure
    if exposure is None and may_ask and None not in (broker, appliances):
        exposure = tuple(EXPOSURES)[dialogue.choice("What does that broker get?", tuple(EXPOSURES.values()), 0)]
    return Wishes(
        port=port,
        interface=arguments.interface,
        peer=arguments.peer,
        appliances=appliances,
        broker=broker,
        exposure=exposure,
        single=single and not arguments.three,
    )


def _known_name(machine: Machine, given: str) -> str:
    """The kernel's name for a port that was given by another one, if it is a port of this machine."""
    real = str(Path(given).resolve())
    return real if any(port.path == real for port in machine.ports) else given


def _port(machine: Machine, *, may_ask: bool) -> str | None:
    """The module's port; where only a person can tell which it is, she is asked."""
    likely = likely_port(machine)
    if likely is not None or not machine.ports or not may_ask:
        return likely.path if likely else None
    options = [*map(str, machine.ports), "none of these; it will be plugged in later"]
    best = next((number for number, port in enumerate(machine.ports) if port.likely), len(machine.ports))
    number = dialogue.choice("Which port is the Wi-SUN module on?", options, best)
    return machine.ports[number].path if number < len(machine.ports) else None


def _ask_for_appliances(machine: Machine) -> str | None:
    names = appliance_interfaces(machine)
    if not names:
        return None
    about = [f"{name}, the home network of everything else" if name == machine.lan else name for name in names]
    print(f"\n{LAN_NOTE}" if machine.lan in names else "")
    question = "Over which network interface are appliances to be found that speak ECHONET Lite?"
    number = dialogue.choice(question, [*about, "none; only the meter"], 0)
    return names[number] if number < len(names) else None


def _broker(arguments: argparse.Namespace, *, may_ask: bool) -> BrokerConfig | None:
    if arguments.broker is None and arguments.username is not None:
        raise UsageError("--username is for --broker URL")
    if arguments.broker is None:
        return dialogue.broker() if may_ask else None
    try:
        return broker_at(arguments.broker, arguments.username)
    except ValueError as error:
        raise UsageError(f"--broker: {error}") from None  # without the address: a password may be in it


def _broker_password(arguments: argparse.Namespace, machine: Machine, broker: BrokerConfig | None) -> str | None:
    """What is to be written to its file; None for nothing."""
    if broker is None or broker.username is None or BROKER_PASSWORD in machine.there:
        return None
    if arguments.dry_run:
        return ""
    if not dialogue.is_somebody_there():
        raise UsageError(NO_PASSWORD.format(broker.username))
    return dialogue.broker_password(broker.username)


def _credentials(arguments: argparse.Namespace, machine: Machine, config: Config) -> tuple[bool, Credentials | None]:
    """Whether credentials are to be sealed, and which; none yet where nothing will be done."""
    if arguments.credentials is not None:
        return True, load_credentials(arguments.credentials)
    if config.meter.interface is not None or not config.meter.there:
        return False, None
    if config.meter.credentials is not None or any(path in machine.there for path in SECRETS):
        if machine.root:
            load_credentials(find_credentials(config.meter.credentials))  # or say what is wrong with them
        return False, None
    if arguments.dry_run:
        return True, None
    if not dialogue.is_somebody_there():
        raise UsageError(NO_CREDENTIALS)
    given = dialogue.credentials()
    return given is not None, given


# --- showing and doing ----------------------------------------------------------------------------------------


def _show_notes(arguments: argparse.Namespace, machine: Machine, kit: Kit, wishes: Wishes) -> None:
    print()
    if CONFIGURATION in machine.files:
        print(f"Configuration: {CONFIGURATION} is there and stays as it is.")
        if any((arguments.port, arguments.interface, arguments.appliances, arguments.broker, arguments.exposure)):
            print(f"Note: what it says counts; edit it, then `{machine.command} install` again.")
    elif wishes.interface is not None:
        print(f"Meter: over the network interface {wishes.interface}.")
    else:
        print(f"Module: {_module(machine, wishes.port)}.")
        if wishes.port is not None and not has_a_name(machine, kit, wishes.port):
            print(f"Note: udev cannot give it to the service: see that the group {MODULE_GROUP} may open it.")
    if CONFIGURATION not in machine.files:
        print(f"Profile: {(profile := profile_of(machine, wishes))} of ITU-T G.9958: {PROFILES[profile]}.")
    if wishes.broker is not None:
        clear = ", in clear" if wishes.broker.exposed else ""
        print(f"Broker: {wishes.broker.url}{clear}; it gets {EXPOSURES[wishes.exposure or 'aggregates']}.")
    how = "one process (--three for three)" if wishes.single else "three processes, one for each world"
    print(f"Service: {how}.")
    for path in overriding(machine, kit):
        print(f"Note: {path} is yours, and is used instead of what is shipped.")
    if not machine.booted:
        print("Note: this machine was not started by systemd; the service begins with the next start that is.")


def _module(machine: Machine, chosen: str | None) -> str:
    if chosen is None and UDEV_NAME in machine.there:
        return str(UDEV_NAME)
    if chosen is None:
        return "none found yet; the service takes it as soon as it is plugged in"
    return next((str(port) for port in machine.ports if chosen in (port.path, port.by_id)), chosen)


def _is_to_be_done(steps: Sequence[Step], arguments: argparse.Namespace, nothing: str) -> bool:
    """Show the steps, and ask unless that was answered on the command line. Raises UsageError for a no."""
    if not steps:
        print(nothing)
        return False
    if arguments.dry_run:
        print("\nThis would be done:")
    elif not arguments.yes:
        print("\nThis is to be done:")
    if arguments.dry_run or not arguments.yes:
        print("".join(f"  {step}\n" for step in steps))
    if arguments.dry_run:
        return False
    if not arguments.yes and not dialogue.agrees("Do it?"):
        raise UsageError("nothing was done")
    return True


def _do(steps: Sequence[Step]) -> None:
    try:
        carry_out(steps, lambda text: print(f"  {text}", flush=True))
    except InstallError as error:
        raise GaveUp(Exit.USAGE, str(error)) from None


# --- the test -------------------------------------------------------------------------------------------------


def _test_broker(config: Config, broker: BrokerConfig) -> None:
    """Say whether the daemon is connected to the broker, which stops nothing."""
    daemon, until = _daemon(config), time.monotonic() + BROKER_S
    detail = "no answer yet"
    while (told := daemon.next(until)) is not None:
        if told["type"] == "Health" and told["source"] == Domain.GATEWAY.value and not told.get("part"):
            if told["ok"]:
                print(f"\nhemsd is connected to the MQTT broker {broker.host}.")
                return
            detail = told["detail"]
            if detail:
                break
    print(f"\nhemsd is not connected to the MQTT broker {broker.host}: {detail}\nIt goes on trying.")


def _test_read(machine: Machine, config: Config, *, has_credentials: bool) -> int:
    if not machine.booted:
        return Exit.READ
    if not config.meter.there:
        print("\nhemsd runs, without a meter.")
        return Exit.READ
    if config.meter.interface is None and not has_credentials:
        print(NONE_YET)
        return Exit.READ
    print("\nReading the meter; the first time this may take some minutes. Ctrl-C ends the waiting, not the service.")
    what, said = wanted(["power", "current", "energy"], as_json=False), set[str]()

    def tell(status: Told) -> None:
        if status["detail"] and status["detail"] not in said:
            said.add(status["detail"])
            print(f"  {status['detail']}", flush=True)

    try:
        answer = answer_of(
            what, *ask(_daemon(config), what.asked(), argparse.Namespace(timeout=READ_S, config=None), tell)
        )
    except GaveUp as error:
        raise GaveUp(error.exit, f"{error}\n{LATER}") from None
    show(answer, as_json=False)
    print("\nhemsd is installed and reads the meter. `hemsd status` tells how it is doing.")
    return verdict(answer, what)


def _daemon(config: Config) -> Daemon:
    """The one that was just started. Raises GaveUp."""
    path = config.daemon.operator_socket or str(Path(SYSTEM_DIRECTORY) / OPERATOR_SOCKET)
    until = time.monotonic() + START_S
    while (daemon := find([path])) is None:
        if time.monotonic() > until:
            raise GaveUp(Exit.NO_DAEMON, SILENT)
        time.sleep(0.1)
    return daemon
