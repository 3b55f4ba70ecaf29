"""The formatter leaves formulas whole: indented lines of a comment in csrc are neither joined nor cut."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(sys.executable).with_name("clang-format")
FORMULA = "//   " + " + ".join(f"P(x_{i} | x_1, .., x_{i - 1})" for i in range(1, 8)) + "\n//   = sum of all\nint x;\n"


@pytest.mark.skipif(not TOOL.exists(), reason="clang-format is not installed beside this Python")
@pytest.mark.parametrize("text", [FORMULA, FORMULA.replace("\nint", "\n//   rest\nint")])
def test_an_indented_comment_stays_as_it_is(text):
    assert len(text.splitlines()[0]) > 120

    def formatted(text):
        command = [TOOL, f"--style=file:{ROOT / '.clang-format'}", "--assume-filename=x.h"]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout

    assert formatted(text) == text
    assert formatted(text.replace("//   ", "// ")) != text.replace("//   ", "// ")  # an ordinary comment is reflowed
