"""What `--out` may be, as a table; and that what is refused is as it was, through every command that writes a folder."""

import os

import pytest
from helpers.command_line import run
from helpers.tiny_training import CORPUS, TINY, Stop, stop_when_saved

import pymdm.files.replace as replace
from pymdm.data.tokenizer import Tokenizer
from pymdm.files.target import Kind, check_target
from pymdm.network.checkpoint import KIND, load_checkpoint, save_checkpoint
from pymdm.network.config import ModelConfig
from pymdm.network.transformer import MaskedTransformer
from pymdm.train import Recipe, train

CONFIG = ModelConfig(vocab_size=8, length=6, width=8, layers=1, heads=2)
LETTERS = Tokenizer.train(["abcdefgh"], "char")
HUGGING_FACE = {"config.json": '{"model_type": "bert"}', "model.safetensors": "w", "tokenizer.json": "{}"}


def save(path):
    save_checkpoint(path, CONFIG, MaskedTransformer(CONFIG).state_dict(), LETTERS, {"finished": True})


def fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def make(kind, tmp_path):
    """The path `out` of a kind; nothing for what needs nothing."""
    out = tmp_path / "out"
    if kind.startswith("ours"):
        save(out)
    if kind in ("empty", "another disk"):
        out.mkdir()
    elif kind == "file":
        out.write_text("mine")
    elif kind == "below a file":
        (tmp_path / "file").write_text("mine")
        return tmp_path / "file" / "out"
    elif kind == "a project":
        fill(out, {"config.json": "{}", "src/main.py": "", "notes.md": "mine"})
    elif kind == "only config.json":
        fill(out, {"config.json": "{}"})
    elif kind == "Hugging Face":
        fill(out, HUGGING_FACE)
    elif kind == "config.json too deep":
        fill(out, {"config.json": "[" * 100_000})
    elif kind == "ours with a note":
        fill(out, {"note.txt": "mine"})
    elif kind == "ours with a hidden file":
        fill(out, {".git/config": "mine"})
    elif kind == "ours with a folder named like a file":
        (out / "training_state.json").mkdir()
    elif kind == "ours with an empty folder":
        (out / "src").mkdir()
    elif kind == "ours with a file in our folder":
        fill(out, {"training_state/notes.txt": "mine"})
    elif kind == "ours with a link":
        (tmp_path / "weights").write_bytes((out / "model.safetensors").read_bytes())
        (out / "model.safetensors").unlink()
        (out / "model.safetensors").symlink_to(tmp_path / "weights")
    elif kind == "ours with everything":
        fill(
            out,
            {
                f"{at}{name}": "{}"
                for at in ("", "previous/")
                for name in ("training_state.json", "training_state/a.safetensors")
            },
        )
    elif kind == "link to a new folder":
        out.symlink_to(tmp_path / "deep" / "new")
    elif kind == "link to an empty folder":
        (tmp_path / "real").mkdir()
        out.symlink_to(tmp_path / "real")
    elif kind == "link to ours":
        save(tmp_path / "real")
        out.symlink_to("real")
    elif kind == "link to a project":
        fill(tmp_path / "real", {"notes.md": "mine"})
        out.symlink_to("real")
    elif kind == "circle":
        out.symlink_to(tmp_path / "other")
        (tmp_path / "other").symlink_to(out)
    return {
        ".": ".",
        "..": "..",
        "above": tmp_path,
        "root": "/",
        "mount point": "/dev/shm",
        "dots at the end": tmp_path / "out" / "..",
        "parents missing": tmp_path / "a" / "b" / "out",
        "long name": tmp_path / ("n" * 250),
        "not written by anyone": "/proc/out",
    }.get(kind, out)


ALLOWED = ["missing", "parents missing", "empty", "link to a new folder", "link to an empty folder"]
REPLACED = ["ours", "ours with everything", "link to ours"]
REFUSED = {
    ".": "is the current folder or holds it",
    "..": "ends with '..'",
    "above": "is the current folder or holds it",
    "root": "is the current folder or holds it",
    "dots at the end": "ends with '..'",
    "file": "is a file, not a folder",
    "below a file": "cannot write",
    "a project": "holds 'notes.md', which no checkpoint has|holds 'src/', which no checkpoint has",
    "only config.json": "is no checkpoint of ours, as its config.json says",
    "Hugging Face": "is no checkpoint of ours, as its config.json says",
    "config.json too deep": "is no checkpoint of ours, as its config.json says",
    "ours with a note": "holds 'note.txt', which no checkpoint has",
    "ours with a hidden file": "holds '.git/', which no checkpoint has",
    "ours with a folder named like a file": "holds 'training_state.json/', which no checkpoint has",
    "ours with an empty folder": "holds 'src/', which no checkpoint has",
    "ours with a file in our folder": "holds 'training_state/notes.txt', which no checkpoint has",
    "ours with a link": "holds 'model.safetensors', a link, which no checkpoint has",
    "link to a project": "holds 'notes.md', which no checkpoint has",
    "circle": "is a circle of links|cannot write",
    "long name": "cannot write .*: File name too long",
    "mount point": "is a mount point",
    "not written by anyone": "cannot write",
}


