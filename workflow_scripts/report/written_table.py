"""A table as text, and the formats that it is written in."""

import csv
import io
from dataclasses import dataclass

ABSENT = "-"


@dataclass(frozen=True)
class WrittenTable:
    """A table as all formats write it.

    Attributes:
        title: what it shows, with units.
        header: headings; the first ``names`` columns are text, the others numbers.
        names: how many columns name a row.
        body: its rows, as text.
        without: why there is no row; shown where there is none.
    """

    title: str
    header: tuple[str, ...]
    names: int
    body: tuple[tuple[str, ...], ...]
    without: str


def markdown(table: WrittenTable) -> str:
    """Return a table as Markdown."""
    if not table.body:
        return f"**{table.title}**\n\nToo little data: {table.without}.\n"
    rule = ["---"] * table.names + ["---:"] * (len(table.header) - table.names)
    lines = [" | ".join(row).replace("\n", " ") for row in (table.header, rule, *table.body)]
    return f"**{table.title}**\n\n" + "".join(f"| {line} |\n" for line in lines)


def latex(table: WrittenTable) -> str:
    """Return a table as LaTeX (package booktabs)."""
    if not table.body:
        return f"% {table.title}\nToo little data: {_escaped(table.without)}.\n"
    columns = "l" * table.names + "r" * (len(table.header) - table.names)
    header, *body = (" & ".join(map(_escaped, row)) + r" \\" for row in (table.header, *table.body))
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escaped(table.title)}}}",
        r"\centering",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def comma_separated(table: WrittenTable) -> str:
    """Return a table as CSV, without its title; an absent number is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(["" if field == ABSENT else field for field in row] for row in table.body)
    return text.getvalue()


FORMATS = {"md": markdown, "tex": latex, "csv": comma_separated}
"""The formats that every table is written in, by the ending of the file."""


def _escaped(text: str) -> str:
    for plain, escaped in {
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "±": r"$\pm$",
        "→": r"$\to$",
    }.items():
        text = text.replace(plain, escaped)
    return text
