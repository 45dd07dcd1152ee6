"""The hello messages of TLS as far as they are in clear: version, server name, ALPN. Kernels only.

A walk over the bytes as they come, in pieces of any size, across records; nothing is buffered but
the names. The layouts are those of RFC 8446, 4.1.2 and 4.1.3 (the same since TLS 1.0); SNI is RFC
6066, 3, ALPN RFC 7301, 3.1, supported_versions RFC 8446, 4.2.1. What follows a hello is not read.
"""

from typing import Final

from sensor.base.byteorder import u8
from sensor.base.kernel import kernel, routine
from sensor.smtp.session import MECHANISM, NAME

__all__ = ["DONE", "hello"]

# What the bytes read next are: integers of so many bytes, or bytes to pass over.
_TYPE: Final = 0  # 1 byte
_LENGTH: Final = 1  # 3
_VERSION: Final = 2  # 2
_RANDOM: Final = 3  # passed over
_ID_SIZE: Final = 4  # 1
_ID: Final = 5  # passed over
_CIPHERS_SIZE: Final = 6  # 2: their size, or the one the server chose
_CIPHERS: Final = 7  # passed over
_COMPRESSION_SIZE: Final = 8  # 1: their size, or the one the server chose
_COMPRESSION: Final = 9  # passed over
_EXTENSIONS_SIZE: Final = 10  # 2
_EXTENSION: Final = 11  # 4: type and size
_BODY: Final = 12  # of an extension, passed over
_SNI_HEAD: Final = 13  # 5: size of the list, type of the name, its size
_SNI: Final = 14  # the name
_ALPN_HEAD: Final = 15  # 3: size of the list, size of the first name
_ALPN: Final = 16  # the name
_VERSIONS_SIZE: Final = 17  # 1
_VERSIONS: Final = 18  # 2 each
_CHOSEN_VERSION: Final = 19  # 2
DONE: Final = 20  # nothing more is read

_HANDSHAKE: Final = 22
_HEADS: Final = 9
"""Bytes of a record's head and of a handshake message's."""
_SERVER: Final = 1


@kernel
def _next(s, side, state, need):
    """Read ``need`` bytes next, as those of ``state``."""
    s.hello_state[side] = state
    s.hello_need[side] = need
    s.hello_got[side] = 0


@kernel
def _next_extension(s, side):
    """Go on with the next extension, or end."""
    if s.hello_left[side] >= 4:
        _next(s, side, _EXTENSION, 4)
    else:
        s.hello_state[side] = DONE


@kernel
def _pass(s, side, state, size):
    """Pass over ``size`` bytes; when there are none, what follows them comes at once."""
    _next(s, side, state, size)
    if size == 0:
        _passed(s, side)


@kernel
def _passed(s, side):
    """The bytes to pass over are over: what follows them."""
    state = s.hello_state[side]
    if state == _RANDOM:
        _next(s, side, _ID_SIZE, 1)
    elif state == _ID:
        _next(s, side, _CIPHERS_SIZE, 2)
    elif state == _CIPHERS:
        _next(s, side, _COMPRESSION_SIZE, 1)
    elif state == _COMPRESSION:
        _next(s, side, _EXTENSIONS_SIZE, 2)
    else:
        _next_extension(s, side)


@kernel
def _version(s, value, chosen):
    """The server's choice stands; of the client's offers the highest (GREASE: RFC 8701)."""
    if value & 0x0F0F != 0x0A0A and (chosen or value > s.tls_version):
        s.tls_version = value


