"""Live values in samples.db: each for some days, by minutes for longer; written seldom, because they are many."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

from hemsd.history.database import transaction
from hemsd.hub.messages import MeterMinute, MeterReading

MINUTE_S = 60

SAMPLE = "INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?, ?, ?, ?)"
LIVE_MINUTE = """
    INSERT INTO minute VALUES (?1, ?2, 1, ?3, ?3, ?3, ?4, ?5, 'live')
    ON CONFLICT DO UPDATE SET
        samples = samples + 1,
        power_w_sum = ifnull(power_w_sum, 0) + ifnull(?3, 0),
        power_w_min = min(ifnull(power_w_min, ?3), ifnull(?3, power_w_min)),
        power_w_max = max(ifnull(power_w_max, ?3), ifnull(?3, power_w_max)),
        energy_import_kwh = CASE source WHEN 'meter' THEN energy_import_kwh ELSE ifnull(?4, energy_import_kwh) END,
        energy_export_kwh = CASE source WHEN 'meter' THEN energy_export_kwh ELSE ifnull(?5, energy_export_kwh) END
"""
METER_MINUTE = """
    INSERT INTO minute VALUES (?1, ?2, 0, NULL, NULL, NULL, ?3, ?4, 'meter')
    ON CONFLICT DO UPDATE SET
        energy_import_kwh = ifnull(?3, energy_import_kwh), energy_export_kwh = ifnull(?4, energy_export_kwh),
        source = 'meter'
    WHERE (energy_import_kwh, energy_export_kwh, source) IS NOT
        (ifnull(?3, energy_import_kwh), ifnull(?4, energy_export_kwh), 'meter')
"""


class Samples:
    """The only writer of a samples.db."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def write(self, readings: Iterable[MeterReading], minutes: Iterable[MeterMinute]) -> None:
        """Keep what has gathered, in one transaction."""
        number = cache(self._meter)  # good within it
        with transaction(self._db):
            for reading in readings:
                self._sample(reading, number(reading.meter))
            for minute in minutes:
                registers = (minute.energy_import_kwh, minute.energy_export_kwh)
                at = int(minute.at.timestamp()) // MINUTE_S * MINUTE_S
                self._db.execute(METER_MINUTE, (at, number(minute.meter), *registers))

    def _sample(self, reading: MeterReading, meter: int) -> None:
        at = reading.measured_at.timestamp()
        registers = (reading.energy_import_kwh, reading.energy_export_kwh)
        live = (reading.power_w, reading.current_r_a, reading.current_t_a)
        if (*live, *registers) == (None,) * 5:
            return
        self._db.execute(SAMPLE, (round(at * 1000), meter, *live, *registers))
        if reading.power_w is not None:
            minute = int(at) // MINUTE_S * MINUTE_S
            self._db.execute(LIVE_MINUTE, (minute, meter, reading.power_w, *registers))

    def prune(self, samples_before: int, minutes_before: int) -> None:
        """Forget what is older than these moments."""
        with transaction(self._db):
            self._db.execute("DELETE FROM sample WHERE at_ms < ?", (samples_before * 1000,))
            self._db.execute("DELETE FROM minute WHERE at < ?", (minutes_before,))

    def newest(self) -> datetime | None:
        """When the last live value was read."""
        (at_ms,) = self._db.execute("SELECT max(at_ms) FROM sample").fetchone()
        return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)

    def _meter(self, name: str) -> int:
        self._db.execute("INSERT OR IGNORE INTO meter (name) VALUES (?)", (name,))
        number: int = self._db.execute("SELECT id FROM meter WHERE name = ?", (name,)).fetchone()[0]
        return number
