"""The newest year with landslides, which no candidate learns from: a model is for days to come, not for past ones."""

from collections import Counter

from lswarn.model.samples import Snapshot

LEAST_LANDSLIDES = 20
"""With fewer landslides a year tells too little, and the year before joins it."""

LEAST_LEFT = 0.5
"""At least so many of all landslides must be left to learn from."""


def newest_year(snapshot: Snapshot) -> tuple[int, ...]:
    """Positions of the dated scenes with landslides of the newest calendar year that has any.

    Years before it join until there are `LEAST_LANDSLIDES`. Empty where nothing can be held out: no landslide has a
    date, or too few would be left to learn from.
    """
    landslides = {i: len(scene.landslides) for i, scene in enumerate(snapshot.scenes)}
    year_of = {i: scene.day.year for i, scene in enumerate(snapshot.scenes) if scene.day and scene.landslides}
    of_year: Counter[int] = Counter()
    for i, year in year_of.items():
        of_year[year] += landslides[i]
    held, first = 0, 0
    for first in sorted(of_year, reverse=True):
        held += of_year[first]
        if held >= LEAST_LANDSLIDES:
            break
    if not held or sum(landslides.values()) - held < LEAST_LEFT * sum(landslides.values()):
        return ()
    return tuple(i for i, year in year_of.items() if year >= first)


def other_scenes(snapshot: Snapshot, held: tuple[int, ...]) -> tuple[int, ...]:
    """Positions of all scenes but those held out: what is learnt from."""
    return tuple(i for i in range(len(snapshot.scenes)) if i not in held)
