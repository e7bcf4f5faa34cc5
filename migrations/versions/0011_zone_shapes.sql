-- Zones by their shapes: an outline is stored once, and what lies in it is cut once. Frozen: later changes are later
-- migrations.

-- Readers see what they saw: the three tables become views of the same names and columns. What is bound to the tables is
-- bound to the views instead: its text is kept here, and read again at the end.

CREATE TEMPORARY TABLE bound ON COMMIT DROP AS
SELECT statement
FROM (
    SELECT format('CREATE OR REPLACE VIEW lswarn.%I AS %s', relname, pg_get_viewdef(oid)) AS statement
    FROM pg_class WHERE relnamespace = 'lswarn'::regnamespace AND relkind = 'v'
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'lswarn'::regnamespace AND prosqlbody IS NOT NULL
) AS told
WHERE statement ~ '(susceptibility_zone|road_exposure|settlement_exposure)';

ALTER TABLE lswarn.susceptibility_zone RENAME TO old_zone;
ALTER TABLE lswarn.road_exposure RENAME TO old_road_exposure;
ALTER TABLE lswarn.settlement_exposure RENAME TO old_settlement_exposure;

CREATE TABLE lswarn.zone_shape (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    digest uuid NOT NULL,
    geometry geometry(POLYGON,4326) NOT NULL,
    CONSTRAINT pk_zone_shape PRIMARY KEY (id),
    CONSTRAINT uq_zone_shape_digest UNIQUE (digest),
    CONSTRAINT ck_zone_shape_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT fk_zone_shape_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
COMMENT ON TABLE lswarn.zone_shape IS 'Outlines of zones; one that stays the same from day to day, under the same assets and rules, is stored once';
COMMENT ON COLUMN lswarn.zone_shape.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.zone_shape.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.zone_shape.digest IS 'Of its region, the digests of assets and rules, and its outline: the first half of their sha256';
COMMENT ON COLUMN lswarn.zone_shape.geometry IS 'Extent';

CREATE TABLE lswarn.run_zone (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    shape_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    CONSTRAINT pk_run_zone PRIMARY KEY (id),
    CONSTRAINT ck_run_zone_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_run_zone_area CHECK (area_m2 > 0),
    CONSTRAINT ck_run_zone_probability CHECK (0 <= probability_mean AND probability_mean <= probability_max + 1e-6 AND probability_max <= 1)
);
COMMENT ON TABLE lswarn.run_zone IS 'Which shapes are the zones of a run, and of which class; with their outlines: susceptibility_zone';
COMMENT ON COLUMN lswarn.run_zone.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.run_zone.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.run_zone.shape_id IS 'Its outline';
COMMENT ON COLUMN lswarn.run_zone.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.run_zone.area_m2 IS 'Area, m²';
COMMENT ON COLUMN lswarn.run_zone.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.run_zone.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';

CREATE TABLE lswarn.road_part (
    shape_id bigint NOT NULL,
    number integer NOT NULL,
    road_id bigint NOT NULL,
    area_id bigint NOT NULL,
    length_m double precision NOT NULL,
    geometry geometry(MULTILINESTRING,4326) NOT NULL,
    CONSTRAINT pk_road_part PRIMARY KEY (shape_id, number),
    CONSTRAINT ck_road_part_number CHECK (number BETWEEN 1 AND 1048575),
    CONSTRAINT ck_road_part_length CHECK (length_m > 0)
);
COMMENT ON TABLE lswarn.road_part IS 'Stretch of one road in one shape and one warning area; of a run: road_exposure';
COMMENT ON COLUMN lswarn.road_part.shape_id IS 'Shape it lies in';
COMMENT ON COLUMN lswarn.road_part.number IS 'Of the stretches in that shape, from 1';
COMMENT ON COLUMN lswarn.road_part.road_id IS 'Which road';
COMMENT ON COLUMN lswarn.road_part.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.road_part.length_m IS 'Length inside, m';
COMMENT ON COLUMN lswarn.road_part.geometry IS 'The stretch inside';

CREATE TABLE lswarn.settlement_part (
    shape_id bigint NOT NULL,
    number integer NOT NULL,
    settlement_id bigint NOT NULL,
    area_id bigint NOT NULL,
    area_m2 double precision NOT NULL,
    area_share double precision NOT NULL,
    people integer,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    CONSTRAINT pk_settlement_part PRIMARY KEY (shape_id, number),
    CONSTRAINT ck_settlement_part_number CHECK (number BETWEEN 1 AND 1048575),
    CONSTRAINT ck_settlement_part_share CHECK (area_m2 > 0 AND area_share > 0 AND area_share <= 1),
    CONSTRAINT ck_settlement_part_people CHECK (people >= 0)
);
COMMENT ON TABLE lswarn.settlement_part IS 'Part of one settlement in one shape and one warning area; of a run: settlement_exposure';
COMMENT ON COLUMN lswarn.settlement_part.shape_id IS 'Shape it lies in';
COMMENT ON COLUMN lswarn.settlement_part.number IS 'Of the parts in that shape, from 1';
COMMENT ON COLUMN lswarn.settlement_part.settlement_id IS 'Which settlement';
COMMENT ON COLUMN lswarn.settlement_part.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.settlement_part.area_m2 IS 'Area inside, m²';
COMMENT ON COLUMN lswarn.settlement_part.area_share IS 'Share of the settlement''s area inside, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_part.people IS 'Share times population, rounded; null where the population is unknown';
COMMENT ON COLUMN lswarn.settlement_part.geometry IS 'The part inside';

-- What there is moves over. The digest is that of `lswarn/db/zones.py`: tomorrow's zones are to find these shapes.

CREATE TEMPORARY TABLE moved ON COMMIT DROP AS
SELECT zone.id AS zone_id, run.region,
       substr(encode(sha256(
           sha256(convert_to(run.region || chr(10) || run.assets_digest || chr(10) || run.rules_digest, 'UTF8'))
           || ST_AsEWKB(zone.geometry, 'NDR')
       ), 'hex'), 1, 32)::uuid AS digest
FROM lswarn.old_zone AS zone JOIN lswarn.run AS run ON run.id = zone.run_id;
CREATE INDEX ON moved (zone_id);
ANALYZE moved;

CREATE TEMPORARY TABLE first ON COMMIT DROP AS
SELECT digest, min(zone_id) AS zone_id FROM moved GROUP BY digest;

INSERT INTO lswarn.zone_shape (region, digest, geometry)
SELECT moved.region, first.digest, zone.geometry
FROM first JOIN moved USING (zone_id) JOIN lswarn.old_zone AS zone ON zone.id = first.zone_id
ORDER BY first.zone_id;
CREATE INDEX ix_zone_shape_geometry ON lswarn.zone_shape USING gist (geometry);

INSERT INTO lswarn.run_zone (id, run_id, shape_id, class, area_m2, probability_mean, probability_max)
OVERRIDING SYSTEM VALUE
SELECT zone.id, zone.run_id, shape.id, zone.class, zone.area_m2, zone.probability_mean, zone.probability_max
FROM lswarn.old_zone AS zone JOIN moved ON moved.zone_id = zone.id JOIN lswarn.zone_shape AS shape USING (digest)
ORDER BY zone.id;
CREATE INDEX ix_run_zone_run_id_shape_id ON lswarn.run_zone (run_id, shape_id);
SELECT setval(pg_get_serial_sequence('lswarn.run_zone', 'id'), max(id)) FROM lswarn.run_zone HAVING max(id) IS NOT NULL;

INSERT INTO lswarn.road_part (shape_id, number, road_id, area_id, length_m, geometry)
SELECT shape.id, row_number() OVER (PARTITION BY shape.id ORDER BY part.id), part.road_id, part.area_id, part.length_m,
       part.geometry
FROM lswarn.old_road_exposure AS part JOIN first USING (zone_id) JOIN lswarn.zone_shape AS shape USING (digest);

INSERT INTO lswarn.settlement_part
    (shape_id, number, settlement_id, area_id, area_m2, area_share, people, geometry)
SELECT shape.id, row_number() OVER (PARTITION BY shape.id ORDER BY part.id), part.settlement_id, part.area_id,
       part.area_m2, part.area_share, part.people, part.geometry
FROM lswarn.old_settlement_exposure AS part JOIN first USING (zone_id) JOIN lswarn.zone_shape AS shape USING (digest);

-- What readers see. The number of a part is its last twenty bits.

CREATE VIEW lswarn.susceptibility_zone AS
SELECT zone.id, zone.run_id, zone.class, zone.area_m2, zone.probability_mean, zone.probability_max, shape.geometry
FROM lswarn.run_zone AS zone JOIN lswarn.zone_shape AS shape ON shape.id = zone.shape_id;
COMMENT ON VIEW lswarn.susceptibility_zone IS 'Connected cells of class high or very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.susceptibility_zone.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.susceptibility_zone.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.area_m2 IS 'Area, m²';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.geometry IS 'Extent';

CREATE VIEW lswarn.road_exposure AS
SELECT zone.id * 1048576 + part.number AS id, zone.run_id, zone.id AS zone_id, part.road_id, part.area_id, zone.class,
       part.length_m, zone.probability_mean, zone.probability_max, part.geometry
FROM lswarn.run_zone AS zone JOIN lswarn.road_part AS part ON part.shape_id = zone.shape_id;
COMMENT ON VIEW lswarn.road_exposure IS 'Stretch of one road in one zone and one warning area';
COMMENT ON COLUMN lswarn.road_exposure.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.road_exposure.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.road_exposure.zone_id IS 'Zone it lies in';
COMMENT ON COLUMN lswarn.road_exposure.road_id IS 'Which road';
COMMENT ON COLUMN lswarn.road_exposure.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.road_exposure.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.road_exposure.length_m IS 'Length inside, m';
COMMENT ON COLUMN lswarn.road_exposure.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.road_exposure.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.road_exposure.geometry IS 'The stretch inside';

CREATE VIEW lswarn.settlement_exposure AS
SELECT zone.id * 1048576 + part.number AS id, zone.run_id, zone.id AS zone_id, part.settlement_id, part.area_id,
       zone.class, part.area_m2, part.area_share, part.people, zone.probability_mean, zone.probability_max,
       part.geometry
FROM lswarn.run_zone AS zone JOIN lswarn.settlement_part AS part ON part.shape_id = zone.shape_id;
COMMENT ON VIEW lswarn.settlement_exposure IS 'Part of one settlement in one zone and one warning area';
COMMENT ON COLUMN lswarn.settlement_exposure.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.settlement_exposure.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.settlement_exposure.zone_id IS 'Zone it lies in';
COMMENT ON COLUMN lswarn.settlement_exposure.settlement_id IS 'Which settlement';
COMMENT ON COLUMN lswarn.settlement_exposure.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.settlement_exposure.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.settlement_exposure.area_m2 IS 'Area inside, m²';
COMMENT ON COLUMN lswarn.settlement_exposure.area_share IS 'Share of the settlement''s area inside, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.people IS 'Share times population, rounded; null where the population is unknown';
COMMENT ON COLUMN lswarn.settlement_exposure.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.geometry IS 'The part inside';

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT statement FROM bound LOOP
        EXECUTE name;
    END LOOP;
END
$$;

DROP TABLE lswarn.old_road_exposure;
DROP TABLE lswarn.old_settlement_exposure;
DROP TABLE lswarn.old_zone;

-- New shapes are cut on several cores: how many is said here, for the planner expects little of what is new.

ALTER TABLE lswarn.zone_shape SET (parallel_workers = 2);

-- A server may have been built without it.

DO $$
BEGIN
    ALTER TABLE lswarn.class_tile ALTER COLUMN rast SET COMPRESSION lz4;
    ALTER TABLE lswarn.zone_shape ALTER COLUMN geometry SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN
        NULL;
END
$$;

-- Who may: as with every other table.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        EXECUTE format('GRANT SELECT ON lswarn.zone_shape, lswarn.run_zone, lswarn.road_part, lswarn.settlement_part, lswarn.susceptibility_zone, lswarn.road_exposure, lswarn.settlement_exposure TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON lswarn.zone_shape, lswarn.run_zone, lswarn.road_part, lswarn.settlement_part TO lswarn_writer;
        END IF;
    END LOOP;
END
$$;
