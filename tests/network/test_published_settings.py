"""The settings of published checkpoints, key by key, give networks with as many weights as those have."""

from __future__ import annotations

from math import prod

import pytest

from pymdm.network.layouts import FAMILIES

HUGGING_FACE = {
    "torch_dtype": "bfloat16", "transformers_version": "4.46.3", "use_cache": False, "initializer_range": 0.02,
    "attention_dropout": 0.0, "auto_map": {"AutoModel": "modeling.Model"},
}  # fmt: skip
LLADA_8B = HUGGING_FACE | {
    "model_type": "llada", "architectures": ["LLaDAModelLM"], "activation_type": "silu", "alibi": False,
    "alibi_bias_max": 8.0, "attention_layer_norm": False, "attention_layer_norm_with_affine": True,
    "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "d_model": 4096, "embedding_dropout": 0.0,
    "embedding_size": 126464, "eos_token_id": 126081, "flash_attention": False, "include_bias": False,
    "include_qkv_bias": False, "init_cutoff_factor": None, "init_device": "meta", "init_fn": "mitchell", "init_std": 0.02,
    "input_emb_norm": False, "layer_norm_type": "rms", "layer_norm_with_affine": True, "mask_token_id": 126336,
    "max_sequence_length": 4096, "mlp_hidden_size": 12288, "mlp_ratio": 4, "multi_query_attention": None, "n_heads": 32,
    "n_kv_heads": 32, "n_layers": 32, "pad_token_id": 126081, "precision": "amp_bf16", "residual_dropout": 0.0,
    "rms_norm_eps": 1e-5, "rope": True, "rope_full_precision": True, "rope_theta": 500000.0, "scale_logits": False,
    "vocab_size": 126464, "weight_tying": False,
}  # fmt: skip
LLADA_100M = LLADA_8B | {
    "d_model": 448, "n_heads": 7, "n_kv_heads": 7, "n_layers": 6, "mlp_hidden_size": 768, "mlp_ratio": 2,
    "rope_theta": 10000.0, "max_sequence_length": 1024,
}  # fmt: skip
DREAM_7B = HUGGING_FACE | {
    "model_type": "Dream", "architectures": ["DreamModel"], "hidden_act": "silu", "hidden_size": 3584,
    "intermediate_size": 18944, "mask_token_id": 151666, "max_position_embeddings": 131072, "max_window_layers": 28,
    "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "pad_token_id": 151643,
    "bos_token_id": 151643, "eos_token_id": 151643, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 1000000.0,
    "sliding_window": None, "tie_word_embeddings": False, "use_mrope": False, "use_sliding_window": False,
    "vocab_size": 152064,
}  # fmt: skip
QWEN3_06B = HUGGING_FACE | {
    "model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"], "attention_bias": False, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072, "layer_types": ["full_attention"] * 28,
    "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28,
    "num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
    "tie_word_embeddings": True, "use_sliding_window": False, "vocab_size": 151936, "eos_token_id": 151645,
    "bos_token_id": 151643, "pad_token_id": 151643,
}  # fmt: skip
SMDM_1028M = {
    "name": "Diff_LLaMA_1028M", "block_size": 2048, "vocab_size": 32000, "padding_multiple": 64, "padded_vocab_size": 32000,
    "n_layer": 20, "n_head": 14, "n_embd": 1792, "rotary_percentage": 1.0, "parallel_residual": False, "bias": False,
    "_norm_class": "FusedRMSNorm", "norm_eps": 1e-5, "_mlp_class": "LLaMAMLP", "intermediate_size": 7168,
    "n_query_groups": 14, "shared_attention_norm": False, "condense_ratio": 1,
}  # fmt: skip
MDLM_OWT = {
    "model_type": "mdlm", "architectures": ["MDLM"], "hidden_dim": 768, "n_blocks": 12, "n_heads": 12, "cond_dim": 128,
    "vocab_size": 50258, "model_length": 1024, "dropout": 0.1, "time_conditioning": False, "return_dict": False,
    "torch_dtype": "float32",
}  # fmt: skip
MODERNBERT = {
    "model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "attention_bias": False,
    "attention_dropout": 0.0, "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False,
    "classifier_dropout": 0.0, "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True,
    "deterministic_flash_attn": False, "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0, "hidden_activation": "gelu", "hidden_size": 768, "intermediate_size": 1152,
    "layer_norm_eps": 1e-5, "local_attention": 128, "local_rope_theta": 10000.0, "max_position_embeddings": 8192,
    "mlp_bias": False, "mlp_dropout": 0.0, "norm_bias": False, "norm_eps": 1e-5, "num_attention_heads": 12,
    "num_hidden_layers": 22, "pad_token_id": 50283, "position_embedding_type": "absolute", "sep_token_id": 50282,
    "tie_word_embeddings": True, "vocab_size": 50368,
}  # fmt: skip
ESMC_300M = ({"n_heads": 15}, {
    "embed.weight": (64, 960), "transformer.blocks.0.ffn.3.weight": (960, 2560),
    "transformer.blocks.29.ffn.3.weight": (960, 2560),
})  # fmt: skip
# Weights: exactly where a count is published (LLaDA's two, Qwen2.5-7B, Qwen3-0.6B, SMDM's training logs), else as their
# pages round them (MDLM: a file of 679 MB of float32; ModernBERT: 150M; ESM-C: 333M).
CASES = {
    "LLaDA-8B": ("llada", LLADA_8B, {}, 8_015_581_184, 0),
    "LLaDA of 124M": ("llada", LLADA_100M, {}, 124_327_616, 0),
    "Dream-7B": ("dream", DREAM_7B, {}, 7_615_616_512, 0),
    "Qwen3-0.6B-diffusion": ("a2d", QWEN3_06B | {"mask_token_id": 151669}, {}, 596_049_920, 0),
    "SMDM-1028M": ("smdm", SMDM_1028M, {}, 1_142_367_744, 0),
    "mdlm-owt": ("mdlm", MDLM_OWT, {}, 679e6 / 4, 1e-3),
    "ModernBERT-base": ("modernbert", MODERNBERT | {"mask_token_id": 50284}, {}, 149.7e6, 2e-3),
    "ESM-C 300M": ("esmc", *ESMC_300M, 333e6, 2e-3),
}


