-- Back to observed runs alone. Outlooks and hindcasts stay on record as superseded; days of modelled rain become
-- unknown; forecasts are no longer on record.

DROP VIEW lswarn.outlook_exposed_settlement;
DROP VIEW lswarn.outlook_exposed_road;
DROP VIEW lswarn.outlook_zone;
DROP VIEW lswarn.outlook_run;

CREATE OR REPLACE VIEW lswarn.current_run AS
SELECT DISTINCT ON (region)
       id, region, valid_day, key, status, grade, model_id, rain, missing, rules_digest, assets_digest, software, rasters,
       published_at, superseded_at
FROM lswarn.run
WHERE superseded_at IS NULL
ORDER BY region, valid_day DESC;
COMMENT ON VIEW lswarn.current_run IS 'The newest published day of each region; its status says what the absence of a zone means';

CREATE OR REPLACE VIEW lswarn.exposure_history AS
SELECT run.region, run.valid_day, run.status, run.grade, area.source_id AS area_id, area.name AS area_name, zone.class,
       CASE WHEN run.status <> 'unknown' THEN coalesce(roads.roads, 0) END AS roads,
       CASE WHEN run.status <> 'unknown' THEN coalesce(roads.length_m, 0) END AS road_m,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.settlements, 0) END AS settlements,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.people, 0) END AS people,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.uncounted, 0) END AS settlements_uncounted
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
WHERE run.superseded_at IS NULL;
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by day, warning area and class; null on days without enough rain data: unknown, not none';

DROP VIEW lswarn.rain_status;
CREATE VIEW lswarn.rain_status AS
SELECT run.region, run.valid_day, run.grade, day.day,
       used.product AS used_product, used.version AS used_version,
       best.product AS best_product, best.version AS best_version, best.fetched_at,
       best.sha256 IS DISTINCT FROM used.sha256 AS rerun_due
FROM lswarn.current_run AS run
CROSS JOIN LATERAL (SELECT run.valid_day - back AS day FROM generate_series(0, 6) AS back) AS day
LEFT JOIN LATERAL jsonb_to_recordset(run.rain) AS used (day date, product text, version text, sha256 text)
  ON used.day = day.day
LEFT JOIN lswarn.rain_day AS best
  ON best.region = run.region AND best.day = day.day AND best.superseded_at IS NULL;
COMMENT ON VIEW lswarn.rain_status IS 'The seven days of rain behind the newest day; null product = missing';
COMMENT ON COLUMN lswarn.rain_status.rerun_due IS 'A better granule has arrived since the run';

ALTER TABLE lswarn.run DROP CONSTRAINT ck_run_status;
DELETE FROM lswarn.road_exposure WHERE run_id IN (SELECT id FROM lswarn.run WHERE kind <> 'observed' OR status = 'modelled');
DELETE FROM lswarn.settlement_exposure WHERE run_id IN (SELECT id FROM lswarn.run WHERE kind <> 'observed' OR status = 'modelled');
DELETE FROM lswarn.susceptibility_zone WHERE run_id IN (SELECT id FROM lswarn.run WHERE kind <> 'observed' OR status = 'modelled');
DELETE FROM lswarn.rainfall_exceedance WHERE run_id IN (SELECT id FROM lswarn.run WHERE kind <> 'observed' OR status = 'modelled');
DELETE FROM lswarn.class_area WHERE run_id IN (SELECT id FROM lswarn.run WHERE kind <> 'observed' OR status = 'modelled');
UPDATE lswarn.run SET superseded_at = published_at WHERE kind <> 'observed' AND superseded_at IS NULL;
UPDATE lswarn.run SET grade = 'E', status = 'unknown', model_id = NULL WHERE status IN ('modelled', 'unknown');
DROP INDEX lswarn.uq_run_current;
CREATE UNIQUE INDEX uq_run_current ON lswarn.run (region, valid_day) WHERE superseded_at IS NULL;
ALTER TABLE lswarn.run DROP COLUMN lead_days;
ALTER TABLE lswarn.run DROP COLUMN kind;
ALTER TABLE lswarn.run DROP CONSTRAINT ck_run_grade;
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_grade CHECK (status = CASE WHEN grade IN ('A', 'B', 'C') THEN 'complete' WHEN grade = 'D' THEN 'lower_bound' WHEN grade = 'E' THEN 'unknown' ELSE '' END);
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_model CHECK ((status = 'unknown') = (model_id IS NULL));
COMMENT ON TABLE lswarn.run IS 'One publication of one day; what a superseded run found is deleted, the run itself is kept';
COMMENT ON COLUMN lswarn.run.status IS 'complete; lower_bound: nothing follows from a zone''s absence; unknown: nothing is known at all';
COMMENT ON COLUMN lswarn.run.superseded_at IS 'When a later run of that day replaced it; null = it counts';
COMMENT ON COLUMN lswarn.rainfall_exceedance.rain_mm IS 'Rain of seven days, mm';
COMMENT ON COLUMN lswarn.rainfall_exceedance.critical_mm IS 'Critical rain of seven days, mm';
DROP VIEW lswarn.alert_now;
CREATE VIEW lswarn.alert_now AS
SELECT alert.id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
       CASE alert.level WHEN 1 THEN 'orange' WHEN 2 THEN 'red' END AS level_name,
       alert.opened_on, alert.changed_on, jsonb_array_length(alert.below) AS days_below, alert.told, area.geometry
FROM lswarn.alert AS alert
JOIN lswarn.warning_area AS area ON area.id = alert.area_id
WHERE alert.closed_on IS NULL;
COMMENT ON VIEW lswarn.alert_now IS 'Open alerts';
COMMENT ON COLUMN lswarn.alert_now.days_below IS 'Complete days below the level so far';
ALTER TABLE lswarn.alert DROP COLUMN outlook_only;
COMMENT ON COLUMN lswarn.alert.opened_on IS 'Day of the first message';
COMMENT ON COLUMN lswarn.alert.changed_on IS 'Day of the last message';
COMMENT ON COLUMN lswarn.alert.below IS 'Complete days below the level since, with the level they called for: [[day, level], …]';
COMMENT ON COLUMN lswarn.alert_message.valid_day IS 'Day it speaks of';

DELETE FROM lswarn.rain_day WHERE forecast;
ALTER TABLE lswarn.rain_day DROP COLUMN forecast;
ALTER TABLE lswarn.rain_day DROP COLUMN published_at;
COMMENT ON COLUMN lswarn.rain_day.version IS 'Such as V07B';
