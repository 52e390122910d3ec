# SPDX-License-Identifier: Apache-2.0
"""Serf's layer without its sockets: what it decides, given what came, the time and chance.

Inside::

    layer.py          all of it, for one member. Open this first
    messages.py       what is told, as records; effects.py what is to be done, and the settings
    members.py        who left and who failed; intents.py what was announced of strangers; clock.py the order of it
    recent.py         what was heard, so that nothing is told twice
    queries.py, filters.py    asking everybody, and whom a question is for
    key_queries.py, conflict.py    changing keys so; of two members with one name, which one goes
    coordinates.py    how far members are from each other

``Layer`` is imported from its file: ``wire`` imports ``messages`` from here, and this door opens neither.
"""

from __future__ import annotations
