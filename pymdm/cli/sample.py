"""`pymdm sample`: text out of a checkpoint."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pymdm.cli.options import OptionsOf, with_options
from pymdm.cli.sampler import lookahead_of, sampler_of, watched
from pymdm.cli.screen import say
from pymdm.sampling.options import SampleOptions


@with_options
def sample(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Checkpoint folder, or bundled:masked, default bundled:any-order, which are in the package."
        ),
    ] = None,
    *,
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", help="Sequences to draw.")] = 1,
    length: Annotated[int | None, typer.Option(help="Tokens in a sequence; default: the model's length.")] = None,
    lengths: Annotated[
        Path | None,
        typer.Option(
            help="Draw each length from those of a file's sequences (.fasta, .smi, or one a line), by the seed."
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text to begin with.")] = None,
    infill: Annotated[
        str | None, typer.Option(help=r'Text with holes, e.g. "The [MASK:12] is"; \[MASK] is text.')
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In [0, 2^64); default: drawn from the system and printed.")] = None,
    sampler: Annotated[str, typer.Option(help="first-hitting, ancestral, confidence or remask.")] = "first-hitting",
    nfe: Annotated[
        int | None,
        typer.Option(help="Network calls, at most one a token (ancestral, remask: steps); default: one a token."),
    ] = None,
    order: Annotated[
        int | None, typer.Option(help="First-hitting with several tokens a call: 1 (default), or 2 to extrapolate.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Confidence: probability (default), margin, entropy or random.")
    ] = None,
    block_length: Annotated[
        int | None, typer.Option(help="First-hitting and confidence: blocks from left to right.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Remask: cap (default), rescale, conf or loop.")] = None,
    lookahead: Annotated[
        str,
        typer.Option(help="Same tokens in fewer rounds: most copies in a call (1: off), a chance in (0, 1), or auto."),
    ] = "1",
    schedule: Annotated[
        str | None,
        typer.Option(help="linear, cosine or geometric; default: that a time-conditioned model was trained with."),
    ] = None,
    call_schedule: Annotated[
        Path | None, typer.Option(help="First-hitting: tokens of each call, from `pymdm schedule --out`.")
    ] = None,
    changes: Annotated[dict[str, Any], OptionsOf(SampleOptions, leave_out=("allowed",))],
    batch_size: Annotated[int | None, typer.Option(help="Sequences in one network call; changes no sample.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or bfloat16; default: float32, for models of others as their file is.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda; under torchrun each process has its own GPU.")] = "cpu",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Folder or tokenizer.json of the tokenizer, for a checkpoint of others that has none (MDLM)."
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it fills in; without a terminal, as lines.")
    ] = False,
    prompt_file: Annotated[
        Path | None,
        typer.Option(
            help="Prompts, or infills where one has a hole: .fasta, .smi, or one a line. With --chat .json too."
        ),
    ] = None,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Put the prompt, a user's text or JSON messages with roles, through the model's chat template; print answers.",
        ),
    ] = False,
    output_format: Annotated[str, typer.Option("--format", help="text, fasta or smiles.")] = "text",
    allowed: Annotated[
        Path | None,
        typer.Option(
            help='JSON, position to the ids, or a text of the tokens, that alone may be drawn there: {"3": [5, 7], "4": "ACD"}.'
        ),
    ] = None,
    stats: Annotated[
        bool,
        typer.Option("--stats", help="Also print how far the samples differ from each other and repeat themselves."),
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Sample text from a masked diffusion model: exactly, unless an option says otherwise. The law is printed.

    Example: pymdm sample --num-samples 4 --length 256 --seed 7
    """
    if stream and json_output:
        raise ValueError("sample: --stream is for reading and --json for machines; give one of them")
    import pymdm
    from pymdm.cli.sequences import allowed_of, conversations_of, lengths_of, prompts_of, title
    from pymdm.data.sequences import FORMATS, Record, written
    from pymdm.data.wrapped import text_of
    from pymdm.distributed import processes
    from pymdm.sampling.fitting import with_attention
    from pymdm.sampling.opening import check_seed
    from pymdm.sampling.prompt import prompt_count, start_tokens

    loaded = pymdm.load(model, dtype=dtype, device=device, tokenizer=tokenizer)
    config = loaded.config
    names: list[str] = []
    given: Any = {"prompt": prompt, "infill": infill}
    if chat:
        if infill is not None or output_format != "text":
            raise ValueError("sample: --chat goes with neither --infill nor --format")
        given = {"prompt": [loaded.chat(c) for c in conversations_of(prompt, prompt_file)], "infill": None}
    elif prompt_file is not None:
        if prompt is not None or infill is not None:
            raise ValueError("sample: --prompt-file stands for --prompt and --infill; give one of them")
        names, given = prompts_of(prompt_file)
    if length is not None and lengths is not None:
        raise ValueError("sample: --lengths stands for --length; give one of them")
    if output_format not in FORMATS:
        raise ValueError(f"sample: --format must be one of {', '.join(FORMATS)}, got {output_format}")
    options = SampleOptions(**changes, allowed=allowed_of(allowed, loaded.tokenizer))
    with processes() as group:
        seed = group.share(check_seed(seed))
        drawn = None if lengths is None else lengths_of(lengths, loaded.tokenizer)
        starts = start_tokens(
            **given,
            length=length if drawn is None else drawn(seed, num_samples * prompt_count(given["prompt"])),
            num_samples=num_samples,
            mask_id=config.mask_id,
            default_length=config.length - sum(map(len, loaded.frame)),
            tokenizer=loaded.tokenizer,
        )
        masks, ahead = [start.count(config.mask_id) for start in starts], lookahead_of(lookahead)
        how = sampler_of(sampler, nfe, max(masks), order, rule, block_length, strategy, ahead, schedule, call_schedule)
        how = with_attention(how, config)  # the blocks that it will run in are part of its law
        law = options.law(how.law)
        ids = pymdm.sequence_ids_of_rank(len(starts))
        decode = partial(text_of, loaded.tokenizer) if loaded.tokenizer is not None else lambda ids, *_: str(ids)
        with watched(stream, group.rank != 0, decode, sum(masks[i] for i in ids)) as watch:
            out = (
                pymdm.sample(
                    loaded,
                    infill=[starts[i] for i in ids],
                    sequence_ids=ids,
                    seed=seed,
                    sampler=how,
                    options=options,
                    batch_size=batch_size,
                    watch=watch if group.rank == 0 else None,
                    watch_interval=0.0 if stream else 0.1,
                )
                if ids
                else None
            )
        mine = [
            {"text": s.text, "tokens": s.tokens.tolist(), "nfe": s.nfe, "law": law, "sequence_id": s.sequence_id}
            | {"rank": s.rank.tolist(), "log_prob": [None if p != p else p for p in s.log_prob.tolist()]}
            | ({"answer": loaded.answer(s)} if chat else {})
            for s in out or ()
        ]
        parts = group.gather((mine, out.calls if out else 0, out.seconds if out else 0.0, out.rows if out else 0))
    if group.rank != 0:
        return
    samples = sorted((s for part, *_ in parts for s in part), key=lambda s: s["sequence_id"])
    calls, seconds = max(part[1] for part in parts), max(part[2] for part in parts)
    rounds, rows = max(s["nfe"] for s in samples), sum(part[3] for part in parts)
    speed = sum(masks) / max(seconds, 1e-9)
    measured: dict[str, Any] = {}
    if stats:
        from pymdm.evaluate.diversity import figures, lines

        texts = [s["answer" if chat else "text"] for s in samples]
        if None in texts:
            raise ValueError("sample: --stats needs text, and the model has no tokenizer")
        measured = {"stats": figures(texts, output_format)}
    if json_output:
        facts = {"law": law, "sampler": sampler, "calls": calls, "rounds": rounds, "rows": rows}
        facts |= {"seconds": seconds, "seed": seed}
        used = {"dtype": loaded.engine.dtype, "device": device}
        used |= {name: getattr(options, name) for name in ("temperature", "top_k", "top_p", "banned_tokens")}
        print(json.dumps({"samples": samples, **facts, **used, "tokens_per_second": speed, **measured}))
        return
    if output_format != "text":
        records = [
            Record(title(names, i, num_samples, s, seed, output_format), s["text"]) for i, s in enumerate(samples)
        ]
        say(written(records, output_format).rstrip("\n"))
    for i, s in enumerate(samples if output_format == "text" else ()):
        if len(samples) > 1:
            print(f"--- sample {i}")
        say(s["answer" if chat else "text"])
    work = f"{calls} network calls"
    if lookahead != "1":
        work = f"{rounds} rounds for {max(masks)} tokens, {calls} network calls of {rows} sequences"
    if stats:
        print("\n".join(lines(measured["stats"])), file=sys.stderr)
    line = f"law {law}, {work}, {seconds:.2f} s, {speed:.0f} tokens/s, seed {seed}"
    note = (f"note: {loaded.conventions.note}",) if loaded.conventions.note else ()
    print("\n".join((line, *how.warnings, *note)), file=sys.stderr)
