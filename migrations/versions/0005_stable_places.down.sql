-- Back to landslides alone: places that did not slide would count as landslides, and go. Loading the inventory again brings
-- them back.

DELETE FROM lswarn.landslide WHERE NOT slid;
COMMENT ON TABLE lswarn.landslide IS 'The inventory of landslides that happened';
ALTER TABLE lswarn.landslide DROP COLUMN slid;
