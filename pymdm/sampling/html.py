"""Samples in a notebook: a replay in which the masks fill in, in plain HTML and CSS (scripts do not run in one that is
not trusted)."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pymdm.sampling.samplers.names import sampler_call

if TYPE_CHECKING:
    from pymdm.sampling.result import Sample, Samples

SHOWN = 4  # texts
TOKENS = 600  # tokens of each
SECONDS = 4.0  # of one replay

STYLE = """<style>
@keyframes pymdm-in { from { opacity: 0.12; color: transparent; background: #999; } to { opacity: 1; } }
.pymdm p { white-space: pre-wrap; font-family: monospace; margin: 0.6em 0; }
.pymdm i { font-style: normal; animation: pymdm-in 0.25s both; }
.pymdm b { font-weight: bold; }
</style>"""


def replay_html(samples: Samples) -> str:
    """One block: a line of facts, then the first texts; given tokens are bold, drawn ones appear in their order."""
    facts = f"law {samples.law}, {samples.calls} network calls, {samples.seconds:.2f} s, seed {samples.seed}"
    lines = [f"<div>{escape(facts)}; {escape(sampler_call(samples.sampler))}</div>"]
    lines += [f"<div>{escape(warning)}</div>" for warning in samples.warnings]
    lines += [f"<p>{_tokens(samples[i], samples)}</p>" for i in range(min(SHOWN, len(samples)))]
    more = len(samples) - SHOWN
    return f'{STYLE}<div class="pymdm">{"".join(lines)}{f"<div>and {more} more</div>" if more > 0 else ""}</div>'


def _tokens(sample: Sample, samples: Samples) -> str:
    last = max(1, int(sample.rank.max()))
    pieces = []
    for token, rank in zip(sample.tokens[:TOKENS].tolist(), sample.rank[:TOKENS].tolist(), strict=True):
        masked = token == samples.state.mask_id
        text = escape("\N{LIGHT SHADE}" if masked else _piece(token, samples))
        delay = SECONDS * rank / last
        pieces.append(
            f"<b>{text}</b>" if rank < 0 and not masked else f'<i style="animation-delay:{delay:.2f}s">{text}</i>'
        )
    return "".join(pieces) + (" ..." if len(sample.tokens) > TOKENS else "")


def _piece(token: int, samples: Samples) -> str:
    return samples.tokenizer.decode([token]) if samples.tokenizer is not None else f"{token} "
