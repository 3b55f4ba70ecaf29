"""Samples a masked language model of transformers exactly: python examples/hugging_face.py [FOLDER_OR_HUB_ID]

Without an argument a random network stands in for yours, so that this runs without a download.
"""

import sys

import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM

import pymdm

if len(sys.argv) > 1:
    network = AutoModelForMaskedLM.from_pretrained(sys.argv[1])
    mask_id = network.config.mask_token_id if hasattr(network.config, "mask_token_id") else int(sys.argv[2])
else:
    torch.manual_seed(0)
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    network, mask_id = BertForMaskedLM(BertConfig(vocab_size=120, **size)), 103
network.eval()


@torch.no_grad()
def logits(tokens: torch.Tensor) -> torch.Tensor:
    """[B, L] token ids -> [B, L, V]."""
    return network(input_ids=tokens).logits


# [CLS] and [SEP], ids 101 and 102 of BERT, frame sixteen masks; the frame is given, the masks are drawn.
start = [101, *[mask_id] * 16, 102]
special = range(104)  # never drawn: the law is that of the conditionals without them
out = pymdm.sample(
    logits, infill=[start] * 4, mask_id=mask_id, banned_tokens=[t for t in special if t != mask_id], seed=1
)
print(out.tokens)
print(f"law {out.law}, {out.calls} network calls for {len(out)} sequences together")
