"""The model that comes with the package, so that sampling works without training or downloading anything."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def bundled_path() -> Path:
    """Folder of the bundled checkpoint.

    Raises:
        ValueError: this installation has none.
    """
    if not (FOLDER / "model.safetensors").is_file():
        raise ValueError("bundled_path: this installation has no model; train one with pymdm train")
    return FOLDER
