"""What is inside a gzip or zstd file; imported where there is one."""

import gzip
import io
import sys
import zlib
from typing import Final, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["FAULTS", "unpacked"]

FAULTS: Final = (EOFError, zlib.error, zstd.ZstdError)
"""What reading it raises where it is damaged or cut short, besides OSError."""


def unpacked(file: io.BufferedReader, is_gzip: bool) -> io.BufferedIOBase:
    """The bytes inside."""
    return cast(io.BufferedIOBase, (gzip.open if is_gzip else zstd.open)(file))
