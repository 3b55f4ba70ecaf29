"""Tables and likelihoods as they are reported: columns without text are left out, numbers stand on the right, NaN is a dash."""

import math

import pytest
from rich.console import Console

from pymdm.report import facts
from pymdm.report.bits import Bits
from pymdm.report.table import Table, html_table, markdown, show

TABLE = Table(["", "name", "value", "note"], [["MISS", "a", "1.5x", ""], ["", "2 b", "20x", ""]], "Title", "Text.")


def test_columns_without_text_are_left_out_everywhere():
    assert TABLE.shown().head == ["", "name", "value"] and Table(["a", ""], []).shown().head == ["a", ""]
    rows = ["|  | name | value |", "|---|---|---:|", "| MISS | a | 1.5x |", "|  | 2 b | 20x |"]
    assert markdown(TABLE).splitlines()[-4:] == rows
    for width in (80, 8):  # as a grid, and as a list of cells
        screen = Console(width=width, record=True)
        show(TABLE, screen)
        shown = screen.export_text()
        assert "note" not in shown and all(word in shown for word in ("Title", "Text.", "MISS", "20x"))


def test_columns_on_the_right_are_those_of_numbers_or_those_that_are_said():
    assert TABLE.numbers() == {2, 3}
    said = Table(TABLE.head, TABLE.rows, right=("name",))
    assert said.numbers() == {1} and "|---|---:|---|" in markdown(said)
    assert html_table(said).count("class='number'") == 3 and 'class="bad"' in html_table(said)


def test_a_likelihood_is_written_with_what_is_known_of_it():
    assert str(Bits(1.5, 0.25)) == "1.500 (1.250 to 1.750)" and Bits(1.5, 0.25).short == "1.500 ± 0.250"
    assert str(Bits(1.5, 0.0)) == "1.500" == str(Bits(1.5)) and Bits(1.5, 0.0).short == "1.500 ± 0.000"
    assert str(Bits(math.nan)) == Bits(1.5).around == "-"
    bits = Bits.between(None, [None, None], "byte", 3)
    assert math.isnan(bits.value) and math.isnan(bits.error) and (bits.unit, bits.count) == ("byte", 3)
    assert Bits.between(2.0, Bits(2.0, 0.5).interval) == Bits(2.0, 0.5)


@pytest.mark.parametrize(("commit", "end"), [("abc+", " at abc+"), (None, "")])
def test_the_facts_of_a_machine(commit, end):
    record = {"processor": "P", "features": [], "threads": 1, "cores": 2, "torch": "2", "pymdm": "1", "commit": commit}
    assert facts.machine(record) == "P; features none of AVX2, AVX-512, AMX; 1 thread on 2 cores"
    assert facts.versions(record) == f"torch 2; pymdm 1{end}"
