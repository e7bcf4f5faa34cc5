"""Every page is true: its commands are understood, and what it links to is there."""

import re
import shlex
from pathlib import Path

import pytest
from click import Command, Context, Group
from typer.main import get_command

from lswarn.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "ops/runbook.md"]
TYPED = sorted(
    {
        (page.relative_to(ROOT).as_posix(), line.split("  #")[0].strip())
        for page in PAGES
        for line in re.findall(r"^ {4}(lswarn .+)$", page.read_text("utf-8"), re.MULTILINE)
    }
)


def asked_of(command: str) -> tuple[Command, list[str]]:
    """The command that a line means, and what is left of the line."""
    found, words = get_command(app), shlex.split(command)[1:]
    while isinstance(found, Group) and words and not words[0].startswith("-"):
        found = found.commands[words.pop(0)]
    return found, words


def test_there_is_something_to_type():
    assert {page for page, _ in TYPED} >= {"README.md", "docs/api.md", "docs/tutorial.md", "docs/operations.md"}


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_what_is_typed_is_understood(page, line):
    command, words = asked_of(line.removesuffix("&").removesuffix("\\").strip())
    wanted = [re.sub(r"^(DAY|START|END)$", "2026-03-18", word) for word in words]
    command.make_parser(Context(command)).parse_args(wanted)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_linked_to_is_there(page):
    for path in re.findall(r"\]\((?!https?:)([\w./-]+)\)", page.read_text("utf-8")):
        assert (page.parent / path).exists(), path
