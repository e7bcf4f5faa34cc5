"""Who may ask and tell over the web, and the photos they send."""

from sqlalchemy import ARRAY, BigInteger, ForeignKey, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint

from lswarn.db.tables.columns import INSTANT, check, column, key, metadata

api_token = Table(
    "api_token",
    metadata,
    key(),
    column("name", Text, "Who or what holds it, for people; one that is revoked may have had the same"),
    column("scopes", ARRAY(Text), "What it may do: read, review, report"),
    column("digest", LargeBinary, "sha256 of the token, which itself is kept nowhere"),
    column("made_at", INSTANT, "When it was made"),
    column("expires_at", INSTANT, "It is good for nothing from then on"),
    column("last_used_at", INSTANT, "When it was last let pass, to the minute; null = never", nullable=True),
    column("revoked_at", INSTANT, "When it was revoked; null while it is good", nullable=True),
    UniqueConstraint("digest"),
    check("name", "name ~ '^[!-~]([ -~]{0,62}[!-~])?$'"),
    check("scopes", "cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'review', 'report']"),
    check("digest", "octet_length(digest) = 32"),
    comment="Tokens with which programs and people may use the web server",
)

landslide_photo = Table(
    "landslide_photo",
    metadata,
    column("landslide_id", BigInteger, "Which one", ForeignKey("landslide.id", ondelete="CASCADE")),
    column("media_type", Text, "image/jpeg, image/png or image/webp"),
    column("bytes", LargeBinary, "The file, without what the camera wrote beside the picture"),
    PrimaryKeyConstraint("landslide_id"),
    check("kind", "media_type IN ('image/jpeg', 'image/png', 'image/webp')"),
    check("bytes", "octet_length(bytes) BETWEEN 1 AND 5000000"),
    comment="Photos of reported landslides; they may show people and homes",
)
