-- The life of an alert: its states, its approval, its CAP messages. Frozen: later changes are later migrations.

-- What each area stands at.

ALTER TABLE lswarn.warning_area ADD COLUMN unknown_since date;
COMMENT ON COLUMN lswarn.warning_area.unknown_since IS 'First of the observed days, up to the newest, on which not all of its rain was known; null = it is known';

ALTER TABLE lswarn.alert ADD COLUMN state text DEFAULT 'open' NOT NULL;
ALTER TABLE lswarn.alert ADD COLUMN status text DEFAULT 'actual' NOT NULL;
ALTER TABLE lswarn.alert ADD COLUMN said_at timestamptz;
ALTER TABLE lswarn.alert ADD COLUMN held jsonb DEFAULT '[]' NOT NULL;
ALTER TABLE lswarn.alert ALTER COLUMN run_id DROP NOT NULL;
COMMENT ON COLUMN lswarn.alert.state IS 'open: its level is called for; easing: less is; unknown: nobody knows; closed';
COMMENT ON COLUMN lswarn.alert.status IS 'actual, or test or exercise: a drill';
COMMENT ON COLUMN lswarn.alert.said_at IS 'When the last message was given; null where nothing was said';
COMMENT ON COLUMN lswarn.alert.held IS 'Places newly hit that are held back for the next message, as it will name them';
COMMENT ON COLUMN lswarn.alert.run_id IS 'Run that the last message came from; null of a drill';
COMMENT ON COLUMN lswarn.alert.below IS 'Complete observed days below the level since, with the level they called for and the level they let stay: [[day, level, level], …]';
-- What is in force is said again before it runs out, which asks when it was said.
UPDATE lswarn.alert
SET said_at = (SELECT max(queued_at) FROM lswarn.alert_message AS message WHERE message.alert_id = alert.id),
    state = CASE WHEN closed_on IS NOT NULL THEN 'closed' WHEN below <> '[]' THEN 'easing' ELSE 'open' END,
    below = (SELECT coalesce(jsonb_agg(entry || jsonb_build_array(entry -> 1) ORDER BY number), '[]')
             FROM jsonb_array_elements(below) WITH ORDINALITY AS was (entry, number));
ALTER TABLE lswarn.alert ADD CONSTRAINT ck_alert_state CHECK (state IN ('open', 'easing', 'unknown', 'closed') AND (state = 'closed') = (closed_on IS NOT NULL));
ALTER TABLE lswarn.alert ADD CONSTRAINT ck_alert_status CHECK (status IN ('actual', 'test', 'exercise') AND (status <> 'actual' OR run_id IS NOT NULL));
DROP INDEX lswarn.uq_alert_open;
CREATE UNIQUE INDEX uq_alert_open ON lswarn.alert (area_id, hazard, status) WHERE closed_on IS NULL;

-- Who decided that a message goes out, and what the world was told.

