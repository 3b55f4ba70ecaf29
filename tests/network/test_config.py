"""ModelConfig: defaults, limits and the way to JSON and back."""

import json

import pytest

from pymdm.network.config import ModelConfig

BASE = {"vocab_size": 10, "length": 8, "width": 16, "layers": 1, "heads": 2}


def test_defaults_follow_the_other_fields():
    c = ModelConfig(**BASE)
    assert (c.mask_id, c.kv_heads, c.mlp_width, c.mlp_bias, c.head_dim, c.embed_rows) == (10, 2, 64, True, 8, 11)
    assert ModelConfig(**BASE, mlp="swiglu").mlp_bias is False
    assert ModelConfig(**BASE, mlp="swiglu", mlp_bias=True).mlp_bias is True
    assert ModelConfig(**BASE, mask_id=3).embed_rows == 10  # the mask is one of the scored ids in some models


def test_round_trip_through_json():
    c = ModelConfig(**BASE, norm="rmsnorm", conditioning="time", rope_base=500000, dropout=0.1, mlp_bias=False)
    assert ModelConfig.from_dict(json.loads(json.dumps(c.to_dict()))) == c


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be at least 1"),
        ({"length": 0}, "length must be at least 1"),
        ({"width": 15}, "width / heads"),
        ({"width": 18, "heads": 6}, "width / heads"),  # head dimension 3 is odd
        ({"heads": 4, "kv_heads": 3}, "kv_heads must divide heads"),
        ({"mask_id": -2}, "mask_id must be at least 0"),
        ({"norm": "batchnorm"}, "norm must be one of"),
        ({"mlp": "relu"}, "mlp must be one of"),
        ({"conditioning": "sigma"}, "conditioning must be one of"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
        ({"rope_base": float("nan")}, "rope_base must be positive"),
        ({"layers": 1.5}, "layers must be int"),
        ({"layers": True}, "layers must be int"),
        ({"tied_head": 1}, "tied_head must be bool"),
        ({"norm": None}, "norm must be str"),
        (
            {"heads": 1 << 14, "head_dim": 1 << 12},
            "heads times head_dim must be at most 16777216, got 16384 times 4096",
        ),
    ],
)
def test_bad_values_are_named(change, message):
    with pytest.raises(ValueError, match=f"^ModelConfig: .*{message}"):
        ModelConfig(**(BASE | change))


def test_from_dict_rejects_unknown_and_missing_keys():
    with pytest.raises(ValueError, match=r"unknown key 'depth'"):
        ModelConfig.from_dict(BASE | {"depth": 3})
    with pytest.raises(ValueError, match=r"missing key 'heads'"):
        ModelConfig.from_dict({k: v for k, v in BASE.items() if k != "heads"})
    with pytest.raises(ValueError, match=r"expected an object"):
        ModelConfig.from_dict([])
