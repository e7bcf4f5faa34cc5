"""Whether a person is to look at a message before it goes out, and how that person is asked. Pure."""

from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from typing import Any

from lswarn.alerts.message import AlertMessage
from lswarn.alerts.policy import Kind, Level
from lswarn.alerts.words import one_line
from lswarn.sections import Alerts


def needs_review(message: AlertMessage, rules: Alerts) -> bool:
    """Whether it waits for a person: where the level it gives, or the level it takes back, is one that is reviewed.

    Missing rain is told at once, and what a person has decided is not asked again.
    """
    data = _data(message)
    if message.kind in (Kind.DATA_MISSING, Kind.REVIEW) or data.get("withdrawn"):
        return False
    before = Level[data.get("level_before", "NONE")]
    return max(message.level, before).name.lower() in rules.review


def news_of(message: AlertMessage) -> list[str]:
    """`asset:asset_id` of all it is the first to tell of."""
    data = _data(message)
    named = {"road": data.get("roads", ()), "settlement": data.get("settlements", ())}
    new = {f"{asset}:{hit['id']}" for asset, hits in named.items() for hit in hits if hit["new"]}
    missed = {f"{hit['asset']}:{hit['id']}" for hit in data.get("missed", ())}
    return sorted(new | missed)


def ask(message: AlertMessage, message_id: int, until: datetime) -> AlertMessage:
    """Ask reviewers about a draft: what to type, until when, and the draft itself.

    Args:
        message_id: database key of the draft, by which it is named.
        until: aware instant at which it goes out all the same.
    """
    at = until.astimezone(UTC)
    lines = (
        "This is a draft. It has been sent to nobody but the reviewers. Unless somebody decides before, it goes out at "
        f"{at:%H:%M} UTC on {at.day} {at:%B %Y}, marked as not reviewed by a person.",
        f'To let it out: lswarn alerts approve {message_id} --by "YOUR NAME"',
        f'To hold it back: lswarn alerts reject {message_id} --by "YOUR NAME" --reason "WHY"',
        f"To see it again: lswarn alerts show {message_id}",
    )
    return _notice(message, f"[to review, {message_id}] {message.subject}", lines, {"asks": message_id})


def tell_rejected(message: AlertMessage, message_id: int, by: str, reason: str) -> AlertMessage:
    """Tell reviewers that one of them has held a draft back.

    Args:
        by, reason: may hold anything.
    """
    why = one_line(reason) or "not said"
    lines = (f"{one_line(by)} has rejected the draft below. It was sent to nobody. Why: {why}",)
    return _notice(message, f"[rejected, {message_id}] {message.subject}", lines, {"rejected": message_id})


def _notice(message: AlertMessage, subject: str, lines: tuple[str, ...], about: dict[str, Any]) -> AlertMessage:
    rows = "".join(f'<p style="margin:0 0 8px;">{escape(line)}</p>' for line in lines)
    box = f'<div style="padding:16px 24px;background:#fff4ce;color:#1b1f24;font:15px/1.5 sans-serif;">{rows}</div>'
    head, body, rest = message.html.partition("<body")
    inside = rest.find(">") + 1
    return replace(
        message,
        kind=Kind.REVIEW,
        subject=subject,
        text="\n\n".join((*lines, "-" * 70, message.text)),
        html=f"{head}{body}{rest[:inside]}{box}{rest[inside:]}" if body else box + message.html,
        payload=message.payload | {"type": "landslide_review", "review": about},
        translations={},
    )


def _data(message: AlertMessage) -> dict[str, Any]:
    data = message.payload.get("data", {})
    return data if isinstance(data, dict) else {}
