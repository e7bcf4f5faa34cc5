-- How well a landslide is located, what set it off and who reported it. What was recorded before keeps teaching as it did:
-- it counts as an outline until its inventory is loaded again. Frozen: later changes are later migrations.

ALTER TABLE lswarn.landslide ADD COLUMN accuracy_m double precision;
ALTER TABLE lswarn.landslide ADD COLUMN trigger text DEFAULT '' NOT NULL;
ALTER TABLE lswarn.landslide ADD COLUMN source text DEFAULT '' NOT NULL;
ALTER TABLE lswarn.landslide ADD COLUMN outline boolean DEFAULT true NOT NULL;
ALTER TABLE lswarn.landslide ADD CONSTRAINT ck_landslide_accuracy CHECK (accuracy_m >= 0);
COMMENT ON COLUMN lswarn.landslide.accuracy_m IS 'How far off its location may be, m; null = unknown';
COMMENT ON COLUMN lswarn.landslide.trigger IS 'What set it off, as the inventory spells it; empty where unknown';
COMMENT ON COLUMN lswarn.landslide.source IS 'Who reported it, as the inventory says; empty where unknown';
COMMENT ON COLUMN lswarn.landslide.outline IS 'Drawn as an outline; else a disc around a point';
COMMENT ON COLUMN lswarn.landslide.geometry IS 'Extent; a landslide given as a point is a disc around it';
