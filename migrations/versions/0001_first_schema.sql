-- The first schema: what is watched, known, found and said. Frozen: later changes are later migrations.

CREATE TABLE lswarn.region (
    name text NOT NULL,
    title text NOT NULL,
    srid integer NOT NULL,
    geometry geometry(POLYGON,4326) NOT NULL,
    rules_digest text NOT NULL,
    assets_digest text DEFAULT '' NOT NULL,
    made text DEFAULT '' NOT NULL,
    CONSTRAINT pk_region PRIMARY KEY (name)
);
COMMENT ON TABLE lswarn.region IS 'What is watched';
COMMENT ON COLUMN lswarn.region.name IS 'Identifier, as in region.toml';
COMMENT ON COLUMN lswarn.region.title IS 'For people';
COMMENT ON COLUMN lswarn.region.srid IS 'EPSG code of the metric CRS in which lengths and areas are computed';
COMMENT ON COLUMN lswarn.region.geometry IS 'The box that is watched';
COMMENT ON COLUMN lswarn.region.rules_digest IS 'sha256 of region.toml as last recorded';
COMMENT ON COLUMN lswarn.region.assets_digest IS 'Digest of the asset files as last recorded';
COMMENT ON COLUMN lswarn.region.made IS 'What of the inputs is made up; empty for a real region';

