"""XML without a document type: no entities, no outside files, no expansion."""

from __future__ import annotations

from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from microgesture.core.errors import FormatError
from microgesture.formats.source import PathLike, read_bytes

SIZE_LIMIT = 64 << 20
ELEMENT_LIMIT = 1_000_000
"""Elements of a document; each takes some 400 bytes of memory."""
DEPTH_LIMIT = 64


def read_xml(path: PathLike, limit: int = SIZE_LIMIT) -> ElementTree.Element:
    """The root element of an XML file.

    Raises:
        NoInput, NotPermitted, FormatError: not XML, a document type declaration, too large, nested deeper than 64.
    """
    data = read_bytes(path, limit)
    if data.count(b"<") > 2 * ELEMENT_LIMIT:
        raise FormatError(
            path,
            f"more than {ELEMENT_LIMIT:,} elements",
            place="whole file",
            remedy="split the document",
        )
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def doctype(*_: object) -> NoReturn:
        raise FormatError(
            path,
            "a document type declaration (DTD)",
            place=f"line {parser.CurrentLineNumber}",
            expected="XML without DTD",
            remedy="remove the <!DOCTYPE ...> line if you trust the file",
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEPTH_LIMIT:
            raise FormatError(
                path,
                f"nested deeper than {DEPTH_LIMIT} levels",
                place=f"line {parser.CurrentLineNumber}",
                remedy="this is not a file of the expected kind",
            )
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, ValueError, LookupError) as error:  # Lookup: an encoding nobody knows
        raise FormatError(
            path,
            f"not valid XML ({error})",
            place=f"line {parser.CurrentLineNumber}",
            remedy="restore the file or export it again",
        ) from error
