"""What a busy host did: counters by pane, lists and sketches of its destinations. Kernels only."""

from typing import Final

import numpy as np

from sensor.base.free_list import take_row
from sensor.base.kernel import inner, kernel, prefetch, prefetch_part, routine
from sensor.hosts.answers import clear_answers
from sensor.hosts.conduct import clear_conduct
from sensor.hosts.distinct import (
    EXACT,
    NO_SKETCH,
    count_exact,
    count_sketch,
    fill_sketch,
    remember,
    touch,
)
from sensor.hosts.evidence import Count
from sensor.hosts.identities import clear_identities
from sensor.hosts.layout import (
    ADDRESSES,
    DESTINATIONS,
    DETAIL,
    LOOK_AT,
    META,
    NETWORKS,
    NO_ALERT,
    NO_DETAIL,
    OF_FIRST,
    PLACE,
    WHICH,
)
from sensor.hosts.met import clear_met
from sensor.hosts.proof import clear
from sensor.hosts.settled import SHOWN
from sensor.hosts.sketches import free_detail, free_sketch, new_sketch
from sensor.hosts.table import PROVEN_WORTH, forget
from sensor.hosts.windows import DAY, WINDOWS, add, advance, in_window

__all__ = ["bring_up", "contact_detail", "count_detail", "count_distinct", "network", "promote"]

IN_A_ROW: Final = 3
"""Connections that fail one after the other before a host is taken to be cut off."""
ANSWERED_BEFORE: Final = 10
"""First contacts of the day that must have been answered, four times as many as failed."""
_LATELY: Final = 60
"""Seconds; of details of hosts seen since then, nothing proven, one in so many goes to another of
which nothing is proven, in a second."""
_ALERT_WORTH: Final = 1 << 36
"""Of a host with an open alert: more seconds than there are, and less than PROVEN_WORTH."""
_N: Final = len(WINDOWS)
_OWNER: Final = DETAIL.fields["owner"][1]  # type: ignore[index]
_REFUSED: Final = META["hosts_refused"]
_DETAILS: Final = META["details"]
_DETAILS_EVICTED: Final = META["details_evicted"]
_DETAILS_EVICTED_PROVEN: Final = META["details_evicted_proven"]
_DETAILS_TAKEN: Final = META["details_taken"]
_DETAILS_REFUSED: Final = META["details_refused"]
_DETAILS_USED: Final = META["_details_used"]
_DETAILS_FREED: Final = META["_details_freed"]
_DETAILS_HAND: Final = META["_details_hand"]
_CROWDED: Final = META["_details_crowded"]
_GIVEN: Final = META["_details_given"]
_EXCUSED: Final = META["failures_excused"]
_SYNS: Final = int(Count.SYNS)
_FAILED_REFUSED: Final = int(Count.REFUSED)
_FAILED_UNANSWERED: Final = int(Count.UNANSWERED)
_RETRIES: Final = int(Count.RETRIES)
_ANSWERED: Final = int(Count.ANSWERED)
_FIRST_ANSWERED: Final = int(Count.FIRST_ANSWERED)
_FIRST_FAILED: Final = int(Count.FIRST_FAILED)
_SHIFT = np.uint64(32)
_ZERO = np.uint64(0)
_MAPPED_PREFIX = np.uint64(0xFFFF)
_NOT_BYTE = np.uint64(0xFFFFFFFFFFFFFF00)
_NOT_SUBNET = np.uint64(0xFFFFFFFFFFFF0000)


@kernel
def _least_dear(table, proven):
    """The host whose detail goes to one that is ``proven`` or not; -1: none may."""
    meta = table.meta
    used = meta[_DETAILS_USED]
    hand = meta[_DETAILS_HAND]
    looked = min(LOOK_AT, used)
    for k in range(looked):  # they are anywhere in memory, and come together
        prefetch_part(table.details, (hand + k) % used, _OWNER)
    for k in range(looked):
        prefetch(table.rows, np.int64(table.details[(hand + k) % used].owner))
    best = -1
    best_worth = np.int64(0)
    for k in range(looked):
        owner = np.int64(table.details[(hand + k) % used].owner)
        row = table.rows[owner]
        if row.proven and (row.alert != NO_ALERT or not proven):
            continue
        worth = np.int64(row.last_seen) + (PROVEN_WORTH if row.proven else 0)
        worth += _ALERT_WORTH if row.alert != NO_ALERT else 0
        if best < 0 or worth < best_worth:
            best = owner
            best_worth = worth
    meta[_DETAILS_HAND] = (hand + LOOK_AT) % max(1, used)
    return best


