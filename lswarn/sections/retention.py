"""[retention]: how long the database keeps what it can do without."""

from pydantic import Field

from lswarn.sections.strict import Strict


class Retention(Strict):
    """What is deleted for its age, by the flow `retention` or `lswarn db prune`.

    Runs, the area of each class, alerts and messages are kept for ever; rasters on disk are not touched.

    Attributes:
        zone_days: class maps, zones, exceedances and exposure are kept for so many days from their publication
            on. A year and a month by default, so that this season can be held against the last one.
    """

    zone_days: int = Field(400, ge=1)
