"""How the hosts of the table are spread by their fan-out. Kernels only."""

from typing import Final

from sensor.base.kernel import kernel
from sensor.hosts.layout import META, NETWORKS, NO_DETAIL
from sensor.hosts.windows import WINDOWS

__all__ = ["STEPS", "fan_out"]

STEPS: Final = (1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of the steps but the last, which has none."""
_LAST_HOUR: Final = WINDOWS.index("1 h")
_USED: Final = META["_used"]


@kernel
def fan_out(table, steps):
    """Count in ``steps`` (int64[8]) the hosts seen in the last hour by networks contacted in it.

    As of each host's last connection: nothing is counted anew. A host that did little has one or
    two, those it ever contacted.
    """
    steps[:] = 0
    for h in range(table.meta[_USED]):
        row = table.rows[h]
        if row.last_seen == 0 or row.last_seen < table.cutoffs[_LAST_HOUR]:
            continue
        if row.detail == NO_DETAIL:
            networks = row.dst_size
        else:
            networks = table.details[row.detail].distinct[NETWORKS, _LAST_HOUR]
        if networks == 0:
            continue
        step = 0
        while step < len(STEPS) and networks > STEPS[step]:
            step += 1
        steps[step] += 1
