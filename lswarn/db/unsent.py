"""What should have gone out by now and lies still: nobody delivers, or not often enough."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Unsent:
    """What nobody has taken on.

    Attributes:
        deliveries: due since before then, over lanes that are not closed.
        drafts: whose time for review was up before then, and which were not let out.
    """

    deliveries: int
    drafts: int


def find_unsent(conn: Connection, region: str, before: datetime, now: datetime) -> Unsent:
    """What of a region lies still since `before`, by its name."""
    query = text("""
        SELECT (SELECT count(*)
                FROM lswarn.delivery JOIN lswarn.subscriber ON subscriber.id = subscriber_id
                WHERE subscriber.region = :region AND status = 'pending' AND carried_by IS NULL AND due_at < :before
                  AND NOT EXISTS (SELECT FROM lswarn.circuit
                                  WHERE circuit.lane = subscriber.lane AND open_until > :now)) AS deliveries,
               (SELECT count(*) FROM lswarn.alert_message
                WHERE region = :region AND approval = 'waiting' AND review_until < :before) AS drafts""")
    return Unsent(**conn.execute(query, {"region": region, "before": before, "now": now}).mappings().one())
