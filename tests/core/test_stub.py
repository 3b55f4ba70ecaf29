"""pymdm/_C.pyi, by which mypy and editors see the core, says what the built extension holds."""

import pytest
from helpers.stubs import STUB, differences, stub_of

from pymdm._native import C

TEXT = STUB.read_text(encoding="utf-8")


def test_the_stub_is_of_the_built_extension():
    assert differences(C, TEXT) == [], "run `make stubs`"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def linear_schedule() -> Schedule", "def linear_schedules() -> Schedule"),  # a name
        ("temperature: float = 1.0", "heat: float = 1.0"),  # a parameter's name
        ("purpose: int = 3", "purpose: int = 4"),  # its default
        ("max_calls: int = 0", "max_calls: float = 0"),  # its type
        ("-> torch.Tensor", "-> int"),
        ("    margin: ClassVar[Rule]\n", ""),  # a value of an enumeration
        ("    def workspace_bytes(self)", "    def workspace(self)"),  # a property
        ("class KeptRun:", "class Kept:"),
        ("cuda_built: bool", "cuda_built: str"),
    ],
)
def test_a_stub_of_another_extension_is_found(old, new):
    assert old in TEXT
    assert differences(C, TEXT.replace(old, new, 1)) != []


def test_everything_public_of_the_extension_is_in_its_stub():
    """By an introspection of its own, not by that which wrote the stub."""
    for name in dir(C):
        if not name.startswith("_"):
            assert f"def {name}(" in TEXT or f"class {name}:" in TEXT or f"\n{name}: " in TEXT, name
    assert "Any" not in TEXT and stub_of(C).count("def ") == TEXT.count("def ")
