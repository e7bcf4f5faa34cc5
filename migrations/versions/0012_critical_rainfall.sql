-- The least critical rainfall along roads, settlements and warning areas, and the rain of each run: how much more it takes.
-- Frozen: later changes are later migrations.

CREATE TABLE lswarn.critical_source (
    region text NOT NULL,
    layers text NOT NULL,
    model_id text NOT NULL,
    measure text NOT NULL,
    rain_max_mm double precision NOT NULL,
    assets_digest text NOT NULL,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_critical_source PRIMARY KEY (region),
    CONSTRAINT ck_critical_source_rain CHECK (rain_max_mm > 0),
    CONSTRAINT fk_critical_source_region FOREIGN KEY(region) REFERENCES lswarn.region (name),
    CONSTRAINT fk_critical_source_region_model_id FOREIGN KEY(region, model_id) REFERENCES lswarn.model (region, id)
);
COMMENT ON TABLE lswarn.critical_source IS 'Which critical layers asset_critical was taken from';
COMMENT ON COLUMN lswarn.critical_source.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.critical_source.layers IS 'Key of the critical layers';
COMMENT ON COLUMN lswarn.critical_source.model_id IS 'Model they were made with';
COMMENT ON COLUMN lswarn.critical_source.measure IS 'What its rain is of seven days, by name';
COMMENT ON COLUMN lswarn.critical_source.rain_max_mm IS 'Most rain of seven days that the model has seen, mm; more is judged as this much';
COMMENT ON COLUMN lswarn.critical_source.assets_digest IS 'Digest of the asset files that were looked up';
COMMENT ON COLUMN lswarn.critical_source.recorded_at IS 'When they were looked up';

