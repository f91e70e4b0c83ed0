"""What the two databases of history look like, as the steps that lead there from an empty file.

history.db: for ever, and durable with every transaction. samples.db: bounded, and written seldom. Days are numbered
from 1970-01-01 in Japan; moments are epoch seconds where nothing else is said.
"""

from __future__ import annotations

HISTORY: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE meter (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE channel (
        id INTEGER PRIMARY KEY, meter INTEGER NOT NULL, register TEXT NOT NULL, UNIQUE (register, meter)
    ) STRICT;
    CREATE TABLE scale (
        id INTEGER PRIMARY KEY, ticks INTEGER NOT NULL, digits INTEGER NOT NULL, UNIQUE (ticks, digits)
    ) STRICT;
    CREATE TABLE day (
        day INTEGER NOT NULL, channel INTEGER NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (day, channel)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE span (
        channel INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (channel, first)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE era (since INTEGER PRIMARY KEY, meter INTEGER NOT NULL) STRICT;
    CREATE TABLE piece (
        register TEXT NOT NULL, since INTEGER NOT NULL, base INTEGER NOT NULL, holds INTEGER NOT NULL,
        doubt_from INTEGER, PRIMARY KEY (register, since)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE asked (
        meter INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (meter, day)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY, meter INTEGER NOT NULL, at INTEGER NOT NULL, half_hours INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
        severity TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    """,
)
"""day: one row for each register and day, in the order they come, so that what is written of today lies together.
span: runs of boundaries without a hole, whose energy is known; what is between two is a gap. era: from when on which
meter was the one that is there. piece: see counters. record: half-hours one after the other from a boundary on, each
with a seq of its own, one after the other from `seq` on. asked: the meter gave all that
it holds of this past day, which needs no row where that was everything."""

SAMPLES: tuple[str, ...] = (
    """
    CREATE TABLE meter (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE sample (
        at_ms INTEGER NOT NULL, meter INTEGER NOT NULL, power_w INTEGER, current_r_a REAL, current_t_a REAL,
        energy_import_kwh REAL, energy_export_kwh REAL, PRIMARY KEY (at_ms, meter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE minute (
        at INTEGER NOT NULL, meter INTEGER NOT NULL, samples INTEGER NOT NULL, power_w_sum INTEGER,
        power_w_min INTEGER, power_w_max INTEGER, energy_import_kwh REAL, energy_export_kwh REAL,
        source TEXT NOT NULL, PRIMARY KEY (at, meter)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""minute: the samples of one minute as one; source: live, or meter where the registers came out of its memory."""