@kernel
def _read(s, side, state, value):
    """The integer of a state is complete: what it says, and what follows it."""
    if state == _TYPE:
        if value == 1 + side:  # ClientHello, ServerHello
            _next(s, side, _LENGTH, 3)
        else:
            s.hello_state[side] = DONE
    elif state == _LENGTH:
        if side != _SERVER:
            s.hello_size = value + _HEADS
        _next(s, side, _VERSION, 2)
    elif state == _VERSION:
        _version(s, value, side == _SERVER)
        _next(s, side, _RANDOM, 32)
    elif state == _ID_SIZE:
        _pass(s, side, _ID, value)
    elif state == _CIPHERS_SIZE:
        _pass(s, side, _CIPHERS, 0 if side == _SERVER else value)
    elif state == _COMPRESSION_SIZE:
        _pass(s, side, _COMPRESSION, 0 if side == _SERVER else value)
    elif state == _EXTENSIONS_SIZE:
        s.hello_left[side] = value
        _next_extension(s, side)
    elif state == _EXTENSION:
        kind = value >> 16
        size = value & 0xFFFF
        s.hello_left[side] -= 4 + size
        s.hello_extension[side] = size
        if kind == 0 and side == 0 and size >= 5:
            _next(s, side, _SNI_HEAD, 5)
        elif kind == 16 and size >= 3:
            _next(s, side, _ALPN_HEAD, 3)
        elif kind == 43 and side == 0 and size >= 1:
            _next(s, side, _VERSIONS_SIZE, 1)
        elif kind == 43 and side == _SERVER and size == 2:
            _next(s, side, _CHOSEN_VERSION, 2)
        else:
            _pass(s, side, _BODY, size)
    elif state == _SNI_HEAD:
        size = value & 0xFFFF
        if value >> 16 & 0xFF == 0 and 0 < size <= s.hello_extension[side] - 5:
            s.hello_extension[side] -= 5 + size
            s.sni_size = 0
            _next(s, side, _SNI, size)
        else:
            _pass(s, side, _BODY, s.hello_extension[side] - 5)
    elif state == _ALPN_HEAD:
        size = value & 0xFF
        if 0 < size <= s.hello_extension[side] - 3:
            s.hello_extension[side] -= 3 + size
            s.alpn_size = 0
            _next(s, side, _ALPN, size)
        else:
            _pass(s, side, _BODY, s.hello_extension[side] - 3)
    elif state == _VERSIONS_SIZE:
        s.hello_extension[side] -= 1
        _versions(s, side)
    elif state == _VERSIONS:
        _version(s, value, False)
        s.hello_extension[side] -= 2
        _versions(s, side)
    else:  # _CHOSEN_VERSION
        _version(s, value, True)
        _next_extension(s, side)


@kernel
def _versions(s, side):
    """Go on with the next of the client's versions, or pass over the rest."""
    if s.hello_extension[side] >= 2:
        _next(s, side, _VERSIONS, 2)
    else:
        _pass(s, side, _BODY, s.hello_extension[side])


@kernel
def _name(s, side, state, byte):
    """One byte of a server name or protocol name."""
    if state == _SNI:
        if s.sni_size < NAME:
            s.sni[s.sni_size] = byte
            s.sni_size += 1
    elif s.alpn_size < MECHANISM:
        s.alpn[s.alpn_size] = byte
        s.alpn_size += 1
    s.hello_need[side] -= 1
    if s.hello_need[side] == 0:
        _pass(s, side, _BODY, s.hello_extension[side])


@routine
def hello(s, side, data, a, b):
    """Walk on over ``data[a:b]``, the next bytes of this side (0 client, 1 server).

    The first call must have ``hello_state`` 0 and ``hello_need`` 0.
    """
    if s.hello_need[side] == 0 and s.hello_state[side] == _TYPE:
        _next(s, side, _TYPE, 1)
        s.record_left[side] = -5
    while a < b and s.hello_state[side] != DONE:
        left = s.record_left[side]
        if left < 0:  # type[1] version[2] length[2] of a record
            byte = u8(data, a)
            a += 1
            if left == -5 and byte != _HANDSHAKE:
                s.hello_state[side] = DONE
            s.record_head[side] = (s.record_head[side] << 8 | byte) & 0xFFFF
            s.record_left[side] = left + 1
            if left == -1:
                s.record_left[side] = s.record_head[side] if s.record_head[side] else -5
            continue
        state = s.hello_state[side]
        step = 1
        if state == _SNI or state == _ALPN:
            _name(s, side, state, u8(data, a))
        elif (
            state == _RANDOM
            or state == _ID
            or state == _CIPHERS
            or state == _COMPRESSION
            or state == _BODY
        ):
            step = min(b - a, s.hello_need[side], left)
            s.hello_need[side] -= step
            if s.hello_need[side] == 0:
                _passed(s, side)
        else:
            s.hello_got[side] = s.hello_got[side] << 8 | u8(data, a)
            s.hello_need[side] -= 1
            if s.hello_need[side] == 0:
                _read(s, side, state, s.hello_got[side])
        a += step
        left -= step
        s.record_left[side] = left if left else -5
