"""A random checkpoint in LLaDA-8B's layout, written shard by shard, then opened and sampled, with its costs.

python -m experiments.large_llada write FOLDER              16 GB of bfloat16 in shards of 1 GB
python -m experiments.large_llada open FOLDER --json FILE   seconds, CPU-seconds and memory of opening, then a hole of 64 tokens
python -m experiments.large_llada both FOLDER --json FILE   one after the other, each in a process of its own
`--size 0.2` makes one of 0.2 billion weights, with the same vocabulary's share and shape of a block.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SETTINGS: dict[str, Any] = {
    "model_type": "llada", "architectures": ["LLaDAModelLM"], "block_type": "llama", "layer_norm_type": "rms",
    "activation_type": "silu", "rope": True, "rope_theta": 500000.0, "rms_norm_eps": 1e-5, "alibi": False,
    "attention_layer_norm": False, "include_bias": False, "include_qkv_bias": False, "bias_for_layer_norm": False,
    "layer_norm_with_affine": True, "input_emb_norm": False, "scale_logits": False, "multi_query_attention": None,
    "weight_tying": False, "max_sequence_length": 4096, "mask_token_id": 126336, "eos_token_id": 126081,
    "pad_token_id": 126081, "vocab_size": 126464, "embedding_size": 126464, "d_model": 4096, "n_layers": 32, "n_heads": 32,
    "n_kv_heads": 32, "mlp_hidden_size": 12288, "torch_dtype": "bfloat16",
}  # fmt: skip
SMALL = {"d_model": 1024, "n_layers": 8, "n_heads": 8, "n_kv_heads": 8, "mlp_hidden_size": 3072, "vocab_size": 50304}
SMALL |= {"embedding_size": 50304, "mask_token_id": 50300, "eos_token_id": 50256, "pad_token_id": 50256}
SHARD = 1 << 30  # bytes of a shard, at most, but for a larger tensor: no more is in memory at once


def shapes(c: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the order of the published files."""
    D, F, V = c["d_model"], c["mlp_hidden_size"], c["embedding_size"]
    root = "model.transformer"
    yield f"{root}.wte.weight", (V, D)
    for i in range(c["n_layers"]):
        for name in ("q_proj", "k_proj", "v_proj", "attn_out"):
            yield f"{root}.blocks.{i}.{name}.weight", (D, D)
        for name, shape in (("ff_proj", (F, D)), ("up_proj", (F, D)), ("ff_out", (D, F))):
            yield f"{root}.blocks.{i}.{name}.weight", shape
        for name in ("attn_norm", "ff_norm"):
            yield f"{root}.blocks.{i}.{name}.weight", (D,)
    yield f"{root}.ln_f.weight", (D,)
    yield f"{root}.ff_out.weight", (V, D)


def weights(settings: dict[str, Any]) -> int:
    """How many numbers a checkpoint with these settings has."""
    return sum(torch.Size(shape).numel() for _, shape in shapes(settings))


def write(folder: Path, settings: dict[str, Any], seed: int = 0, shard_bytes: int = SHARD) -> int:
    """Writes a folder of shards with an index; memory is one shard's. The bytes of its tensors.

    Raises:
        ValueError: the folder is there, or the disk has not enough room.
    """
    total = 2 * weights(settings)
    if folder.exists():
        raise ValueError(f"large_llada: {folder} exists")
    free = shutil.disk_usage(folder.absolute().parent).free
    if free < 1.05 * total:
        raise ValueError(f"large_llada: {folder} needs {total / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free")
    folder.mkdir()
    places: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    held, number = 0, 0
    generator = torch.Generator().manual_seed(seed)

    def flush() -> None:
        nonlocal held, number
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(shard, folder / name)
        places.update(dict.fromkeys(shard, name))
        shard.clear()
        held = 0

    for name, shape in shapes(settings):
        size = 2 * torch.Size(shape).numel()
        if shard and held + size > shard_bytes:
            flush()
        tensor = torch.empty(shape, dtype=torch.bfloat16)
        if len(shape) == 1:
            tensor.fill_(1.0)
        else:
            tensor.normal_(0.0, shape[-1] ** -0.5, generator=generator)
        shard[name] = tensor
        held += size
    flush()
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(settings))
    return total


class Anonymous:
    """The largest memory of its own that this process had in a context, in bytes: pages of mapped files are not in it."""

    def __enter__(self) -> Anonymous:
        self.start = self.most = self.now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @staticmethod
    def now() -> int:
        """RssAnon of this process."""
        line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("RssAnon"))
        return 1024 * int(line.split()[1])

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.most = max(self.most, self.now())

    @property
    def grown(self) -> int:
        """How far it rose above where it began."""
        return max(self.most, self.now()) - self.start


def cpu_seconds() -> float:
    """User and system time of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, hole: int = 64, given: int = 64) -> dict[str, Any]:
    """Opens the folder, fills a hole, and says what both took; the compute floor is that of the processor's own peak."""
    import pymdm
    from pymdm._native import C

    pymdm.sample(pymdm.load(dtype="bfloat16"), length=2, seed=1)  # imports, threads and their memory come first
    cpu, began = cpu_seconds(), time.perf_counter()
    with Anonymous() as memory:
        model = pymdm.load(folder)
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu
    c, count = model.config, weights(json.loads((folder / "config.json").read_text()))
    packed = model.engine.native.weight_bytes
    found = {
        "weights": count,
        "open_seconds": seconds,
        "open_cpu_seconds_per_billion": cpu / count * 1e9,
        "packed_bytes": packed,
        "memory_bytes": memory.grown,
        "memory_over_packed": memory.grown / packed,
    }
    generator = torch.Generator().manual_seed(1)
    known = torch.randint(0, c.mask_id, (given,), generator=generator).tolist()
    infill = [*known[: given // 2], *[c.mask_id] * hole, *known[given // 2 :]]
    began = time.perf_counter()
    with Anonymous() as memory:
        out = pymdm.sample(model, infill=infill, seed=1)
    seconds = time.perf_counter() - began
    C.set_num_threads(torch.get_num_threads())
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = C.peak(model.engine.dtype == "bfloat16", 2 * 10**10)
        times.append((time.perf_counter() - start) / done)
    # Two operations a weight and token; the embedding is looked up and the head is computed at one row a call.
    operations = 2 * (count - 2 * c.vocab_size * c.width) * len(infill) + 2 * c.vocab_size * c.width
    floor = operations * sorted(times)[2]
    call = seconds / out.calls
    return found | {
        "hole": hole,
        "length": len(infill),
        "calls": out.calls,
        "seconds_per_call": call,
        "floor_seconds_per_call": floor,
        "share_of_peak": floor / call,
        "sampling_memory_bytes": memory.grown,
        "threads": torch.get_num_threads(),
        "dtype": model.engine.dtype,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "open", "both"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=["8", "0.2"], default="8", help="billions of weights")
    parser.add_argument("--hole", type=int, default=64)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    if args.what in ("write", "both"):
        settings = SETTINGS if args.size == "8" else SETTINGS | SMALL
        total = write(args.folder, settings)
        print(f"{total / 1e9:.2f} GB in {len(list(args.folder.glob('*.safetensors')))} shards", flush=True)
    if args.what == "both":  # what writing left in this process's memory would serve opening
        given = sys.argv[1:] if arguments is None else arguments
        again = ["open" if word == "both" else word for word in given]
        raise SystemExit(subprocess.run([sys.executable, "-m", "experiments.large_llada", *again]).returncode)
    if args.what == "write":
        return
    found = measure(args.folder, args.hole)
    for name, value in found.items():
        shown = f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        print(f"{name:<32}{shown}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
