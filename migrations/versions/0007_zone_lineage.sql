-- Where zones came from, totals of what was exposed, and exposure that is written in bulk. Frozen: later changes are later
-- migrations.

-- A year of days is many million exposed stretches, of which a reader wants one run. By run they are found; an index by
-- place or by road would hold every run of the year, and costs more to keep than all the rest of a day. Stretches are
-- written by one statement that joins the very tables they speak of, each of them once, and go with their run: keys would
-- look every one of them up again, five times each.

DROP INDEX lswarn.ix_road_exposure_geometry;
DROP INDEX lswarn.ix_road_exposure_road_id;
ALTER TABLE lswarn.road_exposure DROP CONSTRAINT fk_road_exposure_run_id;
ALTER TABLE lswarn.road_exposure DROP CONSTRAINT fk_road_exposure_zone_id;
ALTER TABLE lswarn.road_exposure DROP CONSTRAINT fk_road_exposure_road_id;
ALTER TABLE lswarn.road_exposure DROP CONSTRAINT fk_road_exposure_area_id;
ALTER TABLE lswarn.road_exposure DROP CONSTRAINT uq_road_exposure_zone_id_road_id_area_id;

DROP INDEX lswarn.ix_settlement_exposure_geometry;
DROP INDEX lswarn.ix_settlement_exposure_settlement_id;
ALTER TABLE lswarn.settlement_exposure DROP CONSTRAINT fk_settlement_exposure_run_id;
ALTER TABLE lswarn.settlement_exposure DROP CONSTRAINT fk_settlement_exposure_zone_id;
ALTER TABLE lswarn.settlement_exposure DROP CONSTRAINT fk_settlement_exposure_settlement_id;
ALTER TABLE lswarn.settlement_exposure DROP CONSTRAINT fk_settlement_exposure_area_id;
ALTER TABLE lswarn.settlement_exposure DROP CONSTRAINT uq_settlement_exposure_zone_id_settlement_id_area_id;

-- What lay in zones, counted once, when a run is published.

CREATE TABLE lswarn.exposure_total (
    run_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    roads bigint NOT NULL,
    road_m double precision NOT NULL,
    settlements bigint NOT NULL,
    people bigint NOT NULL,
    settlements_uncounted bigint NOT NULL,
    CONSTRAINT pk_exposure_total PRIMARY KEY (run_id, area_id, class),
    CONSTRAINT ck_exposure_total_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_exposure_total_known CHECK (roads >= 0 AND road_m >= 0 AND settlements >= 0 AND people >= 0 AND settlements_uncounted >= 0),
    CONSTRAINT fk_exposure_total_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id),
    CONSTRAINT fk_exposure_total_area_id FOREIGN KEY(area_id) REFERENCES lswarn.warning_area (id)
);
COMMENT ON TABLE lswarn.exposure_total IS 'What lay in zones of one class in one warning area; no row where nothing did';
COMMENT ON COLUMN lswarn.exposure_total.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.exposure_total.area_id IS 'Warning area';
COMMENT ON COLUMN lswarn.exposure_total.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.exposure_total.roads IS 'Roads with a stretch inside';
COMMENT ON COLUMN lswarn.exposure_total.road_m IS 'Length of these stretches, m';
COMMENT ON COLUMN lswarn.exposure_total.settlements IS 'Settlements with a part inside';
COMMENT ON COLUMN lswarn.exposure_total.people IS 'Of settlements whose population is known';
COMMENT ON COLUMN lswarn.exposure_total.settlements_uncounted IS 'Settlements hit whose population is unknown';

INSERT INTO lswarn.exposure_total (run_id, area_id, class, roads, road_m, settlements, people, settlements_uncounted)
SELECT run_id, area_id, class, coalesce(sum(roads), 0), coalesce(sum(road_m), 0), coalesce(sum(settlements), 0),
       coalesce(sum(people), 0), coalesce(sum(uncounted), 0)
FROM (
    SELECT run_id, area_id, class, count(DISTINCT road_id) AS roads, sum(length_m) AS road_m, 0 AS settlements,
           0 AS people, 0 AS uncounted
    FROM lswarn.road_exposure GROUP BY run_id, area_id, class
    UNION ALL
    SELECT run_id, area_id, class, 0, 0, count(DISTINCT settlement_id), sum(people),
           count(DISTINCT settlement_id) FILTER (WHERE people IS NULL)
    FROM lswarn.settlement_exposure GROUP BY run_id, area_id, class
) AS found
GROUP BY run_id, area_id, class;

