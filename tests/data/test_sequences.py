"""FASTA and SMILES in and out."""

import pytest

from pymdm.data.sequences import Record, read_records, written


def test_fasta_there_and_back(tmp_path):
    file = tmp_path / "x.fasta"
    long = "ACDEFGHIKL" * 13
    file.write_text(f">one heavy chain\nEVQL VES\nGGG[MASK:4]\n\n; a comment\n>two\n{long}\n")
    records = read_records(file)
    assert records == [Record("one heavy chain", "EVQLVESGGG[MASK:4]"), Record("two", long)]
    text = written(records, "fasta")
    assert max(map(len, text.splitlines())) == 60 and text.count(">") == 2
    (tmp_path / "y.fa").write_text(text)
    assert read_records(tmp_path / "y.fa") == records


def test_smiles_there_and_back(tmp_path):
    file = tmp_path / "x.smi"
    file.write_text("CC(=O)O acetic acid\n\nOCC>>[MASK:3]\n")
    records = read_records(file)
    assert records == [Record("acetic acid", "CC(=O)O"), Record("", "OCC>>[MASK:3]")]
    file.write_text(written(records, "smiles"))
    assert read_records(file) == records
    assert written([Record("n", "C C O")], "smiles") == "CCO n\n" and written([Record("n", "a b")], "text") == "a b\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.fasta", "ACD\n>x\nA\n", "line 1: a sequence before"),
        ("a.fasta", ">x\n>y\nA\n", "x has no sequence"),
        ("a.fasta", "\n", "holds no sequence"),
        ("a.smi", "", "holds no sequence"),
        ("a.txt", b"\xff\xfe", "cannot read"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words) as error:
        read_records(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="cannot read"):
        read_records(tmp_path / "none.fasta")
