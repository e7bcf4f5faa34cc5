"""What the web server needs: tokens, acknowledgements, reports; spelled in the SQL files beside this one."""

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _run(".sql")


def downgrade() -> None:
    _run(".down.sql")


def _run(suffix: str) -> None:
    # Past SQLAlchemy, which would take a percent sign for a parameter.
    op.get_bind().connection.driver_connection.execute(Path(__file__).with_suffix(suffix).read_text("utf-8"))
