"""The first schema: tables, views and group roles, spelled in the SQL file beside this one."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

VIEWS = (
    "alert_now",
    "rain_status",
    "exposure_history",
    "exposed_settlement_now",
    "exposed_road_now",
    "current_zone",
    "current_run",
)
TABLES = (
    "delivery_attempt",
    "delivery",
    "subscriber",
    "alert_message",
    "alert",
    "settlement_exposure",
    "road_exposure",
    "rainfall_exceedance",
    "susceptibility_zone",
    "class_area",
    "run",
    "model",
    "rain_day",
    "landslide",
    "settlement",
    "road",
    "warning_area",
    "region",
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public")
    # Past SQLAlchemy, which would take a percent sign for a parameter.
    op.get_bind().connection.driver_connection.execute(Path(__file__).with_suffix(".sql").read_text("utf-8"))


def downgrade() -> None:
    """Drops what the schema holds; roles belong to the whole server and stay, without rights here."""
    for name in VIEWS:
        op.execute(f"DROP VIEW lswarn.{name}")
    for name in TABLES:
        op.execute(f"DROP TABLE lswarn.{name}")
    op.execute(
        """
        DO $$
        DECLARE
            name text;
        BEGIN
            FOR name IN SELECT rolname FROM pg_roles WHERE rolname IN ('lswarn_reader', 'lswarn_writer') LOOP
                EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA lswarn REVOKE ALL ON TABLES FROM %I', name);
                EXECUTE format('REVOKE USAGE ON SCHEMA lswarn FROM %I', name);
            END LOOP;
        END
        $$
        """
    )
