"""What a measurement ran on, in words, from the record that `pymdm.environment.environment` makes."""

from __future__ import annotations

from typing import Any


def machine(record: dict[str, Any]) -> str:
    """Processor, its vector extensions in use, threads and cores."""
    features = ", ".join(record["features"]) or "none of AVX2, AVX-512, AMX"
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    return f"{record['processor']}; features {features}; {threads} on {record['cores']} cores"


def versions(record: dict[str, Any]) -> str:
    """Versions, and the commit where it ran in a source tree."""
    at = f" at {record['commit']}" if record["commit"] else ""
    return f"torch {record['torch']}; pymdm {record['pymdm']}{at}"
