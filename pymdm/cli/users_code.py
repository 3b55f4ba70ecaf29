"""Loads functions of the user's own by name, from the current folder too; an error inside one keeps its traceback."""

from __future__ import annotations

import functools
import importlib
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any


def load_function(
    name: str, command: str, form: str, adapt: Callable[[Any], Any] = lambda found: found
) -> Callable[..., Any]:
    """The function that `module:function` names, modules of the current folder included.

    Args:
        name: module:function. command: for messages. form: how the function is called, for messages.
        adapt: makes the function of what has this name.

    Returns:
        The function; where it raises, its own traceback goes to stderr and the error becomes a ValueError of one line.

    Raises:
        ValueError: there is no such function; a module that fails while it is imported shows its traceback too.
    """
    module, _, function = name.partition(":")
    loaded = load_module(module, command, "module:function", name)
    found = adapt(getattr(loaded, function, None))
    if not callable(found):
        raise ValueError(
            f"{command}: cannot load {name!r}, expected module:function, and {module} has none of that name"
        )

    @functools.wraps(found)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return found(*args, **options)
        except Exception as error:
            _show_traceback(error)
            raise ValueError(f"{command}: {name}, called as {form}: {type(error).__name__}: {error}") from error

    return called


def load_module(module: str, command: str, expected: str, shown: str = "") -> ModuleType:
    """A module by its name, those of the current folder included.

    Args:
        module: its name. command, expected: for messages. shown: the name for messages, where it is not the module's.

    Raises:
        ValueError: there is no such module, or it fails while it is imported, which shows its traceback.
    """
    sys.path.insert(0, "")
    try:
        return importlib.import_module(module)
    except Exception as error:
        if module:
            _show_traceback(error)
        raise ValueError(f"{command}: cannot load {shown or module!r}, expected {expected} ({error})") from None
    finally:
        sys.path.remove("")


def _show_traceback(error: BaseException) -> None:
    """Prints the frames of the user's code, which follow ours and the importer's; nothing where there are none."""
    frame = error.__traceback__
    while frame is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    if frame is not None:
        traceback.print_exception(type(error), error.with_traceback(frame), frame)


def _is_ours(file: str) -> bool:
    return file == __file__ or file == importlib.__file__ or file.startswith("<frozen importlib")
