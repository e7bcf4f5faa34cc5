"""Who is told, as region.toml has it."""

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from lswarn.alerts.policy import Level
from lswarn.db import tables
from lswarn.region import Region


def record_subscribers(conn: Connection, region: Region) -> None:
    """Write down a region's subscribers.

    One who is gone from region.toml is told nothing more: what was still on its way to him is given up.
    """
    facts = {"region": region.name}
    conn.execute(
        text("UPDATE lswarn.subscriber SET retired_at = now() WHERE region = :region AND retired_at IS NULL"), facts
    )
    for subscriber in region.subscribers:
        told = {
            "channel": subscriber.channel,
            "address": subscriber.address,
            "areas": list(subscriber.areas),
            "level": Level[subscriber.level.upper()].value,
            "language": subscriber.language,
            "digest": subscriber.one_mail,
            "allow_private": subscriber.allow_private,
            "lane": subscriber.lane,
        }
        row = insert(tables.subscriber).values(region=region.name, name=subscriber.name, **told)
        conn.execute(row.on_conflict_do_update("uq_subscriber_region_name", set_={**told, "retired_at": None}))
    conn.execute(
        text("""UPDATE lswarn.delivery SET status = 'dead' FROM lswarn.subscriber
                WHERE subscriber.id = subscriber_id AND region = :region AND retired_at IS NOT NULL
                  AND status = 'pending'"""),
        facts,
    )
