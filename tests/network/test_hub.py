"""A model's id on the hub: which files are asked for, with a stand-in for the client below."""

import shutil
import sys
import types
from fnmatch import fnmatch

import pytest
import torch
from helpers import published as p
from helpers.command_line import run

import pymdm

SETTINGS = p.LLADA


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one model, whose files are in a folder; what is downloaded lies in another."""
    there, here = tmp_path / "there", tmp_path / "here"
    p.write(there, SETTINGS, p.llada(3, SETTINGS))
    asked = []

    def snapshot_download(name, allow_patterns, etag_timeout):
        asked.append(list(allow_patterns))
        if name != "some/model":
            raise OSError("no such model\nand more lines")
        here.mkdir(exist_ok=True)
        for file in there.iterdir():
            if any(fnmatch(file.name, pattern) for pattern in allow_patterns):
                shutil.copy(file, here)
        return str(here)

    client = types.ModuleType("huggingface_hub")
    client.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return there, here, asked


def test_chat_templates_come_along_and_code_does_not(hub):
    there, here, asked = hub
    (there / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    (there / "modeling.py").write_text("raise SystemExit")
    (there / "pytorch_model.bin").write_bytes(b"twice the weights")
    model = pymdm.load("some/model")
    assert model.config.mask_id == SETTINGS["mask_token_id"] and len(asked) == 1
    assert sorted(f.name for f in here.iterdir()) == ["chat_template.jinja", "config.json", "model.safetensors"]


def test_a_model_in_torchs_files_alone(hub):
    there, _, asked = hub
    want = pymdm.load(there).engine(torch.tensor([[3, 47, 9]]))
    (there / "model.safetensors").unlink()
    torch.save(p.llada(3, SETTINGS), there / "pytorch_model.bin")
    assert torch.equal(pymdm.load("some/model").engine(torch.tensor([[3, 47, 9]])), want)
    assert len(asked) == 2 and "*.bin" in asked[1] and "*.safetensors" not in asked[1]


def test_what_the_hub_does_not_give_is_one_line(hub):
    result = run("info", "some/other")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "some/other is no folder here and the hub does not give it (OSError); download its *.json" in result.stderr
