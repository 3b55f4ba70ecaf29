"""Bad input ends with one line on stderr and exit code 2; a disk that is full or fails with one line and 74."""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import typer

from pymdm.cli.output import BROKEN_PIPE, NOT_WRITTEN
from pymdm.cli.screen import one_line
from pymdm.files.write import FULL, NotWritten

Result = TypeVar("Result")


def stop(message: str, code: int = 2) -> NoReturn:
    """Prints one line and leaves with a code."""
    print("pymdm: " + one_line(message), file=sys.stderr)
    raise typer.Exit(code)


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Warnings of ours are one line on stderr, without the place in the code that Python adds; others stay as they are."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if category.__module__.partition(".")[0] == "pymdm":
                print("pymdm: note: " + one_line(str(message)), file=sys.stderr)
            else:
                usual(message, category, *place, **more)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _check_finite(command: str, options: Mapping[str, object]) -> None:
    """Refuse nan and infinities in any option that is a number, or several."""
    for name, value in options.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{command}: {name} must be a finite number, got {number}")


def user_errors(command: Callable[..., Result]) -> Callable[..., Result]:
    """Wraps a command so that a user's mistake never shows a traceback."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> Result:
        try:
            _check_finite(command.__name__, kwargs)
            with one_line_warnings():
                return command(*args, **kwargs)
        except BrokenPipeError:
            raise typer.Exit(BROKEN_PIPE) from None
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            line = f"{command.__name__}:{where}: {error.strerror}" if error.strerror else str(error)
            stop(line, NOT_WRITTEN if error.errno in FULL else 2)
        except NotWritten as error:
            stop(str(error), NOT_WRITTEN)
        except (ValueError, TypeError) as error:
            stop(str(error))
        except ImportError as error:  # of the compiled core
            if not str(error).startswith("pymdm: "):
                raise
            stop(str(error).removeprefix("pymdm: "))
        except KeyboardInterrupt as stopped:
            print(f"pymdm: {stopped}" if str(stopped) else "pymdm: interrupted", file=sys.stderr)
            raise typer.Exit(128 + getattr(stopped, "signal", signal.SIGINT)) from None

    return wrapped
