from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from microgesture.core.errors import UsageError
from microgesture.evaluation.tables import Block, Row, Table, html, latex, latex_text, markdown

NASTY = '<script>alert(1)</script> & 50 % of a_b|c {d} ~$^\\ #1 --x "q" `u` ± é 手'
TABLE = Table(
    "t",
    "Title & more",
    ("method", "top-1", "source"),
    (
        Block("measured", (Row(("[a]", "50.00", NASTY), (1,)), Row(("majority floor", "40.00", ""), floor=True))),
        Block("published", (Row(("b", "–", "here")),)),
    ),
    "Made by `microgesture compare x --like survey`",
    ("a note_1", "another"),
)


def test_rows_have_as_many_cells_as_there_are_columns() -> None:
    with pytest.raises(UsageError, match="table 't', block 'b': 1 cells, expected 2"):
        Table("t", "T", ("a", "b"), (Block("b", (Row(("1",)),)),), "c")


def test_markdown_has_one_line_per_row_and_no_stray_bars() -> None:
    text = markdown([TABLE])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2 + 3  # heading and rule, two blocks, three rows
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in rows)
    assert "| **50.00** |" in text.replace("\\[a\\]", "")
    assert "\\<script\\>" in text
    assert "- a note\\_1\n- another\n" in text


def test_latex_escapes_every_sign_and_balances() -> None:
    text = latex([TABLE, TABLE])
    assert text.isascii()
    for name in ("document", "longtable", "itemize"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    bare = re.sub(r"\\[{}\\$&#%_]", "", text.replace(r"\\", ""))
    assert bare.count("{") == bare.count("}")
    body = text.partition(r"\begin{document}")[2]
    # outside of commands, no sign may act: ampersands only between cells
    for line in body.splitlines():
        if line.startswith("{") and line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == 2
    assert not re.search(r"(?<!\\)[#%_~^]", body)
    assert r"\usepackage{booktabs}" in text
    assert r"\textbf{50.00}" in text
    assert "-{}-like survey" in text  # two hyphens would be set as one dash


def test_latex_text() -> None:
    assert latex_text("é手\n x") == "e? x"
    assert latex_text("50 %") == r"50 \%"
    assert latex_text("---") == "-{}-{}-"
    assert latex_text("\\") == r"\textbackslash{}"


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag != "meta":
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open:
            self.cells[-1] += data


def test_html_escapes_text_loads_nothing_and_fits_a_phone() -> None:
    text = html([TABLE], "A <title>")
    page = Reader()
    page.feed(text)
    assert page.open == []
    assert page.addresses == []
    assert "script" not in re.findall(r"<(\w+)", text)
    assert page.cells == ["[a]", "50.00", NASTY, "majority floor", "40.00", "", "b", "–", "here"]
    assert "<strong>50.00</strong>" in text
    assert "A &lt;title&gt;" in text
    assert "width=device-width" in text
    assert "overflow-x: auto" in text
    assert "url(" not in text
    assert '<tr class="floor"><td>majority floor' in text


def test_the_same_table_gives_the_same_bytes() -> None:
    for write in (markdown, latex, html):
        assert write([TABLE]) == write([TABLE])
