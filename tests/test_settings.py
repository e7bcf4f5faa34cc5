import pytest

from lswarn.errors import SettingsError
from lswarn.settings import load_settings


def test_an_unknown_setting_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("LSWARN_SMPT_HOST", "mail.example.org")
    with pytest.raises(SettingsError, match="LSWARN_SMPT_HOST"):
        load_settings()


def test_an_unusable_value_is_told_with_its_name(monkeypatch):
    monkeypatch.setenv("LSWARN_SMTP_PORT", "mail")
    with pytest.raises(SettingsError, match="LSWARN_SMTP_PORT='mail'"):
        load_settings()


@pytest.mark.parametrize("odd", ["100", "0", "many"])
def test_blocks_fit_every_network(monkeypatch, odd):
    monkeypatch.setenv("LSWARN_BLOCK_CELLS", odd)
    with pytest.raises(SettingsError, match="LSWARN_BLOCK_CELLS"):
        load_settings()


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("LSWARN_DATABASE_URL", "postgresql://me:hunter2@db/x")
    monkeypatch.setenv("LSWARN_SMTP_PASSWORD", "hunter3")
    monkeypatch.setenv("LSWARN_EARTHDATA_TOKEN", "hunter4")
    monkeypatch.setenv("LSWARN_PPS_EMAIL", "hunter5@example.org")  # it is the password there
    assert "hunter" not in repr(load_settings())


@pytest.mark.parametrize("odd", ["https://urs.earthdata.nasa.gov", "urs.earthdata.nasa.gov/", "me@host", ""])
def test_a_login_server_is_a_host_and_perhaps_a_port(monkeypatch, odd):
    monkeypatch.setenv("LSWARN_EARTHDATA_LOGIN", odd)
    with pytest.raises(SettingsError, match="LSWARN_EARTHDATA_LOGIN"):
        load_settings()


def test_region_folders_are_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LSWARN_VAR_DIR", raising=False)
    assert load_settings().region_dir("hills") == tmp_path / "var/regions/hills"


def test_the_scheduler_of_a_command_goes_before_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("LSWARN_DASK", "tcp://10.0.0.1:8786")
    assert load_settings().dask == "tcp://10.0.0.1:8786"
    assert load_settings(dask="tls://10.0.0.2:8786").dask == "tls://10.0.0.2:8786"
    with pytest.raises(SettingsError, match=r"LSWARN_DASK='10\.0\.0\.2:8786'"):
        load_settings(dask="10.0.0.2:8786")
