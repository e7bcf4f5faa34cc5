-- Outlooks and hindcasts beside the observed runs, rain that is modelled, and when rain was published. Frozen: later
-- changes are later migrations.

ALTER TABLE lswarn.rain_day ADD COLUMN published_at timestamptz;
ALTER TABLE lswarn.rain_day ADD COLUMN forecast boolean DEFAULT false NOT NULL;
COMMENT ON COLUMN lswarn.rain_day.version IS 'Such as V07B; of a forecast, the instant it was issued';
COMMENT ON COLUMN lswarn.rain_day.published_at IS 'When its provider says it was published; null = unknown';
COMMENT ON COLUMN lswarn.rain_day.forecast IS 'Made before the day was over';

ALTER TABLE lswarn.run ADD COLUMN kind text DEFAULT 'observed' NOT NULL;
ALTER TABLE lswarn.run ADD COLUMN lead_days smallint DEFAULT 0 NOT NULL;
ALTER TABLE lswarn.run DROP CONSTRAINT ck_run_grade;
ALTER TABLE lswarn.run DROP CONSTRAINT ck_run_model;
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_grade CHECK (grade IN ('A', 'B', 'C', 'D', 'E'));
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_status CHECK (
    status = CASE WHEN model_id IS NULL THEN 'unknown' WHEN grade = 'E' OR lead_days > 0 THEN 'modelled'
             WHEN grade = 'D' THEN 'lower_bound' ELSE 'complete' END
);
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_kind CHECK (kind IN ('observed', 'outlook', 'hindcast'));
ALTER TABLE lswarn.run ADD CONSTRAINT ck_run_lead CHECK (lead_days >= 0 AND (kind = 'outlook') = (lead_days > 0));
DROP INDEX lswarn.uq_run_current;
CREATE UNIQUE INDEX uq_run_current ON lswarn.run (region, valid_day, kind) WHERE superseded_at IS NULL;
COMMENT ON TABLE lswarn.run IS 'One publication of one day and kind; what a superseded run found is deleted, the run itself is kept';
COMMENT ON COLUMN lswarn.run.kind IS 'observed; outlook: of a day that was not over; hindcast: of a past day, with what had been published by then';
COMMENT ON COLUMN lswarn.run.lead_days IS 'How many of the seven days are forecast: 0 but for an outlook';
COMMENT ON COLUMN lswarn.run.status IS 'complete; lower_bound: rain is missing, modelled: rain is modelled, not observed: in both nothing follows from a zone''s absence; unknown: nothing is known at all';
COMMENT ON COLUMN lswarn.run.superseded_at IS 'When a later run of that day and kind replaced it; null = it counts';

COMMENT ON COLUMN lswarn.rainfall_exceedance.rain_mm IS 'Rain of seven days, in the region''s measure, mm';
COMMENT ON COLUMN lswarn.rainfall_exceedance.critical_mm IS 'Critical rain of seven days, in the same measure, mm';
ALTER TABLE lswarn.alert ADD COLUMN outlook_only boolean DEFAULT false NOT NULL;
COMMENT ON COLUMN lswarn.alert.outlook_only IS 'Only outlooks have called for the level so far';
COMMENT ON COLUMN lswarn.alert.opened_on IS 'Last observed day when the first message was given';
COMMENT ON COLUMN lswarn.alert.changed_on IS 'Last observed day when the last message was given';
COMMENT ON COLUMN lswarn.alert.below IS 'Complete observed days below the level since, with the level they called for: [[day, level], …]';
COMMENT ON COLUMN lswarn.alert_message.valid_day IS 'Day it speaks of: of an outlook, a day ahead';

-- What there was speaks of observed days alone.

CREATE OR REPLACE VIEW lswarn.current_run AS
SELECT DISTINCT ON (region)
       id, region, valid_day, key, status, grade, model_id, rain, missing, rules_digest, assets_digest, software, rasters,
       published_at, superseded_at
FROM lswarn.run
WHERE superseded_at IS NULL AND kind = 'observed'
ORDER BY region, valid_day DESC;
COMMENT ON VIEW lswarn.current_run IS 'The newest observed day of each region; its status says what the absence of a zone means';

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
WHERE run.superseded_at IS NULL AND run.kind = 'observed';
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by observed day, warning area and class; null on days without enough rain data: unknown, not none';

