"""`hemsd run` and `hemsd config check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.interface import default_interface
from hemsd.cli.exits import Exit, GaveUp
from hemsd.daemon.config import ConfigError, find_config, load

if TYPE_CHECKING:
    import argparse

GUESSED = "(the home network is taken to be where the default route leads now; [lan] interface can say where it is)"


def run(arguments: argparse.Namespace) -> int:
    """Run as the daemon until told to end. Raises GaveUp where nothing but the present default route is against it.

    While a machine starts that may lead over another network, and nobody is there to start hemsd once more.
    """
    from hemsd.daemon.run import serve

    config = load(arguments.config)
    try:
        load(arguments.config, lan=default_interface())
    except ConfigError as error:
        raise GaveUp(Exit.NOT_MET, f"{error}\n{GUESSED}") from error
    return serve(config, arguments.part)


def check(arguments: argparse.Namespace) -> int:
    """Say what is or may be wrong with the configuration and what it points to."""
    from hemsd.daemon.check import Severity
    from hemsd.daemon.check import check as findings_of

    findings = findings_of(arguments.config)
    for finding in findings:
        print(f"{finding.severity.value}: {finding.text}")
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Exit.USAGE
    if not findings:
        print(f"{arguments.config or find_config()}: good")
    return Exit.READ
