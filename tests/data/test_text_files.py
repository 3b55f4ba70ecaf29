"""Text as it lies on disks: byte order marks, compression, other kinds beside it, damaged lines."""

import gzip
import json
import warnings

import pytest
import zstandard
from helpers.command_line import run

from pymdm.data import files
from pymdm.data.corpus import text_corpus
from pymdm.data.files import SkippedFiles, read_text, text_suffix

LINES = "".join(json.dumps({"text": f"document {i} of them"}) + "\n" for i in range(40))


def documents(corpus):
    return sorted(corpus.train + corpus.held_out)


def test_a_byte_order_mark_is_no_character(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone line\r\n" * 1)
    assert read_text(tmp_path / "a.txt") == "one line\n"
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    assert documents(text_corpus(tmp_path / "b.jsonl")) == sorted(f"document {i} of them" for i in range(40))
    (tmp_path / "c.txt").write_bytes("sixteen bits".encode("utf-16"))
    with pytest.raises(ValueError, match=r"^corpus: .*c.txt is not UTF-8 text \(byte 0\)"):
        read_text(tmp_path / "c.txt")


def test_compressed_text_is_read(tmp_path):
    plain = "one line\n" * 9
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(plain.encode()))
    (tmp_path / "b.JSONL.gz").write_bytes(gzip.compress(LINES.encode()))
    assert read_text(tmp_path / "a.txt.gz") == plain
    assert len(documents(text_corpus(tmp_path / "b.JSONL.gz"))) == 40
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        both = text_corpus(tmp_path)
    assert sum(map(len, both.train + both.held_out)) == len(plain) + sum(
        len(f"document {i} of them") for i in range(40)
    )
    frames = [zstandard.compress(part.encode()) for part in ("one frame, ", "and " * 9_000, "another")]
    (tmp_path / "c.txt.zst").write_bytes(b"".join(frames))
    assert read_text(tmp_path / "c.txt.zst") == "one frame, " + "and " * 9_000 + "another"


def test_damaged_compression_is_one_line(tmp_path, monkeypatch):
    whole = gzip.compress(b"text " * 1000)
    for bad in (b"", whole[:40], b"plain text", whole[:20] + b"\0\0\0" + whole[23:]):
        (tmp_path / "a.txt.gz").write_bytes(bad)
        with pytest.raises(ValueError, match=r"^corpus: .*a.txt.gz is (damaged|empty)"):
            text_corpus(tmp_path / "a.txt.gz")
    whole = zstandard.compress(b"text " * 1000)
    for bad in (b"", whole[:-9], b"plain text", whole + b"\0"):
        (tmp_path / "b.txt.zst").write_bytes(bad)
        with pytest.raises(ValueError, match=r"^corpus: .*b.txt.zst is (damaged|empty)"):
            text_corpus(tmp_path / "b.txt.zst")
    monkeypatch.setattr(files, "_zstandard", lambda: None)
    (tmp_path / "b.jsonl.zst").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"^corpus: .*b.jsonl.zst needs the package zstandard"):
        text_corpus(tmp_path / "b.jsonl.zst")


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress])
def test_a_compressed_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(files, "LEAST_LIMIT", 1 << 20)
    file = tmp_path / ("a.txt.gz" if pack is gzip.compress else "a.txt.zst")
    file.write_bytes(pack(b"\0" * (1 << 26)))
    assert file.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match=r"^corpus: .*a.txt.* unpacks to more than [0-9,]+ bytes"):
        read_text(file)
    file.write_bytes(pack(b"text " * 100_000))  # below the least limit, whatever its ratio
    assert len(read_text(file)) == 500_000


def test_what_a_folder_leaves_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_zstandard", lambda: None)
    for name in ("d.csv", "d.json", "sub/e.json", "f", "g.txt.zst", ".hidden.csv", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"^corpus: no .txt, .* file, plain, .gz or .zst, in "):
        text_corpus(tmp_path)
    (tmp_path / "a.txt").write_text("a line\n\n" * 100)
    words = r"^corpus: not read in .*: d.csv, d.json, f, ... \(1 .csv, 2 .json, 1 without ending, 1 .zst\); .zst needs "
    with pytest.warns(SkippedFiles, match=words):
        text_corpus(tmp_path)
    result = run("data", tmp_path, "--vocab", "byte", "--out", tmp_path / "out")
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("pymdm: note: corpus: not read in ")


def test_suffixes():
    assert [text_suffix(files.Path(p)) for p in ("a.gz", "a.txt.zst", "a.tar.gz", "a.MD")] == [
        "",
        ".txt",
        ".tar",
        ".md",
    ]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"text":' * 50_000, '{"text": 1}', "1", '"text"'])
def test_a_line_that_is_no_document_is_named(line, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + line + "\n")
    with pytest.raises(ValueError, match=r"^corpus: line 2 of .*a.jsonl is not a JSON object"):
        text_corpus(tmp_path / "a.jsonl")
