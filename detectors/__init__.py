"""One page per method: each reads a host's evidence and gives a log-likelihood ratio with reasons.

``detector.py`` has the shape they share, ``score.py`` adds them up.
"""
