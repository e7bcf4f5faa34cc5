"""What Prometheus is told: how the web server does, and how every region stands.

Names (region is a label of all but the first two):

    lswarn_http_request_seconds{method,route,status}   histogram
    lswarn_database_up                                 1 or 0
    lswarn_region_info{title}                          1 for every recorded region, also one without a run
    lswarn_newest_day_timestamp_seconds                end of the newest observed day
    lswarn_run_published_timestamp_seconds             when its run was published
    lswarn_run_age_seconds                             since the end of that day
    lswarn_rain_age_seconds                            since the end of the newest day of it whose rain is known
    lswarn_rain_days_missing                           days of its window without rain
    lswarn_run_grade{grade}                            1 for the grade it has, A to E
    lswarn_run_status{status}                          1 for the status it has
    lswarn_zones{class}                                zones of class 4 and 5; none is told where nothing is known
    lswarn_exposed_roads, lswarn_exposed_settlements   likewise
    lswarn_open_alerts{level}                          1 orange, 2 red
    lswarn_areas{state}                                warning areas by state: none, open, easing, unknown
    lswarn_waiting_drafts                              messages that wait for a person
    lswarn_pending_deliveries, lswarn_dead_deliveries
    lswarn_waiting_reports                             reports of landslides that nobody has decided on
"""

import os

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Metrics:
    """The counts of this process; of all worker processes together where there are several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "lswarn_http_request_seconds",
            "How long answers took",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=BUCKETS,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            route: the pattern, not the path: there must not be endlessly many.
        """
        self._seconds.labels(method if method in METHODS else "other", route, status).observe(seconds)

    def shared(self) -> CollectorRegistry:
        """Where the counts of all processes are read."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return together
