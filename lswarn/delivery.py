"""The last step of the day: whoever is to be told is told, by as many workers as there are.

Read `db/outbox.py` for what a worker takes on, and `db/circuit.py` for what it leaves alone.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lswarn.alerts.deliver import Courier
from lswarn.alerts.outgoing import Outgoing
from lswarn.alerts.patience import BACKOFF_MAX, TRIES, wait
from lswarn.db import circuit, outbox
from lswarn.db.engine import Engine, open_database, transaction
from lswarn.errors import DeliveryError
from lswarn.release import release_overdue
from lswarn.settings import Settings

log = logging.getLogger(__name__)

BATCH = 20
"""So many are claimed at once: few enough that each of them may time out within a lease."""


@dataclass(frozen=True)
class Delivery:
    """How it went, counted in mails and the like: one that holds several messages counts once.

    Attributes:
        delivered: were taken.
        refused: were not: they are tried again later, or given up and counted.
        held: attempts kept back because what they go over fails; they are made later.
    """

    delivered: int
    refused: int
    held: int = 0

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.delivered} delivered, {self.refused} refused" + (f", {self.held} held back" if self.held else "")

    def __add__(self, other: "Delivery") -> "Delivery":
        return Delivery(self.delivered + other.delivered, self.refused + other.refused, self.held + other.held)


def deliver(settings: Settings, clock: Callable[[], datetime], *, workers: int = 1) -> Delivery:
    """Send what is queued and due.

    A crash between sending and marking sends a message again, under the same key; it loses none. Drafts whose time is
    up are let out first.

    Args:
        clock: what time it is; asked at every step.
        workers: threads that share the work; other processes and machines may share it too.
    """
    engine = open_database(settings)
    release_overdue(settings, clock())
    if workers == 1:
        return _work(engine, settings, clock)
    with ThreadPoolExecutor(workers) as pool:
        shares = [pool.submit(_work, engine, settings, clock) for _ in range(workers)]
        return sum((share.result() for share in shares), Delivery(0, 0))


def _work(engine: Engine, settings: Settings, clock: Callable[[], datetime]) -> Delivery:
    done, rng = Delivery(0, 0), np.random.default_rng()
    single = engine.execution_options(isolation_level="AUTOCOMMIT")  # a mark is one statement: why ask three times
    with Courier(settings) as courier:
        while batch := outbox.claim_deliveries(engine, clock(), BATCH):
            closed: set[str] = set()
            kept: list[Outgoing] = []
            for outgoing in batch:
                if outgoing.lane in closed:
                    kept.append(outgoing)
                    continue
                try:
                    courier.send(outgoing, now=clock())
                except DeliveryError as error:
                    log.error("%s to %s: %s", outgoing.channel, outgoing.shown, error)
                    if _mark_failed(engine, outgoing, error, clock(), rng):
                        closed.add(outgoing.lane)
                    done += Delivery(0, 1)
                else:
                    with transaction(single) as conn:
                        outbox.mark_delivered(conn, outgoing.delivery_id, clock())
                    done += Delivery(1, 0)
            done += _hold_back(engine, kept, clock())
    return done


def _mark_failed(
    engine: Engine, outgoing: Outgoing, error: DeliveryError, now: datetime, rng: np.random.Generator
) -> bool:
    """Write a failure down; whether its lane is to be left alone from now on."""
    tries = outgoing.tries + 1
    given_up = error.permanent or tries >= TRIES
    again_at = None if given_up else now + wait(tries, rng, error.retry_after_s)
    until = None
    with transaction(engine) as conn:
        outbox.mark_failed(conn, outgoing.delivery_id, now, str(error), again_at=again_at)
        if error.lane_down:
            asked = error.retry_after_s
            quiet = now + min(timedelta(seconds=asked), BACKOFF_MAX) if asked else None
            until = circuit.mark_lane_failed(conn, outgoing.lane, now, str(error), until=quiet)
    if until is not None and until > now:
        log.error("nothing is sent over %s before %s", outgoing.lane, until)
        return True
    return False


def _hold_back(engine: Engine, kept: Sequence[Outgoing], now: datetime) -> Delivery:
    if kept:
        with transaction(engine) as conn:
            outbox.mark_waiting(conn, [outgoing.delivery_id for outgoing in kept], now)
    return Delivery(0, 0, len(kept))
