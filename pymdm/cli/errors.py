"""Bad input ends with one line on stderr and exit code 2."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar

import typer

Result = TypeVar("Result")


def stop(message: str) -> NoReturn:
    """Prints one line and leaves with code 2."""
    print("pymdm: " + " ".join(message.split()), file=sys.stderr)
    raise typer.Exit(2)


def user_errors(command: Callable[..., Result]) -> Callable[..., Result]:
    """Wraps a command so that a user's mistake never shows a traceback."""

    @functools.wraps(command)
    def wrapped(*args: object, **kwargs: object) -> Result:
        try:
            return command(*args, **kwargs)
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            stop(f"{command.__name__}:{where}: {error.strerror}" if error.strerror else str(error))
        except (ValueError, TypeError) as error:
            stop(str(error))
        except KeyboardInterrupt:
            print("pymdm: interrupted", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapped
