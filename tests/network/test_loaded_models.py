"""What a loaded checkpoint brings beside its network: special tokens, frames, a default length, and what `info` says of it."""

import pytest
import torch
from helpers import published as p
from tokenizers import Tokenizer, models, pre_tokenizers

import pymdm
from pymdm.data.wrapped import WrappedTokenizer


@pytest.fixture(scope="module")
def state():
    return p.llada(3, p.LLADA)


@pytest.fixture
def folder(tmp_path, state):
    return p.write(tmp_path / "m", p.LLADA, state)


def words_tokenizer():
    vocab = {f"w{i}": i for i in range(44)}
    tokenizer = Tokenizer(models.WordLevel(vocab, "w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|start|>", "<|other|>", "<|mdm_mask|>"])  # 44 .. 47
    return tokenizer


def test_special_tokens_and_unused_rows_are_not_drawn_unless_asked(folder, tmp_path):
    words_tokenizer().save(str(folder / "tokenizer.json"))
    model = pymdm.load(folder)
    assert model.config.mask_id == 47 and model.banned == (45, 46)
    options = dict(length=40, num_samples=60, seed=1)
    drawn = set(pymdm.sample(model, **options).tokens.flatten().tolist())
    assert 44 in drawn and not drawn & {45, 46, 47, 48, 49}  # 48 and 49 have no token
    free = set(pymdm.sample(model, special_tokens=True, **options).tokens.flatten().tolist())
    assert free & {45, 46} and not free & {47, 48, 49}
    out = pymdm.sample(model, infill="w1 [MASK:3] w2", seed=2)
    assert out.tokens[0, [0, 4]].tolist() == [1, 2]
    assert model.tokenizer.decode([1, 44, 2]) == model.tokenizer.decode([1])  # text ends at its end
    other = pymdm.sample(model.engine, tokenizer=words_tokenizer(), infill="w1 <|mdm_mask|> w2", seed=2)
    assert other.tokens.shape == (1, 3) and other.tokens[0, 1] != 47
    with pytest.raises(TypeError, match="tokenizer: expected a"):
        pymdm.sample(model, tokenizer=object(), seed=1)


def test_a_resumed_run_remembers_whether_special_tokens_are_drawn(folder):
    words_tokenizer().save(str(folder / "tokenizer.json"))
    model = pymdm.load(folder)
    options = dict(length=30, num_samples=20, seed=1)
    for special in (True, False):
        whole = pymdm.sample(model, special_tokens=special, **options)
        half = pymdm.sample(model, special_tokens=special, max_calls=5, **options)
        for saved in (half, half.state.to_dict()):
            rest = pymdm.resume(model, saved)
            assert torch.equal(rest.tokens, whole.tokens) and rest.law == whole.law == "exact"
    other = pymdm.resume(model, pymdm.sample(model, special_tokens=True, max_calls=5, **options), special_tokens=False)
    assert other.law == "approximate" and other.warnings and not torch.equal(other.tokens, whole.tokens)


def test_a_frame_is_found_and_left_out_of_the_text():
    from tokenizers.processors import TemplateProcessing

    tokenizer = words_tokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="<|start|> $A <|other|>", special_tokens=[("<|start|>", 45), ("<|other|>", 46)]
    )
    words = WrappedTokenizer(tokenizer)
    assert words.frame == ((45,), (46,)) and words.mask_id == 47 and words.banned == (45, 46)
    assert words.decode([45, 1, 47, 46]) == "w1░"


def test_info_says_what_a_checkpoint_is(folder, capsys):
    from pymdm.cli.info import info
    from pymdm.network.describe import describe

    words_tokenizer().save(str(folder / "tokenizer.json"))
    about = describe(folder)
    assert about["family"] == "llada" and about["mask_id"] == 47 and about["never_drawn"] == 2
    engine = pymdm.load(folder).engine
    assert about["memory_bytes"] <= engine.native.weight_bytes < 1.7 * about["memory_bytes"]  # panels are padded
    info(str(folder))
    assert "llada" in capsys.readouterr().out
    from pymdm.bundled import bundled_path

    assert describe(bundled_path())["exact"].startswith("first-hitting")


def test_the_default_length_is_one_to_draw(tmp_path, state):
    """131,072 positions that a model could read are not a length to sample; where a length is given it counts."""
    settings = {**p.LLADA, "max_sequence_length": 131_072}
    model = pymdm.load(p.write(tmp_path / "m", settings, state))
    out = pymdm.sample(model, max_calls=1, seed=1)
    assert out.tokens.shape == (1, 1024)
    assert pymdm.sample(model, length=1100, max_calls=1, seed=1).tokens.shape == (1, 1100)
    with pytest.raises(ValueError, match="more than the length 1024; give length"):
        pymdm.sample(model, prompt=[1] * 1030, seed=1)
