"""Is all as a sensor needs it? Each check looks at one thing, and says what to do about it.

A check is a file in ``sensor/doctor/checks/``, with ``PLACE``, its number in the report, and

    def look(patient: Patient) -> Iterator[Finding]

Nothing names it elsewhere. It never raises, changes nothing, and needs a few seconds at most.
"""
