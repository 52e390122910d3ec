# SPDX-License-Identifier: Apache-2.0
"""Following files: which content stands in which file, and how far it was read.

::

    identity.py   how a content is known again: its head, and what lies before the place where reading stopped
    rotation.py   pure: contents that are known, files that are seen: which is which; and what can be lost
    splitter.py   pure: bytes into lines; the last one is held back until it ends
    opened.py     shell: an open file, plain or compressed, read behind bytes that have to be the known ones
    scan.py       shell: which files there are
    likeness.py   shell: what stands in them
    strangers.py  those that are not to be read
    finder.py     a look: where known contents stand, and which files hold new ones
    track.py      one content that is followed, and what is told of it
    reader.py     reading what is open
    settings.py   what may be chosen
    tailer.py     all of it at work
"""