CREATE OR REPLACE VIEW lswarn.exposure_history AS
SELECT run.region, run.valid_day, run.status, run.grade, area.source_id AS area_id, area.name AS area_name, zone.class,
       CASE WHEN run.status <> 'unknown' THEN coalesce(total.roads, 0) END AS roads,
       CASE WHEN run.status <> 'unknown' THEN coalesce(total.road_m, 0) END AS road_m,
       CASE WHEN run.status <> 'unknown' THEN coalesce(total.settlements, 0) END AS settlements,
       CASE WHEN run.status <> 'unknown' THEN coalesce(total.people, 0) END AS people,
       CASE WHEN run.status <> 'unknown' THEN coalesce(total.settlements_uncounted, 0) END AS settlements_uncounted
FROM lswarn.run AS run
JOIN lswarn.warning_area AS area
  ON area.region = run.region AND (area.retired_at IS NULL OR area.retired_at > run.published_at)
CROSS JOIN (VALUES (4), (5)) AS zone (class)
LEFT JOIN lswarn.exposure_total AS total
  ON (total.run_id, total.area_id, total.class) = (run.id, area.id, zone.class)
WHERE run.superseded_at IS NULL AND run.kind = 'observed';
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by observed day, warning area and class, kept for ever; null on days without enough rain data: unknown, not none';

-- Where zones came from.

ALTER TABLE lswarn.run ADD COLUMN earlier_run_id bigint;
ALTER TABLE lswarn.run ADD CONSTRAINT fk_run_earlier_run_id FOREIGN KEY (earlier_run_id) REFERENCES lswarn.run (id);
COMMENT ON COLUMN lswarn.run.earlier_run_id IS 'Observed run of an earlier day that its zones were compared with; null = with none';

CREATE TABLE lswarn.zone_lineage (
    run_id bigint NOT NULL,
    zone_id bigint NOT NULL,
    earlier_zone_id bigint NOT NULL,
    overlap_m2 double precision NOT NULL,
    CONSTRAINT pk_zone_lineage PRIMARY KEY (run_id, zone_id, earlier_zone_id),
    CONSTRAINT ck_zone_lineage_overlap CHECK (overlap_m2 > 0)
);
COMMENT ON TABLE lswarn.zone_lineage IS 'Which zones of an earlier day lay where a zone lies, of either class';
COMMENT ON COLUMN lswarn.zone_lineage.run_id IS 'Run that found the zone; which run the earlier zone is of, it says itself';
COMMENT ON COLUMN lswarn.zone_lineage.zone_id IS 'Zone';
COMMENT ON COLUMN lswarn.zone_lineage.earlier_zone_id IS 'Zone of the earlier run; it may have been deleted since';
COMMENT ON COLUMN lswarn.zone_lineage.overlap_m2 IS 'Area that both have, m²';

