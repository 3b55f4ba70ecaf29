"""What `pymdm sample` reads and writes besides plain text: prompts, conversations, lengths, allowed sets, titles of records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def prompts_of(path: Path) -> tuple[list[str], dict[str, list[str] | None]]:
    """Names of a file's sequences, and the sequences as prompts, or as infills where they have holes.

    Raises:
        ValueError: a file that cannot be read, or in which some have holes and some have not.
    """
    from pymdm.data.sequences import read_records

    records = read_records(path)
    texts = [record.sequence for record in records]
    holes = sum("mask" in text.lower() for text in texts)
    if 0 < holes < len(texts):
        raise ValueError(f"sample: {path}: {holes} of {len(texts)} sequences have a hole; all or none must")
    given: dict[str, list[str] | None] = {"prompt": None, "infill": None}
    given["infill" if holes else "prompt"] = texts
    return [record.name for record in records], given


def conversations_of(prompt: str | None, path: Path | None) -> list[Any]:
    """Conversations for a chat template: a user's text each, or messages with roles.

    Args:
        prompt: a user's text, or JSON, a list of messages with "role" and "content".
        path: JSON, such a list or a list of them; or any other file with a user's text a line.

    Raises:
        ValueError: neither or both are given, a file that cannot be read, or one without a conversation.
    """
    if (prompt is None) == (path is None):
        raise ValueError("sample: --chat needs one of --prompt and --prompt-file")
    if path is None:
        try:
            found = json.loads(prompt or "")
        except (ValueError, RecursionError):
            return [prompt]
        return [found] if isinstance(found, list) and found and _is_message(found[0]) else [prompt]
    if path.suffix.lower() != ".json":
        from pymdm.data.sequences import read_records

        return [record.sequence for record in read_records(path)]
    from pymdm.files.read import read_json

    whole = read_json(path, "sample")
    if not isinstance(whole, list) or not whole or not all(isinstance(entry, str | list | dict) for entry in whole):
        raise ValueError(
            f'sample: {path} must be a list of messages with "role" and "content", or a list of such lists'
        )
    return [whole] if _is_message(whole[0]) else whole


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value


def allowed_of(path: Path | None, tokenizer: Any = None) -> Any:
    """Position -> ids, from a JSON object from positions to ids, or to a text of which each token is allowed ("ACD").

    Raises:
        ValueError: a file that cannot be read, a key that is not a position, or a text that the tokenizer cannot spell.
    """
    from pymdm.files.read import read_json

    if path is None:
        return ()
    sets = read_json(path, "sample")
    if not isinstance(sets, dict) or not all(key.isdecimal() for key in sets):
        raise ValueError(f"sample: {path} must map positions to lists of ids")
    if tokenizer is None and any(isinstance(ids, str) for ids in sets.values()):
        raise ValueError(f"sample: {path} allows by texts, and the model has no tokenizer; give ids")
    return {int(key): tokenizer.encode(ids) if isinstance(ids, str) else ids for key, ids in sets.items()}


def lengths_of(path: Path, tokenizer: Any) -> Callable[[int, int], list[int]]:
    """How the lengths of sequences 0, 1, ... are drawn from those in a file, in tokens: by a seed, for so many of them.

    Raises:
        ValueError: a file that cannot be read, or a model without a tokenizer.
    """
    from collections import Counter

    from pymdm.data.sequences import read_records
    from pymdm.sampling.lengths import drawn_lengths

    if tokenizer is None:
        raise ValueError("sample: --lengths counts tokens, and the model has no tokenizer")
    law = Counter(len(tokenizer.encode(record.sequence)) for record in read_records(path, "lengths"))
    return lambda seed, count: drawn_lengths(law, seed, range(count))


def title(names: list[str], i: int, num_samples: int, sample: dict[str, Any], seed: int, form: str) -> str:
    """What FASTA's or SMILES' line says of a sample: its prompt's name, which one it is, law, calls and seed."""
    name = names[i // num_samples] if names else ""
    first = f"{name or 'sample'}_{i % num_samples if names else i}"
    return first if form == "smiles" else f"{first} law={sample['law']} nfe={sample['nfe']} seed={seed}"
