-- Channels, circuits and what a subscriber asked for. Frozen: later changes are later migrations.

ALTER TABLE lswarn.subscriber
    ADD COLUMN level smallint DEFAULT 1 NOT NULL,
    ADD COLUMN language text DEFAULT 'en' NOT NULL,
    ADD COLUMN digest boolean DEFAULT false NOT NULL,
    ADD COLUMN allow_private boolean DEFAULT false NOT NULL,
    ADD COLUMN lane text DEFAULT 'email' NOT NULL,
    DROP CONSTRAINT ck_subscriber_channel,
    ADD CONSTRAINT ck_subscriber_channel CHECK (channel IN ('email', 'webhook', 'file', 'apprise')),
    ADD CONSTRAINT ck_subscriber_level CHECK (level BETWEEN 1 AND 2);
UPDATE lswarn.subscriber SET digest = channel = 'email',
       lane = CASE channel WHEN 'webhook' THEN 'webhook ' || lower(coalesce(substring(address FROM '^[a-z]+://(?:[^/?#]*@)?([^/:?#]+)'), '')) ELSE channel END;
COMMENT ON COLUMN lswarn.subscriber.channel IS 'email, webhook, file or apprise';
COMMENT ON COLUMN lswarn.subscriber.address IS 'Mail address, URL, folder, or the tag of an Apprise address that is kept elsewhere';
COMMENT ON COLUMN lswarn.subscriber.level IS 'Told from this level on: 1 orange, 2 red';
COMMENT ON COLUMN lswarn.subscriber.language IS 'en or es';
COMMENT ON COLUMN lswarn.subscriber.digest IS 'The messages of one run come in one mail';
COMMENT ON COLUMN lswarn.subscriber.allow_private IS 'The webhook may be in a private network';
COMMENT ON COLUMN lswarn.subscriber.lane IS 'What fails together: the mail relay, a webhook''s host, an Apprise service';

ALTER TABLE lswarn.delivery
    ADD COLUMN carried_by bigint,
    ADD COLUMN tries integer DEFAULT 0 NOT NULL,
    ADD CONSTRAINT fk_delivery_carried_by FOREIGN KEY (carried_by) REFERENCES lswarn.delivery (id),
    ADD CONSTRAINT ck_delivery_carried CHECK (carried_by <> id),
    ADD CONSTRAINT ck_delivery_tries CHECK (tries >= 0);
UPDATE lswarn.delivery SET tries = (SELECT count(*) FROM lswarn.delivery_attempt WHERE delivery_id = delivery.id);
DROP INDEX lswarn.ix_delivery_due;
CREATE INDEX ix_delivery_due ON lswarn.delivery (due_at, id) WHERE status = 'pending' AND carried_by IS NULL;
CREATE INDEX ix_delivery_carried_by ON lswarn.delivery (carried_by) WHERE carried_by IS NOT NULL;
CREATE INDEX ix_delivery_dead ON lswarn.delivery (id) WHERE status = 'dead';
COMMENT ON COLUMN lswarn.delivery.carried_by IS 'The delivery in whose mail this one travels; null: it goes by itself';
COMMENT ON COLUMN lswarn.delivery.tries IS 'Attempts since it was queued, or queued again';
COMMENT ON COLUMN lswarn.delivery_attempt.address IS 'Where to; of a webhook its server alone';
UPDATE lswarn.delivery_attempt SET address = substring(address FROM '^https?://[^/?#]*') WHERE address ~ '^https?://';

CREATE TABLE lswarn.circuit (
    lane text NOT NULL,
    failures integer NOT NULL,
    failed_at timestamptz NOT NULL,
    open_until timestamptz,
    error text NOT NULL,
    CONSTRAINT pk_circuit PRIMARY KEY (lane),
    CONSTRAINT ck_circuit_failures CHECK (failures > 0)
);
COMMENT ON TABLE lswarn.circuit IS 'Lanes that failed and have not worked since; all workers leave an open one alone';
COMMENT ON COLUMN lswarn.circuit.lane IS 'As in subscriber.lane';
COMMENT ON COLUMN lswarn.circuit.failures IS 'Failures in a row';
COMMENT ON COLUMN lswarn.circuit.failed_at IS 'Of the last one';
COMMENT ON COLUMN lswarn.circuit.open_until IS 'Nothing is sent before; null while it is closed';
COMMENT ON COLUMN lswarn.circuit.error IS 'What went wrong last';
