"""A table of text cells, and its three forms: a terminal's, Markdown's and HTML's."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Table:
    """Rows of text under column heads.

    Attributes:
        head: [C] column heads.
        rows: [R][C] cells. A row whose first cell is one word in capitals, such as FAIL or NO, is shown as bad.
        title: a heading, or "".
        text: a sentence or two that say how to read it, or "".

    Example:
        >>> print(markdown(Table(["n", "result"], [["1", "a|b"]])), end="")
        | n | result |
        |---:|---|
        | 1 | a\\|b |
    """

    head: list[str]
    rows: list[list[str]]
    title: str = ""
    text: str = ""
    formulas: tuple[str, ...] = field(default=("law",))  # heads of columns in a monospaced face
    right: tuple[str, ...] | None = None  # heads of columns on the right; default those of numbers

    def shown(self) -> Table:
        """The same without columns that have no text in any row."""
        used = [i for i in range(len(self.head)) if not self.rows or any(row[i] for row in self.rows)]
        return replace(self, head=[self.head[i] for i in used], rows=[[row[i] for i in used] for row in self.rows])

    def numbers(self) -> set[int]:
        """Columns that belong on the right: those of `right`, or that hold nothing but numbers."""
        if self.right is not None:
            return {i for i, head in enumerate(self.head) if head in self.right}
        return {i for i in range(len(self.head)) if self.rows and all(_is_number(row[i]) for row in self.rows)}


def is_bad(row: list[str]) -> bool:
    """Whether the first cell is one word in capitals.

    >>> is_bad(["FAIL", "x"]), is_bad(["pass", "x"]), is_bad(["N", "x"])
    (True, False, False)
    """
    return len(row[0]) > 1 and row[0].isalpha() and row[0].isupper()


def _is_number(text: str) -> bool:
    """A number, an interval, a power, a comparison, or nothing."""
    return not text or text[0].isdigit() or text.startswith(("-", "+", "x ", "~", "nan", "below ", "at most ", "exact"))


def markdown(table: Table, level: int = 2) -> str:
    """Markdown: the title as a heading of this level, the text, the rows."""
    table = table.shown()
    right = table.numbers()
    lines = [_line(table.head), "|" + "|".join("---:" if i in right else "---" for i in range(len(table.head))) + "|"]
    lines += [_line(row) for row in table.rows]
    parts = [f"{'#' * level} {table.title}"] * bool(table.title) + [table.text] * bool(table.text)
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def html_table(table: Table) -> str:
    """HTML: the title as a heading, the text, the rows; the styles are those of `pymdm.report.page`."""
    right = table.numbers()

    def cell(tag: str, i: int, text: str) -> str:
        law = tag == "td" and table.head[i] in table.formulas
        kind = "number" if i in right else "formula" if law else "long" if len(text) > 40 else ""
        return f"<{tag}{f' class={kind!r}' if kind else ''}>{html.escape(text)}</{tag}>"

    lines = ["<tr>" + "".join(cell("th", i, h) for i, h in enumerate(table.head)) + "</tr>"]
    for row in table.rows:
        bad = ' class="bad"' if is_bad(row) else ""
        lines.append(f"<tr{bad}>" + "".join(cell("td", i, c) for i, c in enumerate(row)) + "</tr>")
    heading = f"<h2>{html.escape(table.title)}</h2>" if table.title else ""
    text = f"<p>{html.escape(table.text)}</p>" if table.text else ""
    return f'{heading}{text}<div class="wide"><table>{"".join(lines)}</table></div>'


def show(table: Table, console: Console) -> None:
    """Prints a table that never breaks a word: where the columns do not fit, each row becomes a list of its cells."""
    from rich.table import Table as Grid
    from rich.text import Text

    if table.title:
        console.print(Text(table.title, style="bold"))
    if table.text:
        console.print(Text(table.text))
    table = table.shown()
    right = table.numbers()
    columns = [[head, *(row[i] for row in table.rows)] for i, head in enumerate(table.head)]
    room = console.width - 3 * len(columns) - 1
    widths = _widths([_longest_word(*c) for c in columns], [_longest(*c) for c in columns], room)
    if widths is None:
        _show_as_lists(table, console)
        return
    grid = Grid()
    for i, width in enumerate(widths):
        grid.add_column(Text(table.head[i]), width=width, justify="right" if i in right else "left")
    for row in table.rows:
        grid.add_row(*map(Text, row), style="red" if is_bad(row) else "")
    console.print(grid)


def plain(table: Table, width: int = 80) -> str:
    """The table as a terminal of so many columns shows it, without colours.

    >>> print(plain(Table(["n", "x"], [["1", "a"]]), 20).splitlines()[1])
    ┃ n ┃ x ┃
    """
    from io import StringIO

    from rich.console import Console

    page = StringIO()
    show(table, Console(file=page, width=width, highlight=False, color_system=None))
    return page.getvalue().rstrip("\n")


def _widths(least: list[int], most: list[int], room: int) -> list[int] | None:
    """Widths between least and most that fill the room at most; None where the least do not fit. The widest give way first.

    >>> _widths([3, 4], [3, 20], 12), _widths([3, 4], [3, 5], 12), _widths([3, 10], [3, 20], 12)
    ([3, 9], [3, 5], None)
    """
    if sum(least) > room:
        return None
    widths = list(most)
    while sum(widths) > room:
        widest = max((i for i in range(len(widths)) if widths[i] > least[i]), key=lambda i: widths[i])
        widths[widest] -= 1
    return widths


def _show_as_lists(table: Table, console: Console) -> None:
    """One paragraph a row: its first cells on a line, then a line a cell with its head."""
    from rich.padding import Padding
    from rich.text import Text

    named = min(table.numbers(), default=len(table.head)) or 1
    for row in table.rows:
        name = ", ".join(filter(None, row[:named]))
        console.print(Text(name, style="red" if is_bad(row) else "bold"))
        for head, cell in zip(table.head[named:], row[named:], strict=True):
            if cell:
                console.print(Padding(Text(f"{head}: {cell}"), (0, 0, 0, 2)))
    console.print()


def _longest_word(*texts: str) -> int:
    from rich.cells import cell_len

    return max((cell_len(word) for text in texts for word in text.split()), default=1)


def _longest(*texts: str) -> int:
    from rich.cells import cell_len

    return max((cell_len(line) for text in texts for line in text.splitlines()), default=1)