@inner
def _is_kept_out(meta, tick):
    """Whether a host of which nothing is proven must wait for a detail.

    Where more hosts are busy than there are details, all of them would take turns, and none be
    known for longer than that.
    """
    return meta[_CROWDED] == tick and meta[_GIVEN] * _LATELY >= meta[_DETAILS_USED]


@inner
def _note_given(meta, last_seen, tick):
    """A detail goes to another host; that which had it was seen at ``last_seen``."""
    if last_seen + _LATELY <= tick:
        return
    if meta[_CROWDED] != tick:
        meta[_CROWDED] = tick
        meta[_GIVEN] = 0
    meta[_GIVEN] += 1


@kernel
def _new_detail(table, h, tick):
    """A detail for host ``h``, emptied; -1 when there is no room."""
    meta = table.meta
    d = take_row(table.details_free, meta, _DETAILS_USED, _DETAILS_FREED)
    if d < 0:
        proven = table.rows[h].proven > 0
        owner = -1
        if proven or not _is_kept_out(meta, tick):
            owner = _least_dear(table, proven)
        if owner < 0:
            meta[_REFUSED if proven else _DETAILS_REFUSED] += 1
            return -1
        row = table.rows[owner]
        _note_given(meta, np.int64(row.last_seen), tick)
        if row.alert == NO_ALERT:
            meta[_DETAILS_EVICTED] += 1
            meta[_DETAILS_EVICTED_PROVEN] += row.proven > 0
            forget(table, owner)
        else:
            meta[_DETAILS_TAKEN] += 1
            free_detail(table, np.int64(row.detail))
            row.detail = NO_DETAIL
            row.log_size = 0
            row.dst_size = 0
        d = take_row(table.details_free, meta, _DETAILS_USED, _DETAILS_FREED)
    meta[_DETAILS] += 1
    detail = table.details[d]
    detail.owner = h
    detail.failing = 0
    detail.panes[:, :] = 0
    detail.totals[:] = 0
    detail.earlier[:, :] = 0
    detail.distinct[:, :] = 0
    detail.sizes[:] = 0
    detail.sketch[:] = NO_SKETCH
    detail.at = tick
    detail.counted = 0
    detail.fed = 0
    detail.settled = 0
    clear(detail, tick)
    clear_conduct(detail, tick)
    clear_identities(detail, tick)
    clear_met(detail, tick)
    clear_answers(detail, tick)
    return d


@kernel
def bring_up(table, d, tick):
    """Move a detail's counters to ``tick``."""
    detail = table.details[d]
    if detail.at != tick:
        advance(detail.panes, detail.totals, detail.earlier, np.int64(detail.at), tick)
        detail.at = tick


@kernel
def count_distinct(table, d, tick):
    """Count a detail's destinations as of ``tick``.

    In one tick lists keep the counts; sketches are read again when they may hold an eighth more.
    """
    detail = table.details[d]
    if detail.counted == tick and detail.fed < max(EXACT, detail.distinct[ADDRESSES, 0]) // 8:
        return
    for which in range(2):
        distinct = detail.distinct[which]
        count_exact(detail.ticks[which], detail.sizes[which], table.cutoffs, distinct)
        sketch = np.int64(detail.sketch[which])
        if sketch != NO_SKETCH:
            if distinct[DAY] < EXACT // 2:
                free_sketch(table, d, which)  # the list alone is exact again
            else:
                count_sketch(table.cells[sketch], table.cutoffs, distinct, table.work)
    detail.counted = tick
    detail.fed = 0


