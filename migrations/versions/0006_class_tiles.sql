-- Class maps as raster tiles, functions and views for analysts, and what is left of a run whose findings have gone.
-- Frozen: later changes are later migrations.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'postgis_raster') THEN
        RETURN;
    END IF;
    BEGIN
        CREATE EXTENSION postgis_raster SCHEMA public;
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE EXCEPTION 'extension postgis_raster is not permitted to %; let an owner of the server run in database %: CREATE EXTENSION postgis_raster SCHEMA public; then migrate again', current_user, current_database()
                USING ERRCODE = 'insufficient_privilege';
        WHEN feature_not_supported OR undefined_file THEN
            RAISE EXCEPTION 'extension postgis_raster is not installed on the database server; there, run: apt-get install postgresql-%-postgis-3-scripts; then migrate again', current_setting('server_version_num')::integer / 10000
                USING ERRCODE = 'feature_not_supported';
        WHEN duplicate_object OR unique_violation THEN
            NULL;  -- somebody else has made it this moment
    END;
END
$$;

-- The maps.

CREATE TABLE lswarn.class_tile (
    sha256 text NOT NULL,
    rast raster NOT NULL,
    CONSTRAINT pk_class_tile PRIMARY KEY (sha256)
);
COMMENT ON TABLE lswarn.class_tile IS 'Pieces of class maps; one that stays the same from day to day is stored once';
COMMENT ON COLUMN lswarn.class_tile.sha256 IS 'Digest of its place and cells';
COMMENT ON COLUMN lswarn.class_tile.rast IS 'Susceptibility of each cell: 0 unknown (no nodata), 1 very low, 2 low, 3 moderate, 4 high, 5 very high; in the region''s metric CRS';

CREATE TABLE lswarn.run_tile (
    run_id bigint NOT NULL,
    tile_row integer NOT NULL,
    tile_col integer NOT NULL,
    sha256 text NOT NULL,
    CONSTRAINT pk_run_tile PRIMARY KEY (run_id, tile_row, tile_col),
    CONSTRAINT ck_run_tile_place CHECK (tile_row >= 0 AND tile_col >= 0),
    CONSTRAINT fk_run_tile_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id),
    CONSTRAINT fk_run_tile_sha256 FOREIGN KEY(sha256) REFERENCES lswarn.class_tile (sha256)
);
CREATE INDEX ix_run_tile_sha256 ON lswarn.run_tile (sha256);
COMMENT ON TABLE lswarn.run_tile IS 'Which tiles make up the class map of a run';
COMMENT ON COLUMN lswarn.run_tile.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.run_tile.tile_row IS 'Row of tiles, from 0 in the north';
COMMENT ON COLUMN lswarn.run_tile.tile_col IS 'Column of tiles, from 0 in the west';
COMMENT ON COLUMN lswarn.run_tile.sha256 IS 'Which tile';

-- What has gone is told apart from what was never there.

ALTER TABLE lswarn.run ADD COLUMN pruned_at timestamptz;
COMMENT ON COLUMN lswarn.run.pruned_at IS 'When its map, zones and exposure were deleted for their age; null = they are kept';

CREATE OR REPLACE VIEW lswarn.exposure_history AS
SELECT run.region, run.valid_day, run.status, run.grade, area.source_id AS area_id, area.name AS area_name, zone.class,
       CASE WHEN run.status <> 'unknown' AND run.pruned_at IS NULL THEN coalesce(roads.roads, 0) END AS roads,
       CASE WHEN run.status <> 'unknown' AND run.pruned_at IS NULL THEN coalesce(roads.length_m, 0) END AS road_m,
       CASE WHEN run.status <> 'unknown' AND run.pruned_at IS NULL THEN coalesce(settlements.settlements, 0) END AS settlements,
       CASE WHEN run.status <> 'unknown' AND run.pruned_at IS NULL THEN coalesce(settlements.people, 0) END AS people,
       CASE WHEN run.status <> 'unknown' AND run.pruned_at IS NULL THEN coalesce(settlements.uncounted, 0) END AS settlements_uncounted
FROM lswarn.run AS run
JOIN lswarn.warning_area AS area
  ON area.region = run.region AND (area.retired_at IS NULL OR area.retired_at > run.published_at)
