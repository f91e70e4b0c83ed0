-- After schema.sql, where there is TimescaleDB 2.13 or newer:  psql -v ON_ERROR_STOP=1 -f timescale.sql
-- Written by the documentation of TimescaleDB; the tests of hemsd run schema.sql, on PostgreSQL, and not this file.

CREATE EXTENSION IF NOT EXISTS timescaledb;

SELECT create_hypertable('half_hour', by_range('start', INTERVAL '1 day'), migrate_data => true);

-- Columns of each meter together, from two weeks on; what comes later than that can still be put in.
ALTER TABLE half_hour SET (timescaledb.compress, timescaledb.compress_orderby = 'site, meter, start');
SELECT add_compression_policy('half_hour', INTERVAL '14 days');

-- By day of Japan's calendar: the registers at both ends of it, and how much of it is known (48: all of it). Renewed as
-- far back as a meter remembers, since that is how late a half-hour may come.
CREATE MATERIALIZED VIEW half_hour_daily WITH (timescaledb.continuous) AS
SELECT
    site,
    meter,
    time_bucket(INTERVAL '1 day', start, 'Asia/Tokyo') AS day,
    first(energy_import_kwh, start) AS first_import_kwh,
    last(energy_import_kwh, start) AS last_import_kwh,
    first(energy_export_kwh, start) AS first_export_kwh,
    last(energy_export_kwh, start) AS last_export_kwh,
    count(*) AS half_hours
FROM half_hour
GROUP BY site, meter, day
WITH NO DATA;

SELECT add_continuous_aggregate_policy(
    'half_hour_daily',
    start_offset => INTERVAL '100 days',
    end_offset => INTERVAL '1 hour',
    schedule_interval => INTERVAL '1 hour'
);