@routine
def _touch(table, d, which, hi, lo, tick):
    detail = table.details[d]
    known, moved, size = touch(
        detail.tags[which], detail.keys[which], detail.ticks[which],
        np.int64(detail.sizes[which]), hi, lo, tick, table.cutoffs, detail.distinct[which],
    )  # fmt: skip
    detail.sizes[which] = size
    if moved:
        detail.settled = 0
    if size == EXACT:
        sketch = np.int64(detail.sketch[which])
        if sketch == NO_SKETCH:
            if not known:
                new_sketch(table, d, which, tick)
        else:
            fill_sketch(table.cells[sketch], hi, lo, tick)
            if which == ADDRESSES:
                detail.fed += not known
                known |= remember(table.memories[sketch], hi, lo, tick)
    return known


@kernel
def network(hi, lo):
    """The /24 of an IPv4 address, the /48 of an IPv6 one."""
    if hi == _ZERO and lo >> _SHIFT == _MAPPED_PREFIX:
        return hi, lo & _NOT_BYTE
    return hi & _NOT_SUBNET, _ZERO


@inner
def _add(detail, counter, tick):
    add(detail.panes, detail.totals, detail.earlier, np.int64(detail.at), tick, counter)


@inner
def _counted(detail, counter, w):
    """Of a Count from SYNS on, in window ``w``."""
    return in_window(detail.totals, detail.earlier, counter - _SYNS, w)


@kernel
def contact_detail(table, d, hi, lo, tick):
    """A connection to ``hi:lo``, in detail ``d``; whether that was contacted in the last day."""
    net_hi, net_lo = network(hi, lo)
    _touch(table, d, NETWORKS, net_hi, net_lo, tick)
    known = _touch(table, d, ADDRESSES, hi, lo, tick)
    detail = table.details[d]
    _add(detail, 0, tick)
    for w in range(_N):
        # Where contacts are all that keeps an estimate low, one more lets it rise.
        contacts = _counted(detail, _SYNS, w) - _counted(detail, _RETRIES, w)
        if contacts <= np.int64(detail.distinct[ADDRESSES, w]):
            detail.settled = 0
    return known


@kernel
def _is_cut_off(detail):
    """Whether a host whose servers used to answer hears from nobody any more.

    Then its own line, its provider's route or its resolver is down, and not its list of recipients
    bad: see ``detectors/first_contact.py``.
    """
    answered = _counted(detail, _FIRST_ANSWERED, DAY)
    failed = _counted(detail, _FIRST_FAILED, DAY)
    return detail.failing > IN_A_ROW and answered >= ANSWERED_BEFORE and failed * 4 <= answered


@kernel
def count_detail(table, d, counter, first, tick):
    """One more of ``counter`` in detail ``d``, and where ``first``, of first contacts."""
    detail = table.details[d]
    if counter == _FAILED_UNANSWERED:
        matters = first and detail.settled_as & SHOWN  # else nothing is concluded from silence
    else:
        matters = first or counter > _RETRIES
    if matters:
        detail.settled = 0
    _add(detail, counter - _SYNS, tick)
    if counter == _ANSWERED:
        detail.failing = 0
    elif counter == _FAILED_REFUSED or counter == _FAILED_UNANSWERED:
        detail.failing += 1
    if first and counter >= _ANSWERED:
        if counter != _ANSWERED and _is_cut_off(detail):
            table.meta[_EXCUSED] += 1
            return
        of_first = _FIRST_ANSWERED if counter == _ANSWERED else _FIRST_FAILED
        _add(detail, of_first - _SYNS, tick)


@routine
def promote(table, h, tick):
    """Move a host's log into a new detail; False when there is no room."""
    d = _new_detail(table, h, tick)
    if d < 0:
        return False
    row = table.rows[h]
    for k in range(row.log_size):
        code = np.int64(row.log_code[k])
        when = np.int64(row.log_tick[k])
        counter = code & WHICH
        if counter == _SYNS and code >> PLACE < DESTINATIONS:
            which = code >> PLACE
            contact_detail(table, d, row.dst_hi[which], row.dst_lo[which], when)
        else:
            count_detail(table, d, counter, (code & OF_FIRST) > 0, when)
    row.detail = d
    row.log_size = 0
    row.dst_size = 0
    return True
