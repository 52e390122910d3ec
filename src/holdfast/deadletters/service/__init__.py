# SPDX-License-Identifier: Apache-2.0
"""The dead-letter service: takes letters in, judges them by rules, sends them back or asks a person, and says what
became of them.

::

    rules = Rules(Path("rules.yaml"), events)
    service = Service(server, await Desk("sqlite:///desk.db").open(), Wanted(("orders",), ("billing",)), rules)
    await service.run()                       # until service.stop()

Inside::

    deeds.py     replays, repairs, archives: what is done outside. Open this one first
    judging.py   what is done with a letter, by the rules; outcome.py: what became of a replay
    orphans.py   deeds whose doer died; outside.py: what Redis says
    intake.py    letters on their way to the desk; feed.py: one group's; groups.py: whose there are
                 letters of other brokers come by ``deadletters.branch``
    pauses.py    breakers that instances share; telling.py: people are told
    hand.py      what they have in common; engine.py: rounds; service.py: all of it, and its end
    settings.py  the numbers; cases.py, entries.py: letters as the desk keeps them; standing.py: gauges

Who plugs in from outside fulfils a protocol of ``handling.doors`` and is handed to ``Service``:

* ``Mender``: ``check(name, options)`` when rules are read; ``await mend(letter, repairs) -> Mended | None`` when a
  letter is due. What it was and what was sent are kept by their SHA-256 (``desk.kept``).
* ``Teller``: ``await tell(kind, case, why)`` for each thing that people should know (``handling.TALES``), at least
  once. What is to be told lies in the desk until it was (``desk.tells``).

Who acts beside it moves cases by ``Desk.move``, and never touches one that is ``working``. A person's replay is
``manual → scheduled`` with ``action="retry"`` and ``due_ms`` of now (and ``edited``: the SHA-256 of a body that was
kept by ``desk.keep``), which the service then carries out with all its rules; a discard is ``→ discarded`` with
``due_ms`` of its end, an undo ``discarded → manual``. What only one of several instances is to do changes a value of
``desk.shared``.
"""

from __future__ import annotations

from .groups import Wanted, Whose
from .service import Readiness, Service
from .settings import DESK_GROUP, ServiceSettings

__all__ = ["DESK_GROUP", "Readiness", "Service", "ServiceSettings", "Wanted", "Whose"]
