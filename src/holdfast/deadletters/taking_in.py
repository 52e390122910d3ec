# SPDX-License-Identifier: Apache-2.0
"""Letters that did not die here: put on a group's shelf, each once, however often they are brought.

A letter's id is made of what it is about, so the same thing brought again has the same id. That a letter lies there
would not be enough to know it by: it may have been replayed or discarded in the meantime, and bringing it again must
not undo that. So ids are remembered for longer than whoever brings them remembers what he has brought.
"""

from __future__ import annotations

from .._base.letter_build import Letter
from .._redis.scripts import load_script
from .shelf import Shelf

_TAKE_IN = load_script("holdfast.deadletters", "take_in")
#: For how long it is remembered that a letter was here.
REMEMBERED_DAYS = 400


async def take_in(shelf: Shelf, letter: Letter) -> bool:
    """Puts a letter on the shelf; False when it has been there before. Of a partitioned stream it is the first
    one's."""
    keys = (await shelf.keys())[0]
    return bool(await shelf.link(keys).run(_TAKE_IN, (keys.dead, keys.letters, keys.taken_in), (
        letter.id, REMEMBERED_DAYS * 86_400_000, *letter.fields)))