ALTER TABLE lswarn.alert_message ADD COLUMN status text DEFAULT 'actual' NOT NULL;
ALTER TABLE lswarn.alert_message ADD COLUMN news text[] DEFAULT '{}' NOT NULL;
ALTER TABLE lswarn.alert_message ADD COLUMN translations jsonb DEFAULT '{}' NOT NULL;
ALTER TABLE lswarn.alert_message ADD COLUMN about_id bigint;
ALTER TABLE lswarn.alert_message ADD COLUMN approval text DEFAULT 'auto' NOT NULL;
ALTER TABLE lswarn.alert_message ADD COLUMN review_until timestamptz;
ALTER TABLE lswarn.alert_message ADD COLUMN decided_by text;
ALTER TABLE lswarn.alert_message ADD COLUMN decided_at timestamptz;
ALTER TABLE lswarn.alert_message ADD COLUMN reason text;
ALTER TABLE lswarn.alert_message ADD COLUMN released_at timestamptz;
ALTER TABLE lswarn.alert_message ADD COLUMN cap_rules jsonb;
ALTER TABLE lswarn.alert_message ADD COLUMN cap_identifier text;
ALTER TABLE lswarn.alert_message ADD COLUMN cap_sent text;
ALTER TABLE lswarn.alert_message ADD COLUMN cap_expires_at timestamptz;
ALTER TABLE lswarn.alert_message ADD COLUMN cap_references text;
ALTER TABLE lswarn.alert_message ADD COLUMN cap bytea;
COMMENT ON COLUMN lswarn.alert_message.kind IS 'open, raise, update, lower, clear or data_missing; review: asks reviewers about a draft';
COMMENT ON COLUMN lswarn.alert_message.status IS 'actual, or test or exercise: a drill';
COMMENT ON COLUMN lswarn.alert_message.news IS 'Assets it is the first to tell of: road:ID, settlement:ID';
COMMENT ON COLUMN lswarn.alert_message.translations IS 'The same in other languages: {language: {subject, text, html}}';
COMMENT ON COLUMN lswarn.alert_message.about_id IS 'The draft that a review asks about; else null';
COMMENT ON COLUMN lswarn.alert_message.approval IS 'auto: no person was asked; waiting; approved; rejected; timed_out: nobody decided, and it went out';
COMMENT ON COLUMN lswarn.alert_message.review_until IS 'A draft that nobody has decided on by then goes out; null where nobody was asked';
COMMENT ON COLUMN lswarn.alert_message.decided_by IS 'Who approved, rejected or cancelled; null where no person did';
COMMENT ON COLUMN lswarn.alert_message.decided_at IS 'When it was decided that it goes out or does not; null while it waits';
COMMENT ON COLUMN lswarn.alert_message.reason IS 'Why, in the words of who decided; null where nothing was said';
COMMENT ON COLUMN lswarn.alert_message.released_at IS 'When it was addressed to its subscribers; null while it waits and where it was rejected';
COMMENT ON COLUMN lswarn.alert_message.cap_rules IS '[alerts.cap] of region.toml when it was written; null where there was none yet';
COMMENT ON COLUMN lswarn.alert_message.cap_identifier IS 'Name of its CAP document; null where there is none';
COMMENT ON COLUMN lswarn.alert_message.cap_sent IS 'When that was sent, as it says it; null where there is none';
COMMENT ON COLUMN lswarn.alert_message.cap_expires_at IS 'When that loses force by itself; null where there is none';
COMMENT ON COLUMN lswarn.alert_message.cap_references IS 'Earlier documents that it follows: sender,identifier,sent and a blank between; null where there is none';
COMMENT ON COLUMN lswarn.alert_message.cap IS 'That document, XML; null where there is none';
UPDATE lswarn.alert_message SET released_at = queued_at;
ALTER TABLE lswarn.alert_message ADD CONSTRAINT fk_alert_message_about_id FOREIGN KEY (about_id) REFERENCES lswarn.alert_message (id);
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_kind;
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_kind CHECK (kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing', 'review') AND (kind = 'review') = (about_id IS NOT NULL));
ALTER TABLE lswarn.alert_message DROP CONSTRAINT ck_alert_message_alert;
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_alert CHECK ((kind = 'data_missing') = (alert_id IS NULL) AND (alert_id IS NULL OR run_id IS NOT NULL OR status <> 'actual'));
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_status CHECK (status IN ('actual', 'test', 'exercise'));
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_approval CHECK (approval IN ('auto', 'waiting', 'approved', 'rejected', 'timed_out') AND (approval <> 'waiting' OR review_until IS NOT NULL));
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_released CHECK ((released_at IS NULL) = (approval IN ('waiting', 'rejected')));
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_decided CHECK (approval NOT IN ('approved', 'rejected') OR decided_by IS NOT NULL AND decided_at IS NOT NULL);
ALTER TABLE lswarn.alert_message ADD CONSTRAINT ck_alert_message_cap CHECK ((cap IS NULL) = (cap_identifier IS NULL) AND (cap IS NULL) = (cap_sent IS NULL) AND (cap IS NULL) = (cap_expires_at IS NULL) AND (cap IS NULL OR released_at IS NOT NULL));
DROP INDEX lswarn.uq_alert_message_change;
CREATE UNIQUE INDEX uq_alert_message_change ON lswarn.alert_message (run_id, alert_id, kind) WHERE kind <> 'review' AND approval <> 'rejected';
CREATE UNIQUE INDEX uq_alert_message_cap_identifier ON lswarn.alert_message (cap_identifier);
CREATE INDEX ix_alert_message_waiting ON lswarn.alert_message (review_until) WHERE approval = 'waiting';
COMMENT ON TABLE lswarn.alert_message IS 'What was said, and the drafts that were not; the history of every alert';

-- What there was speaks of what is meant, not of drills.

CREATE OR REPLACE VIEW lswarn.alert_now AS
SELECT alert.id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
       CASE alert.level WHEN 1 THEN 'orange' WHEN 2 THEN 'red' END AS level_name,
       alert.opened_on, alert.changed_on, jsonb_array_length(alert.below) AS days_below, alert.told, area.geometry,
       alert.outlook_only, alert.state
FROM lswarn.alert AS alert
JOIN lswarn.warning_area AS area ON area.id = alert.area_id
WHERE alert.closed_on IS NULL AND alert.status = 'actual';
COMMENT ON COLUMN lswarn.alert_now.state IS 'open: its level is called for; easing: less is; unknown: nobody knows';

CREATE VIEW lswarn.area_state AS
SELECT area.region, area.source_id AS area_id, area.name AS area_name,
       coalesce(alert.state, CASE WHEN run.status IS NULL OR area.unknown_since IS NOT NULL THEN 'unknown' ELSE 'none' END) AS state,
       coalesce(alert.level, 0) AS level, run.valid_day, area.unknown_since, alert.id AS alert_id, alert.opened_on,
       alert.changed_on,
       (SELECT count(*) FROM lswarn.alert_message AS message
        WHERE message.alert_id = alert.id AND message.approval = 'waiting') AS drafts_waiting,
       area.geometry
FROM lswarn.warning_area AS area
LEFT JOIN lswarn.current_run AS run ON run.region = area.region
LEFT JOIN lswarn.alert AS alert ON alert.area_id = area.id AND alert.closed_on IS NULL AND alert.status = 'actual'
WHERE area.retired_at IS NULL;
COMMENT ON VIEW lswarn.area_state IS 'How every warning area stands, those without an alert too; unknown is not none';
COMMENT ON COLUMN lswarn.area_state.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.area_state.area_id IS 'Warning area, by the id of its file';
COMMENT ON COLUMN lswarn.area_state.area_name IS 'Its name';
COMMENT ON COLUMN lswarn.area_state.state IS 'none, open, easing, or unknown: not all of its rain is known, or nothing has been published yet';
COMMENT ON COLUMN lswarn.area_state.level IS '0 none, 1 orange, 2 red; of an open alert, also while its state is unknown';
COMMENT ON COLUMN lswarn.area_state.valid_day IS 'Newest observed day; null before the first';
COMMENT ON COLUMN lswarn.area_state.unknown_since IS 'First of the observed days, up to the newest, on which not all of its rain was known; null = it is known';
COMMENT ON COLUMN lswarn.area_state.alert_id IS 'Its open alert; null where there is none';
COMMENT ON COLUMN lswarn.area_state.opened_on IS 'Since when; null where there is none';
COMMENT ON COLUMN lswarn.area_state.changed_on IS 'Last observed day when a message was given; null where there is none';
COMMENT ON COLUMN lswarn.area_state.drafts_waiting IS 'Messages of that alert that wait for a person';
COMMENT ON COLUMN lswarn.area_state.geometry IS 'The area, EPSG:4326';
