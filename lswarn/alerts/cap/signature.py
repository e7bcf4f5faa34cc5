"""Door: the seal of a CAP document, an XML signature inside it, made with the operator's key.

Receivers that cannot read the seal must still take the document, and an unsigned one is valid too: then only the way it
came by says who gave it.
"""

from dataclasses import dataclass, field

from lxml import etree
from signxml.algorithms import SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import XMLVerifier

from lswarn.errors import CapError, SettingsError
from lswarn.settings import Settings


@dataclass(frozen=True)
class Signer:
    """What documents are sealed with, PEM.

    Attributes:
        key_pem: private RSA key without a passphrase; it never shows.
        cert_pem: certificate of that key, and any that vouch for it.
    """

    key_pem: bytes = field(repr=False)
    cert_pem: bytes


def load_signer(settings: Settings) -> Signer | None:
    """Key and certificate of the operator; None where documents go out unsigned.

    Raises:
        SettingsError: one of the two is missing, a file cannot be read, or they do not belong together.
    """
    key, cert = settings.cap_key_file, settings.cap_cert_file
    if key is None and cert is None:
        return None
    if key is None or cert is None:
        raise SettingsError("LSWARN_CAP_KEY_FILE and LSWARN_CAP_CERT_FILE go together: set both, or neither")
    try:
        signer = Signer(key.read_bytes(), cert.read_bytes())
    except OSError as error:
        raise SettingsError(f"cannot read {error.filename}: {error.strerror}; see LSWARN_CAP_*_FILE") from error
    try:
        sign(b"<alert/>", signer)
    except CapError as error:
        raise SettingsError(f"LSWARN_CAP_KEY_FILE={key}, LSWARN_CAP_CERT_FILE={cert}: {error}") from error
    return signer


def sign(xml: bytes, signer: Signer) -> bytes:
    """Put a seal into a document: enveloped, RSA with SHA-256, the certificate beside it.

    Raises:
        CapError: key and certificate cannot be used, or do not belong together.
    """
    root = etree.fromstring(xml)
    try:
        signed = XMLSigner(signature_algorithm=SignatureMethod.RSA_SHA256).sign(
            root, key=signer.key_pem, cert=signer.cert_pem.decode("ascii")
        )
        sealed = etree.tostring(signed, xml_declaration=True, encoding="UTF-8")
    except (ValueError, TypeError, SignXMLException) as error:
        raise CapError(f"cannot be signed with an RSA key and its certificate, both PEM: {error}") from error
    verify(sealed, signer.cert_pem)
    return sealed


def verify(xml: bytes, cert_pem: bytes) -> None:
    """Let a document pass that carries the seal of a certificate and was not touched since.

    Raises:
        CapError: it carries none, another's, or was changed.
    """
    try:
        verified = XMLVerifier().verify(xml, x509_cert=cert_pem.decode("ascii"))
    except (ValueError, SignXMLException, etree.XMLSyntaxError) as error:
        raise CapError(f"its signature does not hold: {error}") from error
    if (
        isinstance(verified, list)
        or verified.signed_xml is None
        or etree.QName(verified.signed_xml).localname != "alert"
    ):
        raise CapError("its signature does not cover the whole alert")
