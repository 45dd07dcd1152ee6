"""Details and sketches: who has one, and who gives his up. Kernels only.

``table`` says what is dear. A host's detail is filled in ``details``.
"""

from typing import Final

import numpy as np

from sensor.base.free_list import give_row, take_row
from sensor.base.kernel import kernel
from sensor.hosts.distinct import EXACT, NO_SKETCH, fill_sketch, remember
from sensor.hosts.layout import ADDRESSES, LOOK_AT, META

__all__ = ["free_detail", "free_sketch", "new_sketch"]

_DETAILS: Final = META["details"]
_DETAILS_USED: Final = META["_details_used"]
_DETAILS_FREED: Final = META["_details_freed"]
_SKETCHES: Final = META["sketches"]
_SKETCHES_REFUSED: Final = META["sketches_refused"]
_SKETCHES_TAKEN: Final = META["sketches_taken"]
_SKETCHES_USED: Final = META["_sketches_used"]
_SKETCHES_FREED: Final = META["_sketches_freed"]
_SKETCHES_HAND: Final = META["_sketches_hand"]
_ZERO = np.uint64(0)


@kernel
def free_detail(table, d):
    """Give detail ``d`` back, and its sketches."""
    meta = table.meta
    table.details[d].owner = -1
    for which in range(2):
        free_sketch(table, d, which)
    give_row(table.details_free, meta, _DETAILS_FREED, d)
    meta[_DETAILS] -= 1


@kernel
def free_sketch(table, d, which):
    """Give the sketch of a list of detail ``d`` back, if it has one."""
    sketch = np.int64(table.details[d].sketch[which])
    if sketch != NO_SKETCH:
        meta = table.meta
        give_row(table.sketches_free, meta, _SKETCHES_FREED, sketch)
        meta[_SKETCHES] -= 1
        table.details[d].sketch[which] = NO_SKETCH


@kernel
def _take_sketch(table, d):
    """Free a sketch for detail ``d`` of a proven host, if one of an unproven is near; whether."""
    meta = table.meta
    used = meta[_DETAILS_USED]
    if table.rows[np.int64(table.details[d].owner)].proven == 0:
        return False
    hand = meta[_SKETCHES_HAND]
    meta[_SKETCHES_HAND] = (hand + LOOK_AT) % max(1, used)
    for k in range(min(LOOK_AT, used)):
        other = (hand + k) % used
        owner = np.int64(table.details[other].owner)
        if owner < 0 or table.rows[owner].proven:
            continue
        for which in range(2):
            if table.details[other].sketch[which] != NO_SKETCH:
                free_sketch(table, other, which)
                meta[_SKETCHES_TAKEN] += 1
                return True
    return False


@kernel
def new_sketch(table, d, which, tick):
    """Give a full list its sketch, fed with all of the list, and that of addresses a memory."""
    meta = table.meta
    sketch = take_row(table.sketches_free, meta, _SKETCHES_USED, _SKETCHES_FREED)
    if sketch < 0 and _take_sketch(table, d):
        sketch = take_row(table.sketches_free, meta, _SKETCHES_USED, _SKETCHES_FREED)
    if sketch < 0:
        meta[_SKETCHES_REFUSED] += 1
        return
    meta[_SKETCHES] += 1
    table.details[d].sketch[which] = sketch
    cells = table.cells[sketch]
    cells[:, :] = 0
    memory = table.memories[sketch]
    if which == ADDRESSES:
        memory.bits[:, :] = _ZERO
        memory.size = 0
        memory.since = tick
    for i in range(EXACT):
        hi = table.details[d].keys[which, i, 1]
        lo = table.details[d].keys[which, i, 0]
        fill_sketch(cells, hi, lo, np.int64(table.details[d].ticks[which, i]))
        if which == ADDRESSES:
            remember(memory, hi, lo, tick)
