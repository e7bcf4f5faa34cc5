"""How far rain can be trusted, in one letter."""

from enum import StrEnum


class Grade(StrEnum):
    """How far the rain of a window, or of one product, can be trusted: A is best.

    A: seven days, all of a late or final run. B: seven days, some of an early run. C: seven days, some of a stand-in.
    D: a day is missing, so the total is a lower bound: it may raise an alert, never end one.
    E: some of the rain is modelled, which may raise an alert and never end one; or so many days are missing that there
    is no total, and every class is unknown.
    """

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"

    @property
    def complete(self) -> bool:
        """Whether all seven days were observed, so that low rain means low rain."""
        return self in (Grade.A, Grade.B, Grade.C)
