"""A missing or mismatched extension ends in one clear ImportError; the objects of a whole one are whole."""

import copy
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import pymdm
from pymdm._native import C


def import_from(folder: Path) -> str:
    # An editable install finds the real extension by a finder of its own: leave that out.
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Editable' not in getattr(f, '__name__', '')]; "
        f"sys.path.insert(0, {str(folder)!r}); import pymdm; pymdm.choose"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("built", [True, False])
def test_a_wheels_user_is_told_the_wheel_and_no_folder(tmp_path, built):
    """An installed package has no sources beside it, and its metadata says which torch it is for."""
    package = Path(pymdm.__file__).parent
    shutil.copytree(package, tmp_path / "pymdm", ignore=shutil.ignore_patterns("_C*", "bundled"))
    if built:
        (tmp_path / "pymdm" / next(package.glob("_C.*.so")).name).write_bytes(b"not a library")
    about = tmp_path / "masked_diffusion-9.9.dist-info"
    about.mkdir()
    lines = "Metadata-Version: 2.1\nName: masked-diffusion\nVersion: 9.9\nRequires-Dist: torch==2.13.0\n"
    (about / "METADATA").write_text(lines)
    line = import_from(tmp_path)
    assert "`pip install --force-reinstall 'masked-diffusion==9.9' 'torch==2.13.0'`" in line and "folder" not in line


def test_an_unbuilt_extension_says_what_to_run(tmp_path):
    shutil.copytree(Path(pymdm.__file__).parent, tmp_path / "pymdm", ignore=shutil.ignore_patterns("_C*", "bundled"))
    line = import_from(tmp_path)
    assert line.startswith("ImportError: pymdm: the extension pymdm._C is not built; run `pip install")


def test_a_broken_extension_says_what_to_run(tmp_path):
    package = Path(pymdm.__file__).parent
    shutil.copytree(package, tmp_path / "pymdm", ignore=shutil.ignore_patterns("_C*", "bundled"))
    (tmp_path / "pymdm" / next(package.glob("_C.*.so")).name).write_bytes(b"not a library")
    line = import_from(tmp_path)
    assert "was built for another torch or Python" in line and "run `pip install" in line  # a wheel, or this folder


@pytest.mark.parametrize(("version", "loads"), [("{}+other", True), ("{}", True), ("9.9.9+cpu", False)])
def test_another_version_of_torch_is_refused_and_another_build_of_it_is_not(version, loads):
    """A wheel's metadata asks for the version, which a CPU and a CUDA build share."""
    seen = version.format(C.torch_version.partition("+")[0])
    code = f"import torch; torch.__version__ = {seen!r}; import pymdm; pymdm.choose"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode == 0) is loads, done.stderr
    if not loads:
        line = done.stderr.strip().splitlines()[-1]
        assert f"was built for torch {C.torch_version}, this is torch 9.9.9+cpu; run `pip install" in line


@pytest.mark.parametrize("kind", [kind for kind in vars(C).values() if isinstance(kind, type)])
def test_no_object_of_the_core_exists_without_its_constructor(kind):
    """Each of these gave an object without a value, whose first method ended the process."""
    with pytest.raises(TypeError):
        kind.__new__(kind)
    with pytest.raises(TypeError):
        object.__new__(kind)
    if kind is C.RunOptions:  # its constructor needs no argument, so the object is whole
        assert type.__call__(kind).temperature == 1
    else:
        with pytest.raises(TypeError):
            type.__call__(kind)
    with pytest.raises(TypeError):
        type("Derived", (kind,), {"__init__": lambda self: None})()
    with pytest.raises(TypeError):
        kind.__init__ = lambda self: None
    with pytest.raises(TypeError):
        C.linear_schedule().__class__ = kind


def test_a_state_is_pickled_and_copied_whole():
    state = C.State(torch.full((4,), 2), torch.tensor([0, 4]), torch.tensor([5]), 2, 7)
    pymdm.FirstHitting().native().init(state)
    for again in (pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        assert again.seed == 7 and torch.equal(again.tokens, state.tokens) and again.sequence.tolist() == [5]


@pytest.mark.parametrize("token", [2, 3, -1, 2**62])
def test_a_forced_token_that_could_not_be_drawn_is_refused(token):
    """It was read as a column of the logits, whatever it was."""
    state = C.State(torch.full((4,), 2), torch.tensor([0, 4]), torch.tensor([5]), 2, 7)
    sampler = pymdm.FirstHitting().native()
    sampler.init(state)
    state.force(torch.tensor([0, 1, token, 0]))
    with pytest.raises(ValueError, match=rf"^sample: forced tokens must be in \[0, 3\) and not the mask, got {token}$"):
        C.run(state, sampler, lambda tokens, times, rows: torch.zeros(rows.numel(), 3))
