"""A relocatable object made a shared one, which the system's loader maps: no linker is needed.

For the one kind of object that the kernels become: position-independent code for x86-64 or 64-bit
ARM under the small code model, of one module, which calls nothing but a few functions of the C
library. Laid out as three pieces, each on pages of its own, so that nothing that can be written can
be run: what is only read, code, and what the loader fills in (ELF-64, System V ABI, its AMD64
supplement 1.0; ELF for the Arm 64-bit Architecture, 2024Q3).
"""

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["ObjectError", "shared_object"]


class ObjectError(Exception):
    """The object holds something that no kernel becomes; says what."""


_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOC, _EXECUTE = 1, 2, 4
_LOW_12: Final = 0xFFF
_LEFT_OUT = (".eh_frame",)  # nothing is ever unwound
_NEEDED = ("libm.so.6", "libc.so.6")


class _Processor(NamedTuple):
    """How places are filled in: by number of the relocation, what is written there."""

    machine: int
    """``e_machine``"""
    page: int
    """bytes of the largest page its systems have"""
    absolute: int
    """a word of 64 bits, for the loader"""
    relative: int
    """the same, of this object's own"""
    near: tuple[int, ...]
    """32 bits from the place to the symbol"""
    far: int
    """64 bits"""
    through: tuple[int, ...]
    """to the symbol's slot in the table, in place of the symbol"""
    branch: tuple[int, ...] = ()
    """26 bits, of words"""
    page_of: tuple[int, ...] = ()
    """21 bits, of pages of 4 kB (ADRP)"""
    within: Mapping[int, int] = MappingProxyType({})
    """12 bits within such a page; in units of so many bits"""


_X86: Final = _Processor(62, 0x1000, 1, 8, (2, 4, 9, 41, 42), 24, (9, 41, 42))
_ARM: Final = _Processor(
    183, 0x10000, 257, 1027, (261,), 260, (311, 312), (282, 283), (275, 311),
    MappingProxyType({277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4, 312: 3}),
)  # fmt: skip
_PROCESSORS: Final = {one.machine: one for one in (_X86, _ARM)}


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    content: bytes
    size: int
    link: int
    info: int
    align: int


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int
    is_global: bool


def _text(table: bytes, at: int) -> str:
    return table[at : table.index(b"\0", at)].decode()


def _processor(data: bytes) -> _Processor:
    kind, machine = struct.unpack_from("<HH", data.ljust(20, b"\0"), 16)
    if data[:6] != b"\x7fELF\x02\x01" or kind != 1 or machine not in _PROCESSORS:
        raise ObjectError("no relocatable object for x86-64 or aarch64")
    return _PROCESSORS[machine]


