"""One file a verb; its name is the verb's (``check_config`` is ``check-config``).

Each has

* ``HELP``: what it is for, as ``port25 --help`` says it;
* ``PLACE``: where it stands there, least first;
* ``arguments(parser)``: what it takes;
* ``run(options)``: what it does; the exit code.

All are imported to know what there is, so what is heavy is imported inside ``run``.
:mod:`~sensor.commands.options` holds options that several verbs take and what they mean,
:mod:`~sensor.commands.terminal` how a verb speaks and stops.
"""
