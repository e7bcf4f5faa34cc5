-- What roads, settlements and warning areas were before a file changed them. Frozen: later changes are later migrations.

ALTER TABLE lswarn.warning_area ADD COLUMN added_at timestamptz;
ALTER TABLE lswarn.warning_area ALTER COLUMN added_at SET DEFAULT now();
COMMENT ON COLUMN lswarn.warning_area.added_at IS 'When it was first loaded; null = before that was kept';
ALTER TABLE lswarn.road ADD COLUMN added_at timestamptz;
ALTER TABLE lswarn.road ALTER COLUMN added_at SET DEFAULT now();
COMMENT ON COLUMN lswarn.road.added_at IS 'When it was first loaded; null = before that was kept';
ALTER TABLE lswarn.settlement ADD COLUMN added_at timestamptz;
ALTER TABLE lswarn.settlement ALTER COLUMN added_at SET DEFAULT now();
COMMENT ON COLUMN lswarn.settlement.added_at IS 'When it was first loaded; null = before that was kept';

CREATE TABLE lswarn.asset_change (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    kind text NOT NULL,
    source_id text NOT NULL,
    change text NOT NULL,
    changed_at timestamptz DEFAULT now() NOT NULL,
    before jsonb NOT NULL,
    geometry geometry(GEOMETRY,4326) NOT NULL,
    CONSTRAINT pk_asset_change PRIMARY KEY (id),
    CONSTRAINT ck_asset_change_kind CHECK (kind IN ('warning_area', 'road', 'settlement')),
    CONSTRAINT ck_asset_change_change CHECK (change IN ('changed', 'retired', 'returned')),
    CONSTRAINT fk_asset_change_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_asset_change_region_kind_source_id ON lswarn.asset_change (region, kind, source_id);
CREATE INDEX ix_asset_change_geometry ON lswarn.asset_change USING gist (geometry);
COMMENT ON TABLE lswarn.asset_change IS 'What a road, settlement or warning area was before a load of its file changed it; a new one has nothing before';
COMMENT ON COLUMN lswarn.asset_change.id IS 'Key within this database; of two changes the later one has the larger';
COMMENT ON COLUMN lswarn.asset_change.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.asset_change.kind IS 'warning_area, road or settlement: the table in which it is';
COMMENT ON COLUMN lswarn.asset_change.source_id IS 'Id in the file';
COMMENT ON COLUMN lswarn.asset_change.change IS 'changed; retired: gone from its file; returned: there again after it was gone';
COMMENT ON COLUMN lswarn.asset_change.changed_at IS 'When it was loaded';
COMMENT ON COLUMN lswarn.asset_change.before IS 'Its columns as they were until then';
COMMENT ON COLUMN lswarn.asset_change.geometry IS 'Course or extent as it was until then';
