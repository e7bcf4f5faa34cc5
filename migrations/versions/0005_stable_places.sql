-- Places that an inventory gives as not having slid. All that was recorded before did. Frozen: later changes are later
-- migrations.

ALTER TABLE lswarn.landslide ADD COLUMN slid boolean DEFAULT true NOT NULL;
COMMENT ON COLUMN lswarn.landslide.slid IS 'It slid; false: a place that is given as not having slid';
COMMENT ON TABLE lswarn.landslide IS 'The inventory of landslides that happened, and of places given as not having slid';
