-- Back to counting exposure whenever it is asked for, and to zones that know nothing of the day before. What was found stays.

DROP VIEW lswarn.zone_change_now;
DROP FUNCTION lswarn.zone_changes(bigint);
DROP TABLE lswarn.zone_lineage;
ALTER TABLE lswarn.run DROP COLUMN earlier_run_id;

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
DROP TABLE lswarn.exposure_total;
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by observed day, warning area and class; null on days without enough rain data and on days whose findings have been deleted: unknown, not none';

DELETE FROM lswarn.road_exposure AS part
WHERE NOT EXISTS (SELECT FROM lswarn.susceptibility_zone AS zone WHERE zone.id = part.zone_id);
ALTER TABLE lswarn.road_exposure ADD CONSTRAINT uq_road_exposure_zone_id_road_id_area_id UNIQUE (zone_id, road_id, area_id);
ALTER TABLE lswarn.road_exposure ADD CONSTRAINT fk_road_exposure_run_id FOREIGN KEY (run_id) REFERENCES lswarn.run (id);
ALTER TABLE lswarn.road_exposure ADD CONSTRAINT fk_road_exposure_zone_id FOREIGN KEY (zone_id) REFERENCES lswarn.susceptibility_zone (id);
ALTER TABLE lswarn.road_exposure ADD CONSTRAINT fk_road_exposure_road_id FOREIGN KEY (road_id) REFERENCES lswarn.road (id);
ALTER TABLE lswarn.road_exposure ADD CONSTRAINT fk_road_exposure_area_id FOREIGN KEY (area_id) REFERENCES lswarn.warning_area (id);
CREATE INDEX ix_road_exposure_geometry ON lswarn.road_exposure USING gist (geometry);
CREATE INDEX ix_road_exposure_road_id ON lswarn.road_exposure (road_id);
DELETE FROM lswarn.settlement_exposure AS part
WHERE NOT EXISTS (SELECT FROM lswarn.susceptibility_zone AS zone WHERE zone.id = part.zone_id);
ALTER TABLE lswarn.settlement_exposure ADD CONSTRAINT uq_settlement_exposure_zone_id_settlement_id_area_id UNIQUE (zone_id, settlement_id, area_id);
ALTER TABLE lswarn.settlement_exposure ADD CONSTRAINT fk_settlement_exposure_run_id FOREIGN KEY (run_id) REFERENCES lswarn.run (id);
ALTER TABLE lswarn.settlement_exposure ADD CONSTRAINT fk_settlement_exposure_zone_id FOREIGN KEY (zone_id) REFERENCES lswarn.susceptibility_zone (id);
ALTER TABLE lswarn.settlement_exposure ADD CONSTRAINT fk_settlement_exposure_settlement_id FOREIGN KEY (settlement_id) REFERENCES lswarn.settlement (id);
ALTER TABLE lswarn.settlement_exposure ADD CONSTRAINT fk_settlement_exposure_area_id FOREIGN KEY (area_id) REFERENCES lswarn.warning_area (id);
CREATE INDEX ix_settlement_exposure_geometry ON lswarn.settlement_exposure USING gist (geometry);
CREATE INDEX ix_settlement_exposure_settlement_id ON lswarn.settlement_exposure (settlement_id);
