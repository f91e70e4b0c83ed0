"""What a command's exit code means, and which error leads to which."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every hemsd command; stable."""

    READ = 0
    MALFORMED = DIFFERS = NOT_MET = 1  # of `decode` and `verify`, of `firewall check`, of `conformance`
    USAGE = 2  # usage, configuration or credentials file; argparse's own code
    ABSENT = 3  # a value, an appliance or a property named by the user does not exist, or cannot be set
    TIMEOUT = 4  # or not confirmed in time
    REFUSED = 5  # by the meter, by the appliance, or by a rule of the house
    PORT = 6
    NOT_HEARD = 7
    NO_DAEMON = 8
    ALREADY_RUNNING = 75  # of `hemsd run`; EX_TEMPFAIL of sysexits.h


EXIT_CODES = """exit codes:
  0  read, or set; all is well               5  the meter or the appliance refused
  2  usage, configuration, or a value        6  port or module trouble
     out of range                            7  no meter heard
  3  what you named does not exist, or       8  no daemon runs that could be asked
     cannot be set                          75  from run: another daemon runs already
  4  no answer in time, values are stale,    1  from decode: not every line was a frame;
     or a setting is not confirmed              from firewall check: it is not as it should be;
                                                from conformance, run: a requirement is not met;
                                                from verify: not every record is good"""

TROUBLE = {  # what a daemon says is wrong between it and the meter
    "port": Exit.PORT,
    "module": Exit.PORT,
    "credentials": Exit.USAGE,
    "unclear": Exit.USAGE,
    "refused": Exit.REFUSED,
    "not_heard": Exit.NOT_HEARD,
    "radio": Exit.TIMEOUT,
}


class UsageError(Exception):
    """The command line asks for something that cannot be; the text says what would do."""


class GaveUp(Exception):
    """There is nothing more to wait for; `exit` says how far we had come."""

    def __init__(self, exit: Exit, text: str) -> None:
        super().__init__(text)
        self.exit = exit


def explain(error: Exception) -> tuple[Exit, str] | None:
    """The exit code of an expected error and what to tell; None of one that deserves its traceback."""
    if isinstance(error, GaveUp):
        return error.exit, str(error)
    if isinstance(error, UsageError):
        return Exit.USAGE, str(error)
    code = _code_of(error)
    return None if code is None else (code, str(error))


def _code_of(error: Exception) -> Exit | None:
    from drivers.ports import PortError
    from hemsd.daemon.config import ConfigError
    from hemsd.daemon.credentials import CredentialsError
    from hemsd.daemon.state import StateError
    from hemsd.routeb.errors import CredentialsRefused, MeterNotHeard, MeterUnclear, ModuleTrouble, RouteBError

    match error:
        case ConfigError() | CredentialsError() | StateError() | MeterUnclear():
            return Exit.USAGE
        case PortError() | ModuleTrouble():
            return Exit.PORT
        case CredentialsRefused():
            return Exit.REFUSED
        case MeterNotHeard():
            return Exit.NOT_HEARD
        case RouteBError():  # no answer in time, radio trouble
            return Exit.TIMEOUT
        case _:
            return None
