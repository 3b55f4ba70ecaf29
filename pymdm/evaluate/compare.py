"""Samplers at equal rounds on one model: what a judge says of their samples, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from pymdm.evaluate.call_sizes import excess
from pymdm.evaluate.generative import Generation, generate_samples
from pymdm.evaluate.intervals import mean_interval
from pymdm.evaluate.judges import Judge, load_judge
from pymdm.evaluate.schedule import Information
from pymdm.evaluate.subject_text import load_subject
from pymdm.network.config import ModelConfig
from pymdm.network.loading import Model, load
from pymdm.report.figure import drawing
from pymdm.report.table import Table, html_table, plain
from pymdm.sampling.check import described, entries, integer
from pymdm.sampling.fitting import with_attention
from pymdm.sampling.samplers import Ancestral, FirstHitting, Sampler
from pymdm.sampling.samplers.names import COMPARED, parse_sampler, sampler_name


@dataclass(frozen=True)
class Compared:
    """One sampler's samples and their cost.

    Attributes:
        name: what it was called. sampler: what ran.
        generation: texts, entropy, repetition and judges' scores.
        certificate: nats a sequence from the exact law; None where there is none for this sampler or no curve.
        rounds: network calls one after another. calls: of the batch. rows: sequences scored. seconds: wall time.
    """

    name: str
    sampler: Sampler
    generation: Generation
    certificate: float | None
    rounds: int
    calls: int
    rows: int
    seconds: float

    @property
    def repetition(self) -> tuple[float, tuple[float, float]]:
        """Mean share of repeated 4-grams and its 95% interval."""
        return float(np.mean(self.generation.repetition)), mean_interval(self.generation.repetition)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        found = self.generation.to_dict()
        return {"name": self.name} | {
            "law": found["sampler"]["law"],
            "certificate_nats": self.certificate,
            "rounds": self.rounds,
            "calls": self.calls,
            "rows": self.rows,
            "seconds": self.seconds,
            "entropy": found["entropy"],
            "repetition4": {"mean": self.repetition[0], "interval95": list(self.repetition[1])},
            "judges": found["judges"],
            "first_texts": found["first_texts"],
        }


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` gives: one `Compared` a sampler, in the order they were given. `print` shows it as a table.

    Attributes:
        results: what was found of each sampler.
        length: L of the samples.
        num_samples: N of each sampler.
        judge: name of the judge that the table shows.
    """

    results: tuple[Compared, ...]
    length: int
    num_samples: int
    judge: str

    def __repr__(self) -> str:
        bits = (f"{r.name} {r.generation.scores[self.judge].bits.short}" for r in self.results)
        size = f"{len(self.results)} samplers, {self.num_samples} samples of {self.length} tokens each"
        return f"Comparison({size}, bits per character under {self.judge})\n{', '.join(bits)}"

    def __str__(self) -> str:
        return plain(self.table())

    def _repr_html_(self) -> str:
        """For notebooks."""
        return html_table(self.table())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        head = {"length": self.length, "samples": self.num_samples, "judge": self.judge}
        return head | {"samplers": [result.to_dict() for result in self.results]}

    def table(self) -> Table:
        """One row a sampler; intervals are 95%, over texts."""
        rows = []
        for r in self.results:
            nats = "" if r.certificate is None else f"{r.certificate:.2f}"
            cells = [r.generation.scores[self.judge].bits.short, f"{r.generation.entropy_mean:.2f}"]
            cells += [f"{r.repetition[0]:.3f}", nats, f"{r.rounds}", f"{r.calls} ({r.rows})", f"{r.seconds:.1f}"]
            rows.append([r.name.replace(":", ": ").replace(",", ", "), *cells])
        head = ["sampler", "bits", "ent.", "rep4", "nats", "rounds", "calls (rows)", "s"]
        text = (
            f"{self.num_samples} samples of {self.length} tokens each. bits: per character under {self.judge}, with the half "
            "width of its 95% interval; ent.: entropy of a sample's tokens, nats; rep4: repeated 4-grams; nats: from the exact "
            "law; rounds: network calls one after another; rows: sequences scored."
        )
        return Table(head, rows, text=text)

    def draw(self, path: Any) -> None:
        """Bits per character, entropy and repetition with their 95% intervals, a line a sampler, as PNG or SVG.

        Raises:
            ValueError: matplotlib is missing.
        """
        values: list[list[tuple[float, tuple[float, float]]]] = [[], [], []]
        for r in self.results:
            bits = r.generation.scores[self.judge].bits
            values[0].append((bits.value, bits.interval))
            values[1].append((r.generation.entropy_mean, mean_interval(r.generation.entropy)))
            values[2].append(r.repetition)
        names = (f"bits per character, {self.judge}", "entropy, nats", "repeated 4-grams")
        labels = [f"{r.name}, {r.rounds} rounds" for r in self.results]
        with drawing(path, "compare", 9.0, 1.4 + 0.35 * len(labels), columns=3, sharey=True) as panels:
            for panel, column, name in zip(panels, values, names, strict=True):
                middle = np.array([v for v, _ in column])
                ends = np.array([[v - low, high - v] for v, (low, high) in column]).T.clip(min=0)
                panel.errorbar(middle, range(len(column)), xerr=np.nan_to_num(ends), fmt="o", capsize=3)
                panel.set(xlabel=name)
            panels[0].set_yticks(range(len(labels)), labels)
            panels[0].invert_yaxis()