def _sections(data: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", data, 40)
    size, number, names = struct.unpack_from("<HHH", data, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", data, start + k * size) for k in range(number)]
    at = heads[names][4]
    return [
        _Section(
            _text(data, at + name), kind, flags,
            b"" if kind == _NOBITS else data[offset : offset + length],
            length, link, info, max(align, 1),
        )
        for name, kind, flags, _, offset, length, link, info, align, _ in heads
    ]  # fmt: skip


def _symbols(sections: list[_Section]) -> list[_Symbol]:
    table = next(s for s in sections if s.kind == _SYMTAB)
    names = sections[table.link].content
    return [
        _Symbol(_text(names, name), section, value, info >> 4 != 0)
        for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table.content)
    ]


class _Piece:
    """Bytes that are mapped with the same rights."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.data = bytearray()

    @property
    def end(self) -> int:
        return self.start + len(self.data)

    def put(self, content: bytes, align: int = 8) -> int:
        """Append; the address it has got."""
        self.data += bytes(-self.end % align)
        at = self.end
        self.data += content
        return at


def _hash_of(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


class _Linker:
    def __init__(self, data: bytes) -> None:
        self.to = _processor(data)
        self.sections = _sections(data)
        self.symbols = _symbols(self.sections)
        self.given = [s for s in self.symbols if s.is_global and s.section and s.name]
        self.wanted = sorted(self._called())
        self.places: dict[int, int] = {}
        self.slots: dict[str, int] = {}
        self.stubs: dict[str, int] = {}
        self.dynamic: list[tuple[int, int, int]] = []

    def link(self) -> bytes:
        names, symbols = self._names()
        # Every absolute word, and every slot of the table, is one for the loader to fill in.
        most = len(self.wanted) + len(self.symbols) + sum(
            s.size // 24 for s in self.sections if s.kind == _RELA
        )  # fmt: skip
        head = 64 + 56 * 5
        read = _Piece(0)
        read.put(bytes(head))
        at_names = read.put(names)
        at_hash = read.put(self._hash())
        at_symbols = read.put(bytes(24 * (1 + len(self.wanted) + len(self.given))))
        at_relocations = read.put(bytes(24 * most))
        self._place(read, lambda flags: not flags & (_WRITE | _EXECUTE))
        code = self._after(read)
        self._place(code, lambda flags: bool(flags & _EXECUTE))
        stubs = code.put(bytes(16 * len(self.wanted)), 16)
        kept = self._after(code)
        self._place(kept, lambda flags: bool(flags & _WRITE))
        pieces = (read, code, kept)
        for k, name in enumerate(self.wanted):
            self._slot(name, kept)
            self.stubs[name] = stubs + 16 * k
            self._write_stub(code, self.stubs[name], self.slots[name])
        self._relocate(pieces)
        at_dynamic = kept.put(bytes(16 * (10 + len(_NEEDED))))
        tags = [
            *((1, symbols[name]) for name in _NEEDED),
            (4, at_hash), (5, at_names), (6, at_symbols), (10, len(names)), (11, 24),
            (7, at_relocations), (8, 24 * len(self.dynamic)), (9, 24), (0, 0),
        ]  # fmt: skip
        for k, tag in enumerate(tags):
            struct.pack_into("<QQ", kept.data, at_dynamic - kept.start + 16 * k, *tag)
        for k, (where, info, addend) in enumerate(self.dynamic):
            struct.pack_into("<QQq", read.data, at_relocations + 24 * k, where, info, addend)
        self._write_symbols(read, at_symbols, symbols)
        self._write_head(pieces, at_dynamic, 16 * len(tags))
        whole = bytearray()
        for piece in pieces:
            whole += bytes(piece.start - len(whole)) + piece.data
        return bytes(whole)

    def _after(self, piece: _Piece) -> _Piece:
        return _Piece(-(-piece.end // self.to.page) * self.to.page)

    def _write_stub(self, code: _Piece, at: int, slot: int) -> None:
        """A jump to where ``slot`` points."""
        if self.to is _X86:
            jump = b"\xff\x25" + struct.pack("<i", slot - at - 6)
        else:  # adrp x16, slot; ldr x17, [x16, slot]; br x17
            jump = struct.pack("<III", 0x90000010, 0xF9400211, 0xD61F0220)
        code.data[at - code.start : at - code.start + len(jump)] = jump
        if self.to is _ARM:
            self._write(code, at, 275, slot)
            self._write(code, at + 4, 286, slot)

    def _called(self) -> set[str]:
        """Names of what stands elsewhere and is referred to."""
        used = (
            self.symbols[info >> 32]
            for section in self.sections
            if section.kind == _RELA and self.sections[section.info].name not in _LEFT_OUT
            for _, info, _ in struct.iter_unpack("<QQq", section.content)
        )
        return {symbol.name for symbol in used if symbol.section == 0}

    def _names(self) -> tuple[bytes, dict[str, int]]:
        table, at = bytearray(1), {}
        for name in (*_NEEDED, *self.wanted, *(s.name for s in self.given)):
            at[name] = len(table)
            table += name.encode() + b"\0"
        return bytes(table), at

    def _hash(self) -> bytes:
        """One chain a symbol is looked for in (System V hash table)."""
        names = ["", *self.wanted, *(s.name for s in self.given)]
        buckets = [0] * max(1, len(self.given) // 2)
        chain = [0] * len(names)
        for k in range(len(self.wanted) + 1, len(names)):
            bucket = _hash_of(names[k]) % len(buckets)
            chain[k], buckets[bucket] = buckets[bucket], k
        words = [len(buckets), len(chain), *buckets, *chain]
        return struct.pack(f"<{len(words)}I", *words)

    def _place(self, piece: _Piece, fits) -> None:  # type: ignore[no-untyped-def]
        for k, section in enumerate(self.sections):
            mapped = section.flags & _ALLOC and section.name not in _LEFT_OUT
            if mapped and section.kind != _RELA and fits(section.flags):
                content = section.content or bytes(section.size)
                self.places[k] = piece.put(content, section.align)

    def _slot(self, name: str, kept: _Piece) -> int:
        """Of a symbol from elsewhere: where the loader writes its address."""
        if name not in self.slots:
            at = kept.put(bytes(8))
            self.slots[name] = at
            info = (1 + self.wanted.index(name)) << 32 | self.to.absolute
            self.dynamic.append((at, info, 0))
        return self.slots[name]

    def _relocate(self, pieces: tuple[_Piece, ...]) -> None:
        for section in self.sections:
            if section.kind != _RELA or section.info not in self.places:
                continue
            base = self.places[section.info]
            piece = next(p for p in pieces if p.start <= base < max(p.end, p.start + 1))
            for offset, info, addend in struct.iter_unpack("<QQq", section.content):
                symbol = self.symbols[info >> 32]
                self._fill(piece, pieces[2], base + offset, info & 0xFFFFFFFF, symbol, addend)

    def _fill(
        self, piece: _Piece, kept: _Piece, place: int, how: int, symbol: _Symbol, addend: int
    ) -> None:
        elsewhere = symbol.section == 0
        target = 0 if elsewhere else self._address(symbol)
        if how in self.to.through:
            slot = self._slot(symbol.name, kept) if elsewhere else self._own_slot(target, kept)
            self._write(piece, place, how, slot + addend)
        elif how == self.to.absolute:
            if piece is not kept:
                raise ObjectError("an absolute address outside of what can be written")
            if elsewhere:
                info = (1 + self.wanted.index(symbol.name)) << 32 | self.to.absolute
                self.dynamic.append((place, info, addend))
            else:
                self.dynamic.append((place, self.to.relative, target + addend))
        elif elsewhere and how not in (*self.to.near, *self.to.branch):
            raise ObjectError(f"{symbol.name}: relocation {how}")
        else:
            target = self.stubs[symbol.name] if elsewhere else target
            self._write(piece, place, how, target + addend)

    def _write(self, piece: _Piece, place: int, how: int, target: int) -> None:
        """Fill in ``place``, of relocation ``how``, so that it says ``target``."""
        at, to = place - piece.start, self.to
        if how == to.far:
            struct.pack_into("<q", piece.data, at, target - place)
        elif how in to.near:
            struct.pack_into("<i", piece.data, at, target - place)
        elif how in to.branch:
            self._set_bits(piece, at, target - place >> 2 & 0x3FFFFFF)
        elif how in to.page_of:
            pages = (target >> 12) - (place >> 12)
            self._set_bits(piece, at, (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5)
        elif how in to.within:
            self._set_bits(piece, at, (target & _LOW_12) >> to.within[how] << 10)
        else:
            raise ObjectError(f"relocation {how}")

    @staticmethod
    def _set_bits(piece: _Piece, at: int, bits: int) -> None:
        (word,) = struct.unpack_from("<I", piece.data, at)
        struct.pack_into("<I", piece.data, at, word | bits)

    def _own_slot(self, target: int, kept: _Piece) -> int:
        at = kept.put(bytes(8))
        self.dynamic.append((at, self.to.relative, target))
        return at

    def _address(self, symbol: _Symbol) -> int:
        if symbol.section not in self.places:
            raise ObjectError(f"{symbol.name} stands in section {symbol.section}, left out")
        return self.places[symbol.section] + symbol.value

    def _write_symbols(self, read: _Piece, at: int, names: dict[str, int]) -> None:
        rows = [(names[name], 0x10, 0, 0) for name in self.wanted]
        rows += [(names[s.name], 0x10, 1, self._address(s)) for s in self.given]
        for k, (name, info, section, value) in enumerate(rows, 1):
            struct.pack_into("<IBBHQQ", read.data, at + 24 * k, name, info, 0, section, value, 0)

    def _write_head(self, pieces: tuple[_Piece, ...], at_dynamic: int, size: int) -> None:
        read, code, kept = pieces
        struct.pack_into(
            "<16sHHIQQQIHHHHHH", read.data, 0, b"\x7fELF\2\1\1" + bytes(9),
            3, self.to.machine, 1, 0, 64, 0, 0, 64, 56, 5, 64, 0, 0,
        )  # fmt: skip
        rows = [
            (1, rights, piece.start, len(piece.data), self.to.page)
            for piece, rights in ((read, 4), (code, 5), (kept, 6))
        ]
        rows += [(2, 6, at_dynamic, size, 8), (0x6474E551, 6, 0, 0, 16)]  # no stack that runs
        for k, (kind, rights, start, length, align) in enumerate(rows):
            struct.pack_into(
                "<IIQQQQQQ", read.data, 64 + 56 * k,
                kind, rights, start, start, start, length, length, align,
            )  # fmt: skip


def shared_object(relocatable: bytes) -> bytes:
    """Link it; raises ObjectError."""
    return _Linker(relocatable).link()