CREATE OR REPLACE VIEW lswarn.rain_status AS
SELECT run.region, run.valid_day, run.grade, day.day,
       used.product AS used_product, used.version AS used_version,
       best.product AS best_product, best.version AS best_version, best.fetched_at,
       best.sha256 IS DISTINCT FROM used.sha256 AS rerun_due,
       best.published_at
FROM lswarn.current_run AS run
CROSS JOIN LATERAL (SELECT run.valid_day - back AS day FROM generate_series(0, 6) AS back) AS day
LEFT JOIN LATERAL jsonb_to_recordset(run.rain) AS used (day date, product text, version text, sha256 text)
  ON used.day = day.day
LEFT JOIN lswarn.rain_day AS best
  ON best.region = run.region AND best.day = day.day AND best.superseded_at IS NULL AND NOT best.forecast;
COMMENT ON VIEW lswarn.rain_status IS 'The seven days of rain behind the newest observed day; null product = missing';

CREATE OR REPLACE VIEW lswarn.alert_now AS
SELECT alert.id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
       CASE alert.level WHEN 1 THEN 'orange' WHEN 2 THEN 'red' END AS level_name,
       alert.opened_on, alert.changed_on, jsonb_array_length(alert.below) AS days_below, alert.told, area.geometry,
       alert.outlook_only
FROM lswarn.alert AS alert
JOIN lswarn.warning_area AS area ON area.id = alert.area_id
WHERE alert.closed_on IS NULL;
COMMENT ON COLUMN lswarn.alert_now.outlook_only IS 'Only outlooks have called for the level so far';

-- The days ahead.

CREATE VIEW lswarn.outlook_run AS
SELECT run.*
FROM lswarn.run AS run
LEFT JOIN lswarn.current_run AS observed ON observed.region = run.region
WHERE run.kind = 'outlook' AND run.superseded_at IS NULL
  AND (observed.valid_day IS NULL OR run.valid_day > observed.valid_day);
COMMENT ON VIEW lswarn.outlook_run IS 'The outlooks of each region: its newest run of every day after the newest observed one; nothing follows from the absence of a zone';

CREATE VIEW lswarn.outlook_zone AS
SELECT zone.id, run.region, run.valid_day, run.lead_days, run.status, run.grade, zone.class, zone.area_m2,
       zone.probability_mean, zone.probability_max, zone.geometry
FROM lswarn.outlook_run AS run
JOIN lswarn.susceptibility_zone AS zone ON zone.run_id = run.id;
COMMENT ON VIEW lswarn.outlook_zone IS 'Zones of class high (4) and very high (5) on the days ahead, should the rain fall as forecast';

CREATE VIEW lswarn.outlook_exposed_road AS
SELECT stretch.id, run.region, run.valid_day, run.lead_days, run.status, area.source_id AS area_id,
       area.name AS area_name, road.source_id AS road_id, road.name, road.ref, road.kind, stretch.class,
       stretch.length_m, stretch.probability_mean, stretch.probability_max, stretch.geometry
FROM lswarn.outlook_run AS run
JOIN lswarn.road_exposure AS stretch ON stretch.run_id = run.id
JOIN lswarn.road AS road ON road.id = stretch.road_id
JOIN lswarn.warning_area AS area ON area.id = stretch.area_id;
COMMENT ON VIEW lswarn.outlook_exposed_road IS 'Stretches of road in zones on the days ahead, cut where the zone and the warning area end';

CREATE VIEW lswarn.outlook_exposed_settlement AS
SELECT part.id, run.region, run.valid_day, run.lead_days, run.status, area.source_id AS area_id,
       area.name AS area_name, settlement.source_id AS settlement_id, settlement.name, settlement.kind, part.class,
       part.area_m2, part.area_share, part.people, part.probability_mean, part.probability_max, part.geometry
FROM lswarn.outlook_run AS run
JOIN lswarn.settlement_exposure AS part ON part.run_id = run.id
JOIN lswarn.settlement AS settlement ON settlement.id = part.settlement_id
JOIN lswarn.warning_area AS area ON area.id = part.area_id;
COMMENT ON VIEW lswarn.outlook_exposed_settlement IS 'Parts of settlements in zones on the days ahead; people is null where the population is unknown';