CROSS JOIN (VALUES (4), (5)) AS zone (class)
LEFT JOIN (
    SELECT run_id, area_id, class, count(DISTINCT road_id) AS roads, sum(length_m) AS length_m
    FROM lswarn.road_exposure
    GROUP BY run_id, area_id, class
) AS roads ON (roads.run_id, roads.area_id, roads.class) = (run.id, area.id, zone.class)
LEFT JOIN (
    SELECT run_id, area_id, class, count(DISTINCT settlement_id) AS settlements, sum(people) AS people,
           count(DISTINCT settlement_id) FILTER (WHERE people IS NULL) AS uncounted
    FROM lswarn.settlement_exposure
    GROUP BY run_id, area_id, class
) AS settlements ON (settlements.run_id, settlements.area_id, settlements.class) = (run.id, area.id, zone.class)
WHERE run.superseded_at IS NULL AND run.kind = 'observed';
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by observed day, warning area and class; null on days without enough rain data and on days whose findings have been deleted: unknown, not none';

-- The map of now.

CREATE VIEW lswarn.current_class_tile AS
SELECT run.id * 1000000 + tile.tile_row * 1000 + tile.tile_col AS id, run.region, run.valid_day, tile.tile_row,
       tile.tile_col, class_tile.rast
FROM lswarn.current_run AS run
JOIN lswarn.run_tile AS tile ON tile.run_id = run.id
JOIN lswarn.class_tile AS class_tile ON class_tile.sha256 = tile.sha256;
COMMENT ON VIEW lswarn.current_class_tile IS 'The class map of the newest observed day, in tiles';

-- Functions. Their bodies are bound to the tables here and now, so that no search path changes what they mean.

CREATE FUNCTION lswarn.class_in_run(run_id bigint, point geometry) RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- The tile in the north-west knows where every cell lies, also those beyond it.
    SELECT ST_Value(tile.rast, origin.at)::smallint
    FROM (
        SELECT corner.rast, ST_Transform(class_in_run.point, ST_SRID(corner.rast)) AS at
        FROM lswarn.run_tile AS first
        JOIN lswarn.class_tile AS corner ON corner.sha256 = first.sha256
        WHERE first.run_id = class_in_run.run_id AND first.tile_row = 0 AND first.tile_col = 0
    ) AS origin
    JOIN lswarn.run_tile AS place
      ON place.run_id = class_in_run.run_id
     AND place.tile_row = floor((ST_WorldToRasterCoordY(origin.rast, ST_X(origin.at), ST_Y(origin.at)) - 1.0) / ST_Height(origin.rast))::integer
     AND place.tile_col = floor((ST_WorldToRasterCoordX(origin.rast, ST_X(origin.at), ST_Y(origin.at)) - 1.0) / ST_Width(origin.rast))::integer
    JOIN lswarn.class_tile AS tile ON tile.sha256 = place.sha256;
END;
COMMENT ON FUNCTION lswarn.class_in_run(bigint, geometry) IS 'Susceptibility class at a point by the map of one run; null outside the map, and where the map is not kept';

CREATE FUNCTION lswarn.class_at(point geometry, day date, in_region text DEFAULT NULL, of_kind text DEFAULT 'observed')
RETURNS smallint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- Half a degree around its box: the grid of a region reaches beyond, but a point far off is not to be projected.
    SELECT max(lswarn.class_in_run(run.id, class_at.point))
    FROM lswarn.run AS run
    JOIN lswarn.region AS region ON region.name = run.region
    WHERE run.valid_day = class_at.day AND run.kind = class_at.of_kind AND run.superseded_at IS NULL
      AND (class_at.in_region IS NULL OR run.region = class_at.in_region)
      AND ST_Expand(region.geometry, 0.5) && ST_Transform(class_at.point, 4326);
END;
COMMENT ON FUNCTION lswarn.class_at(geometry, date, text, text) IS 'Susceptibility class at a point on a day: 1 very low to 5 very high, 0 unknown; null where there is no map of that day: outside of every region, no run, or deleted for its age. Where regions overlap, the highest';