def everything(folder):
    """Every entry below a folder, with what is in it."""
    return {
        p.relative_to(folder): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("kind", ALLOWED + REPLACED)
def test_what_may_be_written_is_made_or_replaced(place, kind):
    out = make(kind, place)
    before = everything(place)
    assert check_target(out, KIND, "train").replaces == (kind in REPLACED) and everything(place) == before
    save(out)
    assert load_checkpoint(out).training == {"finished": True}
    real = place / "deep" / "new" if kind == "link to a new folder" else place / "real" if "link" in kind else out
    assert sorted(os.listdir(real)) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    assert os.path.islink(out) == ("link" in kind)
    assert not [p for p in place.rglob("*") if "writing" in p.name]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_may_not_is_refused_and_as_before(place, kind):
    out = make(kind, place)
    if not os.path.lexists(out) and kind in ("mount point",):
        pytest.skip("no such mount point here")
    before = everything(place)
    with pytest.raises(ValueError, match=f"^train: .*({REFUSED[kind]})") as error:
        check_target(out, KIND, "train")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=REFUSED[kind]):
        save(out)
    assert everything(place) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("closed", ["the folder", "its parent"])
def test_what_cannot_be_written_is_refused(place, closed):
    out = make("ours", place)
    folder = out if closed == "the folder" else place
    folder.chmod(0o500)
    try:
        with pytest.raises(ValueError, match=r"^train: cannot write .*: Permission denied"):
            check_target(out, KIND, "train")
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(not os.path.isdir("/dev/shm") or not os.access("/dev/shm", os.W_OK), reason="needs another disk")
def test_a_folder_on_another_disk_is_written_there(place):
    other = replace.tempfile.mkdtemp(dir="/dev/shm")
    try:
        assert os.stat(other).st_dev != os.stat(place).st_dev
        (place / "out").symlink_to(other)
        save(place / "out")
        save(place / "out")
        assert load_checkpoint(other).config == CONFIG and os.path.islink(place / "out")
    finally:
        replace.shutil.rmtree(other)


@pytest.mark.parametrize("command", ["train", "demo", "data"])
@pytest.mark.parametrize("kind", ["a project", "Hugging Face", "ours with a note", ".", "file"])
def test_every_command_refuses_before_it_reads(place, command, kind):
    out = make(kind, place)
    before = everything(place)
    source = [] if command == "demo" else [place / "no such text"]
    budget = {"train": ["--steps", 3], "demo": ["--minutes", 0.01], "data": []}[command]
    result = run(command, *source, "--out", out, *budget)
    assert result.exit_code == 2 and result.stdout == "" and everything(place) == before
    assert result.stderr.startswith(f"pymdm: {'data' if command == 'data' else 'train'}: {out} ")
    assert result.stderr.count("\n") == 1 and "no such text" not in result.stderr


def test_a_folder_of_tokens_is_replaced_whole_and_a_checkpoint_is_none(place):
    (place / "text.txt").write_text("".join(CORPUS.train + CORPUS.held_out))
    for _ in range(2):
        assert run("data", place / "text.txt", "--out", place / "tokens", "--vocab", "char").exit_code == 0
    assert sorted(os.listdir(place / "tokens")) == sorted(
        ["data.json", "tokenizer.json", "train.npy", "held_out.npy", "test.npy"]
    )
    save(place / "out")
    assert "which no folder of tokens has" in run("data", place / "text.txt", "--out", place / "out").stderr
    result = run("train", place / "text.txt", "--out", place / "tokens", "--steps", 3)
    assert result.exit_code == 2 and "which no checkpoint has" in result.stderr
    assert sorted(p.name for p in place.iterdir()) == ["here", "out", "text.txt", "tokens"]


def test_a_model_and_a_run_are_replaced_only_when_told(place):
    recipe = Recipe(**TINY, steps=6, save_every=3, eval_every=0)
    with pytest.raises(Stop):
        train(recipe, place / "m", corpus=CORPUS, on_progress=stop_when_saved)
    with pytest.raises(ValueError, match=r"^train: .* holds an unfinished run, at step 3: go on with --resume, or"):
        train(recipe, place / "m", corpus=CORPUS)
    train(recipe, place / "m", corpus=CORPUS, resume=True)
    before = everything(place)
    with pytest.raises(
        ValueError, match=r"^train: .* holds a finished model: name another .* or replace it with --overwrite"
    ):
        train(recipe, place / "m", corpus=CORPUS)
    result = run("train", place / "no such text", "--steps", 3, "--out", place / "m")
    assert result.exit_code == 2 and "finished model" in result.stderr and everything(place) == before
    assert train(recipe, place / "m", corpus=CORPUS, overwrite=True).training["finished"]


def test_a_log_or_a_picture_of_another_kind_is_not_replaced(place):
    (place / "m.csv").write_text("name,price\napple,1\n")
    with pytest.raises(ValueError, match=r"^train: the log would replace .*m\.csv, which is something else"):
        train(Recipe(**TINY, steps=1), place / "m", corpus=CORPUS)
    (place / "m.csv").unlink()
    (place / "m.png").write_text("a picture of mine")
    result = run("train", place / "no such text", "--steps", 3, "--plot", "--out", place / "m")
    assert result.exit_code == 2 and "the picture would replace" in result.stderr
    assert sorted(p.name for p in place.iterdir()) == ["here", "m.png"]


def test_what_others_left_beside_the_target_stays_unless_it_is_ours(place):
    """A writer that lives, also in another container, keeps its folder; a dead one's goes; other content stays."""
    save(place / "out")
    names = [f".out.{replace.machine()}.{n}.writing" for n in ("dead", "alive")] + [
        ".out.elsewhere.x.writing",
        ".out.previous",
    ]
    for name in names:
        fill(place / name, {"mine.txt": "mine"})
    lock = replace.hold(place / names[1])
    save(place / "out")
    lock.close()
    assert [name for name in names if (place / name).exists()] == names[1:]


def test_patterns_of_entries():
    kind = Kind("x", "a", frozenset(), False, ("a", "b/*.c"))
    assert kind.holds("a") and kind.holds("b/d.c") and kind.holds_folder("b")
    assert not any(map(kind.holds, ["b", "b/a", "a/a", "b/d/e.c", "c", "A"])) and not kind.holds_folder("a")
