"""What the installed carla wheel says of its own types, read from the debug information in its library.

Of DWARF 4 (dwarfstd.org) only what types of structures and enumerations need. A type is found by the place
of its name, so the 43 MB are searched and not parsed.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_NAME, _SIZE, _VALUE, _LOCATION, _TYPE, _COUNT, _UPPER = 0x03, 0x0B, 0x1C, 0x38, 0x49, 0x37, 0x2F
_ARRAY, _CLASS, _ENUMERATION, _MEMBER, _STRUCTURE, _TYPEDEF = 0x01, 0x02, 0x04, 0x0D, 0x13, 0x16
_SUBRANGE, _BASE, _CONST, _ENUMERATOR = 0x21, 0x24, 0x26, 0x28
# Bytes of attributes by form: addr, data2, data4, data8, data1, flag, strp, ref4, sec_offset, present, sig8.
_FIXED = {0x01: 8, 0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x0E: 4, 0x13: 4, 0x17: 4, 0x19: 0, 0x20: 8}
_STRP, _SDATA, _STRING, _UDATA, _EXPRLOC = 0x0E, 0x0D, 0x08, 0x0F, 0x18


class Member(NamedTuple):
    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Entry:
    """One entry of the debug information; `end` is where the next begins."""

    tag: int
    has_children: bool
    values: dict[int, int | str]
    at: int
    end: int


class Wheel:
    """The library's types by name."""

    def __init__(self, library: Path) -> None:
        with library.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._sections = dict(self._read_sections())
        self._info, info_size = self._sections[".debug_info"]
        self._info_end = self._info + info_size
        self._units = list(self._read_units())
        self._abbreviations: dict[int, dict[int, tuple[int, bool, list[tuple[int, int]]]]] = {}

    def _read_sections(self) -> Iterator[tuple[str, tuple[int, int]]]:
        (table,) = struct.unpack_from("<Q", self._data, 0x28)
        size, count, names = struct.unpack_from("<3H", self._data, 0x3A)
        rows = [struct.unpack_from("<IIQQQQ", self._data, table + size * k) for k in range(count)]
        for name, _, _, _, offset, length in rows:
            yield self._text(rows[names][4] + name), (offset, length)

    def _read_units(self) -> Iterator[tuple[int, int]]:
        """Where every compilation unit begins, and its abbreviations."""
        at = self._info
        while at < self._info_end:
            length, version, abbreviations = struct.unpack_from("<IHI", self._data, at)
            assert version == 4
            yield at, abbreviations
            at += 4 + length

    def structure(self, name: str, first: str | None = None) -> tuple[int, list[Member]]:
        """Size in bytes of the first structure of a name (whose first member has a name), and its members."""
        for unit, entry in self._named(name, {_STRUCTURE, _CLASS}):
            members = [
                Member(str(e.values[_NAME]), int(e.values[_LOCATION]), self._size(unit, int(e.values[_TYPE])))
                for e in self._children(unit, entry)
                if e.tag == _MEMBER and _LOCATION in e.values and _NAME in e.values
            ]
            if members and first in (None, members[0].name):
                return int(entry.values[_SIZE]), members
        raise KeyError(f"{name} that begins with {first}")

    def enumeration(self, name: str, first: str) -> dict[str, int]:
        """Values by name of the enumeration of a name that has an enumerator `first`."""
        for unit, entry in self._named(name, {_ENUMERATION}):
            found = {
                str(e.values[_NAME]): int(e.values[_VALUE])
                for e in self._children(unit, entry)
                if e.tag == _ENUMERATOR
            }
            if first in found:
                return found
        raise KeyError(f"{name} with {first}")

    def symbol(self, part: bytes) -> str:
        """The first mangled symbol that contains something."""
        begin, size = self._sections[".strtab"]
        at = self._data.find(part, begin, begin + size)
        assert at >= 0, part
        return self._text(self._data.rfind(b"\0", begin, at) + 1)

    # Entries

    def _named(self, name: str, tags: set[int]) -> Iterator[tuple[tuple[int, int], Entry]]:
        """Complete types of a name, each with its unit."""
        text = name.encode() + b"\0"  # perhaps the end of a longer name: the linker shares those
        begin, size = self._sections[".debug_str"]
        at = self._data.find(text, begin, begin + size)
        while at >= 0:
            reference = struct.pack("<I", at - begin)
            place = self._data.find(reference, self._info, self._info_end)
            while place >= 0:
                unit = [u for u in self._units if u[0] <= place][-1]
                for back in range(1, 10):  # the code, and what comes before the name
                    entry = self._try(unit, place - back, name, tags)
                    if entry:
                        yield unit, entry
                        break
                place = self._data.find(reference, place + 1, self._info_end)
            at = self._data.find(text, at + 1, begin + size)

    def _try(self, unit: tuple[int, int], at: int, name: str, tags: set[int]) -> Entry | None:
        """The entry of a complete type of a name that begins there; None where none does."""
        try:
            entry = self._entry(unit, at)
            if entry.tag not in tags or entry.values.get(_NAME) != name or _SIZE not in entry.values:
                return None
            self._children(unit, entry)
        except (KeyError, IndexError, ValueError, struct.error):
            return None
        return entry

    def _children(self, unit: tuple[int, int], entry: Entry) -> list[Entry]:
        depth, at, out = int(entry.has_children), entry.end, []
        while depth > 0:
            if self._data[at] == 0:
                depth, at = depth - 1, at + 1
                continue
            child = self._entry(unit, at)
            if depth == 1:
                out.append(child)
            depth, at = depth + child.has_children, child.end
        return out

    def _size(self, unit: tuple[int, int], at: int) -> int:
        """Bytes of the type at an offset of its unit."""
        entry = self._entry(unit, unit[0] + at)
        if _SIZE in entry.values:
            return int(entry.values[_SIZE])
        if entry.tag == _ARRAY:
            counts = [e.values for e in self._children(unit, entry) if e.tag == _SUBRANGE]
            count = int(counts[0].get(_COUNT, int(counts[0].get(_UPPER, -1)) + 1))
            return count * self._size(unit, int(entry.values[_TYPE]))
        if entry.tag in (_TYPEDEF, _CONST, _MEMBER):
            return self._size(unit, int(entry.values[_TYPE]))
        return 8  # a pointer

    def _entry(self, unit: tuple[int, int], at: int) -> Entry:
        code, end = self._number(at)
        tag, has_children, forms = self._abbreviation(unit[1])[code]
        values: dict[int, int | str] = {}
        for name, form in forms:
            values[name], end = self._value(form, end)
        return Entry(tag, has_children, values, at, end)

    def _value(self, form: int, at: int) -> tuple[int | str, int]:
        if form == _STRP:
            (offset,) = struct.unpack_from("<I", self._data, at)
            return self._text(self._sections[".debug_str"][0] + offset), at + 4
        if form == _STRING:
            return "", self._data.find(b"\0", at) + 1
        if form in (_UDATA, _SDATA):
            return self._number(at, signed=form == _SDATA)
        if form == _EXPRLOC:
            length, at = self._number(at)
            return 0, at + length
        size = _FIXED[form]
        return int.from_bytes(self._data[at : at + size], "little") if size else 1, at + size

    def _abbreviation(self, offset: int) -> dict[int, tuple[int, bool, list[tuple[int, int]]]]:
        """Tag, whether there are children, and attributes with their forms, by code."""
        if offset not in self._abbreviations:
            out: dict[int, tuple[int, bool, list[tuple[int, int]]]] = {}
            at = self._sections[".debug_abbrev"][0] + offset
            code, at = self._number(at)
            while code:
                tag, at = self._number(at)
                has_children, at = bool(self._data[at]), at + 1
                forms: list[tuple[int, int]] = []
                while True:
                    name, at = self._number(at)
                    form, at = self._number(at)
                    if not name:
                        break
                    forms.append((name, form))
                out[code] = (tag, has_children, forms)
                code, at = self._number(at)
            self._abbreviations[offset] = out
        return self._abbreviations[offset]

    def _number(self, at: int, signed: bool = False) -> tuple[int, int]:
        """A LEB128 number, and where it ends."""
        value, shift = 0, 0
        while True:
            byte, at = self._data[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift if signed and byte & 0x40 else 0), at

    def _text(self, at: int) -> str:
        return self._data[at : self._data.find(b"\0", at)].decode("latin-1")
