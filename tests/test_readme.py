"""The documentation's examples run and print what they say; its links lead somewhere."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a language, with the line at which each starts."""
    text = page.read_text()
    found = re.finditer(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def test_the_readme_has_examples() -> None:
    assert blocks(PAGES[0], "python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_they_say(page: Path) -> None:
    """All blocks of a page share their names, so that a tour can go on from one to the next."""
    names: dict[str, object] = {"__name__": "__main__"}
    report: list[str] = []
    for line, source in blocks(page, "python"):
        test = doctest.DocTestParser().get_doctest(source, names, page.name, str(page), line)
        assert test.examples, f"{page.name}:{line} has no >>> lines"
        runner = doctest.DocTestRunner(optionflags=OPTIONS)
        runner.run(test, out=report.append, clear_globs=False)
        names = test.globs
    assert not report, "".join(report)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", page.read_text())
    targets = re.findall(r"\]\(([^)#\s]+)", prose)
    local = [target for target in targets if "://" not in target]
    dead = [target for target in local if not (page.parent / target).exists()]
    assert not dead, f"{page.name} links to what is not there: {', '.join(dead)}"


def test_the_readme_names_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert listed is not None
    names = re.findall(r'"([\w-]+)', listed[1])
    assert names
    page = PAGES[0].read_text()
    absent = [name for name in names if f"| {name} |" not in page]
    assert not absent, f"the README's table says nothing of {', '.join(absent)}"
