# SPDX-License-Identifier: Apache-2.0
"""Parsers: the bytes of a line into fields, or the reason why not.

::

    parser.py   what all have in common: required fields, the event's time; ``parser_called`` makes one by its name
    objects.py  json: one object a line, strict. delimited.py: csv. pairs.py: logfmt. patterns.py: text. plain.py: raw
    times.py    the event's time, as lines write it
"""
