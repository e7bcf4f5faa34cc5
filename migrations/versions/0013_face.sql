-- The web server: tokens of those who may use it, who has taken note of a message, and landslides that people report.
-- Frozen: later changes are later migrations.

CREATE TABLE lswarn.api_token (
    id bigint GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    scopes text[] NOT NULL,
    digest bytea NOT NULL,
    made_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT pk_api_token PRIMARY KEY (id),
    CONSTRAINT uq_api_token_digest UNIQUE (digest),
    CONSTRAINT ck_api_token_name CHECK (name ~ '^[!-~]([ -~]{0,62}[!-~])?$'),
    CONSTRAINT ck_api_token_scopes CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'review', 'report']),
    CONSTRAINT ck_api_token_digest CHECK (octet_length(digest) = 32)
);
COMMENT ON TABLE lswarn.api_token IS 'Tokens with which programs and people may use the web server';
COMMENT ON COLUMN lswarn.api_token.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.api_token.name IS 'Who or what holds it, for people; one that is revoked may have had the same';
COMMENT ON COLUMN lswarn.api_token.scopes IS 'What it may do: read, review, report';
COMMENT ON COLUMN lswarn.api_token.digest IS 'sha256 of the token, which itself is kept nowhere';
COMMENT ON COLUMN lswarn.api_token.made_at IS 'When it was made';
COMMENT ON COLUMN lswarn.api_token.expires_at IS 'It is good for nothing from then on';
COMMENT ON COLUMN lswarn.api_token.last_used_at IS 'When it was last let pass, to the minute; null = never';
COMMENT ON COLUMN lswarn.api_token.revoked_at IS 'When it was revoked; null while it is good';

ALTER TABLE lswarn.alert_message
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledgement text,
    ADD CONSTRAINT ck_alert_message_acknowledged CHECK ((acknowledged_by IS NULL) = (acknowledged_at IS NULL) AND (acknowledged_at IS NULL OR released_at IS NOT NULL));
COMMENT ON COLUMN lswarn.alert_message.acknowledged_by IS 'Who has taken note of it first; null = nobody has said so';
COMMENT ON COLUMN lswarn.alert_message.acknowledged_at IS 'When; null = nobody has said so';
COMMENT ON COLUMN lswarn.alert_message.acknowledgement IS 'What they said; null where nothing was said';

-- What was recorded before came from inventories, and goes on teaching.
ALTER TABLE lswarn.landslide
    ADD COLUMN confirmed boolean DEFAULT true NOT NULL,
    ADD COLUMN reported_at timestamptz,
    ADD COLUMN reported_by text,
    ADD COLUMN note text DEFAULT '' NOT NULL,
    ADD COLUMN decided_by text,
    ADD COLUMN decided_at timestamptz,
    ADD CONSTRAINT ck_landslide_confirmed CHECK (confirmed OR reported_at IS NOT NULL),
    ADD CONSTRAINT ck_landslide_reported CHECK ((reported_at IS NULL) = (reported_by IS NULL)),
    ADD CONSTRAINT ck_landslide_decided CHECK ((decided_at IS NULL) = (decided_by IS NULL));
COMMENT ON COLUMN lswarn.landslide.confirmed IS 'It may teach, and warnings are judged by it; false: a report that nobody has confirmed';
COMMENT ON COLUMN lswarn.landslide.reported_at IS 'When it was reported over the web; null = it came with an inventory';
COMMENT ON COLUMN lswarn.landslide.reported_by IS 'Name of the token it was reported with; null = it came with an inventory';
COMMENT ON COLUMN lswarn.landslide.note IS 'What whoever reported it said; empty where nothing';
COMMENT ON COLUMN lswarn.landslide.decided_by IS 'Who confirmed or dismissed the report; null where nobody has';
COMMENT ON COLUMN lswarn.landslide.decided_at IS 'When; null where nobody has';
CREATE INDEX ix_landslide_waiting ON lswarn.landslide (region) WHERE NOT confirmed;

CREATE TABLE lswarn.landslide_photo (
    landslide_id bigint NOT NULL,
    media_type text NOT NULL,
    bytes bytea NOT NULL,
    CONSTRAINT pk_landslide_photo PRIMARY KEY (landslide_id),
    CONSTRAINT fk_landslide_photo_landslide_id FOREIGN KEY(landslide_id) REFERENCES lswarn.landslide (id) ON DELETE CASCADE,
    CONSTRAINT ck_landslide_photo_kind CHECK (media_type IN ('image/jpeg', 'image/png', 'image/webp')),
    CONSTRAINT ck_landslide_photo_bytes CHECK (octet_length(bytes) BETWEEN 1 AND 5000000)
);
COMMENT ON TABLE lswarn.landslide_photo IS 'Photos of reported landslides; they may show people and homes';
COMMENT ON COLUMN lswarn.landslide_photo.landslide_id IS 'Which one';
COMMENT ON COLUMN lswarn.landslide_photo.media_type IS 'image/jpeg, image/png or image/webp';
COMMENT ON COLUMN lswarn.landslide_photo.bytes IS 'The file, without what the camera wrote beside the picture';

-- Who may: digests of tokens and photos are for nobody who only reads.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
        IF name = 'lswarn_writer' THEN
            GRANT SELECT, INSERT, UPDATE, DELETE ON lswarn.api_token, lswarn.landslide_photo TO lswarn_writer;
        ELSE
            REVOKE ALL ON lswarn.api_token, lswarn.landslide_photo FROM lswarn_reader;
        END IF;
    END LOOP;
END
$$;
