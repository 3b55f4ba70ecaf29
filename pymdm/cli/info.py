"""`pymdm info`: what this installation is and what it can use."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def facts() -> dict[str, Any]:
    """Version, torch, CPU features in use, CUDA kernels and devices."""
    import torch

    import pymdm
    from pymdm._native import C

    usable = min(C.cuda_devices(), torch.cuda.device_count()) if torch.cuda.is_available() else 0
    return {
        "version": pymdm.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu_features": [name for name, present in C.cpu_features().items() if present],
        "cuda_kernels": C.cuda_archs if C.cuda_built else "",
        "cuda_devices": [torch.cuda.get_device_name(i) for i in range(usable)],
    }


def info(
    model: Annotated[str | None, typer.Argument(help="A checkpoint, or the id of a hub model: what it is.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Version, torch, CPU features and CUDA kernels in use; or, of a model, family, sizes, mask, and memory it will take.

    Example: pymdm info --json
    """
    if model is not None:
        from pymdm.network.describe import describe

        about = describe(model)
        if json_output:
            print(json.dumps(about))
            return
        for name, value in about.items():
            if value not in ("", []):
                print(f"{name.replace('_', ' '):<14}{f'{value:,}' if type(value) is int else value}")
        return
    found = facts()
    if json_output:
        print(json.dumps(found))
        return
    print(f"pymdm         {found['version']}")
    print(f"torch         {found['torch']}, {found['threads']} threads")
    print(f"CPU features  {', '.join(found['cpu_features']) or 'none of AVX2, AVX-512, AMX'} (in use)")
    print(
        f"CUDA kernels  {'built in for sm ' + found['cuda_kernels'] if found['cuda_kernels'] else 'not in this build'}"
    )
    print(f"CUDA devices  {', '.join(found['cuda_devices']) or 'none usable'}")
