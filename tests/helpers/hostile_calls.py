"""Calls of everything that `pymdm._C` and `_C_testing` offer with arguments that no caller should pass.

Run as a program, in a process of its own: `hostile_calls.py COUNT SEED` prints the number of a call before it is made, so
that a crash names its call.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
from typing import Any

import numpy as np
import torch

import pymdm
from pymdm import _C_testing as T
from pymdm._native import C


def values() -> dict[str, list[Any]]:
    """Values by the type that a signature asks for; a call takes one of its own type three times out of four."""
    whole = torch.full((6,), 3)
    offsets = torch.tensor([0, 4, 6])
    ids = torch.tensor([0, 1])
    states = [C.State(whole, offsets, ids, 3, 1) for _ in range(4)]
    samplers = [
        s.native()
        for s in (
            pymdm.FirstHitting(),
            pymdm.FirstHitting(tokens_per_call=2, order=2),
            pymdm.FirstHitting(tokens_per_call=2, corrector=True),
            pymdm.Ancestral(steps=3, form="literal"),
            pymdm.Confidence(),
            pymdm.Remask(steps=3, strategy="conf"),
        )
    ]
    for state, sampler in zip(states[1:], samplers, strict=False):
        sampler.init(state)
    config = pymdm.ModelConfig(vocab_size=3, length=4, width=8, layers=1, heads=1)
    weights = {k: v.detach() for k, v in pymdm.MaskedTransformer(config).state_dict().items()}
    engine = C.Engine(config.to_dict(), weights, "float32")
    device_engine = C.DeviceEngine(config.to_dict(), weights, "float32", torch.device("cpu"))
    steps = [C.FirstHittingStep(device_engine, lengths, 1, 1.0, 3) for lengths in ([2, 4], [4])]
    steps[0].load(states[1], [1, 0], torch.zeros(3, dtype=torch.bool))
    saved = samplers[0].init(states[0]) or states[0].to_dict()
    huge = dict.fromkeys(config.to_dict(), 2**62)
    numbers = [0, 1, -1, 2, 3, 5, 127, 2**31, 2**32, 2**34, 2**62, 2**63 - 1, -(2**63), 2**64 - 1, 2**64]
    tensors = [
        torch.zeros(3),
        torch.zeros(0),
        torch.zeros(2, 3),
        torch.zeros(2, 0),
        torch.zeros(2, 3).double(),
        torch.full((2, 3), float("nan")),
        torch.zeros(1).expand(3),
        torch.zeros(3, 2).t(),
        torch.zeros(2, 3, dtype=torch.bfloat16),
        torch.zeros(2, 3, device="meta"),
        torch.eye(3).to_sparse(),
        torch.zeros(3, dtype=torch.bool),
        torch.zeros((), dtype=torch.int64),
        *[torch.tensor(n) for n in ([], [0], [3], [0, 1], [0, 4, 6], [-1, 5], [2**62], [-(2**63), 2**63 - 1])],
        torch.tensor([0, 1], dtype=torch.int32),
        whole,
    ]
    return {
        "int": [*numbers, *numbers, 1.5, None],
        "float": [0.0, 1.0, 0.5, -1.0, 1e-320, 1e308, float("nan"), float("inf"), 2**1100, None],
        "bool": [True, False, None],
        "str": ["", "float32", "bfloat16", "x" * 1000, "\udc80", None],
        "Tensor": [*tensors, None],
        "dict": [{}, saved, config.to_dict(), weights, huge, {**config.to_dict(), "heads": 2**62}, {"a": None}, None],
        "Sequence": [
            [],
            [0],
            [1, 2],
            [1.0, 0.0],
            [1.0, 0.5, 0.0],
            [2**62] * 2,
            [-1],
            [float("nan")] * 3,
            (None,),
            None,
        ],
        "State": [*states, None],
        "Sampler": [*samplers, None],
        "Schedule": [C.linear_schedule(), C.cosine_schedule(), None],
        "DeviceEngine": [device_engine, engine, None],
        "RunOptions": [
            C.RunOptions(),
            C.RunOptions(batch_size=1, max_calls=2, drawable=2),
            C.RunOptions(banned=[9]),
            None,
        ],
        "Queue": [C.RunOptions(batch_size=1).queue(2), C.RunOptions(max_calls=3).queue(0), None],
        "Watch": [C.Watch(None), C.Watch(len), C.Watch(lambda state: getattr(state, "tokens", None)), None],
        "FirstHittingStep": [*steps, None],
        "Engine": [engine, None],
        "Noise": [C.Noise.exact, C.Noise(77), C.Noise(-1), None],
        "Rule": [C.Rule.margin, C.Rule(99), C.Rule(-1), None],
        "type": [kind for kind in vars(C).values() if isinstance(kind, type)],
        "device": [torch.device("cpu"), torch.device("meta"), "cuda", None],
        "object": [
            engine,
            device_engine,
            lambda *a: torch.zeros(a[2].numel(), 3),
            lambda *a: torch.zeros(1, 10**6),
            lambda *a: torch.zeros(a[2].numel(), 0),
            lambda *a: 0.5,
            lambda *a: None,
            len,
            5,
            None,
        ],
    }


def pool_of(annotation: str, pools: dict[str, list[Any]]) -> list[Any]:
    """The values for an annotation of a signature, by the first name in it that is known."""
    for name, words in (
        ("type", "type["),
        ("Sequence", "Sequence"),
        ("Tensor", "Tensor"),
        ("int", "SupportsInt"),
        ("float", "SupportsFloat"),
        ("bool", "bool"),
        ("DeviceEngine", "DeviceEngine"),
        ("RunOptions", "RunOptions"),
        ("Queue", "_C.Queue"),
        ("Watch", "_C.Watch"),
        ("FirstHittingStep", "FirstHittingStep"),
        ("State", "State"),
        ("Sampler", "Sampler"),
        ("Schedule", "Schedule"),
        ("Engine", "Engine"),
        ("Noise", "_C.Noise"),
        ("Rule", "_C.Rule"),
        ("dict", "dict"),
        ("str", "str"),
        ("device", "device"),
    ):
        if words in annotation:
            return pools[name]
    return pools["object"]


def calls() -> list[tuple[str, Any, list[str]]]:
    """Name, function and the annotations of its arguments, for all functions, constructors, methods and properties."""
    found = []
    classes = {k: v for k, v in vars(C).items() if isinstance(v, type) and not hasattr(v, "__members__")}
    owners = [("", C), ("testing.", T), *((name + ".", kind) for name, kind in classes.items())]
    for prefix, owner in owners:
        for name in sorted(set(dir(owner))):
            function = getattr(owner, name)
            if isinstance(function, property):
                accessors = (function.fget, function.fset)
                found += [(prefix + name, f, ["object", "object"][: 1 + i]) for i, f in enumerate(accessors) if f]
            if (name.startswith("__") and name not in ("__init__", "__reduce__")) or not callable(function):
                continue
            signature = re.match(r"\w+\((.*)\) ->", getattr(function, "__doc__", "") or "")
            if signature is None:
                continue
            arguments = re.findall(r"\w+: ([^=]+?)(?: = [^,]+)?(?:, (?=\w+: )|$)", signature[1])
            if name == "__init__":
                found.append((prefix + "()", owner, arguments[1:]))
            found.append((prefix + name, function, arguments))
        if isinstance(owner, type):
            found.append((prefix + "__new__", owner.__new__, [f"type[{owner.__name__}]", "object"]))
    return found


def main(count: int, seed: int) -> None:
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # whose shadow memory alone is more
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    random = np.random.default_rng(seed)
    pools, functions = values(), calls()
    everything = [value for pool in pools.values() for value in pool]
    leaks: dict[str, int] = {}
    for i in range(count):
        name, function, annotations = functions[i % len(functions)]
        arguments = []
        for annotation in annotations:
            pool = pool_of(annotation, pools) if random.random() < 0.9 else everything
            arguments.append(pool[random.integers(len(pool))])
        print(i, name, file=sys.stderr, flush=True)
        signal.alarm(60)  # a call that does not end is as bad as one that crashes
        try:
            function(*arguments)
        except (ValueError, TypeError, KeyError, MemoryError, IndexError):
            pass
        except RuntimeError as error:  # of torch; ours are ValueErrors
            leaks[f"{name}: {str(error)[:80]}"] = leaks.get(name, 0) + 1
    print(len(functions), "functions,", count, "calls,", len(leaks), "kinds of RuntimeError")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
