"""Two processes train as one does: the same curve and weights from the same global batch, copied or split."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pymdm.network.checkpoint import SHARDS, WEIGHTS, load_checkpoint
from pymdm.train.shards import read_shards, stored_shards
from pymdm.train.state import STATE_TENSORS, read_state

SCRIPT = """
import json, os, signal, sys, torch
from pymdm.train import Corpus, Recipe, train
from pymdm.train.parallel import ToldByFirst
text = tuple(f"line {i} of the text says {i * i}.\\n" for i in range(200))
recipe, out, resume = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3] == "resume"
curve, stop = [], recipe.pop("stop", None)
class Stop(Exception): pass
rank, fault, written, fsync = int(os.environ.get("RANK", "0")), recipe.pop("fault", None), [], os.fsync
def failing(handle):  # the second process's part of the second save
    written.append(handle)
    if len(written) == 2:
        if fault == "kill": os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")
    fsync(handle)
if rank and fault: os.fsync = failing
def note(p):
    curve.append(p.bits_per_char)
    if p.event == "saved" and p.step == stop: raise Stop
try:
    train(Recipe(**recipe), out, corpus=Corpus("t", text[:150], text[150:]), on_progress=note, resume=resume)
except Stop:
    pass
except ValueError as error:
    assert fault == "full" and rank == isinstance(error, ToldByFirst)
    curve = str(error) if not rank else None
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
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
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
    try:
        results = [c.communicate(timeout=300) for c in children]
    finally:
        for child in children:
            child.kill()
    if recipe.get("fault") == "kill":
        assert all(c.returncode for c in children) and children[1].returncode == -signal.SIGKILL
        return None
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


STREAMS = {"any-order": {"objective": "any-order"}, "block": {"objective": "block", "block_length": 5}}
BOTH_WAYS = [("any-order", "ddp"), ("block", "fsdp")]
OTHERS = [
    pytest.param("any-order", "fsdp", marks=pytest.mark.slow),
    pytest.param("block", "ddp", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("objective", "parallel"), [*BOTH_WAYS, *OTHERS])
def test_objectives_of_two_streams_in_two_processes(tmp_path, objective, parallel):
    """Their rows stand twice in a sequence; groups of the batch and recomputed activations included."""
    recipe = RECIPE | {"conditioning": "none"} | STREAMS[objective]
    one = run(recipe, tmp_path / "one")
    two = run(recipe | {"accumulate": 2, "recompute": True, "parallel": parallel}, tmp_path / "two", 2)
    assert two == pytest.approx(one, rel=2e-4)
    a, b = load_checkpoint(tmp_path / "one"), load_checkpoint(tmp_path / "two")
    assert b.config.attention == objective and b.training["processes"] == 2
    assert b.training["held_out"]["bits_per_char"] == pytest.approx(a.training["held_out"]["bits_per_char"], rel=1e-3)
    moved = torch.cat([(a.state_dict[k] - b.state_dict[k]).flatten() for k in a.state_dict])
    assert float(moved.norm() / torch.cat([t.flatten() for t in a.state_dict.values()]).norm()) < 2e-3


# ---- stopped and gone on with: a matrix of each optimiser, and vectors --------------------------------------------

SPLIT = RECIPE | {"parallel": "fsdp", "save_every": 2}


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """(folder of two processes that were never stopped, its curve, folder of two that were after 4 of 6 steps)."""
    folder = tmp_path_factory.mktemp("split")
    curve = run(SPLIT, folder / "whole", 2)
    run(SPLIT | {"stop": 4}, folder / "half", 2)
    return folder / "whole", curve, folder / "half"


@pytest.mark.slow
def test_each_process_writes_its_part(split):
    _, _, half = split
    assert len(list((half / SHARDS).iterdir())) == 2 and not (half / STATE_TENSORS).exists()
    sizes = [f.stat().st_size for f in (half / SHARDS).iterdir()]
    assert max(sizes) < 1.2 * min(sizes)
    stored = {name: torch.empty(t.shape, dtype=t.dtype) for name, t in stored_shards(half / SHARDS).items()}
    read_shards(half / SHARDS, stored)
    average = load_checkpoint(half).state_dict
    assert all(torch.equal(t, stored[f"average.{name}"]) for name, t in average.items())
    assert {name.split(".")[-1] for name in stored if name.startswith("opt")} == {
        "step",
        "exp_avg",
        "exp_avg_sq",
        "momentum",
    }
    assert all(t.abs().sum() > 0 for name, t in stored.items() if name.startswith("opt"))


@pytest.mark.slow
def test_two_processes_go_on_bit_for_bit(tmp_path, split):
    whole, curve, half = split
    shutil.copytree(half, tmp_path / "m")
    rest = run(SPLIT, tmp_path / "m", 2, resume=True)
    assert rest == curve[-len(rest) :]
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_a_split_run_goes_on_in_one_process(tmp_path, split):
    _, curve, half = split
    shutil.copytree(half, tmp_path / "m")
    rest = run(SPLIT, tmp_path / "m", 1, resume=True)
    assert rest == pytest.approx(curve[-len(rest) :], rel=2e-4)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_split(tmp_path, split):
    run(SPLIT | {"stop": 4}, tmp_path / "m", 1)
    assert (tmp_path / "m" / STATE_TENSORS).exists()
    rest = run(SPLIT, tmp_path / "m", 2, resume=True)
    assert rest == pytest.approx(split[1][-len(rest) :], rel=2e-4)


@pytest.mark.slow
def test_a_full_disk_under_one_process_is_one_error_of_the_first(tmp_path):
    message = run(SPLIT | {"fault": "full"}, tmp_path / "m", 2)
    assert message == f"save_checkpoint: cannot write {tmp_path / 'm'}: No space left on device"
    assert load_checkpoint(tmp_path / "m").training["steps"] == read_state(tmp_path / "m").numbers.step == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.csv"]


@pytest.mark.slow
def test_kill_9_of_a_process_that_writes_its_part_leaves_the_last_checkpoint(tmp_path, split):
    run(SPLIT | {"fault": "kill"}, tmp_path / "m", 2)
    assert load_checkpoint(tmp_path / "m").training["steps"] == read_state(tmp_path / "m").numbers.step == 2
    run(SPLIT, tmp_path / "m", 2, resume=True)
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (split[0] / WEIGHTS).read_bytes()


@pytest.mark.slow
def test_a_missing_part_is_told(tmp_path, split):
    shutil.copytree(split[2], tmp_path / "m")
    sorted((tmp_path / "m" / SHARDS).iterdir())[0].unlink()
    with pytest.raises(ValueError, match=r"^train: cannot read .*training_state: a part of .* is missing"):
        stored_shards(tmp_path / "m" / SHARDS)
