"""Confidence decoding as LLaDA, Fast-dLLM, Dream and the entropy-bounded sampler publish it, in plain PyTorch.

Written from the descriptions: Nie et al., arXiv 2502.09992, algorithm 5 and its generation loop (blocks counted from the
prompt's end, confidence softmax(logits)[proposed] in float64); Wu et al., arXiv 2505.22618 (every position whose
confidence is at least the threshold, and always the surest one); Ye et al., arXiv 2508.15487 (confidence of the tempered and
truncated law); Ben-Hamu et al., arXiv 2505.24857 (positions by rising entropy while the sum of all but the largest is at
most gamma).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Propose = Callable[[Tensor, int, Tensor], Tensor]  # (logits [n, V], call, positions [n]) -> tokens [n]


def dream_law(logits: Tensor, temperature: float = 0.0, top_p: float = 1.0, top_k: int = 0) -> Tensor:
    """[n, V] probabilities that Dream draws from and measures: logits over the temperature, if there is one, then the
    smallest set of mass top_p, then the top_k largest.
    """
    logits = logits.double()
    if temperature > 0:
        logits = logits / temperature
    if top_p < 1:
        order = logits.argsort(dim=-1, descending=True, stable=True)
        mass = logits.gather(-1, order).softmax(-1)
        out = mass.cumsum(-1) - mass >= top_p
        logits = logits.masked_fill(torch.zeros_like(out).scatter(-1, order, out), -torch.inf)
    if top_k > 0:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    return logits.softmax(-1)


def confidence(rule: str, logits: Tensor, proposed: Tensor, temperature: float, top_p: float, top_k: int) -> Tensor:
    """[n] float64 confidence of each proposal."""
    of_proposed = proposed[:, None]
    if rule == "low_confidence":  # LLaDA and Fast-dLLM: the network's own softmax
        return logits.double().softmax(-1).gather(-1, of_proposed)[:, 0]
    law = dream_law(logits, temperature, top_p, top_k)
    if rule == "maskgit_plus":
        return law.gather(-1, of_proposed)[:, 0]
    if rule == "topk_margin":
        best = law.topk(2, dim=-1).values
        return best[:, 0] - best[:, 1]
    return torch.special.xlogy(law, law).sum(-1)  # entropy, negated


def chosen(sure: Tensor, count: int, threshold: float | None = None, bound: float | None = None) -> Tensor:
    """Which of n proposals stay: the `count` surest; by threshold; or by the entropy bound (sure = negative entropies)."""
    order = sure.argsort(descending=True, stable=True)
    if threshold is not None:
        keep = sure[order] >= threshold
        keep[0] = True
        return order[keep]
    if bound is not None:
        entropy = -sure[order]
        return order[entropy.cumsum(0) - entropy <= bound]
    return order[:count]


def decode(
    network: Callable[[Tensor], Tensor],
    tokens: Tensor,
    *,
    mask_id: int,
    rule: str,
    propose: Propose,
    tokens_per_call: int = 1,
    block_length: int | None = None,
    threshold: float | None = None,
    bound: float | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
) -> tuple[Tensor, list[list[int]], list[Tensor]]:
    """Decodes one sequence block by block after its prompt.

    Args:
        network: tokens [1, L] -> logits [1, L, V].
        tokens: [L] int64, the prompt and then masks.
        rule: "low_confidence", "maskgit_plus", "topk_margin" or "entropy".
        propose: draws a token for each masked position of the block.
        others: as the sources name them.

    Returns:
        Tokens [L], the positions that each call unmasked, and the confidences that it compared.

    Example:
        >>> greedy = lambda logits, call, positions: logits.argmax(-1)
        >>> x, calls, _ = decode(lambda t: torch.zeros(1, 4, 3), torch.tensor([1, 3, 3, 3]), mask_id=3, rule="entropy",
        ...     propose=greedy, tokens_per_call=2)
        >>> x.tolist(), [len(c) for c in calls]
        ([1, 0, 0, 0], [2, 1])
    """
    x = tokens.clone()
    calls: list[list[int]] = []
    compared: list[Tensor] = []
    start = int((x == mask_id).nonzero()[0])  # the prompt's length
    block = block_length or len(x) - start
    for block_start in range(start, len(x), block):
        while bool((x[block_start : block_start + block] == mask_id).any()):
            here = (x == mask_id).nonzero()[:, 0]
            here = here[here < block_start + block]
            logits = network(x[None])[0, here]
            proposed = propose(logits, len(calls), here)
            sure = confidence(rule, logits, proposed, temperature, top_p, top_k)
            kept = chosen(sure, tokens_per_call, threshold, bound)
            x[here[kept]] = proposed[kept]
            calls.append(sorted(here[kept].tolist()))
            compared.append(sure)
    return x, calls, compared