CREATE TABLE lswarn.asset_critical (
    region text NOT NULL,
    kind text NOT NULL,
    asset_id bigint NOT NULL,
    class smallint NOT NULL,
    square integer NOT NULL,
    critical_mm double precision,
    ground_unknown boolean NOT NULL,
    lon double precision NOT NULL,
    lat double precision NOT NULL,
    CONSTRAINT pk_asset_critical PRIMARY KEY (kind, asset_id, class, square),
    CONSTRAINT ck_asset_critical_kind CHECK (kind IN ('warning_area', 'road', 'settlement')),
    CONSTRAINT ck_asset_critical_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_asset_critical_critical CHECK (critical_mm >= 0 AND critical_mm < 'Infinity'),
    CONSTRAINT fk_asset_critical_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_asset_critical_region ON lswarn.asset_critical (region);
COMMENT ON TABLE lswarn.asset_critical IS 'The least critical rainfall of a road, settlement or warning area in each square of 64 by 64 cells that it touches, and where it is';
COMMENT ON COLUMN lswarn.asset_critical.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.asset_critical.kind IS 'warning_area, road or settlement: the table in which it is';
COMMENT ON COLUMN lswarn.asset_critical.asset_id IS 'Which one';
COMMENT ON COLUMN lswarn.asset_critical.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.asset_critical.square IS 'Which square, counted from the north-west, row by row';
COMMENT ON COLUMN lswarn.asset_critical.critical_mm IS 'Rain of seven days from which on a cell of it here is in that class or above, mm, rounded up to tenths; 0 = without rain; null = no rain that the model has seen puts a known cell there';
COMMENT ON COLUMN lswarn.asset_critical.ground_unknown IS 'A factor of some cell of it here is unknown, so that less rain may do; where critical_mm is null, nothing is known';
COMMENT ON COLUMN lswarn.asset_critical.lon IS 'Longitude of the cell, degrees; where critical_mm is null, of any cell of it here';
COMMENT ON COLUMN lswarn.asset_critical.lat IS 'Latitude of the cell, degrees';

CREATE TABLE lswarn.run_rain (
    run_id bigint NOT NULL,
    lower_bound boolean NOT NULL,
    rast raster NOT NULL,
    CONSTRAINT pk_run_rain PRIMARY KEY (run_id),
    CONSTRAINT fk_run_rain_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
COMMENT ON TABLE lswarn.run_rain IS 'The rain of seven days that a run was made from';
COMMENT ON COLUMN lswarn.run_rain.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.run_rain.lower_bound IS 'Somewhere more rain fell than was measured';
COMMENT ON COLUMN lswarn.run_rain.rast IS 'Rain of seven days on its own grid, mm, EPSG:4326; NaN = unknown';

-- Functions. Their bodies are bound to the tables here and now, so that no search path changes what they mean.

CREATE FUNCTION lswarn.rain_in_run(run_id bigint, point geometry) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Between the four centres around it, as the model is given it; beyond the outermost centres it is unknown.
    SELECT CASE WHEN place.x BETWEEN 0 AND place.cols - 1 AND place.y BETWEEN 0 AND place.rows - 1 THEN
               nullif((1 - row.part) * ((1 - col.part) * place.mm[row.at][col.at] + col.part * place.mm[row.at][col.at + 1])
                      + row.part * ((1 - col.part) * place.mm[row.at + 1][col.at] + col.part * place.mm[row.at + 1][col.at + 1]),
                      'NaN')
           END
    FROM (
        SELECT ST_DumpValues(rain.rast, 1, false) AS mm, ST_Width(rain.rast) AS cols, ST_Height(rain.rast) AS rows,
               (ST_X(at.degrees) - ST_UpperLeftX(rain.rast)) / ST_ScaleX(rain.rast) - 0.5 AS x,
               (ST_Y(at.degrees) - ST_UpperLeftY(rain.rast)) / ST_ScaleY(rain.rast) - 0.5 AS y
        FROM lswarn.run_rain AS rain
        CROSS JOIN LATERAL (SELECT ST_Transform(rain_in_run.point, 4326) AS degrees) AS at
        WHERE rain.run_id = rain_in_run.run_id
        OFFSET 0
    ) AS place
    CROSS JOIN LATERAL (SELECT least(floor(place.x)::integer, place.cols - 2) + 1 AS at, place.x - least(floor(place.x), place.cols - 2) AS part) AS col
    CROSS JOIN LATERAL (SELECT least(floor(place.y)::integer, place.rows - 2) + 1 AS at, place.y - least(floor(place.y), place.rows - 2) AS part) AS row;
END;
COMMENT ON FUNCTION lswarn.rain_in_run(bigint, geometry) IS 'Rain of seven days at a point by the rain of one run, mm, interpolated between the four centres around it; null where it is unknown or not kept';

CREATE FUNCTION lswarn.rain_at(point geometry, day date, in_region text DEFAULT NULL, of_kind text DEFAULT 'observed')
RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Half a degree around its box, as `class_at`.
    SELECT max(lswarn.rain_in_run(run.id, rain_at.point))
    FROM lswarn.run AS run
    JOIN lswarn.region AS region ON region.name = run.region
    WHERE run.valid_day = rain_at.day AND run.kind = rain_at.of_kind AND run.superseded_at IS NULL
      AND (rain_at.in_region IS NULL OR run.region = rain_at.in_region)
      AND ST_Expand(region.geometry, 0.5) && ST_Transform(rain_at.point, 4326);
END;
COMMENT ON FUNCTION lswarn.rain_at(geometry, date, text, text) IS 'Rain of the seven days that end with a day, at a point, mm, in the measure of the region; null where it is unknown: no rain known, outside of every region, no run, or deleted for its age. Where regions overlap, the most';

CREATE FUNCTION lswarn.rain_to_go_in_run(run_id bigint)
RETURNS TABLE (
    kind text, asset_id bigint, source_id text, name text, ref text, class smallint, status text,
    critical_mm double precision, rain_mm double precision, to_go_mm double precision, beyond_model boolean,
    geometry geometry
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT asset.kind, asset.id, asset.source_id, asset.name, asset.ref, warned.class::smallint,
           CASE WHEN found.pieces = 0 THEN 'unknown'
                WHEN found.least[1] = 0 THEN 'reached'
                WHEN found.least IS NOT NULL
                THEN CASE WHEN found.doubt OR found.beyond OR run.lower_bound THEN 'at_most' ELSE 'known' END
                WHEN found.doubt THEN 'unknown'
                WHEN found.beyond THEN 'beyond_model'
                ELSE 'never' END,
           found.least[3], found.least[4], found.least[1] / 10, found.any_beyond,
           ST_SetSRID(ST_MakePoint(found.least[5], found.least[6]), 4326)
    FROM (
        -- Taken out of its raster once, for all assets.
        SELECT run.region, source.layers, source.rain_max_mm, ST_DumpValues(rain.rast, 1, false) AS mm,
               ST_Width(rain.rast) AS cols, ST_Height(rain.rast) AS rows,
               ST_UpperLeftX(rain.rast) AS west, ST_UpperLeftY(rain.rast) AS north,
               ST_ScaleX(rain.rast) AS across, ST_ScaleY(rain.rast) AS down,
               rain.lower_bound OR run.status = 'lower_bound' AS lower_bound
        FROM lswarn.run AS run
        LEFT JOIN lswarn.run_rain AS rain ON rain.run_id = run.id
        LEFT JOIN lswarn.critical_source AS source ON source.region = run.region AND source.model_id = run.model_id
        WHERE run.id = rain_to_go_in_run.run_id
        OFFSET 0
    ) AS run
    JOIN (
        SELECT 'road' AS kind, road.id, road.region, road.source_id, road.name, road.ref
        FROM lswarn.road AS road
        WHERE road.retired_at IS NULL
        UNION ALL
        SELECT 'settlement', settlement.id, settlement.region, settlement.source_id, settlement.name, ''
        FROM lswarn.settlement AS settlement
        WHERE settlement.retired_at IS NULL
        UNION ALL
        SELECT 'warning_area', area.id, area.region, area.source_id, area.name, ''
        FROM lswarn.warning_area AS area
        WHERE area.retired_at IS NULL
    ) AS asset ON asset.region = run.region
    CROSS JOIN (VALUES (4), (5)) AS warned (class)
    CROSS JOIN LATERAL (
        SELECT count(*) AS pieces,
               min(ARRAY[piece.to_go, piece.square, piece.critical_mm, piece.rain_mm, piece.lon, piece.lat])
                   FILTER (WHERE piece.to_go IS NOT NULL) AS least,
               bool_or(piece.ground_unknown OR piece.rain_mm IS NULL) AS doubt,
               bool_or(piece.critical_mm IS NULL AND piece.rain_mm > run.rain_max_mm) AS beyond,
               bool_or(piece.rain_mm > run.rain_max_mm) AS any_beyond
        FROM (
            -- In tenths, the rain rounded down, as the classes of the day are made.
            SELECT at.square, at.critical_mm, at.ground_unknown, at.lon, at.lat, at.rain_mm,
                   CASE WHEN at.critical_mm IS NOT NULL AND at.rain_mm IS NOT NULL THEN
                       greatest(round(at.critical_mm * 10) - round(at.rain_mm * 10)
                                + ((round(at.rain_mm * 10) / 10)::real > at.rain_mm::real)::integer, 0)
                   END AS to_go
            FROM (
                SELECT place.square, place.critical_mm, place.ground_unknown, place.lon, place.lat,
                       CASE WHEN place.x BETWEEN 0 AND run.cols - 1 AND place.y BETWEEN 0 AND run.rows - 1 THEN
                           nullif((1 - row.part) * ((1 - col.part) * run.mm[row.at][col.at] + col.part * run.mm[row.at][col.at + 1])
                                  + row.part * ((1 - col.part) * run.mm[row.at + 1][col.at] + col.part * run.mm[row.at + 1][col.at + 1]),
                                  'NaN')
                       END AS rain_mm
                FROM (
                    SELECT critical.square, critical.critical_mm, critical.ground_unknown, critical.lon, critical.lat,
                           (critical.lon - run.west) / run.across - 0.5 AS x,
                           (critical.lat - run.north) / run.down - 0.5 AS y
                    FROM lswarn.asset_critical AS critical
                    WHERE critical.kind = asset.kind AND critical.asset_id = asset.id AND critical.class = warned.class
                      AND run.layers IS NOT NULL
                    OFFSET 0
                ) AS place
                CROSS JOIN LATERAL (
                    SELECT least(floor(place.x)::integer, run.cols - 2) + 1 AS at,
                           place.x - least(floor(place.x), run.cols - 2) AS part
                ) AS col
                CROSS JOIN LATERAL (
                    SELECT least(floor(place.y)::integer, run.rows - 2) + 1 AS at,
                           place.y - least(floor(place.y), run.rows - 2) AS part
                ) AS row
                OFFSET 0
            ) AS at
        ) AS piece
    ) AS found;
END;
COMMENT ON FUNCTION lswarn.rain_to_go_in_run(bigint) IS 'As rain_to_go, by the rain of one run';

CREATE FUNCTION lswarn.rain_to_go(day date, in_region text DEFAULT NULL, of_kind text DEFAULT 'observed')
RETURNS TABLE (
    region text, kind text, asset_id bigint, source_id text, name text, ref text, class smallint, status text,
    critical_mm double precision, rain_mm double precision, to_go_mm double precision, beyond_model boolean,
    geometry geometry
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT run.region, found.kind, found.asset_id, found.source_id, found.name, found.ref, found.class, found.status,
           found.critical_mm, found.rain_mm, found.to_go_mm, found.beyond_model, found.geometry
    FROM lswarn.run AS run
    CROSS JOIN LATERAL lswarn.rain_to_go_in_run(run.id) AS found
    WHERE run.valid_day = rain_to_go.day AND run.kind = rain_to_go.of_kind AND run.superseded_at IS NULL
      AND (rain_to_go.in_region IS NULL OR run.region = rain_to_go.in_region);
END;
COMMENT ON FUNCTION lswarn.rain_to_go(date, text, text) IS 'How much more rain, than in the seven days that end with a day, until some cell of a road, settlement or warning area is in a class; as rain_to_go_now';

CREATE VIEW lswarn.rain_to_go_now AS
SELECT run.region, run.valid_day, found.kind, found.asset_id, found.source_id, found.name, found.ref, found.class,
       found.status, found.critical_mm, found.rain_mm, found.to_go_mm, found.beyond_model, found.geometry
FROM lswarn.current_run AS run
CROSS JOIN LATERAL lswarn.rain_to_go_in_run(run.id) AS found;
COMMENT ON VIEW lswarn.rain_to_go_now IS 'How much more rain than on the newest observed day until some cell of a road, settlement or warning area is in a class';
COMMENT ON COLUMN lswarn.rain_to_go_now.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.rain_to_go_now.valid_day IS 'Last UTC day of the seven days of rain';
COMMENT ON COLUMN lswarn.rain_to_go_now.kind IS 'warning_area, road or settlement: the table in which it is';
COMMENT ON COLUMN lswarn.rain_to_go_now.asset_id IS 'Which one';
COMMENT ON COLUMN lswarn.rain_to_go_now.source_id IS 'Its id in the file';
COMMENT ON COLUMN lswarn.rain_to_go_now.name IS 'As people call it; empty where unknown';
COMMENT ON COLUMN lswarn.rain_to_go_now.ref IS 'Number on the signs; empty where unknown';
COMMENT ON COLUMN lswarn.rain_to_go_now.class IS 'Susceptibility that is asked for: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.rain_to_go_now.status IS 'reached; known; at_most: some rain or ground is unknown, so that less may do; never: no rain that the model has seen puts it there; beyond_model: nor does more than that, which has fallen, and nobody knows what it does; unknown: no rain or no ground is known, or not by the model of that day';
COMMENT ON COLUMN lswarn.rain_to_go_now.critical_mm IS 'Critical rain of seven days at the place that is nearest to it, mm; null = there is none, see status';
COMMENT ON COLUMN lswarn.rain_to_go_now.rain_mm IS 'Rain of seven days there, mm';
COMMENT ON COLUMN lswarn.rain_to_go_now.to_go_mm IS 'How much is missing, mm; 0 = it is in that class or above; null is not 0, see status';
COMMENT ON COLUMN lswarn.rain_to_go_now.beyond_model IS 'On some of it more rain fell than the model has seen';
COMMENT ON COLUMN lswarn.rain_to_go_now.geometry IS 'That place, EPSG:4326';

-- Who may: as with every other table.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        EXECUTE format('GRANT SELECT ON lswarn.critical_source, lswarn.asset_critical, lswarn.run_rain, lswarn.rain_to_go_now TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON lswarn.critical_source, lswarn.asset_critical, lswarn.run_rain TO lswarn_writer;
        END IF;
    END LOOP;
END
$$;
