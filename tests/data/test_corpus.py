"""The text to train on and its cutting into batches: nothing lost, nothing held out is seen, no state."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm.data.corpus import cut_documents, embedded_corpus, prose_paragraphs, split_documents
from pymdm.data.packing import Batches, windows
from pymdm.train import load_corpus


@pytest.fixture(scope="module")
def embedded():
    return embedded_corpus()


def test_embedded_corpus_is_prose_split_without_overlap(embedded):
    train_lines = set(embedded.train_text.lower().split("\n"))
    held_lines = [line for line in embedded.held_out_text.lower().split("\n") if line]
    assert not [line for line in held_lines if line in train_lines]
    share = len(embedded.held_out_text) / len(embedded.train_text + embedded.held_out_text)
    assert 0.02 < share < 0.1 and len(embedded.train_text) > 500_000
    assert embedded.train_text.isascii()
    assert all(d.endswith("\n\n") for d in embedded.train + embedded.held_out)


def test_prose_is_told_from_code_and_tables():
    text = """Return the
        number of items.

        >>> len([1, 2])
        2

        =====  =====
        x[0]   f(y)
        =====  =====

        *args are passed on to the function as they are."""
    assert list(prose_paragraphs(text)) == [
        "Return the number of items.",
        "*args are passed on to the function as they are.",
    ]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab \n", max_size=300), st.integers(1, 40))
def test_cut_documents_lose_nothing(text, size):
    pieces = cut_documents(text, size)
    assert "".join(pieces) == text
    assert all(size <= len(p) <= 2 * size for p in pieces[:-1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=3), min_size=2, max_size=40), st.randoms())
def test_split_keeps_equal_documents_together_and_ignores_order(documents, random):
    first, held = split_documents(documents, 0.1)
    assert not set(first) & set(held) and sorted(first + held) == sorted(documents)
    assert sum(map(len, held)) >= 0.1 * sum(map(len, documents))
    shuffled = random.sample(documents, len(documents))
    assert set(split_documents(shuffled, 0.1)[1]) == set(held)


def test_folder_is_read_whole_and_other_files_are_not(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_text("second text\n" * 40)
    (tmp_path / "sub" / "a.md").write_text("first text\r\n" * 40)
    (tmp_path / "c.bin").write_bytes(b"\xff\x00")
    corpus = load_corpus(tmp_path)
    both = "".join(corpus.train + corpus.held_out)
    assert both.count("second text\n") == 40 and both.count("first text\n") == 40 and "\r" not in both


def test_batches_are_a_function_of_seed_and_step():
    tokens = np.arange(1000)
    a, b = (Batches(tokens, 16, 4, seed=3) for _ in range(2))
    later = [a.at(s) for s in range(40)]
    assert all(torch.equal(b.at(s), later[s]) for s in reversed(range(40)))
    assert not torch.equal(Batches(tokens, 16, 4, seed=4).at(0), later[0])
    for batch in later:
        assert torch.equal(batch, batch[:, :1] + torch.arange(16))  # each row is one run of the text


def test_an_epoch_reads_each_piece_once():
    batches = Batches(np.arange(16 * 61 + 5), 16, 10, seed=0)
    assert batches.per_epoch == 60
    starts = torch.cat([batches.at(s)[:, 0] for s in range(6)])
    assert len(starts.unique()) == 60 and len((starts % 16).unique()) == 1
    assert (batches.at(6)[0, 0] % 16) != starts[0] % 16  # the next epoch cuts elsewhere


@pytest.mark.parametrize("tokens", [16, 17, 31, 32, 200])
def test_short_texts_stay_in_range(tokens):
    batches = Batches(np.arange(tokens), 16, 3, seed=1)
    rows = torch.cat([batches.at(s) for s in range(20)])
    assert rows.min() >= 0 and rows.max() < tokens
    with pytest.raises(ValueError, match=r"^train: the text has 15 tokens, fewer than one sequence of 16"):
        Batches(np.arange(15), 16, 3, seed=1)


@pytest.mark.parametrize("tokens", [5, 16, 33, 16 * 20])
def test_windows_cover_every_token_once(tokens):
    pieces = list(windows(np.arange(tokens), 16, 4))
    assert torch.equal(torch.cat([p.flatten() for p in pieces]), torch.arange(tokens))
    assert all(p.shape[1] == 16 for p in pieces[:-1])
