-- Back to what features are now, without what they were.

DROP TABLE lswarn.asset_change;
ALTER TABLE lswarn.settlement DROP COLUMN added_at;
ALTER TABLE lswarn.road DROP COLUMN added_at;
ALTER TABLE lswarn.warning_area DROP COLUMN added_at;
