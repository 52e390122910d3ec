# SPDX-License-Identifier: Apache-2.0
"""A process that makes ids under a remembered worker id and says each one. Arguments: URL, pool, file.

It writes an id to stdout before it makes the next one, so that what a SIGKILL leaves unsaid is one block at most.
"""

from __future__ import annotations

import sys
import time

from holdfast.errors import IdsRefused
from holdfast.ids import Generator, WorkerId, layout_called
from holdfast.ids.remembered import Remembered
from holdfast.ids.schemes.redis import RedisWorkers

SUBLET_S = 0.9


def main(url: str, pool: str, path: str) -> None:
    scheme = Remembered(RedisWorkers(url, pool=pool), path, store_window_s=60)
    with WorkerId(scheme, name="remembering", window_s=SUBLET_S) as worker:
        ids = Generator(layout_called("snowflake"), worker)
        while True:
            try:
                said = "\n".join(map(str, [ids.strict_id(), *ids.next_ids(50)]))
            except IdsRefused as refused:
                said = f"refused: {refused}"
            sys.stdout.write(said + "\n")
            sys.stdout.flush()
            time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:])
