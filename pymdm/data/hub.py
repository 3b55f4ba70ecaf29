"""Documents of Hugging Face data sets; without a network those in the cache, at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HUB_TIMEOUT = 5.0  # seconds in which the Hub must answer


def hugging_face_documents(name: str, field: str) -> list[str]:
    """A column of a Hugging Face data set, or of a local folder of one.

    Args:
        name: NAME[:CONFIG][@SPLIT]; the split is "train" by default.
        field: the column.

    Raises:
        ValueError: `datasets` is not installed, or it cannot read this.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError("corpus: hf: sources need the package datasets: pip install datasets") from None
    path, _, split = name.partition("@")
    path, _, config = path.partition(":")
    absent = ""
    try:
        with contextlib.ExitStack() as stack:
            if not Path(path).exists():
                absent = stack.enter_context(offline_if_unreachable())
            rows = datasets.load_dataset(path, config or None, split=split or "train")
        return [str(document) for document in rows[field]]
    except Exception as error:  # of many libraries below it
        reason = " ".join(str(error).split()) or type(error).__name__
        if absent and isinstance(error, ConnectionError):  # of the offline mode
            reason = absent
        raise ValueError(f"corpus: cannot read the data set {name}: {reason}") from None


@contextlib.contextmanager
def offline_if_unreachable() -> Iterator[str]:
    """Hugging Face's offline mode, which still reads its cache, where the Hub does not answer: else it is tried for long.

    Yields why a data set can then be missing; "" where the Hub answers, or the user has chosen the mode.
    """
    from datasets import config
    from huggingface_hub import constants, get_session

    places: list[Any] = [module for module in (config, constants) if hasattr(module, "HF_HUB_OFFLINE")]
    if any(module.HF_HUB_OFFLINE for module in places):
        yield ""
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT)
    except Exception as error:  # of any of the clients that it has had
        reason = f"{constants.ENDPOINT} does not answer ({type(error).__name__}), and it is not in the cache"
    else:
        yield ""
        return
    for module in places:
        module.HF_HUB_OFFLINE = True
    try:
        yield reason
    finally:
        for module in places:
            module.HF_HUB_OFFLINE = False
