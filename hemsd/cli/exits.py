"""What a command's exit code means, and which error leads to which."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every hemsd command; stable."""

    READ = 0
    MALFORMED = 1  # of `hemsd decode` only
    USAGE = 2  # usage, configuration or credentials file; argparse's own code
    ABSENT = 3  # a value named by the user does not exist on this meter
    TIMEOUT = 4
    REFUSED = 5
    PORT = 6
    NOT_HEARD = 7


EXIT_CODES = """exit codes:
  0  read                                    4  no answer in time
  2  usage or configuration                  5  the meter refused us
  3  a value you named does not exist        6  port or module trouble
     on this meter                           7  no meter heard
  1  from decode: not every line was a frame"""


@dataclass(frozen=True, slots=True)
class Explained:
    """An expected error, ready for a person."""

    exit: Exit
    text: str


class UsageError(Exception):
    """The command line asks for something that cannot be; the text says what would do."""


class GaveUp(Exception):
    """--timeout is over; `exit` says how far we had come."""

    def __init__(self, exit: Exit, text: str) -> None:
        super().__init__(text)
        self.exit = exit


def explain(error: Exception) -> Explained | None:
    """What to tell of an expected error; None of one that is a fault of ours and deserves its traceback."""
    from drivers.ports import PortError
    from hemsd.daemon.config import ConfigError
    from hemsd.daemon.credentials import CredentialsError
    from hemsd.daemon.state import StateError
    from hemsd.routeb.errors import CredentialsRefused, MeterNotHeard, MeterUnclear, ModuleTrouble, RouteBError

    match error:
        case GaveUp():
            return Explained(error.exit, str(error))
        case UsageError() | ConfigError() | CredentialsError() | StateError() | MeterUnclear():
            return Explained(Exit.USAGE, str(error))
        case PortError() | ModuleTrouble():
            return Explained(Exit.PORT, str(error))
        case CredentialsRefused():
            return Explained(Exit.REFUSED, str(error))
        case MeterNotHeard():
            return Explained(Exit.NOT_HEARD, str(error))
        case RouteBError():  # no answer in time, radio trouble
            return Explained(Exit.TIMEOUT, str(error))
        case _:
            return None
