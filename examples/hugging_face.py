"""Samples a masked language model of transformers exactly, as it is: python examples/hugging_face.py [FOLDER_OR_HUB_ID]

Without an argument a small random network and a few words stand in for yours, so that this runs without a download.
"""

import sys

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

import pymdm

if len(sys.argv) > 1:
    model, tokenizer = (kind.from_pretrained(sys.argv[1]) for kind in (AutoModelForMaskedLM, AutoTokenizer))
else:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog mat sat lay on under red small .".split()
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **names)
    torch.manual_seed(0)
    size = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    model = BertForMaskedLM(BertConfig(vocab_size=len(words), initializer_range=0.2, **size))

# Two texts of different lengths, three samples of each: all of them go through the network together.
texts = ["the [MASK:2] sat on the [MASK] .", "a [MASK:4] ."]
out = pymdm.sample(model, tokenizer=tokenizer, infill=texts, num_samples=3, seed=1)
print(*out.text, sep="\n")
print(f"law {out.law}, {out.calls} network calls for {len(out)} sequences together")