@pytest.mark.parametrize("name", CASES)
def test_a_published_checkpoint_has_as_many_weights(name):
    kind, settings, shapes, count, slack = CASES[name]
    family = next(f for f in FAMILIES if kind in f.name.split(", "))
    layout = family.layout(settings, shapes)
    tensors = {
        part.key: part.shape for parts in (*layout.parameters.values(), *layout.added.values()) for part in parts
    }
    found = sum(map(prod, tensors.values()))
    assert abs(found - count) <= slack * count, (found, count)
    assert layout.conventions.family == kind and layout.config.mask_id >= 0


def test_what_is_drawn_and_where_a_text_ends():
    """LLaDA and Dream pad with their end of text, which may be drawn; Qwen's beginning may not."""
    wanted = {
        "LLaDA-8B": ((126081,), ()),
        "Dream-7B": ((151643,), ()),
        "Qwen3-0.6B-diffusion": ((151645,), (151643,)),
    }
    for name, ends_and_banned in wanted.items():
        kind, settings, *_ = CASES[name]
        conventions = next(f for f in FAMILIES if f.name == kind).layout(settings, {}).conventions
        assert (conventions.end_of_text, conventions.banned) == ends_and_banned


@pytest.mark.parametrize("key", ["mask_token_id", "d_model", "rms_norm_eps", "rope_theta", "weight_tying", "n_layers"])
def test_a_setting_that_is_missing_is_named_and_never_guessed(key):
    family = next(f for f in FAMILIES if f.name == "llada")
    with pytest.raises(ValueError, match=f"no {key}"):
        family.layout({k: v for k, v in LLADA_8B.items() if k != key}, {})
