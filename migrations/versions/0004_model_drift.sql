-- How far ground and rain have moved from what a model learnt from. Frozen: later changes are later migrations.

CREATE TABLE lswarn.model_drift (
    region text NOT NULL,
    model_id text NOT NULL,
    "of" text NOT NULL,
    subject text NOT NULL,
    psi double precision,
    cells bigint NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT pk_model_drift PRIMARY KEY (region, model_id, "of", subject),
    CONSTRAINT fk_model_drift_region FOREIGN KEY (region, model_id) REFERENCES lswarn.model (region, id),
    CONSTRAINT ck_model_drift_psi CHECK (psi >= 0),
    CONSTRAINT ck_model_drift_cells CHECK (cells >= 0)
);
COMMENT ON TABLE lswarn.model_drift IS 'How far ground and rain have moved from what a model learnt from; the newest of each kind';
COMMENT ON COLUMN lswarn.model_drift.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.model_drift.model_id IS 'Network that learnt from what was before';
COMMENT ON COLUMN lswarn.model_drift."of" IS 'ground; or of rain, the period it fell in';
COMMENT ON COLUMN lswarn.model_drift.subject IS 'Factor, or rain';
COMMENT ON COLUMN lswarn.model_drift.psi IS 'Population stability index: by convention below 0.1 little, above 0.25 much; null = not told';
COMMENT ON COLUMN lswarn.model_drift.cells IS 'Known values it was told by';
COMMENT ON COLUMN lswarn.model_drift.made_at IS 'When it was asked';
