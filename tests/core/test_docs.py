"""The pages as a site: links, navigation and the reference, checked without mkdocs; `make site` builds it, strictly."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import typer
from helpers.command_line import run

import pymdm
from pymdm.cli.app import app

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


def test_the_notebooks_page_shows_its_outputs():
    spec = importlib.util.spec_from_file_location("hooks_of_the_site", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    page = hooks.notebook_page()
    assert page.count("```python\n") >= 10 and page.count("```text\n") >= 6
    shown = [part.partition("</div>\n\n")[0] for part in page.split("\n\n") if "pymdm-in" in part]
    assert len(shown) == 1 and '<div class="pymdm">' in shown[0]  # whole: a blank line would end the HTML


def test_the_reference_has_every_name_of_the_front_door():
    names = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    found = {}
    for name in names:
        value = resolved(name)
        assert value.__doc__ and getattr(value, "__module__", "pymdm") in (name.rpartition(".")[0], "pymdm"), name
        found[name.rpartition(".")[2]] = value
    assert set(pymdm.__all__) - {"__version__"} <= set(found)
    assert all(found[name] is getattr(pymdm, name) for name in set(pymdm.__all__) & set(found))


def resolved(name):
    """What a dotted name stands for: a module, or an attribute of one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"))]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    """Dotted names of the package, and files of the repository; <name> and NAME stand for others."""
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"`(pymdm(?:\.[A-Za-z_]\w*)+)", text)):
        assert resolved(name) is not None, name
    for path in re.findall(r"`((?:pymdm|tests|csrc|examples|bench|experiments|docs)/[\w./*-]+)`", text):
        assert list(ROOT.glob(path)), path


def commands(text):
    """The `pymdm` command lines of a page, in blocks and in sentences, as lists of words after `pymdm`."""
    blocks = re.findall(r"^```(?:\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`(pymdm [^`]+)`", FENCE.sub("", text))]
    for line in lines:
        for part in re.split(r"&&|;", line.partition(" #")[0]):
            words = part.split()
            if words and words[0].endswith("bin/pymdm"):
                yield words[1:]
            elif words and words[0] in ("pymdm", "torchrun") and "pymdm" in words:
                yield words[words.index("pymdm") + 1 :]


def unknown(words):
    """Commands and options of a command line that do not exist."""
    from pymdm.bench import common
    from pymdm.bench.cases import TOOLS, module_name

    command = typer.main.get_command(app)
    options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    for at, word in enumerate(words):
        known = getattr(command, "commands", {})
        if word.startswith("-"):
            break
        if not known or (word not in known and at and command.name != "bench"):
            break
        if word in ("CASE", "<case>"):
            return []
        if word not in known:
            return [word]
        command = known[word]
        options = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
        if words[0] == "bench" and at == 1:
            module = importlib.import_module(TOOLS.get(word) or module_name(word))
            case = word not in TOOLS or word == "gpu"
            parser = common.make_parser(module) if case else module.make_parser()
            options = {o for a in parser._actions for o in a.option_strings}
    given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [word for word in given if word not in options]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_documented_commands_exist(page):
    """Every command and option that a page shows; whether the examples run, tests/cli/test_examples_of_help.py shows."""
    for words in commands(page.read_text(encoding="utf-8")):
        assert unknown(words) == [], " ".join(words)


def test_commands_that_do_not_exist_are_found():
    text = """
```
pymdm sample runs/notes -n 4 --lenght 8   # a comment
.venv/bin/pymdm demo --minutes 1 && pymdm evaluat x
torchrun --nproc-per-node 2 -m pymdm train tokens --parallel fsdp --fast
```
and `pymdm bench choose --rowz 3`, `pymdm precision audit torch:rand --kind uniform`, `pymdm bench chose`.
"""
    found = [unknown(words) for words in commands(text)]
    assert found == [["--lenght"], [], ["evaluat"], ["--fast"], ["--rowz"], [], ["chose"]]
    assert sum(len(list(commands(page.read_text(encoding="utf-8")))) for page in TEXTS) > 80


@pytest.mark.parametrize("page", ["docs/index.md", "README.md"])
def test_the_code_of_the_first_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = (ROOT / page).read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, page, "exec"), {})


def test_the_page_of_hugging_face_models_runs(tmp_path):
    """On a small random model in place of the one that it would download."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "The", "the", "sat", "on", "cat", "mat"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **named).save_pretrained(tmp_path)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=11, **size)).save_pretrained(tmp_path)
    page = (DOCS / "hugging_face.md").read_text(encoding="utf-8")
    code = "".join(part.split("```")[0] for part in page.split("```python\n")[1:])
    assert '"bert-base-cased"' in code
    found = {}
    exec(compile(code.replace('"bert-base-cased"', repr(str(tmp_path))), "docs/hugging_face.md", "exec"), found)
    assert found["out"].law == "exact" and tuple(found["out"].tokens.shape) == (2, 12)


def test_the_function_of_the_audit_page_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "audit.md").read_text(encoding="utf-8")
    (tmp_path / "mine_of_the_page.py").write_text(page.split("```python\n")[1].split("```")[0])
    passed = run("audit", "mine_of_the_page:draw", "--samples", 2000, "--report", "audit")
    assert passed.exit_code == 0 and (tmp_path / "audit/proof.html").is_file(), passed.output
    assert run("audit", "first-hitting:4", "--samples", 2000).exit_code == 1


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
