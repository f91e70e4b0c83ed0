"""Questions to the person at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from getpass import getpass

from drivers.module import Credentials, InvalidCredentials
from hemsd.cli.exits import UsageError
from hemsd.daemon.install.proposal import broker_at
from hemsd.gateway.config import BrokerConfig

TRIES = 3


def is_somebody_there() -> bool:
    """Whether there is a terminal to ask at."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def agrees(question: str) -> bool:
    """Yes or no; yes where only Enter is pressed."""
    return _line(f"{question} [Y/n] ").lower() in ("", "y", "yes")


def choice(question: str, options: Sequence[str], default: int) -> int:
    """Which option, by its place in the list; Enter takes the default. Raises UsageError after three tries."""
    print(f"\n{question}")
    for number, option in enumerate(options, 1):
        print(f"  {number}  {option}")
    for _ in range(TRIES):
        answer = _line(f"Number [{default + 1}]: ")
        if not answer:
            return default
        if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(options):
            return int(answer) - 1
        print(f"  a number from 1 to {len(options)}, please")
    raise UsageError("that was no choice; nothing was done")


def credentials() -> Credentials | None:
    """The Route B ID and password, not shown; None where there are none yet. Raises UsageError after three tries."""
    print("\nThe Route B ID and password that the grid company gave you; what you type is not shown.")
    for _ in range(TRIES):
        identity = _hidden("  ID, 32 digits and letters (Enter: not there yet): ")
        if not identity:
            return None
        try:
            return Credentials(identity, _hidden("  password, 12 digits and letters: "))
        except InvalidCredentials as error:
            print(f"  {error}")
    raise UsageError("nothing was done without ID and password; they may also be in a file: --credentials FILE")


def broker() -> BrokerConfig | None:
    """Where an MQTT broker is and whom it knows us as; None for none. Raises UsageError after three tries."""
    print("\nThe MQTT broker of the home gateway, like Home Assistant's: mqtt://HOST, or mqtts://HOST with TLS.")
    for _ in range(TRIES):
        url = _line("  address (Enter: none): ")
        if not url:
            return None
        try:
            found = broker_at(url)
        except ValueError as error:
            print(f"  {error}")
            continue
        if not found.exposed or agrees("  Everything crosses the network in clear, the password too. All the same?"):
            return broker_at(url, _line("  user name there (Enter: none): ") or None)
    raise UsageError("that was no broker; nothing was done")


def broker_password(username: str) -> str:
    """The password at the broker, not shown."""
    try:
        return getpass(f"  password of {username} there: ")
    except EOFError:
        raise UsageError("nobody answers; nothing was done") from None


def _line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        raise UsageError("nobody answers; nothing was done") from None


def _hidden(prompt: str) -> str:
    try:
        return "".join(getpass(prompt).split())  # as in the letter, in groups of four
    except EOFError:
        raise UsageError("nobody answers; nothing was done") from None
