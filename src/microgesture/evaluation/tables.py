"""`Table`: a comparison as blocks of rows, and how it is written as Markdown, LaTeX and HTML.

Text is data here: every writer escapes it. The same table gives the same bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from microgesture.core.errors import UsageError


@dataclass(frozen=True)
class Row:
    """Cells of one line.

    Args:
        cells: text, one per column.
        best: numbers of the columns in which this row leads its block.
        floor: this row is what guessing gives.
    """

    cells: tuple[str, ...]
    best: tuple[int, ...] = ()
    floor: bool = False


@dataclass(frozen=True)
class Block:
    """Rows that may be compared with each other, and with nothing else.

    Args:
        heading: what they have in common: published or measured here, data set, split.
    """

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """A comparison.

    Args:
        key: name for files and references, e.g. `"4a"`.
        title: of the table.
        columns: their headings.
        blocks: from top to bottom.
        caption: what made it: command, commits, seeds, splits.
        notes: what a reader must know, below the table.

    Raises:
        UsageError: a row has another number of cells.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    caption: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for block in self.blocks:
            for row in block.rows:
                if len(row.cells) != len(self.columns):
                    raise UsageError(
                        f"table '{self.key}', block '{block.heading}': {len(row.cells)} cells, "
                        f"expected {len(self.columns)}"
                    )


_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$])")


def markdown(tables: Sequence[Table]) -> str:
    """The tables as Markdown; the best of each block is bold.

    Example:
        >>> table = Table("1", "T", ("method", "top-1"), (Block("here", (Row(("a|b", "50.00"), (1,)),)),), "made by x")
        >>> print(markdown([table]))
        ## T
        <BLANKLINE>
        made by x
        <BLANKLINE>
        | method | top-1 |
        |---|---:|
        | *here* | |
        | a\\|b | **50.00** |
        <BLANKLINE>
    """
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def text(words: str) -> str:
        # what HTML would read is escaped too; a line break would end the row
        return _MARKDOWN.sub(r"\\\1", " ".join(words.split())).replace("&", "&amp;")

    lines = [f"## {text(table.title)}", "", text(table.caption), "", line([text(c) for c in table.columns])]
    lines.append("|---|" + "---:|" * (len(table.columns) - 1))
    for block in table.blocks:
        lines.append(f"| *{text(block.heading)}* |" + " |" * (len(table.columns) - 1))
        for row in block.rows:
            cells = [f"**{text(c)}**" if i in row.best else text(c) for i, c in enumerate(row.cells)]
            lines.append(line(cells))
    if table.notes:
        lines += ["", *(f"- {text(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "±": r"$\pm$",
    "–": r"\textendash{}",
}
_PREAMBLE = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\usepackage{textcomp}
\usepackage{booktabs}
\usepackage{longtable}
\begin{document}
\footnotesize
"""


def latex(tables: Sequence[Table]) -> str:
    """The tables as a LaTeX document that compiles by itself; a paper copies a `longtable` and loads booktabs.

    Letters outside of ASCII lose their accents, other signs become a question mark.
    """
    return _PREAMBLE + "\n".join(_latex(table) for table in tables) + "\\end{document}\n"


def latex_text(words: str) -> str:
    """Text that LaTeX sets as it stands.

    Example:
        >>> print(latex_text("50 % of a_b ± 1"))
        50 \\% of a\\_b $\\pm$ 1
    """
    plain = ""
    for sign in " ".join(words.split()):
        bare = sign if sign in _LATEX else unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() or "?"
        plain += "".join(_LATEX.get(b, b) for b in bare)
    return re.sub("-(?=-)", "-{}", plain)  # two hyphens would join to a dash


def _latex(table: Table) -> str:
    width, columns = len(table.columns), "l" + "r" * (len(table.columns) - 2) + "l"
    # braces keep a cell that begins with a bracket from being read as an argument of the line before
    head = " & ".join(f"{{{latex_text(c)}}}" for c in table.columns) + r" \\"
    lines = [
        rf"\begin{{longtable}}{{{columns if width > 1 else 'l'}}}",
        rf"\caption{{{latex_text(table.title)}. {latex_text(table.caption)}}}\\",
        r"\toprule",
        head,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
    ]
    for i, block in enumerate(table.blocks):
        lines += [r"\midrule"] if i else []
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{latex_text(block.heading)}}}}} \\")
        for row in block.rows:
            cells = [latex_text(c) for c in row.cells]
            lines.append(
                " & ".join(rf"\textbf{{{c}}}" if n in row.best else f"{{{c}}}" for n, c in enumerate(cells)) + r" \\"
            )
    lines.append(r"\end{longtable}")
    if table.notes:
        lines += [r"\begin{itemize}", *(rf"\item {latex_text(note)}" for note in table.notes), r"\end{itemize}"]
    return "\n".join(lines) + "\n"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; padding: .5rem 0; overflow-wrap: anywhere; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
th:last-child, td:last-child { text-align: left; white-space: normal; min-width: 12rem; overflow-wrap: anywhere; }
th.block { text-align: left; white-space: normal; padding-top: 1rem; border-bottom: 2px solid; }
tr.floor { font-style: italic; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for table in tables %}
<h2 id="table-{{ loop.index }}">{{ table.title }}</h2>
<div class="wide" role="region" tabindex="0" aria-labelledby="table-{{ loop.index }}">
<table>
<caption>{{ table.caption }}</caption>
<thead><tr>{% for name in table.columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
{% for block in table.blocks %}
<tbody>
<tr><th class="block" scope="rowgroup" colspan="{{ table.columns | length }}">{{ block.heading }}</th></tr>
{% for row in block.rows %}
<tr{% if row.floor %} class="floor"{% endif %}>
{%- for cell in row.cells -%}
<td>{% if loop.index0 in row.best %}<strong>{{ cell }}</strong>{% else %}{{ cell }}{% endif %}</td>
{%- endfor -%}
</tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
</div>
{% if table.notes %}
<ul>
{% for note in table.notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
{% endfor %}
</body>
</html>
"""


def html(tables: Sequence[Table], title: str = "Comparison") -> str:
    """The tables as one page that loads nothing and whose wide tables scroll on a narrow screen."""
    from jinja2 import Environment

    # escaping is on: names of files and labels are data
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.from_string(_PAGE).render(tables=tables, title=title)
