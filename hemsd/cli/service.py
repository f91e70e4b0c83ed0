"""`hemsd run` and `hemsd config check`."""

from __future__ import annotations

import argparse

from drivers.interface import default_interface
from hemsd.cli.exits import Exit
from hemsd.daemon.config import find_config, load


def run(arguments: argparse.Namespace) -> int:
    """Run as the daemon until told to end."""
    from hemsd.daemon.run import serve

    return serve(load(arguments.config, lan=default_interface()), arguments.part)


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
