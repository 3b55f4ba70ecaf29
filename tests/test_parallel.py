"""Two processes train as one does: the same curve and weights from the same global batch, copied or split."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pymdm.checkpoint import load_checkpoint

SCRIPT = """
import json, sys, torch
from pymdm.train import Corpus, Recipe, train
text = tuple(f"line {i} of the text says {i * i}.\\n" for i in range(200))
recipe, out, resume = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3] == "resume"
curve, stop = [], recipe.pop("stop", None)
class Stop(Exception): pass
def note(p):
    curve.append(p.bits_per_char)
    if p.event == "saved" and p.step == stop: raise Stop
try:
    train(Recipe(**recipe), out, corpus=Corpus("t", text[:150], text[150:]), on_progress=note, resume=resume)
except Stop:
    pass
if curve: print(json.dumps(curve))
"""
RECIPE = {
    "vocab": "char",
    "length": 16,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "batch_size": 8,
    "threads": 1,
    "steps": 6,
}
RECIPE |= {"precision": "float32", "eval_every": 3, "save_every": 3, "ema": 0.5, "conditioning": "time"}


def run(recipe, out, world=1, resume=False):
    """The curve of the first process."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    children = []
    for rank in range(world):
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        if world > 1:
            group = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": world,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            }
            env |= {k: str(v) for k, v in group.items()}
        arguments = [sys.executable, "-c", SCRIPT, json.dumps(recipe), str(out), "resume" if resume else "new"]
        children.append(subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = [c.communicate(timeout=300) for c in children]
    left = children[:1] if "stop" in recipe else children  # the first one leaves the others alone in the middle
    assert all(c.returncode == 0 for c in left), [err[-2000:] for _, err in results]
    assert all(not out for out, _ in results[1:])  # one process speaks
    return json.loads(results[0][0])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """(curve, checkpoint) of one process, whole batches, nothing recomputed."""
    out = tmp_path_factory.mktemp("one") / "m"
    return run(RECIPE, out), load_checkpoint(out)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_follow_the_curve_of_one(tmp_path, one, parallel):
    """Groups of the batch and recomputed activations change nothing either."""
    two = run(RECIPE | {"accumulate": 2, "recompute": True, "parallel": parallel}, tmp_path / "two", 2)
    assert two == pytest.approx(one[0], rel=2e-4)
    a, b = one[1], load_checkpoint(tmp_path / "two")
    assert b.training["processes"] == 2 and a.training["parameters"] == b.training["parameters"]
    assert b.training["held_out"]["bits_per_char"] == pytest.approx(a.training["held_out"]["bits_per_char"], rel=1e-3)
    moved = torch.cat([(a.state_dict[k] - b.state_dict[k]).flatten() for k in a.state_dict])
    assert float(moved.norm() / torch.cat([t.flatten() for t in a.state_dict.values()]).norm()) < 2e-3


@pytest.mark.slow
def test_a_split_run_goes_on_in_one_process(tmp_path):
    """Checkpoints hold whole tensors: stop two processes half-way, finish with one."""
    recipe = RECIPE | {"parallel": "fsdp", "optimizer": "adamw"}
    whole = run(recipe, tmp_path / "whole", 2)
    run(recipe | {"stop": 3}, tmp_path / "half", 2)
    rest = run(recipe, tmp_path / "half", 1, resume=True)
    assert rest == pytest.approx(whole[-len(rest) :], rel=2e-4)
