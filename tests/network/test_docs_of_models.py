"""docs/models.md: every family that opens has a line with its measured errors, and every line is a family."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.engine_networks import BFLOAT16

from pymdm.network.layouts import FAMILIES

PAGE = (Path(__file__).resolve().parents[2] / "docs/models.md").read_text()


def lines():
    """name -> cells of the table of families."""
    rows = re.findall(
        r"^\| ([\w-]+) \|(.*)\|$", PAGE.partition("| family | published as |")[2].partition("\n\n")[0], re.MULTILINE
    )
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def named_by_layouts():
    """Names that the layouts give their checkpoints, from their sources: what `pymdm info` shows as the family."""
    folder = Path(__file__).resolve().parents[2] / "pymdm/network/layouts"
    text = "\n".join(file.read_text() for file in sorted(folder.glob("*.py")))
    given = re.findall(r'(?:Conventions|EncoderNames|_hugging_face|_conventions)\(\s*(?:settings, )?"([\w-]+)"', text)
    given += re.findall(r'\bname="([\w-]+)"', text)
    return set(given) - {"pymdm"}


def missing(table):
    """Families without a line, and lines with an error that was not measured or is too large."""
    families = {name for family in FAMILIES for name in family.name.split(", ")} - {"pymdm"}
    faults = sorted((families | named_by_layouts()) - table.keys())
    for name, (_, against, single, half) in table.items():
        if not against or not 0 <= float(single) < 1e-5 or not 0 < float(half) < BFLOAT16:
            faults.append(name)
    return faults


def test_every_family_has_a_line_with_its_measured_error():
    assert missing(lines()) == []
    assert len(named_by_layouts()) >= 15


def test_a_missing_line_is_found():
    table = lines()
    for name in ("esmc", "dplm", "illada"):
        assert missing({other: cells for other, cells in table.items() if other != name}) == [name]


def test_every_line_is_a_family():
    beside = {"genmol"}  # of the layout of bert
    assert lines().keys() - named_by_layouts() - {n for f in FAMILIES for n in f.name.split(", ")} == beside