CREATE FUNCTION lswarn.exposure_of(
    shape geometry, day date, in_region text DEFAULT NULL, of_kind text DEFAULT 'observed'
)
RETURNS TABLE (
    region text, class smallint, points bigint, length_m double precision, area_m2 double precision,
    probability_max double precision
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH part AS MATERIALIZED (
        SELECT row_number() OVER () AS number, ST_Dimension(piece.geom) AS dimension, piece.geom
        FROM ST_Dump(ST_MakeValid(ST_Transform(ST_Force2D(exposure_of.shape), 4326))) AS piece
    ), map AS MATERIALIZED (
        SELECT run.id, run.region, corner.rast, ST_SRID(corner.rast) AS srid, ST_Expand(region.geometry, 0.5) AS around,
               (SELECT ST_Envelope(ST_Collect(ST_Envelope(corner.rast), ST_Envelope(tile.rast)))
                FROM lswarn.run_tile AS last
                JOIN lswarn.class_tile AS tile ON tile.sha256 = last.sha256
                WHERE last.run_id = run.id
                ORDER BY last.tile_row DESC, last.tile_col DESC
                LIMIT 1) AS extent
        FROM lswarn.run AS run
        JOIN lswarn.region AS region ON region.name = run.region
        JOIN lswarn.run_tile AS first ON first.run_id = run.id AND first.tile_row = 0 AND first.tile_col = 0
        JOIN lswarn.class_tile AS corner ON corner.sha256 = first.sha256
        WHERE run.valid_day = exposure_of.day AND run.kind = exposure_of.of_kind AND run.superseded_at IS NULL
          AND (exposure_of.in_region IS NULL OR run.region = exposure_of.in_region)
    ), place AS MATERIALIZED (
        -- What is far off is cut away before it is projected.
        SELECT map.id, map.region, map.rast, part.number, part.dimension, near.geom AS degrees,
               ST_Intersection(ST_Transform(near.geom, map.srid), map.extent) AS geom
        FROM part
        JOIN map ON part.geom && map.around
        CROSS JOIN LATERAL (
            SELECT CASE WHEN ST_Covers(map.around, part.geom) THEN part.geom
                        ELSE ST_Intersection(part.geom, map.around) END AS geom
        ) AS near
        WHERE part.dimension > 0 AND NOT ST_IsEmpty(near.geom)
    ), tile AS MATERIALIZED (
        SELECT place.id, place.region, place.number, place.dimension, class_tile.rast,
               ST_CollectionExtract(ST_Intersection(place.geom, ST_Envelope(class_tile.rast)), place.dimension + 1) AS geom
        FROM place
        CROSS JOIN LATERAL (
            SELECT (ST_WorldToRasterCoord(place.rast, ST_XMin(place.geom), ST_YMax(place.geom))).*
        ) AS first (col, row)
        CROSS JOIN LATERAL (
            SELECT (ST_WorldToRasterCoord(place.rast, ST_XMax(place.geom), ST_YMin(place.geom))).*
        ) AS last (col, row)
        JOIN lswarn.run_tile AS run_tile
          ON run_tile.run_id = place.id
         AND run_tile.tile_row BETWEEN floor((first.row - 1.0) / ST_Height(place.rast)) AND floor((last.row - 1.0) / ST_Height(place.rast))
         AND run_tile.tile_col BETWEEN floor((first.col - 1.0) / ST_Width(place.rast)) AND floor((last.col - 1.0) / ST_Width(place.rast))
        JOIN lswarn.class_tile AS class_tile ON class_tile.sha256 = run_tile.sha256
        WHERE NOT ST_IsEmpty(place.geom) AND ST_Intersects(place.geom, ST_Envelope(class_tile.rast))
    ), cut AS MATERIALIZED (
        -- A cell more on each side: what is clipped keeps the cells whose middle is inside. 255 is no class: 0 is one.
        SELECT tile.id, tile.region, tile.dimension, patch.val::smallint AS class,
               ST_CollectionExtract(ST_Intersection(tile.geom, patch.geom), tile.dimension + 1) AS geom
        FROM tile
        CROSS JOIN LATERAL ST_DumpAsPolygons(
            ST_Clip(tile.rast, ST_Expand(ST_Envelope(tile.geom), 1.5 * ST_PixelWidth(tile.rast)), 255, true), 1, true
        ) AS patch
        WHERE NOT ST_IsEmpty(tile.geom) AND ST_Intersects(tile.geom, patch.geom)
    ), found AS (
        SELECT cut.id, cut.region, cut.class, 0 AS points,
               CASE WHEN cut.dimension = 1 THEN ST_Length(cut.geom) ELSE 0 END AS length_m,
               CASE WHEN cut.dimension = 2 THEN ST_Area(cut.geom) ELSE 0 END AS area_m2
        FROM cut
        UNION ALL
        SELECT map.id, map.region, at.class, 1, 0, 0
        FROM part
        JOIN map ON part.geom && map.around
        CROSS JOIN LATERAL (SELECT lswarn.class_in_run(map.id, part.geom) AS class) AS at
        WHERE part.dimension = 0 AND at.class IS NOT NULL
        UNION ALL
        SELECT NULL, NULL, NULL,
               CASE WHEN part.dimension = 0 THEN 1 ELSE 0 END, ST_Length(beyond.geom::geography),
               ST_Area(beyond.geom::geography)
        FROM part
        CROSS JOIN LATERAL (
            SELECT coalesce(
                ST_Difference(
                    part.geom,
                    (SELECT ST_Union(ST_Transform(ST_Segmentize(map.extent, 1000), 4326)) FROM map WHERE part.geom && map.around)
                ),
                part.geom
            ) AS geom
        ) AS beyond
        WHERE NOT ST_IsEmpty(beyond.geom)
    ), dimensions AS (
        SELECT bool_or(part.dimension = 0) AS points, bool_or(part.dimension = 1) AS lines,
               bool_or(part.dimension = 2) AS polygons
        FROM part
    )
    SELECT found.region, found.class,
           CASE WHEN dimensions.points THEN sum(found.points) END,
           CASE WHEN dimensions.lines THEN sum(found.length_m) END,
           CASE WHEN dimensions.polygons THEN sum(found.area_m2) END,
           (SELECT max(zone.probability_max)
            FROM lswarn.susceptibility_zone AS zone
            JOIN part ON ST_Intersects(zone.geometry, part.geom)
            WHERE zone.run_id = found.id AND zone.class = found.class)
    FROM found
    CROSS JOIN dimensions
    GROUP BY found.id, found.region, found.class, dimensions.points, dimensions.lines, dimensions.polygons
    HAVING sum(found.points) > 0 OR sum(found.length_m) > 0 OR sum(found.area_m2) > 0
    ORDER BY found.region, found.class DESC NULLS LAST;
END;
COMMENT ON FUNCTION lswarn.exposure_of(geometry, date, text, text) IS 'What of a shape lies in which class on a day: points, metres of line, m² of polygon; each null where the shape has none. Class 0 is unknown; class null is what lies on no map of that day. probability_max: of the zones of that class that it meets; null where there are none';

CREATE FUNCTION lswarn.summary(day date, in_region text DEFAULT NULL, of_kind text DEFAULT 'observed')
RETURNS TABLE (
    region text, area_id text, area_name text, status text, grade text, at_least boolean,
    unknown_m2 double precision, very_low_m2 double precision, low_m2 double precision, moderate_m2 double precision,
    high_m2 double precision, very_high_m2 double precision,
    road_km double precision, settlements bigint, people bigint,
    very_high_road_km double precision, very_high_settlements bigint, very_high_people bigint,
    settlements_uncounted bigint
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT region.name, area.source_id, area.name, coalesce(run.status, 'no run'), run.grade,
           run.status IS DISTINCT FROM 'complete' OR cells.unknown_m2 > 0 OR NOT known.told,
           cells.unknown_m2, cells.very_low_m2, cells.low_m2, cells.moderate_m2, cells.high_m2, cells.very_high_m2,
           CASE WHEN known.told THEN coalesce(road.km, 0) END,
           CASE WHEN known.told THEN settlement.settlements END,
           CASE WHEN known.told THEN settlement.people END,
           CASE WHEN known.told THEN coalesce(road.very_high_km, 0) END,
           CASE WHEN known.told THEN settlement.very_high_settlements END,
           CASE WHEN known.told THEN settlement.very_high_people END,
           CASE WHEN known.told THEN settlement.uncounted END
    FROM lswarn.region AS region
    LEFT JOIN lswarn.run AS run
      ON run.region = region.name AND run.valid_day = summary.day AND run.kind = summary.of_kind
     AND run.superseded_at IS NULL
    JOIN lswarn.warning_area AS area
      ON area.region = region.name AND (area.retired_at IS NULL OR area.retired_at > run.published_at)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 0), 0) END AS unknown_m2,
               CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 1), 0) END AS very_low_m2,
               CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 2), 0) END AS low_m2,
               CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 3), 0) END AS moderate_m2,
               CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 4), 0) END AS high_m2,
               CASE WHEN count(*) > 0 THEN coalesce(sum(area_m2) FILTER (WHERE class = 5), 0) END AS very_high_m2,
               coalesce(sum(area_m2) FILTER (WHERE class > 0), 0) AS known_m2
        FROM lswarn.class_area
        WHERE class_area.run_id = run.id AND class_area.area_id = area.id
    ) AS cells
    -- Of an area where no cell is known, nothing is known of its roads; and findings that were deleted are not none.
    CROSS JOIN LATERAL (
        SELECT run.id IS NOT NULL AND run.pruned_at IS NULL AND cells.known_m2 > 0 AS told
    ) AS known
    CROSS JOIN LATERAL (
        SELECT sum(length_m) / 1000 AS km, sum(length_m) FILTER (WHERE class = 5) / 1000 AS very_high_km
        FROM lswarn.road_exposure
        WHERE road_exposure.run_id = run.id AND road_exposure.area_id = area.id
    ) AS road
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT settlement_id) AS settlements, coalesce(sum(people), 0) AS people,
               count(DISTINCT settlement_id) FILTER (WHERE class = 5) AS very_high_settlements,
               coalesce(sum(people) FILTER (WHERE class = 5), 0) AS very_high_people,
               count(DISTINCT settlement_id) FILTER (WHERE people IS NULL) AS uncounted
        FROM lswarn.settlement_exposure
        WHERE settlement_exposure.run_id = run.id AND settlement_exposure.area_id = area.id
    ) AS settlement
    WHERE summary.in_region IS NULL OR region.name = summary.in_region
    ORDER BY region.name, area.source_id;
