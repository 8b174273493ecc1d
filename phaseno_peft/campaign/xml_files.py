"""XML files: recognised by its first bytes, and never allowed to declare entities."""

from __future__ import annotations

from pathlib import Path

from phaseno_peft.errors import CampaignError

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
"""Byte-order marks of UTF-8 and UTF-16."""


def is_xml(head: bytes) -> bool:
    """True where the first bytes of a file begin an XML document."""
    for mark in _MARKS:
        head = head.removeprefix(mark)
    return head.replace(b"\0", b"").lstrip().startswith(b"<")


def refuse_document_type(name: str, path: Path, kind: str) -> None:
    """Raise `CampaignError` for an XML file that is damaged or declares a document type; `kind` is what it should be.

    A document type is where entities come from: bombs that grow a thousandfold, and external ones that read other
    files. No seismological format has one. Nothing is expanded or fetched to find out.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        document = etree.parse(str(path), parser)
    except (etree.XMLSyntaxError, OSError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(f"{name}: not readable as {kind} ({first}). Fetch it again, or leave it out.") from error
    if document.docinfo.doctype or document.docinfo.internalDTD is not None:
        raise CampaignError(
            f"{name}: declares an XML document type, where entities could read other files or fill the memory. "
            "Write it without the <!DOCTYPE ...> part."
        )
