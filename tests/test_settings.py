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


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("LSWARN_DATABASE_URL", "postgresql://me:hunter2@db/x")
    monkeypatch.setenv("LSWARN_SMTP_PASSWORD", "hunter3")
    shown = repr(load_settings())
    assert "hunter2" not in shown
    assert "hunter3" not in shown


def test_region_folders_are_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LSWARN_VAR_DIR", raising=False)
    assert load_settings().region_dir("hills") == tmp_path / "var/regions/hills"
