-- Half-hours of many homes in PostgreSQL 15 or newer; timescale.sql makes a hypertable of it where there is TimescaleDB.
-- psql -v ON_ERROR_STOP=1 -f schema.sql

CREATE TABLE half_hour (
    site text NOT NULL,
    meter text NOT NULL,
    start timestamptz NOT NULL,
    energy_import_kwh double precision,  -- registers at the end of the half-hour; null: not known
    energy_export_kwh double precision,
    wraps_at_kwh double precision,
    source text NOT NULL,
    seq bigint NOT NULL,
    key_id text,
    signature text,
    received timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, meter, start)
);

-- Telegraf writes here, by COPY, which knows no ON CONFLICT: a record that comes twice would have its whole batch
-- dropped. No row ever stays in this table.
CREATE TABLE half_hour_landing (
    "time" timestamptz NOT NULL,
    site text NOT NULL,
    meter text NOT NULL,
    energy_import_kwh double precision,
    energy_export_kwh double precision,
    wraps_at_kwh double precision,
    source text NOT NULL,
    seq bigint NOT NULL,
    key_id text,
    signature text
);

-- Of two records of one half-hour the one with the greater seq is right, in whichever order they come.
CREATE FUNCTION take_half_hour() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
BEGIN
    INSERT INTO half_hour AS kept (
        site, meter, start, energy_import_kwh, energy_export_kwh, wraps_at_kwh, source, seq, key_id, signature
    ) VALUES (
        NEW.site, NEW.meter, NEW."time", NEW.energy_import_kwh, NEW.energy_export_kwh, NEW.wraps_at_kwh, NEW.source,
        NEW.seq, NEW.key_id, NEW.signature
    )
    ON CONFLICT (site, meter, start) DO UPDATE SET
        energy_import_kwh = EXCLUDED.energy_import_kwh,
        energy_export_kwh = EXCLUDED.energy_export_kwh,
        wraps_at_kwh = EXCLUDED.wraps_at_kwh,
        source = EXCLUDED.source,
        seq = EXCLUDED.seq,
        key_id = EXCLUDED.key_id,
        signature = EXCLUDED.signature,
        received = EXCLUDED.received
    WHERE EXCLUDED.seq > kept.seq;
    RETURN NULL;
END
$$;

CREATE TRIGGER take_half_hour BEFORE INSERT ON half_hour_landing FOR EACH ROW EXECUTE FUNCTION take_half_hour();

-- What a register rose by from one reading to the next: through its wrap, and nothing where it cannot be told (it fell,
-- or rose by more than 25 kWh, which is 50 kW for a half-hour: another meter, or a mistake).
CREATE FUNCTION rise_kwh(before double precision, after double precision, wraps_at double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN after - before BETWEEN 0 AND 25 THEN round((after - before)::numeric, 4)::double precision
        WHEN after - before + wraps_at BETWEEN 0 AND 25 THEN round((after - before + wraps_at)::numeric, 4)::double precision
    END
$$;

-- Energy of each half-hour; null where the one before it, or one of the readings, is missing.
CREATE VIEW half_hour_energy AS
SELECT
    site,
    meter,
    start,
    CASE WHEN adjacent THEN rise_kwh(import_before, energy_import_kwh, wraps_at_kwh) END AS imported_kwh,
    CASE WHEN adjacent THEN rise_kwh(export_before, energy_export_kwh, wraps_at_kwh) END AS exported_kwh
FROM (
    SELECT
        *,
        start - lag(start) OVER earlier = interval '30 minutes' AS adjacent,
        lag(energy_import_kwh) OVER earlier AS import_before,
        lag(energy_export_kwh) OVER earlier AS export_before
    FROM half_hour
    WINDOW earlier AS (PARTITION BY site, meter ORDER BY start)
) AS half_hour;

-- What was told, as `hemsd verify` reads it:  psql -At -c "SELECT record FROM half_hour_record WHERE site = '...'"
CREATE VIEW half_hour_record AS
SELECT
    site,
    meter,
    start,
    json_strip_nulls(json_build_object(
        'schema', 'hemsd.meter.interval/1',
        'site', site,
        'meter', meter,
        'start', start,
        'end', start + interval '30 minutes',
        'energy_import_kwh', energy_import_kwh,
        'energy_export_kwh', energy_export_kwh,
        'wraps_at_kwh', wraps_at_kwh,
        'source', source,
        'seq', seq,
        'key_id', key_id,
        'signature', signature
    )) AS record
FROM half_hour;

-- Whoever takes in records can do nothing else, and see none.
CREATE ROLE ingest LOGIN;
GRANT INSERT ON half_hour_landing TO ingest;
