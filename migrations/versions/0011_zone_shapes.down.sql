-- Back to zones that each have their own outline, and exposure that is copied from day to day.

CREATE TEMPORARY TABLE bound ON COMMIT DROP AS
SELECT statement
FROM (
    SELECT format('CREATE OR REPLACE VIEW lswarn.%I AS %s', relname, pg_get_viewdef(oid)) AS statement
    FROM pg_class
    WHERE relnamespace = 'lswarn'::regnamespace AND relkind = 'v'
      AND relname NOT IN ('susceptibility_zone', 'road_exposure', 'settlement_exposure')
    UNION ALL
    SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'lswarn'::regnamespace AND prosqlbody IS NOT NULL
) AS told
WHERE statement ~ '(susceptibility_zone|road_exposure|settlement_exposure)';

ALTER VIEW lswarn.susceptibility_zone RENAME TO new_zone;
ALTER VIEW lswarn.road_exposure RENAME TO new_road_exposure;
ALTER VIEW lswarn.settlement_exposure RENAME TO new_settlement_exposure;

CREATE TABLE lswarn.susceptibility_zone (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(POLYGON,4326) NOT NULL,
    CONSTRAINT pk_susceptibility_zone PRIMARY KEY (id),
    CONSTRAINT ck_susceptibility_zone_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_susceptibility_zone_area CHECK (area_m2 > 0),
    CONSTRAINT ck_susceptibility_zone_probability CHECK (0 <= probability_mean AND probability_mean <= probability_max + 1e-6 AND probability_max <= 1),
    CONSTRAINT ck_susceptibility_zone_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT fk_susceptibility_zone_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
COMMENT ON TABLE lswarn.susceptibility_zone IS 'Connected cells of class high or very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.susceptibility_zone.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.susceptibility_zone.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.area_m2 IS 'Area, m²';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.geometry IS 'Extent';

CREATE TABLE lswarn.road_exposure (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    zone_id bigint NOT NULL,
    road_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    length_m double precision NOT NULL,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(MULTILINESTRING,4326) NOT NULL,
    CONSTRAINT pk_road_exposure PRIMARY KEY (id),
    CONSTRAINT ck_road_exposure_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_road_exposure_length CHECK (length_m > 0)
);
COMMENT ON TABLE lswarn.road_exposure IS 'Stretch of one road in one zone and one warning area';
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

CREATE TABLE lswarn.settlement_exposure (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    zone_id bigint NOT NULL,
    settlement_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    area_share double precision NOT NULL,
    people integer,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    CONSTRAINT pk_settlement_exposure PRIMARY KEY (id),
    CONSTRAINT ck_settlement_exposure_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_settlement_exposure_share CHECK (area_m2 > 0 AND area_share > 0 AND area_share <= 1),
    CONSTRAINT ck_settlement_exposure_people CHECK (people >= 0)
);
COMMENT ON TABLE lswarn.settlement_exposure IS 'Part of one settlement in one zone and one warning area';
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

INSERT INTO lswarn.susceptibility_zone (id, run_id, class, area_m2, probability_mean, probability_max, geometry)
OVERRIDING SYSTEM VALUE
SELECT id, run_id, class, area_m2, probability_mean, probability_max, geometry FROM lswarn.new_zone ORDER BY id;
SELECT setval(pg_get_serial_sequence('lswarn.susceptibility_zone', 'id'), max(id))
FROM lswarn.susceptibility_zone HAVING max(id) IS NOT NULL;
INSERT INTO lswarn.road_exposure
    (run_id, zone_id, road_id, area_id, class, length_m, probability_mean, probability_max, geometry)
SELECT run_id, zone_id, road_id, area_id, class, length_m, probability_mean, probability_max, geometry
FROM lswarn.new_road_exposure ORDER BY id;
INSERT INTO lswarn.settlement_exposure
    (run_id, zone_id, settlement_id, area_id, class, area_m2, area_share, people, probability_mean, probability_max,
     geometry)
SELECT run_id, zone_id, settlement_id, area_id, class, area_m2, area_share, people, probability_mean, probability_max,
       geometry
FROM lswarn.new_settlement_exposure ORDER BY id;

CREATE INDEX ix_susceptibility_zone_geometry ON lswarn.susceptibility_zone USING gist (geometry);
CREATE INDEX ix_susceptibility_zone_run_id ON lswarn.susceptibility_zone (run_id);
CREATE INDEX ix_road_exposure_run_id ON lswarn.road_exposure (run_id);
CREATE INDEX ix_settlement_exposure_run_id ON lswarn.settlement_exposure (run_id);

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT statement FROM bound LOOP
        EXECUTE name;
    END LOOP;
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        EXECUTE format('GRANT SELECT ON lswarn.susceptibility_zone, lswarn.road_exposure, lswarn.settlement_exposure TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON lswarn.susceptibility_zone, lswarn.road_exposure, lswarn.settlement_exposure TO lswarn_writer;
        END IF;
    END LOOP;
END
$$;

DROP VIEW lswarn.new_road_exposure;
DROP VIEW lswarn.new_settlement_exposure;
DROP VIEW lswarn.new_zone;
DROP TABLE lswarn.settlement_part;
DROP TABLE lswarn.road_part;
DROP TABLE lswarn.run_zone;
DROP TABLE lswarn.zone_shape;

ALTER TABLE lswarn.class_tile ALTER COLUMN rast SET COMPRESSION default;
