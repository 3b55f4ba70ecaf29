"""Evaluation mode for the modules behind a network: a law is that of one network, not of a new dropout at every call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from torch import nn


def modules_behind(network: Any, depth: int = 3) -> list[nn.Module]:
    """The modules that a callable is, holds, is bound to, or names in its closure or its globals.

    >>> net = nn.Dropout(0.5)
    >>> modules_behind(lambda tokens: net(tokens)) == [net]
    True
    """
    if isinstance(network, nn.Module):
        return [network]
    if depth == 0:
        return []
    if isinstance(network, functools.partial):
        parts: list[Any] = [network.func, *network.args, *network.keywords.values()]
    elif isinstance(network, MethodType):
        parts = [network.__self__]
    elif isinstance(network, FunctionType):
        names = (network.__globals__.get(name) for name in network.__code__.co_names)
        parts = [cell.cell_contents for cell in network.__closure__ or () if _filled(cell)]
        parts += [value for value in names if isinstance(value, nn.Module | MethodType | FunctionType)]
    else:
        parts = list(getattr(network, "__dict__", {}).values()) if callable(network) or depth < 3 else []
        parts = [value for value in parts if isinstance(value, nn.Module | functools.partial | MethodType)]
    return [module for part in parts for module in modules_behind(part, depth - 1)]


@contextlib.contextmanager
def evaluation_mode(network: Any) -> Iterator[None]:
    """Puts the modules behind a network into evaluation mode for a `with` block, and then each back into its own mode."""
    roots = [root for root in modules_behind(network) if any(module.training for module in root.modules())]
    modes = [(module, module.training) for root in roots for module in root.modules()]
    for root in roots:
        root.eval()
    try:
        yield
    finally:
        for module, training in modes:
            if module in roots:
                module.train(training)  # a module may do more than set the flag
        for module, training in modes:
            module.training = training


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # a name that the function around it has not bound yet
        return False
    return True
