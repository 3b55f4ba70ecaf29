"""A loaded model holds nothing of its file: what happens to the file afterwards changes no sample and kills no process."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

import pymdm
from pymdm.bundled import bundled_path


@pytest.mark.parametrize("change", ["overwritten", "truncated", "removed"])
def test_the_file_may_change_after_load(tmp_path, change):
    folder = tmp_path / "model"
    shutil.copytree(bundled_path(), folder)
    weights = folder / "model.safetensors"
    model = pymdm.load(folder)
    before = pymdm.sample(model, length=8, num_samples=4, seed=1).tokens
    if change == "overwritten":
        size = weights.stat().st_size
        with open(weights, "r+b") as file:
            file.seek(size // 2)
            file.write(os.urandom(size - size // 2))
            file.seek(0)
            file.write(os.urandom(size // 2))
    elif change == "truncated":
        os.truncate(weights, 0)
    else:
        weights.unlink()
    assert torch.equal(pymdm.sample(model, length=8, num_samples=4, seed=1).tokens, before)
    with open("/proc/self/maps") as maps:
        assert str(weights) not in maps.read()
