"""Damaged files of every kind that pymdm reads. Run as a program, in a process of its own: `hostile_files.py COUNT SEED FIRST`
makes cases FIRST, FIRST + 1, ... and prints each before it is read, so that a crash or a hang names its case.

A case ends in success, or in one ValueError or OSError whose text is one line. 20 seconds and 2 GiB are its limits.
"""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save, save_file
from torch.distributed import checkpoint as dcp

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import published as p
from helpers.mutated_files import mutated, signed
from helpers.tiny_training import CORPUS, TINY, Stop, stop_when_saved

import pymdm
from pymdm._native import C
from pymdm.data.prepare import prepare
from pymdm.data.tokenizer import Tokenizer
from pymdm.data.tokens import load_data
from pymdm.network.checkpoint import PREVIOUS, SHARDS, STATE_NUMBERS, STATE_TENSORS, load_checkpoint, save_checkpoint
from pymdm.train import Recipe, train

SECONDS, MEMORY = 20, 2 << 30
TEXT = "".join(CORPUS.train)
Files = dict[str, bytes]
Kind = tuple[Files, Callable[[Path], object], float]


def content(folder: Path) -> Files:
    """The files of a folder, at any depth."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def sampled(path: Path, **options: Any) -> None:
    """Load a model and draw from it."""
    model = pymdm.load(path, **options)
    assert pymdm.sample(model, length=3, num_samples=1, seed=1).text


def encoded(file: Path) -> None:
    """Read a tokenizer and use it."""
    tokenizer = Tokenizer.load(file)
    rows = tokenizer.encode_all([TEXT[:60], "", "\n \u00e9"])
    assert tokenizer.decode(rows[0]) is not None and tokenizer.kept([TEXT[:60]], rows[:1]) >= 0


def trained(source: Path) -> None:
    """Begin a training on a text or on tokens."""
    with suppress(Stop):
        train(Recipe(**TINY, steps=2, eval_every=0, source=str(source)), on_progress=stop)


def stop(report: Any) -> None:
    raise Stop


def resumed(folder: Path) -> None:
    """Go on with a training for one step."""
    with suppress(Stop):
        train({}, folder, corpus=CORPUS, resume=True, on_progress=stop)


def continued(file: Path) -> None:
    """Go on with stopped samples."""
    pymdm.resume(lambda tokens: torch.zeros(*tokens.shape, 5), pymdm.Samples.load(file))


def kinds(work: Path) -> dict[str, Kind]:
    """Name -> good files, what reads them, and how often it is chosen."""
    tokenizer = Tokenizer.train(CORPUS.train, "char")
    torch.manual_seed(0)
    config = pymdm.ModelConfig(vocab_size=tokenizer.size, length=6, width=8, layers=1, heads=2)
    state = pymdm.MaskedTransformer(config).state_dict()
    facts = {"recipe": {"objective": "count", "schedule": "linear"}, "held_out": {"bits_per_char": 1.0}, "steps": 3}
    save_checkpoint(work / "ours", config, state, tokenizer, facts)
    bpe = Tokenizer.train(CORPUS.train, "bpe", 290)
    bpe.save(work / "bpe.json")

    shards = work / "shards"
    weights = p.llada(3, p.LLADA)
    places = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(sorted(weights))}
    shards.mkdir()
    for file in set(places.values()):
        save_file({n: t.contiguous() for n, t in weights.items() if places[n] == file}, shards / file)
    (shards / "config.json").write_text(json.dumps(p.LLADA))
    (shards / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    words = {chr(97 + i): i for i in range(26)} | {f"w{i}": i for i in range(26, 50)}
    wordlevel = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                 "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "vocab": words, "unk_token": "a"}}  # fmt: skip
    (shards / "tokenizer.json").write_text(json.dumps(wordlevel))

    dit = p.dit(1, 41, 32, 2, 12, norm_bias=False, ada=True, prefix="backbone.")
    lightning = {"state_dict": dit, "ema": {"shadow_params": [t for n, t in dit.items() if "inv_freq" not in n]}}
    torch.save(lightning, work / "run.ckpt")
    torch.save({f"module.{n}": t for n, t in weights.items()}, work / "m.pt")

    with suppress(Stop):
        train(
            Recipe(**TINY, steps=9, save_every=2, eval_every=0),
            work / "run",
            corpus=CORPUS,
            on_progress=stop_when_saved,
        )
    load_checkpoint(work / "run")
    split = work / "split"
    shutil.copytree(work / "run", split)
    shutil.rmtree(split / PREVIOUS, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer = dcp.HuggingFaceStorageWriter(str(split / SHARDS), save_distributed=True)
        dcp.save(load_file(split / STATE_TENSORS), storage_writer=writer, no_dist=True)
    (split / STATE_TENSORS).unlink()
    (split / STATE_NUMBERS).write_bytes(signed(STATE_NUMBERS, content(split)))
    (work / "words.txt").write_text(TEXT)
    prepare(work / "words.txt", work / "tokens", "char", None, None, False, "")
    lines = "\n".join(json.dumps({"text": d}) for d in CORPUS.train)
    net: Any = lambda tokens: torch.zeros(*tokens.shape, 5)  # noqa: E731
    half = pymdm.sample(net, mask_id=4, length=6, num_samples=2, seed=1, max_calls=2,
                        sampler=pymdm.FirstHitting(tokens_per_call=2, order=2))  # fmt: skip
    half.save(work / "half.safetensors")
    plan = {"tokens_per_call": [1, 2, 3], "calls": 3, "excess_nats": 0.5, "interval95": [0.1, 0.9], "uniform_nats": 0.7,
            "given": 0, "source": "x"}  # fmt: skip
    gpt2 = json.loads(bpe.to_json())["model"]
    merges = "#version: 0.2\n" + "\n".join(m if isinstance(m, str) else " ".join(m) for m in gpt2["merges"])
    pieces = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(97, 123)), "##a", "##b", "the"])
    bert = json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 16}).encode()
    texts = {
        "a.txt": TEXT[:3000].encode(),
        "b.jsonl": lines[:2000].encode(),
        "c.txt.gz": gzip.compress(TEXT.encode(), 1),
    }
    with suppress(ImportError):
        import zstandard

        texts["d.jsonl.zst"] = zstandard.compress(lines.encode())
    settings = (shards / "config.json").read_bytes()
    one_file = {"m.safetensors": save(weights), "config.json": settings}
    archive = {"m.pt": (work / "m.pt").read_bytes(), "config.json": settings}
    tokens = content(work / "tokens")
    return {
        "ours": (content(work / "ours"), sampled, 4),
        "hugging face": (content(shards), sampled, 4),
        "one file": (one_file, lambda f: sampled(f / "m.safetensors"), 1),
        "lightning": (alone(work / "run.ckpt"), lambda f: sampled(f / "run.ckpt", config=p.MDLM), 2),
        "torch": (archive, sampled, 2),
        "char": ({"tokenizer.json": tokenizer.to_json().encode()}, lambda f: encoded(f / "tokenizer.json"), 2),
        "bpe": ({"tokenizer.json": bpe.to_json().encode()}, lambda f: encoded(f / "tokenizer.json"), 2),
        "wordpiece": ({"vocab.txt": pieces.encode(), "tokenizer_config.json": bert}, encoded, 2),
        "gpt2": ({"vocab.json": json.dumps(gpt2["vocab"]).encode(), "merges.txt": merges.encode()}, encoded, 2),
        "text": (texts, lambda f: prepare(f, f.parent / "out", "char", None, None, False, ""), 1),
        "tokens": (tokens, lambda f: load_data(f).text(load_data(f).held_out[:20]), 2),
        "train on tokens": (tokens, trained, 0.3),
        "resume": (content(work / "run"), resumed, 0.7),
        "resume from parts": (content(split), resumed, 0.7),
        "samples": (alone(work / "half.safetensors"), lambda f: continued(f / "half.safetensors"), 2),
        "schedule": ({"plan.json": json.dumps(plan).encode()}, lambda f: pymdm.CallSchedule.read(f / "plan.json"), 1),
    }


def alone(file: Path) -> Files:
    return {file.name: file.read_bytes()}


def fault_of(case: Callable[[], object]) -> str | None:
    """What is wrong with the way a case ended, None where nothing is."""
    try:
        case()
    except (ValueError, OSError) as error:
        line = str(error)
        if not line or "\n" in line or len(line) > 3000:
            return f"not one line: {line[:500]!r}"
    except BaseException:
        return traceback.format_exc(limit=-6)
    return None


def main(count: int, seed: int, first: int = 0) -> None:
    """Cases `first` to `first + count` of a seed."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    C.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        all_kinds = kinds(work)
        for kind, (files, read, _) in all_kinds.items():  # good files are read
            put(work / "case", files)
            fault = fault_of(partial(read, work / "case"))
            assert fault is None, f"{kind}: {fault}"
        base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (base + MEMORY, base + MEMORY))
        names, faults = list(all_kinds), 0
        weights = np.array([all_kinds[n][2] for n in names])
        for i in range(first, first + count):
            random = np.random.default_rng((seed, i))
            kind = names[random.choice(len(names), p=weights / weights.sum())]
            files, read, _ = all_kinds[kind]
            broken = str(random.choice(sorted(files)))
            print(i, kind, broken, file=sys.stderr, flush=True)
            files = files | {broken: mutated(broken, files[broken], random)}
            for numbers in [f for f in files if f.endswith(STATE_NUMBERS) and f != broken]:
                if random.random() < 0.7:  # a damage that the checksum does not tell
                    files[numbers] = signed(numbers, files)
            put(work / "case", files)
            signal.alarm(SECONDS)
            fault = fault_of(partial(read, work / "case"))
            signal.alarm(0)
            if fault is not None:
                faults += 1
                print(f"case {i} of seed {seed}, {kind}, {broken}:\n{fault}\n", flush=True)
    print(count, "cases,", faults, "faults")
    sys.exit(faults > 0)


def put(folder: Path, files: Files) -> None:
    """Put files into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(folder.parent / "out", ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(*(int(n) for n in sys.argv[1:]))
