"""Whether a busy host must be weighed again. Kernels only.

A host that was weighed in this second and is *settled* need not be: to weigh it once more would
come to the same, and what came of it was done. It is unsettled by all that can raise what any
detector says, or change what is proven: by anything but

    a SYN that comes again, or a connection to whom the host was at within ten seconds
    one that was not answered, to whom the host was at before, or where the mirror shows no replies

of which the former changes nothing that is read, but where an estimate of destinations is cut down
to the contacts there were (``activity.collect``; then it unsettles), and the latter only lowers
what is said of failed first contacts (``detectors/first_contact.py``: who tries again is patient),
or is not read.
A second later it is weighed anew, since windows have moved; but not for a connection that was not
answered, where the mirror shows no replies: then when the host next does anything.
"""

from typing import Final

import numpy as np

from sensor.base.kernel import kernel
from sensor.hosts.layout import NO_DETAIL

__all__ = ["FOLDS", "SHOWN", "is_settled", "settle", "unsettle"]

SHOWN: Final = 1
"""Bit of ``settled_as``: the mirror showed what becomes of connections."""
FOLDS: Final = 2
"""The host's alert found no room in the share of those of which nothing is proven."""


@kernel
def unsettle(table, h):
    """Weigh host ``h`` when it next does anything."""
    if table.rows[h].detail != NO_DETAIL:
        table.details[np.int64(table.rows[h].detail)].settled = 0


@kernel
def settle(table, h, tick, bits):
    """Host ``h`` was weighed at ``tick``, and that again would change nothing; ``bits`` hold."""
    if table.rows[h].detail != NO_DETAIL:
        detail = table.details[np.int64(table.rows[h].detail)]
        detail.settled = tick + 1
        detail.settled_as = bits


@kernel
def is_settled(table, h, tick, bits, folds):
    """Whether host ``h`` is settled at ``tick``, where ``bits`` hold.

    ``folds``: whether an alert of which nothing is proven would find no room, as it did.
    """
    if table.rows[h].detail == NO_DETAIL:
        return False
    detail = table.details[np.int64(table.rows[h].detail)]
    before = np.int64(detail.settled_as)
    return detail.settled == tick + 1 and before & SHOWN == bits and (folds or before & FOLDS == 0)
