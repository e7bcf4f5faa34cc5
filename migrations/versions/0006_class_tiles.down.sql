-- Back to maps on disk alone. Tiles go, and running their days again brings them back; of days whose findings have been
-- deleted for their age nothing says so any more. The extension stays: it may be somebody else's too.

DROP FUNCTION lswarn.summary(date, text, text);
DROP FUNCTION lswarn.exposure_of(geometry, date, text, text);
DROP FUNCTION lswarn.class_at(geometry, date, text, text);
DROP FUNCTION lswarn.class_in_run(bigint, geometry);
DROP VIEW lswarn.current_class_tile;

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

DO $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT view.relname AS of_view, shown.attname AS of_column
        FROM pg_class AS view
        JOIN pg_attribute AS shown ON shown.attrelid = view.oid AND shown.attnum > 0
        WHERE view.relnamespace = 'lswarn'::regnamespace AND view.relkind = 'v'
    LOOP
        EXECUTE format('COMMENT ON COLUMN lswarn.%I.%I IS NULL', told.of_view, told.of_column);
    END LOOP;
END
$$;
COMMENT ON COLUMN lswarn.exposure_history.people IS 'Of settlements whose population is known';
COMMENT ON COLUMN lswarn.exposure_history.settlements_uncounted IS 'Settlements hit whose population is unknown';
COMMENT ON COLUMN lswarn.rain_status.rerun_due IS 'A better granule has arrived since the run';
COMMENT ON COLUMN lswarn.alert_now.days_below IS 'Complete days below the level so far';
COMMENT ON COLUMN lswarn.alert_now.outlook_only IS 'Only outlooks have called for the level so far';

ALTER TABLE lswarn.run DROP COLUMN pruned_at;
DROP TABLE lswarn.run_tile;
DROP TABLE lswarn.class_tile;
