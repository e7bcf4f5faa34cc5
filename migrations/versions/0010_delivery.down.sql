-- Back to mail and webhooks alone. Deliveries by other channels go with their subscribers; digests come apart.

DROP TABLE lswarn.circuit;
DROP INDEX lswarn.ix_delivery_dead, lswarn.ix_delivery_carried_by, lswarn.ix_delivery_due;
ALTER TABLE lswarn.delivery DROP COLUMN carried_by, DROP COLUMN tries;
CREATE INDEX ix_delivery_due ON lswarn.delivery (due_at) WHERE status = 'pending';
COMMENT ON COLUMN lswarn.delivery_attempt.address IS 'Where to';
DELETE FROM lswarn.delivery_attempt USING lswarn.delivery, lswarn.subscriber
WHERE delivery.id = delivery_id AND subscriber.id = subscriber_id AND channel IN ('file', 'apprise');
DELETE FROM lswarn.delivery USING lswarn.subscriber
WHERE subscriber.id = subscriber_id AND channel IN ('file', 'apprise');
DELETE FROM lswarn.subscriber WHERE channel IN ('file', 'apprise');
ALTER TABLE lswarn.subscriber
    DROP COLUMN level,
    DROP COLUMN language,
    DROP COLUMN digest,
    DROP COLUMN allow_private,
    DROP COLUMN lane,
    DROP CONSTRAINT ck_subscriber_channel,
    ADD CONSTRAINT ck_subscriber_channel CHECK (channel IN ('email', 'webhook'));
COMMENT ON COLUMN lswarn.subscriber.channel IS 'email or webhook';
COMMENT ON COLUMN lswarn.subscriber.address IS 'Mail address or URL';
