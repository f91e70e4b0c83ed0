"""The memory of the house: half-hours, events and samples in SQLite, lifetime totals, and what is missing."""
