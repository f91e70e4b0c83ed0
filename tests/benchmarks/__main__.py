"""Measures hemsd beside its peers and compares with the goals: ``python -m tests.benchmarks [NAME ...]``."""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.airtime import airtime
from tests.benchmarks.asking import asking
from tests.benchmarks.backfill import backfill
from tests.benchmarks.codec import codec
from tests.benchmarks.counting import history, reading
from tests.benchmarks.daemon import daemon
from tests.benchmarks.line import line
from tests.benchmarks.onward import onward
from tests.benchmarks.polling import polling
from tests.benchmarks.processes import PROJECT
from tests.benchmarks.publishing import publishing
from tests.benchmarks.report import Row, table
from tests.benchmarks.start import start
from tests.benchmarks.store import history_store
from tests.benchmarks.watching import watching

BENCHMARKS = {
    each.__name__: each
    for each in (
        start,
        onward,
        publishing,
        asking,
        reading,
        history,
        history_store,
        backfill,
        line,
        codec,
        airtime,
        polling,
        watching,
        daemon,
    )
}
NEEDS = {  # programs and packages that may be missing
    "start": ["momonga"],
    "onward": ["mosquitto"],
    "publishing": ["mosquitto"],
    "asking": ["valgrind", "momonga"],
    "reading": ["valgrind", "mosquitto", "momonga"],
    "history": ["valgrind", "momonga"],
    "history_store": [],
    "backfill": ["momonga"],
    "line": ["momonga"],
    "codec": ["pychonet"],
    "airtime": ["pytest"],
    "polling": ["pyhems", "pychonet"],
    "watching": [],
    "daemon": ["mosquitto", "momonga"],
}
DEADLINE_S = 270.0  # of one benchmark


def main() -> int:
    """Exit status 1 where a goal is missed or a benchmark failed; one that cannot run here is skipped."""
    options = _options()
    if options.list:
        print("\n".join(f"{name:14}{benchmark.__doc__}" for name, benchmark in BENCHMARKS.items()))
        return 0
    for package in ("hemsd", "drivers", "tests"):  # as they are after an installation
        compileall.compile_dir(PROJECT / package, quiet=1)
    with TemporaryDirectory(prefix="hemsd-bench-") as scratch:
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # there Debian has mosquitto
        os.environ |= {"TMPDIR": scratch, "PYTHONHASHSEED": "0", "PATH": path}  # for all that is started
        rows, notes = asyncio.run(_run(options.names or list(BENCHMARKS)))
    print(table(rows), *notes, sep="\n")
    if options.json:
        measured = [asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows]
        options.json.write_text(json.dumps({"rows": measured, "notes": notes}, indent=2) + "\n")
    missed = [row.name for row in rows if row.met is False]
    if missed:
        print(f"goals missed: {', '.join(missed)}")
    return 1 if missed or any(note.startswith("FAILED") for note in notes) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="show the names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    options = parser.parse_args()
    if unknown := set(options.names) - BENCHMARKS.keys():
        parser.error(f"there is no {' or '.join(sorted(unknown))}; --list shows what there is")
    return options


async def _run(names: Sequence[str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    notes: list[str] = []
    for name in names:
        if missing := [need for need in NEEDS[name] if not (shutil.which(need) or find_spec(need))]:
            notes.append(f"skipped {name}: {' and '.join(missing)} not installed")
            continue
        print(f"measuring {name} ...", file=sys.stderr)
        try:
            rows += await asyncio.wait_for(BENCHMARKS[name](), DEADLINE_S)
        except Exception as error:  # the others shall still be measured
            notes.append(f"FAILED {name}: {error!r}")
    return rows, notes


if __name__ == "__main__":
    sys.exit(main())
