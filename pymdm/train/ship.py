"""Make a finished checkpoint small enough to ship: bfloat16 weights, judged anew as they are shipped.

python -m pymdm.train.ship runs/bundled runs/shipped
"""

from __future__ import annotations

import os
import sys

import torch

from pymdm.data.corpus import Corpus, load_corpus
from pymdm.data.tokens import encode_corpus
from pymdm.files.target import check_target
from pymdm.network.checkpoint import KIND, Checkpoint, load_checkpoint, save_checkpoint
from pymdm.network.transformer import MaskedTransformer
from pymdm.train.held_out import held_out_bound
from pymdm.train.recipe import Recipe
from pymdm.train.setup import held_out_summary


def ship(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dtype: torch.dtype = torch.bfloat16,
    samples: int = 32,
    corpus: Corpus | None = None,
) -> Checkpoint:
    """Store a checkpoint in another dtype and put the held-out bound of the rounded weights into its config.

    Args:
        source: a finished checkpoint folder.
        out: folder to write.
        dtype: of the stored weights.
        samples: draws per held-out sequence (see `evaluate_bound`).
        corpus: its text; default the one its recipe names.

    Raises:
        ValueError: an unreadable checkpoint, or a text other than the one it was trained on.
    """
    check_target(out, KIND, "ship")
    checkpoint = load_checkpoint(source)
    training = dict(checkpoint.training)
    corpus = corpus or load_corpus(training.get("recipe", {}).get("source"))
    if training.get("corpus", {}).get("sha256") != corpus.sha256:
        raise ValueError(f"ship: {corpus.name} is not the text that {source} was trained on")
    state = {name: t.to(dtype) for name, t in checkpoint.state_dict.items()}
    data = encode_corpus(corpus, checkpoint.tokenizer)
    recipe = Recipe.from_dict(training["recipe"])
    model = MaskedTransformer.from_state(checkpoint.config, state)
    bound = held_out_bound(model, data, recipe, tokens=recipe.eval_tokens, samples=samples, autocast=False)
    training["stored"] = str(dtype).removeprefix("torch.")
    training["held_out"] = held_out_summary(bound)
    return save_checkpoint(out, checkpoint.config, state, checkpoint.tokenizer, training)


if __name__ == "__main__":
    print(ship(sys.argv[1], sys.argv[2]).training["held_out"])
