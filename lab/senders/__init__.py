"""A second laboratory: kinds of senders by what is published of them, to judge the sensor by.

It shares nothing with ``lab.traffic``, on which thresholds were chosen, and knows nothing of the
detectors: it has servers (``world``), how the two sides speak (``smtp``), frames (``wire``) and one
function for each kind of sender (``honest``, ``hostile``). Figures are ranges with their source;
what is assumed says so. ``judge`` runs all kinds through the sensor, the worst first.

    python -m lab.senders.judge --hosts 6 --seed 1
    python -m lab.senders.judge --write DIR     # the captures, one a kind
"""
