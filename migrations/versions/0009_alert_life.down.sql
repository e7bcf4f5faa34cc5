-- Back to alerts that nobody reviews. Drills, reviews and drafts that did not go out are forgotten, for
-- there is no place for them.

DROP VIEW lswarn.area_state;

DELETE FROM lswarn.delivery_attempt WHERE delivery_id IN (
    SELECT delivery.id FROM lswarn.delivery JOIN lswarn.alert_message AS message ON message.id = message_id
    WHERE message.kind = 'review' OR message.status <> 'actual' OR message.released_at IS NULL);
DELETE FROM lswarn.delivery WHERE message_id IN (
    SELECT id FROM lswarn.alert_message
    WHERE kind = 'review' OR status <> 'actual' OR released_at IS NULL);
DELETE FROM lswarn.alert_message WHERE kind = 'review' OR status <> 'actual' OR released_at IS NULL;
DELETE FROM lswarn.alert WHERE status <> 'actual';

DROP VIEW lswarn.alert_now;
CREATE VIEW lswarn.alert_now AS
SELECT alert.id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
       CASE alert.level WHEN 1 THEN 'orange' WHEN 2 THEN 'red' END AS level_name,
       alert.opened_on, alert.changed_on, jsonb_array_length(alert.below) AS days_below, alert.told, area.geometry,
       alert.outlook_only
FROM lswarn.alert AS alert
JOIN lswarn.warning_area AS area ON area.id = alert.area_id
WHERE alert.closed_on IS NULL;
COMMENT ON VIEW lswarn.alert_now IS 'Open alerts';
COMMENT ON COLUMN lswarn.alert_now.days_below IS 'Complete days below the level so far';
COMMENT ON COLUMN lswarn.alert_now.outlook_only IS 'Only outlooks have called for the level so far';

DROP INDEX lswarn.ix_alert_message_waiting;
DROP INDEX lswarn.uq_alert_message_change;
CREATE UNIQUE INDEX uq_alert_message_change ON lswarn.alert_message (run_id, alert_id, kind);
DROP INDEX lswarn.uq_alert_message_cap_identifier;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_cap;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_decided;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_released;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_approval;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_status;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_alert;
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_kind;
ALTER TABLE lswarn.alert_message DROP COLUMN cap;
ALTER TABLE lswarn.alert_message DROP COLUMN cap_references;
ALTER TABLE lswarn.alert_message DROP COLUMN cap_expires_at;
ALTER TABLE lswarn.alert_message DROP COLUMN cap_sent;
ALTER TABLE lswarn.alert_message DROP COLUMN cap_identifier;
ALTER TABLE lswarn.alert_message DROP COLUMN cap_rules;
ALTER TABLE lswarn.alert_message DROP COLUMN released_at;
ALTER TABLE lswarn.alert_message DROP COLUMN reason;
ALTER TABLE lswarn.alert_message DROP COLUMN decided_at;
ALTER TABLE lswarn.alert_message DROP COLUMN decided_by;
ALTER TABLE lswarn.alert_message DROP COLUMN review_until;
ALTER TABLE lswarn.alert_message DROP COLUMN approval;
ALTER TABLE lswarn.alert_message DROP COLUMN about_id;
ALTER TABLE lswarn.alert_message DROP COLUMN translations;
ALTER TABLE lswarn.alert_message DROP COLUMN news;
ALTER TABLE lswarn.alert_message DROP COLUMN status;
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_kind CHECK (kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing'));
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_alert CHECK ((kind = 'data_missing') = (alert_id IS NULL) AND (alert_id IS NULL OR run_id IS NOT NULL));
COMMENT ON COLUMN lswarn.alert_message.kind IS 'open, raise, update, lower, clear or data_missing';
COMMENT ON TABLE lswarn.alert_message IS 'What was said; the history of every alert';

DROP INDEX lswarn.uq_alert_open;
CREATE UNIQUE INDEX uq_alert_open ON lswarn.alert (area_id, hazard) WHERE closed_on IS NULL;
ALTER TABLE lswarn.alert DROP CONSTRAINT ck_alert_status;
ALTER TABLE lswarn.alert DROP CONSTRAINT ck_alert_state;
UPDATE lswarn.alert
SET below = (SELECT coalesce(jsonb_agg(entry - 2 ORDER BY number), '[]')
             FROM jsonb_array_elements(below) WITH ORDINALITY AS was (entry, number));
ALTER TABLE lswarn.alert ALTER COLUMN run_id SET NOT NULL;
ALTER TABLE lswarn.alert DROP COLUMN held;
ALTER TABLE lswarn.alert DROP COLUMN said_at;
ALTER TABLE lswarn.alert DROP COLUMN status;
ALTER TABLE lswarn.alert DROP COLUMN state;
COMMENT ON COLUMN lswarn.alert.run_id IS 'Run that the last message came from';
COMMENT ON COLUMN lswarn.alert.below IS 'Complete observed days below the level since, with the level they called for: [[day, level], …]';

ALTER TABLE lswarn.warning_area DROP COLUMN unknown_since;
