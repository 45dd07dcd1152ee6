"""Whose hosts a person sees, in the questions that files are asked.

Who is bound to prefixes is so in every query: what lies beyond is not read, not counted, and not
acted on, and it cannot be told from what does not exist. An alert is seen where its host lies
within, and of a known customer every address that it ever named; one who moves out of the prefixes
takes the alert with him.
"""

from sensor.base.access import Reach
from sensor.state.journal import Condition

__all__ = ["alerts_within", "hosts_within"]

_ALL: Condition = ("1", ())


def hosts_within(reach: Reach) -> Condition:
    """On tables with a ``host``, once SQL knows the reach."""
    return _ALL if reach.everything else (f"{reach.sql_name}(host)", ())


def alerts_within(reach: Reach) -> Condition:
    """On ``heads``, once SQL knows the reach."""
    if reach.everything:
        return _ALL
    covers = reach.sql_name
    his = "FROM alerts AS a"
    had = f"{his}, json_each(CAST(a.message AS TEXT), '$.addresses') AS had"
    beyond = (
        f"EXISTS (SELECT 1 {his} WHERE a.thread = heads.thread AND NOT {covers}(a.host))"
        f" OR EXISTS (SELECT 1 {had} WHERE a.thread = heads.thread"
        f" AND NOT {covers}(had.value ->> 'address'))"
    )
    return f"({covers}(host) AND (customer = '' OR NOT ({beyond})))", ()
