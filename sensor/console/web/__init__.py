"""The web page: ``server`` serves it, ``auth`` says to whom, ``api`` answers, ``static`` shows.

The page is a program in the browser that asks the same API as everybody else (docs/web.md).
"""