def certificate(out: Any, information: Information | None) -> float | None:
    """Expected nats a sequence from the exact law, for samplers whose order is uniform and drawn without the network.

    Ancestral sampling draws the number of tokens of a call too: then the mean over the runs at hand.
    """
    sampler = out.sampler
    if information is None or out.options.law(sampler.law) not in ("exact", "approximate"):
        return None
    curve, length = information.curve(), information.length
    if isinstance(sampler, FirstHitting) and sampler.order == 1 and not sampler.corrector and sampler.noise == "exact":
        if (
            sampler.block_length or information.given
        ):  # the curve is of tokens in random order from anywhere, none given
            return None
        counts = sampler.counts()
        sizes: list[int] = []
        while sum(sizes) < length:
            sizes.append(min(counts[min(len(sizes), len(counts) - 1)], length - sum(sizes)))
        return excess(curve, sizes)
    if isinstance(sampler, Ancestral) and sampler.noise == "exact":
        found = []
        for one in out:  # tokens of a call have one time; times fall
            found.append(excess(curve, torch.unique(one.times, return_counts=True)[1].flip(0).tolist()))
        return float(np.mean(found))
    return None


def compare(
    model: Any = None,
    samplers: Sequence[str | Sampler] | None = None,
    *,
    judges: Sequence[str | Judge] = ("ngram",),
    rounds: int = 16,
    num_samples: int = 32,
    length: int | None = None,
    information: Information | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Callable[[Compared], None] | None = None,
) -> Comparison:
    """Draws with several samplers from one model, and puts their samples and their cost side by side.

    Args:
        model: a `pymdm.Model` with a tokenizer, or what `pymdm.load` takes.
        samplers: names, of which those that leave it open get about `rounds` network calls, or samplers as they are; default
            those of `compared` that the network can be sampled by.
        judges: at least one, names as of `pymdm evaluate --judge` or functions of texts; the first is the table's. An n-gram
            is counted on the text that the model was trained on.
        rounds: network calls a sequence. num_samples: N of each sampler, from the same random addresses.
        length: L, default the model's.
        information: the information curve at that length (`pymdm.evaluate.schedule.measure_information`), for certificates.
        temperature, seed, batch_size: as in `pymdm.sample`.
        progress: told every result.

    Returns:
        `Comparison`, with `table()`, `draw(path)` and `to_dict()`.

    Raises:
        ValueError, TypeError: no sampler or judge, rounds or length out of range, a value of another type, a sampler that
            does not go with the network.

    >>> from pymdm.evaluate.judges import load_judge
    >>> judge = load_judge("ngram:2", "some text")
    >>> found = compare("bundled:masked", ["ancestral"], judges=[judge], rounds=2, num_samples=2, length=4)
    >>> found.results[0].rounds
    2
    """
    loaded = model if isinstance(model, Model) else load(model)
    L = length if length is not None else loaded.config.length
    L, rounds, num_samples = (
        integer(name, value, operation="compare")
        for name, value in (("length", L), ("rounds", rounds), ("num_samples", num_samples))
    )
    samplers = compared(loaded.config) if samplers is None else entries("samplers", samplers, "compare")
    wanted = entries("judges", judges, "compare")
    if not samplers or not wanted or num_samples < 2:
        raise ValueError("compare: at least one sampler, one judge and two samples are needed")
    if not 1 <= L <= loaded.config.length:
        raise ValueError(f"compare: length must be in 1..{loaded.config.length}, got {L}")
    if not 1 <= rounds <= L:
        raise ValueError(f"compare: rounds must be in 1..{L}, the sequence's length, got {rounds}")
    if information is not None and information.length != L:
        raise ValueError(f"compare: the information curve is of length {information.length}, the samples of {L}")
    made = [(s, parse_sampler(s, calls=rounds, tokens=L)) if isinstance(s, str) else (_name(s), s) for s in samplers]
    for _, sampler in made:  # before any of them draws
        with_attention(sampler, loaded.config)
    asked = [_judge(judge, loaded) for judge in wanted]
    results = []
    for name, sampler in made:
        generation, out = generate_samples(
            loaded,
            asked,
            num_samples=num_samples,
            length=L,
            sampler=sampler,
            temperature=temperature,
            seed=seed,
            batch_size=batch_size,
        )
        nats = certificate(out, information)
        found = Compared(name, out.sampler, generation, nats, out.rounds, out.calls, out.rows, out.seconds)
        results.append(found)
        if progress is not None:
            progress(found)
    return Comparison(tuple(results), L, num_samples, asked[0].name)


def compared(config: ModelConfig) -> tuple[str, ...]:
    """The samplers that are compared where nobody says which: of `COMPARED` those that go with the network.

    >>> compared(ModelConfig(9, 8, 8, 1, 2, attention="any-order"))
    ('first-hitting', 'first-hitting:order=2', 'confidence:margin')
    """

    def goes(name: str) -> bool:
        try:
            with_attention(parse_sampler(name, calls=1, tokens=2), config)
        except ValueError:
            return False
        return True

    return tuple(filter(goes, COMPARED))


def _judge(judge: Any, model: Model) -> Judge:
    """A judge by its name, or as it is."""
    if not isinstance(judge, str):
        if not callable(judge):
            raise TypeError(f"compare: judges must be names or functions of texts, got {described(judge)}")
        return cast("Judge", judge)
    text = ""
    if judge.partition(":")[0] == "ngram":
        if model.conventions.family != "pymdm":
            raise ValueError("compare: an n-gram judge needs a model that was trained with pymdm; give other judges")
        text = load_subject(model.checkpoint if model.checkpoint is not None else model.path).train_text
    return load_judge(judge, text)


def _name(sampler: Any) -> str:
    if not isinstance(sampler, Sampler):
        words = "samplers must be names or objects such as pymdm.FirstHitting()"
        raise TypeError(f"compare: {words}, got {described(sampler)}")
    try:
        return sampler_name(sampler)
    except TypeError:  # of the user's, or with a function
        return type(sampler).__name__
