-- Back to place and day alone. Every event stays; what is known of its accuracy, trigger and source is lost.

COMMENT ON COLUMN lswarn.landslide.geometry IS 'Extent; a landslide given as a point is a disc of its positional uncertainty';
ALTER TABLE lswarn.landslide DROP COLUMN outline;
ALTER TABLE lswarn.landslide DROP COLUMN source;
ALTER TABLE lswarn.landslide DROP COLUMN trigger;
ALTER TABLE lswarn.landslide DROP COLUMN accuracy_m;
