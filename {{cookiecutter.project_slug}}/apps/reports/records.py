"""Reads an upload record by record, from any byte on, with no more of it in memory than a chunk."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO

from apps.reports.models import Upload, UploadChunk

CHUNK = 1024 * 1024  # bytes; a row of this size is no burden for any database
# Bytes, five short cells and what else a table has. Without a bound, a quote that is never closed
# would bring the rest of the file into memory.
LONGEST = 16 * 1024


@dataclass(frozen=True)
class Record:
    """What one line of the table says; in the file it may take several, between quotes.

    Args:
        line: number of its first line in the file, from 1.
        cells: what it holds.
        error: why it cannot be read.
    """

    line: int
    cells: list[str] = field(default_factory=list)
    error: str = ""


def save_chunks(upload: Upload, file: IO[bytes]) -> None:
    """Put a file into the database, one row per chunk."""
    for number, content in enumerate(iter(partial(file.read, CHUNK), b"")):
        UploadChunk.objects.create(upload=upload, number=number, content=content)


class ChunkedFile(io.RawIOBase):
    """The file that the chunks of an upload make."""

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
        number, start = divmod(self.position, CHUNK)
        piece = self.chunk(number)[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)

    def chunk(self, number: int) -> bytes:
        """Return a chunk, or nothing beyond the last one."""
        if number != self.number:
            found = self.chunks.filter(number=number).values_list("content", flat=True).first()
            self.number, self.content = number, bytes(found or b"")
        return self.content


class Records:
    """The records of a file, one after the other.

    Args:
        file: as bytes, that can be read from any position on.
        position: the byte where to begin; a record begins there.
        lines: how many lines are before it.
    """

    def __init__(self, file: io.BufferedReader, position: int = 0, lines: int = 0) -> None:
        self.file = file
        self.step_to(position, lines)

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        """Return the next record; from then on, `position` and `lines` say where it ends."""
        position, lines = self.position, self.lines
        try:
            cells = next(csv.reader(self.text(), strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            # One line is bad. What follows it may be good, also after a quote that is not closed.
            self.step_to(position, lines)
            self.step_over_line()
            reason = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            return Record(lines + 1, error=reason)
        return Record(lines + 1, cells)

    def text(self) -> Iterator[str]:
        """Yield the lines of one record; whoever takes them stops at its end."""
        size = 0
        while line := self.file.readline(LONGEST + 1):
            encoding = "utf-8" if self.position else "utf-8-sig"  # Excel puts a mark at the start
            self.position += len(line)
            self.lines += 1
            size += len(line)
            if size > LONGEST:
                raise csv.Error(f"is longer than {LONGEST:,} bytes, or a quote is not closed")
            yield line.decode(encoding)

    def step_to(self, position: int, lines: int) -> None:
        """Go on from a position, with so many lines before it."""
        self.file.seek(position)
        self.position, self.lines = position, lines

    def step_over_line(self) -> None:
        """Leave out the rest of the line, however long it is."""
        while piece := self.file.readline(LONGEST):
            self.position += len(piece)
            if piece.endswith(b"\n"):
                break
        self.lines += 1


def read(upload: Upload) -> tuple[Record, Records]:
    """Return the first line, which names the columns, and the records that are not done with."""
    records = Records(io.BufferedReader(ChunkedFile(upload)))
    header = next(records, Record(1, error="is missing"))
    if upload.position:
        records.step_to(upload.position, upload.lines)
    return header, records
