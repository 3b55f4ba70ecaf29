"""Naming a device, and sharing sequences among processes."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from helpers.device_networks import HAVE_CUDA

import pymdm
from pymdm.distributed import sequence_ids_of_rank
from pymdm.network.device import as_device
from pymdm.network.engine import Engine


def test_the_cpu_is_there():
    assert as_device("cpu") == torch.device("cpu") and Engine is pymdm.Engine
    assert pymdm.load().engine.device.type == "cpu"


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x", "meta", "mps", 1.5])
def test_a_name_that_is_no_device_is_an_error(name):
    with pytest.raises(ValueError, match="engine: device must be cpu, cuda or cuda:<index>, got"):
        as_device(name)


@pytest.mark.skipif(HAVE_CUDA, reason="there is a CUDA device")
def test_a_missing_device_is_one_clear_error():
    words = (
        r"engine: expected a CUDA device, found none \(this build of pymdm has .*CUDA kernels.*, torch .* sees 0 CUDA"
    )
    for call in (
        lambda: pymdm.load(device="cuda"),
        lambda: pymdm.sample(str(pymdm.load().path), device="cuda", length=4),
        lambda: pymdm.Engine(pymdm.load().path, device="cuda:0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    done = subprocess.run(
        [sys.executable, "-m", "pymdm", "sample", "--device", "cuda", "--length", "4"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "expected a CUDA device, found none" in done.stderr


def test_the_default_model_names_the_one_that_runs_on_a_device(monkeypatch):
    monkeypatch.setattr("pymdm.network.engine.as_device", lambda name: torch.device("cuda", 0))
    words = "engine: networks of attention 'any-order' run on the CPU so far, got device cuda:0; .* bundled:masked"
    with pytest.raises(ValueError, match=words):
        pymdm.load(device="cuda")


def test_a_loaded_model_stays_where_it_is():
    with pytest.raises(ValueError):
        pymdm.sample(pymdm.load(), device="cuda", length=4)
    assert len(pymdm.sample(pymdm.load(), device="cpu", length=4)) == 1


def test_processes_share_the_sequences(monkeypatch):
    assert sequence_ids_of_rank(5) == [0, 1, 2, 3, 4]
    parts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        parts.append(sequence_ids_of_rank(5))
    assert parts == [[0, 3], [1, 4], [2]] and sequence_ids_of_rank(1) == []
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ValueError, match=r"sample: RANK must be in \[0, WORLD_SIZE\), got 3 of 3"):
        sequence_ids_of_rank(5)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_samples_do_not_depend_on_the_number_of_processes():
    """Two processes as torchrun starts them, against one; the seed that is drawn is rank 0's."""
    command = [sys.executable, "-m", "pymdm", "sample", "-n", "3", "--length", "6", "--json"]
    together = dict(os.environ, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", OMP_NUM_THREADS="1")
    together["MASTER_PORT"] = str(free_port())
    runs = [
        subprocess.Popen(
            command, env=dict(together, RANK=str(r)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for r in range(2)
    ]
    outputs = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert outputs[1][0] == ""  # rank 0 speaks for all
    found = json.loads(outputs[0][0])
    alone = subprocess.run([*command, "--seed", str(found["seed"])], capture_output=True, text=True)
    assert found["samples"] == json.loads(alone.stdout)["samples"]
    assert [s["sequence_id"] for s in found["samples"]] == [0, 1, 2]
