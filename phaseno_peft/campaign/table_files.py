"""Tables that are no plain text (workbooks, Parquet, JSON records) made into the text of a CSV; and encodings."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from phaseno_peft.campaign.unpack import FREE_BYTES, MAX_RATIO, MAX_UNPACKED_BYTES, is_office_document
from phaseno_peft.errors import CampaignError

MAX_CELLS = 50_000_000
"""Of one table; 10 million picks have five columns each."""
_SHEET = "xl/workbook.xml"
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


def decoded(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 and UTF-32 by their marks or zeros, else as Windows in Europe writes."""
    encoding = _wide_encoding(content[:4096]) or "utf-8"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("cp1252" if encoding == "utf-8" else encoding, errors="replace")


def is_wide_text(head: bytes) -> bool:
    """True for text with two or four bytes a letter, whose zeros do not mean a binary file."""
    return (_wide_encoding(head) or "utf-8").startswith(("utf-16", "utf-32"))


def _wide_encoding(head: bytes) -> str | None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[::2], head[1::2]
    if len(head) >= 16 and b"\0" not in even and odd.count(0) == len(odd):
        return "utf-16-le"
    if len(head) >= 16 and b"\0" not in odd and even.count(0) == len(even):
        return "utf-16-be"
    return None


def tables_of(name: str, path: Path, head: bytes) -> Iterator[tuple[str, str]] | None:
    """(sheet, text of a CSV) of a workbook, a Parquet table or a list of JSON records; None for another file.

    The sheet's name is empty where there is one table only. Raises `CampaignError` for a damaged file, one beyond
    limits, another office document, and where the package that reads it is not installed.
    """
    if head.startswith(b"PAR1"):
        return iter([("", _parquet(name, path))])
    if head.startswith(b"PK\x03\x04"):
        with path.open("rb") as file:
            if not is_office_document(file):
                return None
        return _workbook(name, path)
    if head.lstrip()[:1] in (b"[", b"{"):
        text = _json_records(path.read_bytes())
        return None if text is None else iter([("", text)])
    return None


def _parquet(name: str, path: Path) -> str:
    try:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise CampaignError(
            f"{name}: is a Parquet table, which needs pyarrow. Install it (pip install 'phaseno-peft[tables]'), or "
            "save the table as CSV."
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        meta = file.metadata
        n_bytes = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        if meta.num_rows * meta.num_columns > MAX_CELLS or n_bytes > MAX_UNPACKED_BYTES:
            raise CampaignError(f"{name}: a table of {meta.num_rows} rows, more than is read. Part it into several.")
        flat = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
        table = file.read(columns=flat)
        columns = [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in table.columns
        ]
        sink = io.BytesIO()
        pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), sink)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(f"{name}: damaged or not readable as Parquet ({first}). Save it as CSV.") from error
    return sink.getvalue().decode("utf-8", errors="replace")


def _workbook(name: str, path: Path) -> Iterator[tuple[str, str]]:
    _check_workbook(name, path)
    try:
        import openpyxl
    except ImportError as error:
        raise CampaignError(
            f"{name}: is an Excel workbook, which needs openpyxl. Install it (pip install 'phaseno-peft[tables]'), or "
            "save its table as CSV."
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        for sheet in book.worksheets:
            yield sheet.title, _csv_text(sheet.iter_rows(values_only=True))
    except CampaignError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers do
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise CampaignError(
            f"{name}: damaged or not readable as an Excel workbook ({first}). Save its table as CSV."
        ) from error


def _check_workbook(name: str, path: Path) -> None:
    """Raise `CampaignError` for another office document, and for one that unpacks to too much or defines entities."""
    most = min(MAX_UNPACKED_BYTES, FREE_BYTES + MAX_RATIO * path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            if _SHEET not in archive.namelist():
                raise CampaignError(f"{name}: is an office document, but no Excel workbook. Save its table as CSV.")
            if sum(entry.file_size for entry in archive.infolist()) > most:
                raise CampaignError(f"{name}: unpacks to more than {most >> 20} MB. Save its table as CSV.")
            for entry in archive.infolist():
                if entry.filename.endswith((".xml", ".rels")):
                    with archive.open(entry) as member:
                        if b"<!DOCTYPE" in member.read(4096):
                            raise CampaignError(f"{name}: declares a document type, as no workbook does. Leave it out.")
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError, NotImplementedError) as error:
        raise CampaignError(f"{name}: damaged or encrypted ({error}). Save its table as CSV.") from error
    except Exception as error:  # zlib.error, LZMAError
        if isinstance(error, CampaignError):
            raise
        raise CampaignError(f"{name}: damaged ({error}). Save its table as CSV.") from error


def _json_records(content: bytes) -> str | None:
    """Text of a CSV of a list of flat JSON objects, or of one object a line; None for other JSON."""
    text = decoded(content).strip()
    try:
        try:
            records = json.loads(text)
        except json.JSONDecodeError:
            records = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    if isinstance(records, dict):
        records = _named_records(records)
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        return None
    names = list(dict.fromkeys(name for record in records for name in record))
    return _csv_text([names, *([record.get(name) for name in names] for record in records)])


def _named_records(by_name: dict[str, Any]) -> list[Any]:
    """Records under the codes of their stations (GaMMA), also with their places in "coords" (EQTransformer)."""
    records = []
    for station, record in by_name.items():
        if not isinstance(record, dict):
            return []
        place = record.get("coords")
        if isinstance(place, list) and len(place) >= 2:
            record = {**record, **dict(zip(("latitude", "longitude", "elevation"), place, strict=False))}
        flat = {name: value for name, value in record.items() if not isinstance(value, list | dict)}
        records.append({"station": station, **flat})
    return records


def _csv_text(rows: Iterable[Iterable[Any]]) -> str:
    text, n_cells = io.StringIO(), 0
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        cells = [_cell(value) for value in row]
        n_cells += len(cells)
        if n_cells > MAX_CELLS:
            raise CampaignError(f"a table of more than {MAX_CELLS} cells. Part it into several.")
        writer.writerow(cells if any(cells) else [])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return " ".join(str(value).split())
