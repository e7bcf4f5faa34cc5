"""lswarn: from a rain file to a landslide warning somebody can act on.

Read `day.py` first: it tells the whole line, ingest, assess, publish, deliver. `retraining.py` tells the other line.
"""

from importlib.metadata import version

__version__ = version("lswarn")