END;
COMMENT ON FUNCTION lswarn.summary(date, text, text) IS 'Every warning area on a day: m² of each class, then what lies in zones of class high and very high, and of these in very high alone. Null is not known (no run, rain missing, findings deleted), 0 is none. at_least: part of the area is unknown, or the rain is not complete: the numbers may be larger. people: of settlements whose population is known; settlements_uncounted: the others';

-- Every column of every view says what it means: as its table says it, else as written here.

DO $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT '' AS view, view.relname AS of_view, shown.attname AS of_column,
               col_description('lswarn.run'::regclass, meant.attnum) AS meaning
        FROM pg_class AS view
        JOIN pg_attribute AS shown ON shown.attrelid = view.oid AND shown.attnum > 0
        JOIN pg_attribute AS meant ON meant.attrelid = 'lswarn.run'::regclass AND meant.attname = shown.attname
        WHERE view.oid IN ('lswarn.current_run'::regclass, 'lswarn.outlook_run'::regclass)
        UNION ALL
        SELECT said.view, view.relname, shown.attname, said.meaning
        FROM (VALUES
            ('', 'id', 'Key within this database'),
            ('', 'region', 'Region it belongs to'),
            ('', 'valid_day', 'Last UTC day of the seven days of rain'),
            ('', 'lead_days', 'How many of the seven days are forecast'),
            ('', 'status', 'complete; lower_bound: rain is missing, modelled: rain is modelled, not observed: in both nothing follows from a zone''s absence; unknown: nothing is known at all'),
            ('', 'grade', 'A to E: how far the rain can be trusted'),
            ('', 'class', 'Susceptibility: 4 high, 5 very high'),
            ('', 'area_id', 'Warning area it lies in: its id in the file'),
            ('', 'area_name', 'Warning area, for people'),
            ('', 'road_id', 'Id of the road in its file'),
            ('', 'settlement_id', 'Id of the settlement in its file'),
            ('', 'name', 'As people call it; empty where unknown'),
            ('', 'ref', 'Number on the signs; empty where unknown'),
            ('', 'kind', 'Class of road or settlement in the file; empty where unknown'),
            ('', 'length_m', 'Length inside the zone, m'),
            ('', 'area_m2', 'Area inside the zone, m²'),
            ('', 'area_share', 'Share of the settlement''s area inside the zone, 0 to 1'),
            ('', 'people', 'Share times population, rounded; null where the population is unknown'),
            ('', 'probability_mean', 'Mean landslide probability of the zone''s cells, 0 to 1'),
            ('', 'probability_max', 'Max landslide probability of the zone''s cells, 0 to 1'),
            ('', 'geometry', 'Extent, EPSG:4326'),
            ('current_zone', 'area_m2', 'Area, m²'),
            ('outlook_zone', 'area_m2', 'Area, m²'),
            ('exposed_road_now', 'geometry', 'The stretch inside, EPSG:4326'),
            ('outlook_exposed_road', 'geometry', 'The stretch inside, EPSG:4326'),
            ('exposed_settlement_now', 'geometry', 'The part inside, EPSG:4326'),
            ('outlook_exposed_settlement', 'geometry', 'The part inside, EPSG:4326'),
            ('exposure_history', 'area_id', 'Warning area: its id in the file'),
            ('exposure_history', 'roads', 'Roads with a stretch in zones of that class; null = unknown'),
            ('exposure_history', 'road_m', 'Length of these stretches, m; null = unknown'),
            ('exposure_history', 'settlements', 'Settlements with a part in zones of that class; null = unknown'),
            ('exposure_history', 'people', 'Of settlements whose population is known; null = unknown'),
            ('exposure_history', 'settlements_uncounted', 'Settlements hit whose population is unknown; null = unknown'),
            ('rain_status', 'day', 'One of the seven UTC days'),
            ('rain_status', 'used_product', 'Product that the run used; null = missing'),
            ('rain_status', 'used_version', 'Its version; null = missing'),
            ('rain_status', 'best_product', 'Best product of that day by now; null = missing'),
            ('rain_status', 'best_version', 'Its version; null = missing'),
            ('rain_status', 'fetched_at', 'When the best granule was fetched; null = missing'),
            ('rain_status', 'published_at', 'When its provider says it was published; null = unknown'),
            ('rain_status', 'rerun_due', 'A better granule has arrived since the run'),
            ('alert_now', 'area_id', 'Warning area: its id in the file'),
            ('alert_now', 'level', 'What people have been told: 1 orange, 2 red'),
            ('alert_now', 'level_name', 'orange or red'),
            ('alert_now', 'opened_on', 'Last observed day when the first message was given'),
            ('alert_now', 'changed_on', 'Last observed day when the last message was given'),
            ('alert_now', 'days_below', 'Complete days below the level so far'),
            ('alert_now', 'told', 'Assets people have been told of: road:ID, settlement:ID'),
            ('alert_now', 'outlook_only', 'Only outlooks have called for the level so far'),
            ('alert_now', 'geometry', 'Extent of the warning area, EPSG:4326'),
            ('current_class_tile', 'tile_row', 'Row of tiles, from 0 in the north'),
            ('current_class_tile', 'tile_col', 'Column of tiles, from 0 in the west'),
            ('current_class_tile', 'id', 'Key of the tile, for QGIS'),
            ('current_class_tile', 'rast', 'Susceptibility of each cell: 0 unknown, 1 very low to 5 very high; in the region''s metric CRS')
        ) AS said (view, "column", meaning)
        JOIN pg_class AS view ON view.relnamespace = 'lswarn'::regnamespace AND view.relkind = 'v'
          AND view.relname NOT IN ('current_run', 'outlook_run') AND said.view IN ('', view.relname)
        JOIN pg_attribute AS shown ON shown.attrelid = view.oid AND shown.attname = said."column"
        -- What is said of one view comes last, and stays.
        ORDER BY 1
    LOOP
        EXECUTE format('COMMENT ON COLUMN lswarn.%I.%I IS %L', told.of_view, told.of_column, told.meaning);
    END LOOP;
END
$$;

-- Who may: as with every other table.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        EXECUTE format('GRANT SELECT ON lswarn.class_tile, lswarn.run_tile, lswarn.current_class_tile TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON lswarn.class_tile, lswarn.run_tile TO lswarn_writer;
        END IF;
    END LOOP;
END
$$;
