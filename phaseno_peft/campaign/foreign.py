"""Files of kinds that are not read here, known by their first bytes, with what to do instead."""

from __future__ import annotations

_KINDS = (
    (b"PAR1", "is a Parquet table. Save it as CSV"),
    (b"\x89HDF", "is an HDF5 file. Write its content in a format of its kind"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel or other office document. Save its table as .xlsx or CSV"),
    (b"SQLite format 3", "is an SQLite data base. Export its table as CSV"),
    (b"%PDF", "is a PDF. Give the file it was printed from"),
)


def foreign_kind(head: bytes) -> str | None:
    """The end of a sentence about a file by its first bytes; None for what may be ours."""
    for mark, text in _KINDS:
        if head.startswith(mark):
            return text
    if (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or b"obspy.core" in head[:60]:
        return "is a Python pickle, which could run code. Write it in a format of its kind first"
    return None
