"""Files with one to three random faults each, by their kind: bytes, JSON, safetensors headers, torch files."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 255, 2**31, 2**32, 2**62, 2**63, 2**64, 10**40, 1.5, -0.0, 1e300, float("nan"), float("inf"),
    True, False, None, "", "a", "linear", "\ud800", "x" * 5000, "../x", "/", [], {}, [[]], [0, 1], {"a": 1}, [None] * 9,
)  # fmt: skip


def mutated(name: str, data: bytes, random: np.random.Generator) -> bytes:
    """The content of a file of this name with its faults; its checksum is made to fit half of the time where it has one."""
    for _ in range(random.integers(1, 4)):
        if random.random() < 0.25:
            data = of_bytes(data, random)
        elif name.endswith(".json"):
            data = of_json(data, random)
        elif name.endswith((".safetensors", ".npy")):
            data = of_header(name, data, random)
        elif name.endswith((".pt", ".ckpt")):
            data = of_torch(data, random)
        elif name.endswith(".jsonl"):
            lines = data.split(b"\n")
            at = random.integers(len(lines))
            lines[at] = of_json(lines[at], random)
            data = b"\n".join(lines)
        else:
            data = of_bytes(data, random)
    return with_checksum(data) if name == "training_state.json" and random.random() < 0.7 else data


def of_bytes(data: bytes, random: np.random.Generator) -> bytes:
    """Changed, cut, doubled, inserted or moved bytes."""
    at, to = sorted(int(i) for i in random.integers(0, len(data) + 1, 2))
    kind = random.integers(8)
    if kind < 3 and data:
        changed = bytearray(data)
        for i in random.integers(0, len(data), random.integers(1, 4)):
            changed[i] = int(random.integers(256)) if kind else changed[i] ^ (1 << int(random.integers(8)))
        return bytes(changed)
    if kind == 3:
        return data[:at]
    if kind == 4:
        return data[:at] + data[to:]
    if kind == 5:
        return data[:to] + data[at:]
    if kind == 6:
        return data[:at] + bytes(random.integers(0, 256, random.integers(1, 9), dtype=np.uint8)) + data[at:]
    return (b"", b"[" * 100_000, b"\xff\xfe", b"\0" * 64, b'{"a":' * 50_000, b"\n")[random.integers(6)]


def of_json(data: bytes, random: np.random.Generator) -> bytes:
    """One entry changed, removed, added, doubled, nested or exchanged with another."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(data, random)
    places: list[tuple[Any, Any]] = []
    todo = [root]
    while todo and len(places) < 2000:
        node = todo.pop()
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            todo.append(node[key])
    if not places:
        return json.dumps(VALUES[random.integers(len(VALUES))]).encode()
    # Vocabularies have many entries of one kind: half of the time a place near the top is taken.
    short = places[: min(len(places), 40)] if random.random() < 0.5 else places
    node, key = short[random.integers(len(short))]
    kind = random.integers(8)
    if kind == 0 and isinstance(node, dict):
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[f"{key}{random.integers(3)}"] = node[key]
    elif kind == 2:
        other, its = places[random.integers(len(places))]
        node[key] = json.loads(json.dumps(other[its]))
    elif (
        kind == 3
        and isinstance(node[key], int | float)
        and np.isfinite(float(node[key]) if abs(node[key]) < 1e300 else 0)
    ):
        node[key] += int(random.integers(-3, 4))
    elif kind == 4 and isinstance(node[key], str) and node[key]:
        at = random.integers(len(node[key]))
        node[key] = node[key][:at] + chr(random.integers(1, 0x2FF)) + node[key][at + 1 :]
    elif kind == 5 and isinstance(node, list):
        node.insert(key, VALUES[random.integers(len(VALUES))])
    else:
        node[key] = VALUES[random.integers(len(VALUES))]
    return json.dumps(root).encode("utf-8", "surrogatepass")


def of_header(name: str, data: bytes, random: np.random.Generator) -> bytes:
    """The header of a safetensors or .npy file changed, its length kept right."""
    if name.endswith(".npy"):
        if data[:6] != b"\x93NUMPY" or len(data) < 128:
            return of_bytes(data, random)
        head, size = data[10:128], struct.pack("<H", 118)
        return data[:8] + size + of_bytes(head, random)[:118].ljust(118) + data[128:]
    size = int.from_bytes(data[:8], "little")
    if size > len(data) or random.random() < 0.1:
        return struct.pack("<Q", int(VALUES[random.integers(9)]) % 2**64) + data[8:]
    head = of_json(data[8 : 8 + size], random)
    return struct.pack("<Q", len(head)) + head + data[8 + size :]


def of_torch(data: bytes, random: np.random.Generator) -> bytes:
    """One entry of a torch file's archive changed, most often its pickle; the archive is whole."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return of_bytes(data, random)
    pickles = [n for n in entries if n.endswith("data.pkl")]
    name = pickles[0] if pickles and random.random() < 0.7 else str(random.choice(sorted(entries)))
    entries[name] = of_bytes(entries[name], random)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for n, content in entries.items():
            archive.writestr(n, content)
    return out.getvalue()


def with_checksum(data: bytes) -> bytes:
    """The numbers of a training state with the checksum that fits them."""
    try:
        values = json.loads(data)
        values.pop("sha256", None)
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return json.dumps(values | {"sha256": digest}).encode()
    except (ValueError, AttributeError, TypeError, RecursionError):
        return data


def signed(numbers: str, files: dict[str, bytes]) -> bytes:
    """The numbers of a training state, a file of `files`, with the digests of the tensors beside it as these are now."""
    folder = numbers.removesuffix("training_state.json")
    beside = {f.removeprefix(folder): data for f, data in files.items() if f.startswith(folder + "training_state")}
    digests = {f: hashlib.sha256(data).hexdigest() for f, data in beside.items() if f.endswith(".safetensors")}
    return with_checksum(json.dumps(json.loads(files[numbers]) | {"files": digests}).encode())
