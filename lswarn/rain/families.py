"""Which products may stand beside each other: those of one family, and those with a quantile map. Pure."""

from lswarn.errors import RegionError
from lswarn.rain.products import family_of, find_product
from lswarn.sections import Rain


def require_one_family(rain: Rain) -> None:
    """Refuse to mix products whose millimetres mean different things.

    The runs of IMERG are one family. A product of another family than the first needs a quantile map; a forecast needs
    none, since all that is made of it is marked as modelled.

    Raises:
        RegionError: a source of another family has no quantile map.
    """
    first, *others = rain.sources
    problems = [
        f"rain.sources: {source.product} and {first.product} do not measure alike; give {source.product} a "
        f"quantile_map (lswarn rain mapping --from {source.product} --to {first.product}), or leave it out"
        for source in others
        if family_of(source.product) != family_of(first.product)
        and source.quantile_map is None
        and not find_product(source).forecast
    ]
    if problems:
        raise RegionError(*problems)


def require_forecasts(rain: Rain) -> None:
    """Refuse an observed product among the forecasts.

    Raises:
        RegionError: one of them is not made before its day.
    """
    problems = [
        f"rain.forecasts: {source.product} is no forecast; name it under rain.sources"
        for source in rain.forecasts
        if not find_product(source).forecast
    ]
    if problems:
        raise RegionError(*problems)