CREATE TABLE lswarn.warning_area (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    source_id text NOT NULL,
    name text NOT NULL,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_warning_area PRIMARY KEY (id),
    CONSTRAINT uq_warning_area_region_source_id UNIQUE (region, source_id),
    CONSTRAINT ck_warning_area_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT fk_warning_area_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_warning_area_geometry ON lswarn.warning_area USING gist (geometry);
COMMENT ON TABLE lswarn.warning_area IS 'Areas in which warnings are given';
COMMENT ON COLUMN lswarn.warning_area.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.warning_area.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.warning_area.source_id IS 'Id in the file; elsewhere = the rest of the region, in no other area';
COMMENT ON COLUMN lswarn.warning_area.name IS 'For people';
COMMENT ON COLUMN lswarn.warning_area.geometry IS 'Extent';
COMMENT ON COLUMN lswarn.warning_area.retired_at IS 'When it vanished from its file; null while it is there';

CREATE TABLE lswarn.road (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    source_id text NOT NULL,
    name text DEFAULT '' NOT NULL,
    ref text DEFAULT '' NOT NULL,
    kind text DEFAULT '' NOT NULL,
    length_m double precision NOT NULL,
    geometry geometry(MULTILINESTRING,4326) NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_road PRIMARY KEY (id),
    CONSTRAINT uq_road_region_source_id UNIQUE (region, source_id),
    CONSTRAINT ck_road_length CHECK (length_m > 0),
    CONSTRAINT fk_road_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_road_geometry ON lswarn.road USING gist (geometry);
COMMENT ON TABLE lswarn.road IS 'Roads that can be hit';
COMMENT ON COLUMN lswarn.road.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.road.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.road.source_id IS 'Id in the file';
COMMENT ON COLUMN lswarn.road.name IS 'As people call it; empty where unknown';
COMMENT ON COLUMN lswarn.road.ref IS 'Number on the signs; empty where unknown';
COMMENT ON COLUMN lswarn.road.kind IS 'Class of road in the file; empty where unknown';
COMMENT ON COLUMN lswarn.road.length_m IS 'Length, m';
COMMENT ON COLUMN lswarn.road.geometry IS 'Course';
COMMENT ON COLUMN lswarn.road.retired_at IS 'When it vanished from its file; null while it is there';

CREATE TABLE lswarn.settlement (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    source_id text NOT NULL,
    name text DEFAULT '' NOT NULL,
    kind text DEFAULT '' NOT NULL,
    population integer,
    area_m2 double precision NOT NULL,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_settlement PRIMARY KEY (id),
    CONSTRAINT uq_settlement_region_source_id UNIQUE (region, source_id),
    CONSTRAINT ck_settlement_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT ck_settlement_area CHECK (area_m2 > 0),
    CONSTRAINT ck_settlement_population CHECK (population >= 0),
    CONSTRAINT fk_settlement_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_settlement_geometry ON lswarn.settlement USING gist (geometry);
COMMENT ON TABLE lswarn.settlement IS 'Settlements and buildings that can be hit';
COMMENT ON COLUMN lswarn.settlement.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.settlement.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.settlement.source_id IS 'Id in the file';
COMMENT ON COLUMN lswarn.settlement.name IS 'As people call it; empty where unknown';
COMMENT ON COLUMN lswarn.settlement.kind IS 'Class of settlement in the file; empty where unknown';
COMMENT ON COLUMN lswarn.settlement.population IS 'People living there; null = unknown, which is not none';
COMMENT ON COLUMN lswarn.settlement.area_m2 IS 'Area, m²';
COMMENT ON COLUMN lswarn.settlement.geometry IS 'Extent; a settlement given as a point is a disc around it';
COMMENT ON COLUMN lswarn.settlement.retired_at IS 'When it vanished from its file; null while it is there';

CREATE TABLE lswarn.landslide (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    source_id text NOT NULL,
    day date,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    CONSTRAINT pk_landslide PRIMARY KEY (id),
    CONSTRAINT uq_landslide_region_source_id UNIQUE (region, source_id),
    CONSTRAINT ck_landslide_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT fk_landslide_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE INDEX ix_landslide_geometry ON lswarn.landslide USING gist (geometry);
COMMENT ON TABLE lswarn.landslide IS 'The inventory of landslides that happened';
COMMENT ON COLUMN lswarn.landslide.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.landslide.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.landslide.source_id IS 'Id in the inventory';
COMMENT ON COLUMN lswarn.landslide.day IS 'Day of the event; null = unknown';
COMMENT ON COLUMN lswarn.landslide.geometry IS 'Extent; a landslide given as a point is a disc of its positional uncertainty';

CREATE TABLE lswarn.rain_day (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    day date NOT NULL,
    product text NOT NULL,
    version text NOT NULL,
    uri text NOT NULL,
    sha256 text NOT NULL,
    fetched_at timestamptz NOT NULL,
    superseded_at timestamptz,
    CONSTRAINT pk_rain_day PRIMARY KEY (id),
    CONSTRAINT uq_rain_day_region_day_product_version_sha256 UNIQUE (region, day, product, version, sha256),
    CONSTRAINT fk_rain_day_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
COMMENT ON TABLE lswarn.rain_day IS 'Rain granules fetched, kept also when superseded';
COMMENT ON COLUMN lswarn.rain_day.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.rain_day.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.rain_day.day IS 'The provider''s UTC day';
COMMENT ON COLUMN lswarn.rain_day.product IS 'Such as IMERG-Late';
COMMENT ON COLUMN lswarn.rain_day.version IS 'Such as V07B';
COMMENT ON COLUMN lswarn.rain_day.uri IS 'Where the granule came from';
COMMENT ON COLUMN lswarn.rain_day.sha256 IS 'Digest of its bytes';
COMMENT ON COLUMN lswarn.rain_day.fetched_at IS 'When it was fetched';
COMMENT ON COLUMN lswarn.rain_day.superseded_at IS 'Since when a better granule of that day is there; null = the best';

CREATE TABLE lswarn.model (
    region text NOT NULL,
    id text NOT NULL,
    role text NOT NULL,
    path text NOT NULL,
    snapshot_id text NOT NULL,
    metrics jsonb NOT NULL,
    made_at timestamptz NOT NULL,
    promoted_at timestamptz,
    CONSTRAINT pk_model PRIMARY KEY (region, id),
    CONSTRAINT ck_model_role CHECK (role IN ('candidate', 'champion', 'retired')),
    CONSTRAINT fk_model_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE UNIQUE INDEX uq_model_champion ON lswarn.model (region) WHERE role = 'champion';
COMMENT ON TABLE lswarn.model IS 'Trained networks';
COMMENT ON COLUMN lswarn.model.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.model.id IS 'Content hash of the checkpoint';
COMMENT ON COLUMN lswarn.model.role IS 'candidate, champion (in use, one a region) or retired';
COMMENT ON COLUMN lswarn.model.path IS 'Checkpoint file';
COMMENT ON COLUMN lswarn.model.snapshot_id IS 'Training snapshot it learned from';
COMMENT ON COLUMN lswarn.model.metrics IS 'How it did on held-out blocks';
COMMENT ON COLUMN lswarn.model.made_at IS 'When it was trained';
COMMENT ON COLUMN lswarn.model.promoted_at IS 'When it last became champion';

CREATE TABLE lswarn.run (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    valid_day date NOT NULL,
    key text NOT NULL,
    status text NOT NULL,
    grade text NOT NULL,
    model_id text,
    rain jsonb NOT NULL,
    missing date[] NOT NULL,
    rules_digest text NOT NULL,
    assets_digest text NOT NULL,
    software text NOT NULL,
    rasters jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    superseded_at timestamptz,
    CONSTRAINT pk_run PRIMARY KEY (id),
    CONSTRAINT fk_run_region_model_id FOREIGN KEY(region, model_id) REFERENCES lswarn.model (region, id),
    CONSTRAINT ck_run_grade CHECK (status = CASE WHEN grade IN ('A', 'B', 'C') THEN 'complete' WHEN grade = 'D' THEN 'lower_bound' WHEN grade = 'E' THEN 'unknown' ELSE '' END),
    CONSTRAINT ck_run_model CHECK ((status = 'unknown') = (model_id IS NULL)),
    CONSTRAINT fk_run_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
CREATE UNIQUE INDEX uq_run_current ON lswarn.run (region, valid_day) WHERE superseded_at IS NULL;
COMMENT ON TABLE lswarn.run IS 'One publication of one day; what a superseded run found is deleted, the run itself is kept';
COMMENT ON COLUMN lswarn.run.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.run.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.run.valid_day IS 'Last UTC day of the seven days of rain';
COMMENT ON COLUMN lswarn.run.key IS 'sha256 of everything it was made from: same key, same result';
COMMENT ON COLUMN lswarn.run.status IS 'complete; lower_bound: nothing follows from a zone''s absence; unknown: nothing is known at all';
COMMENT ON COLUMN lswarn.run.grade IS 'A to E: how far the rain can be trusted';
COMMENT ON COLUMN lswarn.run.model_id IS 'Network used; null where none was asked';
COMMENT ON COLUMN lswarn.run.rain IS 'Granules of the window: day, product, version, sha256, uri';
COMMENT ON COLUMN lswarn.run.missing IS 'Days of the window without rain';
COMMENT ON COLUMN lswarn.run.rules_digest IS 'sha256 of region.toml';
COMMENT ON COLUMN lswarn.run.assets_digest IS 'Digest of the asset files';
COMMENT ON COLUMN lswarn.run.software IS 'Version of lswarn';
COMMENT ON COLUMN lswarn.run.rasters IS 'Class and probability rasters by name: path and sha256';
COMMENT ON COLUMN lswarn.run.published_at IS 'When it was published';
COMMENT ON COLUMN lswarn.run.superseded_at IS 'When a later run of that day replaced it; null = it counts';

CREATE TABLE lswarn.class_area (
    run_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    CONSTRAINT pk_class_area PRIMARY KEY (run_id, area_id, class),
    CONSTRAINT ck_class_area_class CHECK (class BETWEEN 0 AND 5),
    CONSTRAINT ck_class_area_area CHECK (area_m2 >= 0),
    CONSTRAINT fk_class_area_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id),
    CONSTRAINT fk_class_area_area_id FOREIGN KEY(area_id) REFERENCES lswarn.warning_area (id)
);
COMMENT ON TABLE lswarn.class_area IS 'Area of each class in each warning area';
COMMENT ON COLUMN lswarn.class_area.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.class_area.area_id IS 'Warning area';
COMMENT ON COLUMN lswarn.class_area.class IS 'Susceptibility: 0 unknown, 1 very low, 2 low, 3 moderate, 4 high, 5 very high';
COMMENT ON COLUMN lswarn.class_area.area_m2 IS 'Area of that class, m²';

CREATE TABLE lswarn.susceptibility_zone (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(POLYGON,4326) NOT NULL,
    CONSTRAINT pk_susceptibility_zone PRIMARY KEY (id),
    CONSTRAINT ck_susceptibility_zone_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_susceptibility_zone_area CHECK (area_m2 > 0),
    CONSTRAINT ck_susceptibility_zone_probability CHECK (0 <= probability_mean AND probability_mean <= probability_max + 1e-6 AND probability_max <= 1),
    CONSTRAINT ck_susceptibility_zone_geometry CHECK (ST_IsValid(geometry) AND NOT ST_IsEmpty(geometry)),
    CONSTRAINT fk_susceptibility_zone_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
CREATE INDEX ix_susceptibility_zone_geometry ON lswarn.susceptibility_zone USING gist (geometry);
CREATE INDEX ix_susceptibility_zone_run_id ON lswarn.susceptibility_zone (run_id);
COMMENT ON TABLE lswarn.susceptibility_zone IS 'Connected cells of class high or very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.susceptibility_zone.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.susceptibility_zone.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.susceptibility_zone.area_m2 IS 'Area, m²';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.susceptibility_zone.geometry IS 'Extent';

CREATE TABLE lswarn.rainfall_exceedance (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    rain_mm double precision NOT NULL,
    critical_mm double precision NOT NULL,
    safety_factor double precision NOT NULL,
    lower_bound boolean NOT NULL,
    geometry geometry(POLYGON,4326) NOT NULL,
    CONSTRAINT pk_rainfall_exceedance PRIMARY KEY (id),
    CONSTRAINT ck_rainfall_exceedance_rain CHECK (rain_mm > 0 AND critical_mm > 0 AND safety_factor > 0),
    CONSTRAINT fk_rainfall_exceedance_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
CREATE INDEX ix_rainfall_exceedance_geometry ON lswarn.rainfall_exceedance USING gist (geometry);
CREATE INDEX ix_rainfall_exceedance_run_id ON lswarn.rainfall_exceedance (run_id);
COMMENT ON TABLE lswarn.rainfall_exceedance IS 'Rain cells above their critical rainfall';
COMMENT ON COLUMN lswarn.rainfall_exceedance.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.rainfall_exceedance.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.rainfall_exceedance.rain_mm IS 'Rain of seven days, mm';
COMMENT ON COLUMN lswarn.rainfall_exceedance.critical_mm IS 'Critical rain of seven days, mm';
COMMENT ON COLUMN lswarn.rainfall_exceedance.safety_factor IS 'critical_mm / rain_mm';
COMMENT ON COLUMN lswarn.rainfall_exceedance.lower_bound IS 'More rain fell than was measured';
COMMENT ON COLUMN lswarn.rainfall_exceedance.geometry IS 'Cell of the rain grid';

CREATE TABLE lswarn.road_exposure (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    zone_id bigint NOT NULL,
    road_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    length_m double precision NOT NULL,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(MULTILINESTRING,4326) NOT NULL,
    CONSTRAINT pk_road_exposure PRIMARY KEY (id),
    CONSTRAINT uq_road_exposure_zone_id_road_id_area_id UNIQUE (zone_id, road_id, area_id),
    CONSTRAINT ck_road_exposure_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_road_exposure_length CHECK (length_m > 0),
    CONSTRAINT fk_road_exposure_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id),
    CONSTRAINT fk_road_exposure_zone_id FOREIGN KEY(zone_id) REFERENCES lswarn.susceptibility_zone (id),
    CONSTRAINT fk_road_exposure_road_id FOREIGN KEY(road_id) REFERENCES lswarn.road (id),
    CONSTRAINT fk_road_exposure_area_id FOREIGN KEY(area_id) REFERENCES lswarn.warning_area (id)
);
CREATE INDEX ix_road_exposure_geometry ON lswarn.road_exposure USING gist (geometry);
CREATE INDEX ix_road_exposure_road_id ON lswarn.road_exposure (road_id);
CREATE INDEX ix_road_exposure_run_id ON lswarn.road_exposure (run_id);
COMMENT ON TABLE lswarn.road_exposure IS 'Stretch of one road in one zone and one warning area';
COMMENT ON COLUMN lswarn.road_exposure.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.road_exposure.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.road_exposure.zone_id IS 'Zone it lies in';
COMMENT ON COLUMN lswarn.road_exposure.road_id IS 'Which road';
COMMENT ON COLUMN lswarn.road_exposure.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.road_exposure.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.road_exposure.length_m IS 'Length inside, m';
COMMENT ON COLUMN lswarn.road_exposure.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.road_exposure.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.road_exposure.geometry IS 'The stretch inside';

CREATE TABLE lswarn.settlement_exposure (
    id bigint GENERATED ALWAYS AS IDENTITY,
    run_id bigint NOT NULL,
    zone_id bigint NOT NULL,
    settlement_id bigint NOT NULL,
    area_id bigint NOT NULL,
    class smallint NOT NULL,
    area_m2 double precision NOT NULL,
    area_share double precision NOT NULL,
    people integer,
    probability_mean double precision NOT NULL,
    probability_max double precision NOT NULL,
    geometry geometry(MULTIPOLYGON,4326) NOT NULL,
    CONSTRAINT pk_settlement_exposure PRIMARY KEY (id),
    CONSTRAINT uq_settlement_exposure_zone_id_settlement_id_area_id UNIQUE (zone_id, settlement_id, area_id),
    CONSTRAINT ck_settlement_exposure_class CHECK (class IN (4, 5)),
    CONSTRAINT ck_settlement_exposure_share CHECK (area_m2 > 0 AND area_share > 0 AND area_share <= 1),
    CONSTRAINT ck_settlement_exposure_people CHECK (people >= 0),
    CONSTRAINT fk_settlement_exposure_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id),
    CONSTRAINT fk_settlement_exposure_zone_id FOREIGN KEY(zone_id) REFERENCES lswarn.susceptibility_zone (id),
    CONSTRAINT fk_settlement_exposure_settlement_id FOREIGN KEY(settlement_id) REFERENCES lswarn.settlement (id),
    CONSTRAINT fk_settlement_exposure_area_id FOREIGN KEY(area_id) REFERENCES lswarn.warning_area (id)
);
CREATE INDEX ix_settlement_exposure_geometry ON lswarn.settlement_exposure USING gist (geometry);
CREATE INDEX ix_settlement_exposure_run_id ON lswarn.settlement_exposure (run_id);
CREATE INDEX ix_settlement_exposure_settlement_id ON lswarn.settlement_exposure (settlement_id);
COMMENT ON TABLE lswarn.settlement_exposure IS 'Part of one settlement in one zone and one warning area';
COMMENT ON COLUMN lswarn.settlement_exposure.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.settlement_exposure.run_id IS 'Run that found it';
COMMENT ON COLUMN lswarn.settlement_exposure.zone_id IS 'Zone it lies in';
COMMENT ON COLUMN lswarn.settlement_exposure.settlement_id IS 'Which settlement';
COMMENT ON COLUMN lswarn.settlement_exposure.area_id IS 'Warning area it lies in';
COMMENT ON COLUMN lswarn.settlement_exposure.class IS 'Susceptibility: 4 high, 5 very high';
COMMENT ON COLUMN lswarn.settlement_exposure.area_m2 IS 'Area inside, m²';
COMMENT ON COLUMN lswarn.settlement_exposure.area_share IS 'Share of the settlement''s area inside, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.people IS 'Share times population, rounded; null where the population is unknown';
COMMENT ON COLUMN lswarn.settlement_exposure.probability_mean IS 'Mean landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.probability_max IS 'Max landslide probability of the zone''s cells, 0 to 1';
COMMENT ON COLUMN lswarn.settlement_exposure.geometry IS 'The part inside';

CREATE TABLE lswarn.alert (
    id bigint GENERATED ALWAYS AS IDENTITY,
    area_id bigint NOT NULL,
    hazard text DEFAULT 'landslide' NOT NULL,
    level smallint NOT NULL,
    opened_on date NOT NULL,
    changed_on date NOT NULL,
    closed_on date,
    run_id bigint NOT NULL,
    below jsonb NOT NULL,
    told text[] NOT NULL,
    CONSTRAINT pk_alert PRIMARY KEY (id),
    CONSTRAINT ck_alert_level CHECK (level BETWEEN 0 AND 2),
    CONSTRAINT ck_alert_closed CHECK ((closed_on IS NULL) = (level > 0)),
    CONSTRAINT ck_alert_days CHECK (opened_on <= changed_on AND opened_on <= closed_on),
    CONSTRAINT fk_alert_area_id FOREIGN KEY(area_id) REFERENCES lswarn.warning_area (id),
    CONSTRAINT fk_alert_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
CREATE UNIQUE INDEX uq_alert_open ON lswarn.alert (area_id, hazard) WHERE closed_on IS NULL;
COMMENT ON TABLE lswarn.alert IS 'One situation in one warning area, from its first message to its all-clear; hangs on no run';
COMMENT ON COLUMN lswarn.alert.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.alert.area_id IS 'Warning area';
COMMENT ON COLUMN lswarn.alert.hazard IS 'Of what is warned';
COMMENT ON COLUMN lswarn.alert.level IS 'What people have been told: 1 orange, 2 red; 0 once closed';
COMMENT ON COLUMN lswarn.alert.opened_on IS 'Day of the first message';
COMMENT ON COLUMN lswarn.alert.changed_on IS 'Day of the last message';
COMMENT ON COLUMN lswarn.alert.closed_on IS 'Day of the all-clear; null while it is open';
COMMENT ON COLUMN lswarn.alert.run_id IS 'Run that the last message came from';
COMMENT ON COLUMN lswarn.alert.below IS 'Complete days below the level since, with the level they called for: [[day, level], …]';
COMMENT ON COLUMN lswarn.alert.told IS 'Assets people have been told of: road:ID, settlement:ID';

CREATE TABLE lswarn.alert_message (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    alert_id bigint,
    run_id bigint,
    kind text NOT NULL,
    level smallint NOT NULL,
    valid_day date NOT NULL,
    subject text NOT NULL,
    text text NOT NULL,
    html text NOT NULL,
    payload jsonb NOT NULL,
    map_png bytea NOT NULL,
    queued_at timestamptz NOT NULL,
    CONSTRAINT pk_alert_message PRIMARY KEY (id),
    CONSTRAINT ck_alert_message_kind CHECK (kind IN ('open', 'raise', 'update', 'lower', 'clear', 'data_missing')),
    CONSTRAINT ck_alert_message_alert CHECK ((kind = 'data_missing') = (alert_id IS NULL) AND (alert_id IS NULL OR run_id IS NOT NULL)),
    CONSTRAINT ck_alert_message_level CHECK (level BETWEEN 0 AND 2),
    CONSTRAINT ck_alert_message_subject CHECK (subject !~ '[\r\n]'),
    CONSTRAINT fk_alert_message_region FOREIGN KEY(region) REFERENCES lswarn.region (name),
    CONSTRAINT fk_alert_message_alert_id FOREIGN KEY(alert_id) REFERENCES lswarn.alert (id),
    CONSTRAINT fk_alert_message_run_id FOREIGN KEY(run_id) REFERENCES lswarn.run (id)
);
CREATE UNIQUE INDEX uq_alert_message_change ON lswarn.alert_message (run_id, alert_id, kind);
CREATE UNIQUE INDEX uq_alert_message_data_missing ON lswarn.alert_message (region, valid_day) WHERE kind = 'data_missing';
COMMENT ON TABLE lswarn.alert_message IS 'What was said; the history of every alert';
COMMENT ON COLUMN lswarn.alert_message.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.alert_message.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.alert_message.alert_id IS 'Null for a message about missing rain';
COMMENT ON COLUMN lswarn.alert_message.run_id IS 'Run it came from; null where there was none';
COMMENT ON COLUMN lswarn.alert_message.kind IS 'open, raise, update, lower, clear or data_missing';
COMMENT ON COLUMN lswarn.alert_message.level IS '0 none, 1 orange, 2 red';
COMMENT ON COLUMN lswarn.alert_message.valid_day IS 'Day it speaks of';
COMMENT ON COLUMN lswarn.alert_message.subject IS 'One line';
COMMENT ON COLUMN lswarn.alert_message.text IS 'Plain text';
COMMENT ON COLUMN lswarn.alert_message.html IS 'HTML; shows the map as cid:map';
COMMENT ON COLUMN lswarn.alert_message.payload IS 'What a webhook gets';
COMMENT ON COLUMN lswarn.alert_message.map_png IS 'Map; empty where there is none';
COMMENT ON COLUMN lswarn.alert_message.queued_at IS 'When it was queued';

CREATE TABLE lswarn.subscriber (
    id bigint GENERATED ALWAYS AS IDENTITY,
    region text NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    areas text[] NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_subscriber PRIMARY KEY (id),
    CONSTRAINT uq_subscriber_region_name UNIQUE (region, name),
    CONSTRAINT ck_subscriber_channel CHECK (channel IN ('email', 'webhook')),
    CONSTRAINT fk_subscriber_region FOREIGN KEY(region) REFERENCES lswarn.region (name)
);
COMMENT ON TABLE lswarn.subscriber IS 'Who is told';
COMMENT ON COLUMN lswarn.subscriber.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.subscriber.region IS 'Region it belongs to';
COMMENT ON COLUMN lswarn.subscriber.name IS 'As in region.toml';
COMMENT ON COLUMN lswarn.subscriber.channel IS 'email or webhook';
COMMENT ON COLUMN lswarn.subscriber.address IS 'Mail address or URL';
COMMENT ON COLUMN lswarn.subscriber.areas IS 'Source ids of warning areas; empty = all';
COMMENT ON COLUMN lswarn.subscriber.retired_at IS 'When it vanished from its file; null while it is there';

CREATE TABLE lswarn.delivery (
    id bigint GENERATED ALWAYS AS IDENTITY,
    message_id bigint NOT NULL,
    subscriber_id bigint NOT NULL,
    idempotency_key uuid DEFAULT gen_random_uuid() NOT NULL,
    status text DEFAULT 'pending' NOT NULL,
    due_at timestamptz NOT NULL,
    delivered_at timestamptz,
    CONSTRAINT pk_delivery PRIMARY KEY (id),
    CONSTRAINT uq_delivery_message_id_subscriber_id UNIQUE (message_id, subscriber_id),
    CONSTRAINT uq_delivery_idempotency_key UNIQUE (idempotency_key),
    CONSTRAINT ck_delivery_status CHECK (status IN ('pending', 'sent', 'dead')),
    CONSTRAINT ck_delivery_delivered CHECK ((status = 'sent') = (delivered_at IS NOT NULL)),
    CONSTRAINT fk_delivery_message_id FOREIGN KEY(message_id) REFERENCES lswarn.alert_message (id),
    CONSTRAINT fk_delivery_subscriber_id FOREIGN KEY(subscriber_id) REFERENCES lswarn.subscriber (id)
);
CREATE INDEX ix_delivery_due ON lswarn.delivery (due_at) WHERE status = 'pending';
COMMENT ON TABLE lswarn.delivery IS 'One message on its way to one subscriber';
COMMENT ON COLUMN lswarn.delivery.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.delivery.message_id IS 'What';
COMMENT ON COLUMN lswarn.delivery.subscriber_id IS 'To whom';
COMMENT ON COLUMN lswarn.delivery.idempotency_key IS 'The same at every attempt, so that a receiver can drop a repeat';
COMMENT ON COLUMN lswarn.delivery.status IS 'pending, sent, or dead: given up';
COMMENT ON COLUMN lswarn.delivery.due_at IS 'Next attempt not before; a worker that takes it on moves this ahead as its lease';
COMMENT ON COLUMN lswarn.delivery.delivered_at IS 'When it was accepted';

CREATE TABLE lswarn.delivery_attempt (
    id bigint GENERATED ALWAYS AS IDENTITY,
    delivery_id bigint NOT NULL,
    attempted_at timestamptz NOT NULL,
    address text NOT NULL,
    error text,
    CONSTRAINT pk_delivery_attempt PRIMARY KEY (id),
    CONSTRAINT fk_delivery_attempt_delivery_id FOREIGN KEY(delivery_id) REFERENCES lswarn.delivery (id)
);
CREATE INDEX ix_delivery_attempt_delivery_id ON lswarn.delivery_attempt (delivery_id);
COMMENT ON TABLE lswarn.delivery_attempt IS 'Every attempt to deliver';
COMMENT ON COLUMN lswarn.delivery_attempt.id IS 'Key within this database';
COMMENT ON COLUMN lswarn.delivery_attempt.delivery_id IS 'Of which delivery';
COMMENT ON COLUMN lswarn.delivery_attempt.attempted_at IS 'When';
COMMENT ON COLUMN lswarn.delivery_attempt.address IS 'Where to';
COMMENT ON COLUMN lswarn.delivery_attempt.error IS 'What went wrong; null = accepted';

-- Views: what analysts and QGIS open. Every geometry view has one geometry type and a unique id.

CREATE VIEW lswarn.current_run AS
SELECT DISTINCT ON (region) *
FROM lswarn.run
WHERE superseded_at IS NULL
ORDER BY region, valid_day DESC;
COMMENT ON VIEW lswarn.current_run IS 'The newest published day of each region; its status says what the absence of a zone means';

CREATE VIEW lswarn.current_zone AS
SELECT zone.id, run.region, run.valid_day, run.status, run.grade, zone.class, zone.area_m2,
       zone.probability_mean, zone.probability_max, zone.geometry
FROM lswarn.current_run AS run
JOIN lswarn.susceptibility_zone AS zone ON zone.run_id = run.id;
COMMENT ON VIEW lswarn.current_zone IS 'Zones of class high (4) and very high (5) on the newest day; none under status unknown means unknown, not safe';

CREATE VIEW lswarn.exposed_road_now AS
SELECT stretch.id, run.region, run.valid_day, run.status, area.source_id AS area_id, area.name AS area_name,
       road.source_id AS road_id, road.name, road.ref, road.kind, stretch.class, stretch.length_m,
       stretch.probability_mean, stretch.probability_max, stretch.geometry
FROM lswarn.current_run AS run
JOIN lswarn.road_exposure AS stretch ON stretch.run_id = run.id
JOIN lswarn.road AS road ON road.id = stretch.road_id
JOIN lswarn.warning_area AS area ON area.id = stretch.area_id;
COMMENT ON VIEW lswarn.exposed_road_now IS 'Stretches of road in zones on the newest day, cut where the zone and the warning area end';

CREATE VIEW lswarn.exposed_settlement_now AS
SELECT part.id, run.region, run.valid_day, run.status, area.source_id AS area_id, area.name AS area_name,
       settlement.source_id AS settlement_id, settlement.name, settlement.kind, part.class, part.area_m2,
       part.area_share, part.people, part.probability_mean, part.probability_max, part.geometry
FROM lswarn.current_run AS run
JOIN lswarn.settlement_exposure AS part ON part.run_id = run.id
JOIN lswarn.settlement AS settlement ON settlement.id = part.settlement_id
JOIN lswarn.warning_area AS area ON area.id = part.area_id;
COMMENT ON VIEW lswarn.exposed_settlement_now IS 'Parts of settlements in zones on the newest day; people is null where the population is unknown';

CREATE VIEW lswarn.exposure_history AS
SELECT run.region, run.valid_day, run.status, run.grade, area.source_id AS area_id, area.name AS area_name, zone.class,
       CASE WHEN run.status <> 'unknown' THEN coalesce(roads.roads, 0) END AS roads,
       CASE WHEN run.status <> 'unknown' THEN coalesce(roads.length_m, 0) END AS road_m,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.settlements, 0) END AS settlements,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.people, 0) END AS people,
       CASE WHEN run.status <> 'unknown' THEN coalesce(settlements.uncounted, 0) END AS settlements_uncounted
FROM lswarn.run AS run
JOIN lswarn.warning_area AS area
  ON area.region = run.region AND (area.retired_at IS NULL OR area.retired_at > run.published_at)
CROSS JOIN (VALUES (4), (5)) AS zone (class)
LEFT JOIN (
    SELECT run_id, area_id, class, count(DISTINCT road_id) AS roads, sum(length_m) AS length_m
    FROM lswarn.road_exposure
    GROUP BY run_id, area_id, class
) AS roads ON (roads.run_id, roads.area_id, roads.class) = (run.id, area.id, zone.class)
LEFT JOIN (
    SELECT run_id, area_id, class, count(DISTINCT settlement_id) AS settlements, sum(people) AS people,
           count(DISTINCT settlement_id) FILTER (WHERE people IS NULL) AS uncounted
    FROM lswarn.settlement_exposure
    GROUP BY run_id, area_id, class
) AS settlements ON (settlements.run_id, settlements.area_id, settlements.class) = (run.id, area.id, zone.class)
WHERE run.superseded_at IS NULL;
COMMENT ON VIEW lswarn.exposure_history IS 'What lay in zones, by day, warning area and class; null on days without enough rain data: unknown, not none';
COMMENT ON COLUMN lswarn.exposure_history.people IS 'Of settlements whose population is known';
COMMENT ON COLUMN lswarn.exposure_history.settlements_uncounted IS 'Settlements hit whose population is unknown';

CREATE VIEW lswarn.rain_status AS
SELECT run.region, run.valid_day, run.grade, day.day,
       used.product AS used_product, used.version AS used_version,
       best.product AS best_product, best.version AS best_version, best.fetched_at,
       best.sha256 IS DISTINCT FROM used.sha256 AS rerun_due
FROM lswarn.current_run AS run
CROSS JOIN LATERAL (SELECT run.valid_day - back AS day FROM generate_series(0, 6) AS back) AS day
LEFT JOIN LATERAL jsonb_to_recordset(run.rain) AS used (day date, product text, version text, sha256 text)
  ON used.day = day.day
LEFT JOIN lswarn.rain_day AS best
  ON best.region = run.region AND best.day = day.day AND best.superseded_at IS NULL;
COMMENT ON VIEW lswarn.rain_status IS 'The seven days of rain behind the newest day; null product = missing';
COMMENT ON COLUMN lswarn.rain_status.rerun_due IS 'A better granule has arrived since the run';

CREATE VIEW lswarn.alert_now AS
SELECT alert.id, area.region, area.source_id AS area_id, area.name AS area_name, alert.level,
       CASE alert.level WHEN 1 THEN 'orange' WHEN 2 THEN 'red' END AS level_name,
       alert.opened_on, alert.changed_on, jsonb_array_length(alert.below) AS days_below, alert.told, area.geometry
FROM lswarn.alert AS alert
JOIN lswarn.warning_area AS area ON area.id = alert.area_id
WHERE alert.closed_on IS NULL;
COMMENT ON VIEW lswarn.alert_now IS 'Open alerts';
COMMENT ON COLUMN lswarn.alert_now.days_below IS 'Complete days below the level so far';

-- Roles: groups to grant to logins. A deployer who may not make roles grants rights by hand.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['lswarn_reader', 'lswarn_writer'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION
                WHEN insufficient_privilege THEN
                    RAISE NOTICE 'role % was not made: not permitted', name;
                    CONTINUE;
                WHEN duplicate_object OR unique_violation THEN
                    NULL;  -- another database of this server is being migrated at the same time
            END;
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA lswarn TO %I', name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA lswarn TO %I', name);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA lswarn GRANT SELECT ON TABLES TO %I', name);
        IF name = 'lswarn_writer' THEN
            GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA lswarn TO lswarn_writer;
            ALTER DEFAULT PRIVILEGES IN SCHEMA lswarn GRANT INSERT, UPDATE, DELETE ON TABLES TO lswarn_writer;
        ELSE
            REVOKE SELECT ON lswarn.subscriber, lswarn.delivery_attempt FROM lswarn_reader;  -- people's addresses
        END IF;
    END LOOP;
END
$$;
