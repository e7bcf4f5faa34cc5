-- Back to no web server. Reports that nobody has confirmed go: what is left teaches.

DROP TABLE lswarn.landslide_photo;
DELETE FROM lswarn.landslide WHERE NOT confirmed;
ALTER TABLE lswarn.landslide
    DROP COLUMN confirmed,
    DROP COLUMN reported_at,
    DROP COLUMN reported_by,
    DROP COLUMN note,
    DROP COLUMN decided_by,
    DROP COLUMN decided_at;
ALTER TABLE lswarn.alert_message
    DROP COLUMN acknowledged_by,
    DROP COLUMN acknowledged_at,
    DROP COLUMN acknowledgement;
DROP TABLE lswarn.api_token;
