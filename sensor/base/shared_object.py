"""A relocatable object made a shared one, which the system's loader maps: no linker is needed.

For the one kind of object that the kernels become: position-independent code for x86-64 under the
small code model, of one module, which calls nothing but a few functions of the C library. Laid out
as three pieces, each on pages of its own, so that nothing that can be written can be run: what is
only read, code, and what the loader fills in (ELF-64, System V ABI, AMD64 supplement 1.0).
"""

import struct
from typing import Final, NamedTuple

__all__ = ["ObjectError", "shared_object"]


class ObjectError(Exception):
    """The object holds something that no kernel becomes; says what."""


_PAGE: Final = 0x1000
_PROGBITS, _SYMTAB, _RELA, _NOBITS = 1, 2, 4, 8
_WRITE, _ALLOC, _EXECUTE = 1, 2, 4
# How a place is filled in: S symbol, A addend, P the place itself, G its slot in the table.
_64, _PC32, _GOT32, _PLT32, _32S, _PC64, _GOTX, _REX_GOTX = 1, 2, 9, 4, 11, 24, 41, 42
_VIA_TABLE = (_GOT32, _GOTX, _REX_GOTX)
_RELATIVE: Final = 8
_LEFT_OUT = (".eh_frame",)  # nothing is ever unwound
_NEEDED = ("libm.so.6", "libc.so.6")


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


def _sections(data: bytes) -> list[_Section]:
    if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
        raise ObjectError("no relocatable object for x86-64")
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
        code = _Piece(-(-read.end // _PAGE) * _PAGE)
        self._place(code, lambda flags: bool(flags & _EXECUTE))
        stubs = code.put(bytes(16 * len(self.wanted)), 16)
        kept = _Piece(-(-code.end // _PAGE) * _PAGE)
        self._place(kept, lambda flags: bool(flags & _WRITE))
        pieces = (read, code, kept)
        for k, name in enumerate(self.wanted):
            self._slot(name, kept)
            self.stubs[name] = stubs + 16 * k
            jump = b"\xff\x25" + struct.pack("<i", self.slots[name] - (stubs + 16 * k) - 6)
            code.data[stubs + 16 * k - code.start : stubs + 16 * k - code.start + 6] = jump
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
            self.dynamic.append((at, (1 + self.wanted.index(name)) << 32 | _64, 0))
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
        if how in _VIA_TABLE:
            if elsewhere:
                target = self._slot(symbol.name, kept)
            else:
                target = self._own_slot(target, kept)
        elif elsewhere and how in (_PLT32, _PC32):
            target = self.stubs[symbol.name]
        elif elsewhere and how != _64:
            raise ObjectError(f"{symbol.name}: relocation {how}")
        at = place - piece.start
        if how == _64:
            if piece is not kept:
                raise ObjectError("an absolute address outside of what can be written")
            if elsewhere:
                self.dynamic.append(
                    (place, (1 + self.wanted.index(symbol.name)) << 32 | _64, addend)
                )
            else:
                self.dynamic.append((place, _RELATIVE, target + addend))
        elif how == _PC64:
            struct.pack_into("<q", piece.data, at, target + addend - place)
        elif how in (_PC32, _PLT32, *_VIA_TABLE):
            struct.pack_into("<i", piece.data, at, target + addend - place)
        else:
            raise ObjectError(f"{symbol.name}: relocation {how}")

    def _own_slot(self, target: int, kept: _Piece) -> int:
        at = kept.put(bytes(8))
        self.dynamic.append((at, _RELATIVE, target))
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

    @staticmethod
    def _write_head(pieces: tuple[_Piece, ...], at_dynamic: int, size: int) -> None:
        read, code, kept = pieces
        struct.pack_into(
            "<16sHHIQQQIHHHHHH", read.data, 0, b"\x7fELF\2\1\1" + bytes(9),
            3, 62, 1, 0, 64, 0, 0, 64, 56, 5, 64, 0, 0,
        )  # fmt: skip
        rows = [
            (1, rights, piece.start, len(piece.data), _PAGE)
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
