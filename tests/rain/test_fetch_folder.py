import hashlib
import os
from datetime import UTC, date, datetime, timedelta

import pytest

from lswarn.demo import layouts
from lswarn.errors import AccessDenied, CorruptGranule, NotYetPublished, SourceUnavailable
from lswarn.rain import fetch

DAY = date(2026, 1, 31)
OUT = datetime(2026, 2, 1, 14, 41, tzinfo=UTC)
NAME = "3B-DAY-L.MS.MRG.3IMERG.20260131-S000000-E235959.V07C.nc4"


@pytest.fixture(scope="session")
def granule(made_rain):
    return layouts.imerg_daily(DAY, made_rain)


@pytest.fixture
def folder(tmp_path, granule):
    folder = tmp_path / "imerg" / "2026" / "01"
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(granule)
    os.utime(folder / NAME, (OUT.timestamp(),) * 2)
    return folder


def test_a_granule(folder, pull, granule, tmp_path):
    rain = pull(tmp_path / "imerg" / "{year}" / "{month}")
    assert (rain.uri, rain.published_at) == (str(folder / NAME), OUT)
    assert rain.sha256 == hashlib.sha256(granule).hexdigest()
    assert float(rain.precipitation.sel(lat=36.15, lon=-84.45, method="nearest")) == 35


def test_a_folder_without_placeholders(folder, pull):
    assert pull(folder).day == DAY


def test_what_is_known_is_not_read_again(folder, pull, monkeypatch):
    known = pull(folder)
    monkeypatch.setattr(fetch, "copyfileobj", None)
    assert pull(folder, known=known) is None
    monkeypatch.undo()
    os.utime(folder / NAME, (OUT.timestamp() + 60,) * 2)
    assert pull(folder, known=known).published_at == OUT + timedelta(minutes=1)


def test_a_day_or_its_folder_is_not_there_yet(folder, pull, tmp_path):
    (folder / NAME).unlink()
    for at in (folder, tmp_path / "imerg" / "{year}-{month}"):
        with pytest.raises(NotYetPublished, match=r"is not there.*due at"):
            pull(at)


@pytest.mark.parametrize("at", ["nowhere", "nowhere/{year}", "nowhere/imerg-{year}"])
def test_a_folder_that_can_never_be(pull, tmp_path, at):
    with pytest.raises(SourceUnavailable, match=f"{tmp_path}/nowhere: no such folder; is it mounted"):
        pull(tmp_path / at)


def test_a_cut_file(folder, pull, granule):
    (folder / NAME).write_bytes(granule[: len(granule) // 2])
    with pytest.raises(CorruptGranule, match=f"{folder / NAME}: "):
        pull(folder)


def test_an_html_file(folder, pull):
    (folder / NAME).write_text("<html><body>Bad gateway</body></html>", "utf-8")
    with pytest.raises(CorruptGranule, match=f"{folder / NAME}: an HTML page, beginning 'Bad gateway'"):
        pull(folder)


def test_a_file_that_is_still_being_written(folder, pull, monkeypatch):
    def copy(original, copied):
        copied.write(original.read())
        with (folder / NAME).open("ab") as growing:
            growing.write(b"more")

    monkeypatch.setattr(fetch, "copyfileobj", copy)
    with pytest.raises(NotYetPublished, match=f"{NAME} is still being written; it is due"):
        pull(folder)


def test_a_folder_by_the_name_of_a_granule(folder, pull):
    (folder / NAME).unlink()
    (folder / NAME).mkdir()
    with pytest.raises(SourceUnavailable, match="Is a directory; is the path right, and the disk mounted"):
        pull(folder)


def test_a_file_that_may_not_be_read(folder, pull, monkeypatch):
    (folder / NAME).chmod(0)
    if os.access(folder / NAME, os.R_OK):  # root may read anything; as an ordinary user it is the real thing
        openly = type(folder).open

        def refuse(path, *how):
            if path.name == NAME:
                raise PermissionError(13, "Permission denied", str(path))
            return openly(path, *how)

        monkeypatch.setattr(type(folder), "open", refuse)
    with pytest.raises(AccessDenied, match=f"{folder / NAME}: may not be read"):
        pull(folder)
