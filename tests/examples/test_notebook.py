"""The notebook runs from its first cell to its last, and what it shows is what is stored in it."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest
from helpers.notebook import NOTEBOOK, executed, kinds


def cells():
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4 and len({c["id"] for c in found["cells"]}) == len(found["cells"])
    return found["cells"]


def test_its_cells_run_and_show_what_is_stored(tmp_path, monkeypatch):
    """Numbers and samples may differ from machine to machine, the kinds of output and their words may not."""
    monkeypatch.chdir(tmp_path)
    stored = [cell for cell in cells() if cell["cell_type"] == "code"]
    run = [cell for cell in executed(cells()) if cell["cell_type"] == "code"]
    for old, new in zip(stored, run, strict=True):
        assert kinds(old) == kinds(new), "make notebook stores the outputs anew: " + "".join(old["source"])
        assert old["execution_count"] == new["execution_count"]
    shown = [output for cell in run for output in cell["outputs"]]
    assert len(shown) >= 9 and sum("text/html" in output.get("data", ()) for output in shown) >= 2


def test_another_output_is_seen():
    def cell(text, **more):
        return {"outputs": [{"output_type": "stream", "name": "stdout", "text": [text]}]} | more

    assert kinds(cell("law exact 32 'a b'\n")) == kinds(cell("law exact 7.5 'c'\n"))
    assert kinds(cell("law exact 32\n")) != kinds(cell("law approximate 32\n")) != kinds({"outputs": []})


def test_what_is_stored_names_no_place_of_a_machine():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "/home" not in text and "/work" not in text and "/tmp" not in text and "site-packages" not in text


@pytest.mark.skipif(
    find_spec("nbclient") is None or find_spec("ipykernel") is None, reason="needs nbclient and ipykernel"
)
def test_it_runs_in_a_kernel(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
