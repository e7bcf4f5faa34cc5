import gzip

import pytest

from lswarn.errors import CorruptGranule
from lswarn.rain.formats.part import kind, read_whole, require_kind


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\x89HDF\r\n\x1a\n\x02", "HDF5"),
        (b"CDF\x02\x00", "netCDF-3"),
        (b"II*\x00", "TIFF"),
        (b"MM\x00+", "TIFF"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"GRIB\x00", "GRIB"),
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\xef\xbb\xbf \n<HTML>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "an XML document"),
        (b'{"error": "invalid_token"}', "JSON"),
        (b"Too many requests", "text"),
        (b"\x00\x00\xf9\xc3", "binary"),
    ],
)
def test_the_first_bytes_say_what_a_file_is(head, found):
    assert kind(head) == found


@pytest.mark.parametrize("page", [b"<html><title>Earthdata Login</title></html>", b'{"error": "Earthdata Login"}'])
def test_a_page_that_came_instead_is_quoted_without_its_tags(as_part, page):
    with pytest.raises(CorruptGranule, match=r"rain\.example/a\.nc4: .*Earthdata Login.*, not HDF5; open the address"):
        require_kind(as_part("a.nc4", page), "HDF5")


class TestWhole:
    @pytest.mark.parametrize("pack", [gzip.compress, bytes])
    def test_the_right_number_of_bytes(self, as_part, pack):
        assert read_whole(as_part("a", pack(b"\x00\x01" * 50)), 100) == b"\x00\x01" * 50

    @pytest.mark.parametrize("pack", [gzip.compress, bytes])
    @pytest.mark.parametrize(("size", "fault"), [(99, "holds more bytes, not 99"), (101, "holds 100 bytes, not 101")])
    def test_another_number(self, as_part, pack, size, fault):
        with pytest.raises(CorruptGranule, match=fault):
            read_whole(as_part("a", pack(b"\x00\x01" * 50)), size)

    def test_a_bomb_is_not_unpacked(self, as_part):
        with pytest.raises(CorruptGranule, match="holds more bytes"):
            read_whole(as_part("a", gzip.compress(bytes(1 << 26), 1)), 1000)

    def test_a_gzip_whose_bytes_are_whole_but_whose_sum_is_wrong(self, as_part):
        packed = bytearray(gzip.compress(b"\x00\x01" * 50))
        packed[-6] ^= 1
        with pytest.raises(CorruptGranule, match=r"its gzip is damaged or cut short \(CRC"):
            read_whole(as_part("a", bytes(packed)), 100)

    @pytest.mark.parametrize("left", [1, 5, 20, -1])
    def test_a_gzip_cut_short(self, as_part, left):
        with pytest.raises(CorruptGranule):
            read_whole(as_part("a", gzip.compress(b"\x00\x01" * 50)[:left]), 100)
