"""The script that writes and opens an 8B-shaped folder, at a tiny size, and the sizes of the real one."""

import json

import pytest

import pymdm
from experiments import large_llada as big

TINY = big.SETTINGS | {
    "d_model": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "mlp_hidden_size": 96, "vocab_size": 320,
    "embedding_size": 320, "mask_token_id": 300, "eos_token_id": 290, "pad_token_id": 290, "max_sequence_length": 256,
}  # fmt: skip


def test_the_real_one_has_eight_billion_weights():
    count = big.weights(big.SETTINGS)
    assert count == 8_015_581_184 and 0.18e9 < big.weights(big.SETTINGS | big.SMALL) < 0.22e9
    assert max(2 * shape[0] * shape[-1] for _, shape in big.shapes(big.SETTINGS)) <= big.SHARD + (1 << 20)


def test_a_small_one_is_written_in_shards_and_measured(tmp_path, capsys):
    total = big.write(tmp_path / "m", TINY, shard_bytes=40_000)
    places = json.loads((tmp_path / "m/model.safetensors.index.json").read_text())
    assert len(set(places["weight_map"].values())) > 3 and places["metadata"]["total_size"] == total
    assert pymdm.load(tmp_path / "m").engine.dtype == "bfloat16"
    big.main(["open", str(tmp_path / "m"), "--hole", "5", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["weights"] == total // 2 and found["calls"] == 5 and found["length"] == 69
    assert found["packed_bytes"] >= total and found["floor_seconds_per_call"] > 0
    assert "share_of_peak" in capsys.readouterr().out
    with pytest.raises(ValueError, match="exists"):
        big.write(tmp_path / "m", TINY)


def test_both_is_one_command(tmp_path, monkeypatch):
    monkeypatch.setattr(big, "SMALL", TINY)
    with pytest.raises(SystemExit) as left:
        big.main(["both", str(tmp_path / "m"), "--size", "0.2", "--hole", "3", "--json", str(tmp_path / "found.json")])
    assert left.value.code == 0
    assert json.loads((tmp_path / "found.json").read_text())["weights"] == big.weights(TINY)


def test_a_disk_without_room_is_said_first(tmp_path, monkeypatch):
    monkeypatch.setattr(big.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    with pytest.raises(ValueError, match=r"needs 16.0 GB, the disk has 1.0 GB free"):
        big.write(tmp_path / "m", big.SETTINGS)
    assert not (tmp_path / "m").exists()
