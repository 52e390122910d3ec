# SPDX-License-Identifier: Apache-2.0
"""Consumer names. A name is an incarnation (``_base.incarnation``): new at every start, never reused.

``<host>-<pid>-hf<10 letters>``. Host and pid are for people; the random part makes it an incarnation. The pattern
matters: a name of this pattern without a lease is dead and may be taken over, any other name belongs to somebody else.
"""

from __future__ import annotations

import re

OURS = re.compile(r"^.+-\d+-hf[0-9a-z]{10}$")
