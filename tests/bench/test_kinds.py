"""The script of the four kinds: cells of equal rows, kept when it is started again, and a table of what is there."""

import json

import pytest

from experiments import kinds


def test_cells_compute_the_same_rows_and_the_table_holds_their_numbers(tmp_path, capsys):
    text, out = tmp_path / "text.txt", tmp_path / "kinds"
    text.write_text("".join(f"line {i} says {i * i}.\n\n" for i in range(400)))
    changes = {"vocab": "char", "length": 16, "heads": 2, "vocab_size": 4096}
    command = [
        "run",
        "--sizes",
        "1x16",
        "--seeds",
        "1",
        "--steps",
        "3",
        "--batch",
        "8",
        "--windows",
        "6",
        "--samples",
        "2",
    ]
    command += ["--data", str(text), "--out", str(out), "--changes", json.dumps(changes)]
    kinds.main(command)
    cells = {c["kind"]: c for c in (json.loads(f.read_text()) for f in out.glob("*.json"))}
    assert set(cells) == set(kinds.KINDS) and {c["rows"] for c in cells.values()} == {3 * 8 * 16}
    for kind, c in cells.items():
        copies = 2 if kind in kinds.TWO_COPIES else 1
        assert c["recipe"]["batch_size"] * copies == 8 and c["recipe"]["steps"] == 3
        low, high = c["score"]["interval95"]
        assert low < c["score"]["bits"] < high and c["samples"]["seconds"] > 0 and c["samples"]["entropy_nats"] > 0
    before = {f: f.stat().st_mtime_ns for f in out.glob("*.json")}
    kinds.main(command)
    assert before == {f: f.stat().st_mtime_ns for f in out.glob("*.json")}
    kinds.main(["time", str(out), "--samples", "2"])
    again = {c["kind"]: c for c in (json.loads(f.read_text()) for f in out.glob("*.json"))}
    clocks = ("seconds", "cpu_seconds")
    for kind, c in cells.items():
        assert again[kind]["samples"]["seconds"] > 0
        assert all(again[kind]["samples"][key] == value for key, value in c["samples"].items() if key not in clocks)
    (out / "any-order-1x16-1.json").unlink()  # a cell that was cut short is made anew
    kinds.main(command)
    assert (out / "any-order-1x16-1.json").is_file()
    capsys.readouterr()
    kinds.main(["report", str(out)])
    shown = capsys.readouterr().out
    assert all(f"| 1x16 | {kind} | 1 | {c['score']['bits']:.3f} |" in shown for kind, c in cells.items())
    assert "any-order minus masked" in shown
    with pytest.raises(ValueError, match=r"^kinds: no cells"):
        kinds.report(tmp_path)
