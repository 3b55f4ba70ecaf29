"""The pages as a site: links, navigation and the reference, checked without mkdocs; `make site` builds it, strictly."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page):
    """The anchors of a page's headings, as the site and code hosts make them."""
    heads = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


def broken(page, text=None):
    """Links of a page to files or headings that are not there."""
    text = FENCE.sub("", page.read_text(encoding="utf-8") if text is None else text)
    found = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize(
    "page",
    [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"))],
    ids=lambda page: page.name,
)
def test_no_link_is_broken(page):
    assert broken(page) == []


def test_a_broken_link_is_found():
    page = DOCS / "index.md"
    text = "[a](samplers.md) [b](nothing.md) [c](samplers.md#no-such-heading) ![d](none.png) [e](https://arxiv.org)"
    assert broken(page, text) == ["nothing.md", "samplers.md#no-such-heading", "none.png"]


def test_the_navigation_has_every_page_once():
    listed = re.findall(r"[\w.]+\.md$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted([*(page.name for page in PAGES), "first_hour.md"])  # docs/hooks.py makes that one


def test_pages_reach_only_what_the_site_has():
    """A page of the site links to pages of docs/ and, by the hook, to pictures of bench/results and the notebook."""
    for page in PAGES:
        for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if link.startswith(".."):
                known = r"\.\./(bench/results/[\w-]+\.png|examples/first_hour\.ipynb)"
                assert re.fullmatch(known, link), (page.name, link)


def test_the_reference_names_what_there_is():
    names = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) >= 12
    for name in names:
        module, _, attribute = name.rpartition(".")
        found = getattr(importlib.import_module(module), attribute)
        assert found.__doc__ and found.__module__ == module, name


def test_the_first_page_runs():
    code = (DOCS / "index.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, "docs/index.md", "exec"), {})


def test_what_an_addition_touches_is_there():
    """Every file that docs/design.md names for an operator and a sampler exists for `mlp` and `remask`, and speaks of it."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    text = text[text.index("## What an addition touches") : text.index("## Words")]
    operator, sampler = text[: text.index("**The choice")], text[text.index("**A sampler**") :]
    named = r"`((?:csrc|pymdm|tests|docs)/[^`]+)`"
    for part, word in ((operator, "mlp"), (sampler, "remask")):
        paths = [name.replace("<op>", word).replace("<name>", word) for name in re.findall(named, part)]
        assert len(paths) > 10
        for path in paths:
            files = list(ROOT.glob(path))
            assert files, path
            texts = (file.read_text(encoding="utf-8") for file in files)
            assert word == "mlp" or any(word in text.lower() for text in texts), path
    choice = text[text.index("**The choice") : text.index("**A sampler**")]
    assert all(list(ROOT.glob(path)) for path in re.findall(named, choice))
