"""A traffic laboratory: a provider's subscribers over days, seeded, and the truth about each.

    python -m lab.traffic OUT.pcap --subscribers 10000 --days 1 --seed 7 [--syns]

``internet.py`` has the mail servers of the world, ``scripts.py`` what is said to them,
``legitimate.py``, ``families.py`` and ``evaders.py`` who says it and how often, ``population.py``
how many there are of each, and ``packets.py`` makes frames of it.

It is a model. Where a figure is published, the docstring next to it names the source; where none
is, it says that it is assumed. What is measured on it holds for senders like these.
"""
