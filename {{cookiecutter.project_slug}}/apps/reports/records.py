"""Reads an upload record by record, from any position, with one chunk in memory."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from apps.reports.models import Upload, UploadChunk

CHUNK_SIZE = 1024 * 1024  # bytes; any database can store a row of this size
# Bytes. Without a limit, a quote that is never closed would read the rest of the file into memory.
MAX_RECORD_SIZE = 16 * 1024
# Bytes that are read again after unreadable records, in one run: a thousand quotes that are not closed.
# Without a limit, a file with such a quote in each line would be read thousands of times.
MAX_REREAD = 1_000 * MAX_RECORD_SIZE


class TooManyQuotesError(ValueError):
    """Too many quotes are not closed. The text gives the reason, for users."""


@dataclass(frozen=True)
class Record:
    """One record of the file. With line breaks between quotes, it has several lines.

    Args:
        line: the number of its first line in the file, from 1.
        cells: its content.
        error: why it is unreadable.
    """

    line: int
    cells: list[str] = field(default_factory=list)
    error: str = ""


def save_chunks(upload: Upload, file: IO[bytes]) -> None:
    """Save a file to the database, one row per chunk."""
    for number, content in enumerate(iter(partial(file.read, CHUNK_SIZE), b"")):
        UploadChunk.objects.create(upload=upload, number=number, content=content)


class ChunkedFile(io.RawIOBase):
    """The file of an upload, read from its chunks."""

    def __init__(self, upload: Upload) -> None:
        self.chunks = UploadChunk.objects.filter(upload=upload)
        self.position = 0
        self.number, self.content = -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only from the start")
        self.position = offset
        return offset

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number, start = divmod(self.position, CHUNK_SIZE)
        data = self.chunk(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def chunk(self, number: int) -> bytes:
        """Return a chunk, or empty bytes after the last one."""
        if number != self.number:
            found = self.chunks.filter(number=number).values_list("content", flat=True).first()
            self.number, self.content = number, bytes(found or b"")
        return self.content


class Records:
    """Iterates over the records of a file.

    Args:
        file: a seekable file of bytes.
        position: the byte to start at, which is the start of a record.
        lines: the number of lines before it.
    """

    def __init__(self, file: io.BufferedReader, position: int = 0, lines: int = 0) -> None:
        self.file = file
        self.reread = 0  # bytes
        self.seek(position, lines)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        """Return the next record; set `position` and `lines` to its end.

        Raises:
            TooManyQuotesError: MAX_REREAD is reached.
        """
        position, lines = self.position, self.lines
        try:
            cells = next(csv.reader(self.record_lines(), strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            # Skip only this line: the next one may be valid, even after a quote that is not closed.
            end = self.position
            self.seek(position, lines)
            self.skip_line()
            self.reread += max(0, end - self.position)
            if self.reread > MAX_REREAD:
                raise TooManyQuotesError(
                    f"Too many quotes are not closed, the last one in line {lines + 1:,}."
                ) from None
            reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            return Record(lines + 1, error=reason)
        return Record(lines + 1, cells)

    def record_lines(self) -> Iterator[str]:
        """Yield lines; the CSV reader stops at the end of the record."""
        size = 0
        while line := self.file.readline(MAX_RECORD_SIZE + 1):
            encoding = "utf-8" if self.position else "utf-8-sig"  # Excel writes a byte order mark
            self.position += len(line)
            self.lines += 1
            size += len(line)
            if size > MAX_RECORD_SIZE:
                raise csv.Error(
                    f"is longer than {MAX_RECORD_SIZE:,} bytes, or a quote is not closed"
                )
            yield line.decode(encoding)

    def seek(self, position: int, lines: int) -> None:
        """Continue at a position with this number of lines before it."""
        self.file.seek(position)
        self.position, self.lines = position, lines

    def skip_line(self) -> None:
        """Skip the rest of the line in pieces of limited size."""
        while piece := self.file.readline(MAX_RECORD_SIZE):
            self.position += len(piece)
            if piece.endswith(b"\n"):
                break
        self.lines += 1


def open_records(upload: Upload) -> tuple[Record, Records]:
    """Return the first line, which contains the columns, and the records still to import."""
    records = Records(io.BufferedReader(ChunkedFile(upload)))
    header = next(records, Record(1, error="is missing"))
    if upload.position:
        records.seek(upload.position, upload.lines)
    return header, records