CREATE FUNCTION lswarn.zone_changes(run_id bigint)
RETURNS TABLE (
    zone_id bigint, change text, class smallint, area_m2 double precision, earlier_zones bigint[],
    earlier_class smallint, earlier_m2 double precision, overlap_m2 double precision, geometry geometry(POLYGON,4326)
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH compared AS MATERIALIZED (
        SELECT earlier.id AS earlier_id, run.status
        FROM lswarn.run AS run JOIN lswarn.run AS earlier ON earlier.id = run.earlier_run_id
        WHERE run.id = zone_changes.run_id
          -- A run that was superseded or grew old has lost its zones: of them nothing is known, not that there were none.
          AND earlier.superseded_at IS NULL AND earlier.pruned_at IS NULL
    ), every AS MATERIALIZED (
        SELECT line.zone_id, line.earlier_zone_id, line.overlap_m2, earlier.class, earlier.area_m2,
               earlier.class = zone.class AS alike,
               bool_or(earlier.class = zone.class) OVER (PARTITION BY line.zone_id) AS any_alike
        FROM lswarn.zone_lineage AS line
        JOIN lswarn.susceptibility_zone AS zone ON zone.id = line.zone_id
        JOIN lswarn.susceptibility_zone AS earlier ON earlier.id = line.earlier_zone_id
        WHERE line.run_id = zone_changes.run_id AND EXISTS (SELECT FROM compared)
    ), kin AS MATERIALIZED (
        -- The core that turned very high lies within the high zone of the day before, and is not its continuation where
        -- there was a core already: zones of the same class come first.
        SELECT every.*, count(*) OVER (PARTITION BY every.earlier_zone_id, every.alike) AS heirs
        FROM every WHERE every.alike = every.any_alike
    ), past AS (
        SELECT kin.zone_id, count(*) AS earlier, max(kin.heirs) AS heirs, sum(kin.overlap_m2) AS overlap_m2,
               array_agg(kin.earlier_zone_id ORDER BY kin.overlap_m2 DESC, kin.earlier_zone_id) AS earlier_zones,
               max(kin.class)::smallint AS earlier_class, sum(kin.area_m2) AS earlier_m2
        FROM kin GROUP BY kin.zone_id
    )
    SELECT zone.id,
           CASE WHEN past.earlier > 1 THEN 'merged' WHEN past.heirs > 1 THEN 'split'
                WHEN past.earlier = 1 THEN 'continued' WHEN EXISTS (SELECT FROM compared) THEN 'new' ELSE 'unknown' END,
           zone.class, zone.area_m2, coalesce(past.earlier_zones, '{}'), past.earlier_class, past.earlier_m2,
           coalesce(past.overlap_m2, 0), zone.geometry
    FROM lswarn.susceptibility_zone AS zone
    LEFT JOIN past ON past.zone_id = zone.id
    WHERE zone.run_id = zone_changes.run_id
    UNION ALL
    SELECT NULL, CASE compared.status WHEN 'complete' THEN 'gone' ELSE 'unknown' END, NULL, NULL, ARRAY[zone.id],
           zone.class, zone.area_m2, 0, zone.geometry
    FROM compared
    JOIN lswarn.susceptibility_zone AS zone ON zone.run_id = compared.earlier_id
    WHERE NOT EXISTS (SELECT FROM every WHERE every.earlier_zone_id = zone.id);
END;
COMMENT ON FUNCTION lswarn.zone_changes(bigint) IS 'What became of zones from the earlier observed day to a run. change: continued; merged: of several; split: one of several heirs; new; gone: only on a day with complete rain; unknown: there is no earlier day to compare with, or, of an earlier zone that is not there any more, rain is missing or modelled. Kin of the same class comes first; where there is none, of the other, and earlier_class tells that it rose or fell. Of a zone that is gone, the geometry is that of the earlier day';

CREATE VIEW lswarn.zone_change_now AS
SELECT row_number() OVER () AS id, run.region, run.valid_day, run.status, run.grade, earlier.valid_day AS earlier_day,
       change.zone_id, change.change, change.class, change.area_m2, change.earlier_zones, change.earlier_class,
       change.earlier_m2, change.overlap_m2, change.geometry
FROM lswarn.current_run AS run
JOIN lswarn.run AS newest ON newest.id = run.id
LEFT JOIN lswarn.run AS earlier ON earlier.id = newest.earlier_run_id
CROSS JOIN LATERAL lswarn.zone_changes(run.id) AS change;
COMMENT ON VIEW lswarn.zone_change_now IS 'What became of the zones of the earlier observed day on the newest one';
COMMENT ON COLUMN lswarn.zone_change_now.id IS 'Number of the row, for QGIS; another at every reading';
COMMENT ON COLUMN lswarn.zone_change_now.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.zone_change_now.valid_day IS 'Last UTC day of the seven days of rain';
COMMENT ON COLUMN lswarn.zone_change_now.status IS 'complete; lower_bound: rain is missing, modelled: rain is modelled, not observed: in both nothing follows from a zone''s absence; unknown: nothing is known at all';
COMMENT ON COLUMN lswarn.zone_change_now.grade IS 'A to E: how far the rain can be trusted';
COMMENT ON COLUMN lswarn.zone_change_now.earlier_day IS 'Day it is compared with; null = with none';
COMMENT ON COLUMN lswarn.zone_change_now.zone_id IS 'Zone, as in current_zone; null where it is gone';
COMMENT ON COLUMN lswarn.zone_change_now.change IS 'continued; merged: of several; split: one of several heirs; new; gone; unknown: there is nothing to compare with, or an earlier zone is not there any more on a day whose rain is not complete';
COMMENT ON COLUMN lswarn.zone_change_now.class IS 'Susceptibility: 4 high, 5 very high; null where it is gone';
COMMENT ON COLUMN lswarn.zone_change_now.area_m2 IS 'Area, m²; null where it is gone';
COMMENT ON COLUMN lswarn.zone_change_now.earlier_zones IS 'Zones it came from, the largest overlap first; of one that is gone, itself';
COMMENT ON COLUMN lswarn.zone_change_now.earlier_class IS 'Highest class of the zones it came from; null where it is new';
COMMENT ON COLUMN lswarn.zone_change_now.earlier_m2 IS 'Area of the zones it came from, m²; null where it is new';
COMMENT ON COLUMN lswarn.zone_change_now.overlap_m2 IS 'Area that it shares with them, m²';
COMMENT ON COLUMN lswarn.zone_change_now.geometry IS 'Extent, EPSG:4326; where it is gone, that of the earlier day';

-- Who may: as with every other table.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        EXECUTE format('GRANT SELECT ON lswarn.exposure_total, lswarn.zone_lineage, lswarn.zone_change_now TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON lswarn.exposure_total, lswarn.zone_lineage TO lswarn_writer;
        END IF;
    END LOOP;
END
$$;
