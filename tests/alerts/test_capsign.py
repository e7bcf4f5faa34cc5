from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree
from shapely.geometry import box

from lswarn.alerts.briefing import Briefing
from lswarn.alerts.cap.check import check
from lswarn.alerts.cap.document import cap_of, to_xml
from lswarn.alerts.cap.signature import Signer, load_signer, sign, verify
from lswarn.alerts.message import compose
from lswarn.alerts.policy import AlertChange
from lswarn.errors import CapError, SettingsError
from lswarn.sections import Cap
from lswarn.settings import Settings

SENT = datetime(2026, 10, 6, 15, 30, tzinfo=UTC)


def make_signer(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Signer:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Geological survey")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1)).serial_number(7)
    cert = builder.sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Signer(pem, cert.public_bytes(Encoding.PEM))


@pytest.fixture(scope="module")
def signer() -> Signer:
    return make_signer(rsa.generate_private_key(65537, 2048))


@pytest.fixture(scope="module")
def other() -> Signer:
    return make_signer(rsa.generate_private_key(65537, 2048))


@pytest.fixture
def xml(change: AlertChange, briefing: Briefing) -> bytes:
    alert = cap_of(compose(change, briefing), Cap(), identifier="a.1", sent_at=SENT, area=box(-84.4, 36.2, -84.1, 36.4))
    return to_xml(alert)


def test_a_sealed_document_keeps_to_the_protocol(xml: bytes, signer: Signer) -> None:
    sealed = sign(xml, signer)
    check(sealed)
    verify(sealed, signer.cert_pem)
    assert etree.QName(etree.fromstring(sealed)[-1]).localname == "Signature"
    assert b"rsa-sha256" in sealed


def test_a_touched_document_shows(xml: bytes, signer: Signer) -> None:
    sealed = sign(xml, signer)
    with pytest.raises(CapError, match="does not hold"):
        verify(sealed.replace(b"<status>Draft", b"<status>Actual"), signer.cert_pem)


def test_the_seal_of_another_does_not_hold(xml: bytes, signer: Signer, other: Signer) -> None:
    with pytest.raises(CapError, match="does not hold"):
        verify(sign(xml, signer), other.cert_pem)


def test_no_seal_is_none(xml: bytes, signer: Signer) -> None:
    with pytest.raises(CapError, match="does not hold"):
        verify(xml, signer.cert_pem)


def test_a_sealed_document_within_another_is_no_seal_of_that(xml: bytes, signer: Signer) -> None:
    inner = sign(xml, signer).partition(b"?>")[2]
    with pytest.raises(CapError):
        verify(
            b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><sender>me</sender>' + inner + b"</alert>",
            signer.cert_pem,
        )


def test_key_and_certificate_that_do_not_belong_together(xml: bytes, signer: Signer, other: Signer) -> None:
    with pytest.raises(CapError):
        sign(xml, Signer(signer.key_pem, other.cert_pem))


@pytest.mark.parametrize("bad", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key(xml: bytes, signer: Signer, bad: bytes) -> None:
    with pytest.raises(CapError, match="RSA key"):
        sign(xml, Signer(bad, signer.cert_pem))


def test_a_key_of_another_kind(xml: bytes) -> None:
    with pytest.raises(CapError, match="RSA key"):
        sign(xml, make_signer(ec.generate_private_key(ec.SECP256R1())))


def test_the_key_never_shows(signer: Signer) -> None:
    assert "PRIVATE" not in repr(signer)


class TestLoadSigner:
    @pytest.fixture
    def settings(self, tmp_path: Path, signer: Signer) -> Callable[..., Settings]:
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        key.write_bytes(signer.key_pem)
        cert.write_bytes(signer.cert_pem)
        return lambda **files: Settings(**({"cap_key_file": key, "cap_cert_file": cert} | files))

    def test_both(self, settings: Callable[..., Settings], signer: Signer) -> None:
        assert load_signer(settings()) == signer

    def test_neither(self, settings: Callable[..., Settings]) -> None:
        assert load_signer(settings(cap_key_file=None, cap_cert_file=None)) is None

    def test_one_alone_is_a_mistake(self, settings: Callable[..., Settings]) -> None:
        with pytest.raises(SettingsError, match="go together"):
            load_signer(settings(cap_key_file=None))

    def test_a_file_that_is_not_there(self, settings: Callable[..., Settings], tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"cannot read .*nowhere"):
            load_signer(settings(cap_cert_file=tmp_path / "nowhere"))

    def test_another_key(self, settings: Callable[..., Settings], tmp_path: Path, other: Signer) -> None:
        (tmp_path / "other.pem").write_bytes(other.key_pem)
        with pytest.raises(SettingsError, match="LSWARN_CAP_KEY_FILE"):
            load_signer(settings(cap_key_file=tmp_path / "other.pem"))
