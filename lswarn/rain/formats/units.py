"""What a unit is in millimetres of a day. Pure."""

import numpy as np
from numpy.typing import NDArray

MM_PER: dict[str, float] = {
    "mm": 1.0,
    "0.1 mm": 0.1,
    "cm": 10.0,
    "m": 1000.0,
    "inch": 25.4,
    "mm/h": 24.0,
    "kg m-2 s-1": 86400.0,
}
"""Millimetres in a day that one of each is; a rate is a mean over the day, and a kg/m² of water is a millimetre."""

_SPELLINGS: dict[str, tuple[str, ...]] = {
    "mm": (
        *(
            "mm",
            "mm/day",
            "mm/d",
            "mm d-1",
            "mm day-1",
            "mm/24h",
            "millimeter",
            "millimeters",
            "millimetre",
            "millimetres",
        ),
        *("kg m-2", "kg/m2", "kg m-2 d-1", "kg m-2 day-1"),
    ),
    "0.1 mm": ("0.1 mm", "0.1mm", "0.1 mm/day", "0.1mm/day", "tenths of mm"),
    "cm": ("cm", "cm/day", "centimeter", "centimeters"),
    "m": ("m", "m/day", "m of water equivalent", "metre", "metres", "meter", "meters"),
    "inch": ("in", "inch", "inches", "in/day"),
    "mm/h": ("mm/h", "mm/hr", "mm/hour", "mm h-1", "mm hr-1", "mm hour-1"),
    "kg m-2 s-1": ("kg m-2 s-1", "kg/m2/s", "kg/(m2 s)", "kg m-2/s", "mm/s", "mm s-1"),
}
_KNOWN = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}


def canonical(text: str) -> str | None:
    """The unit, as in `MM_PER`, that a file means by its own spelling; None where it is none of them."""
    return _KNOWN.get(" ".join(text.replace("**", "").replace("^", "").lower().split()))


def to_mm(values: NDArray, unit: str) -> NDArray[np.float32]:
    """Millimetres of a day; NaN stays NaN.

    Args:
        unit: one of `MM_PER`.
    """
    if unit == "0.1 mm":  # dividing gives the float nearest to the decimal, which multiplying by 0.1 does not
        return (np.asarray(values, np.float64) / 10).astype(np.float32)
    return (np.asarray(values, np.float64) * MM_PER[unit]).astype(np.float32)
