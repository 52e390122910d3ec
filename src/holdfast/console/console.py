# SPDX-License-Identifier: Apache-2.0
"""What the console looks at: a server, a desk and worker ids, each opened when first asked for.

One that could not be opened is tried again. So the console starts while they are away, says so, and works once they
are there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._base.clock import Clock, SystemClock
from .._base.secret import Secret
from ..deadletters.shelf import Shelf
from ..errors import HoldfastError, ServerUnreachable
from .brokers import Brokers
from .flashes import Flashes
from .running import Running
from .sessions import Sessions
from .settings import ConsoleSettings
from .sign_in import Doorkeeper, User
from .taking_in import TakingIn
from .watching import Watching

if TYPE_CHECKING:
    from .._redis.server import Server
    from ..deadletters.applied import Applied
    from ..deadletters.desk import Desk
    from ..ids.scheme import Holding


class Console:
    """open_server, open_desk: make them; asked again when they failed. users: who may sign in. tokens: who may ask
    the API, by name; a name begins with its role (``viewer.grafana``). holders: worker ids that are held, by pool.
    applied_of: who knows which effects of a stream's group are there, for replays; default: the records beside it.
    brokers: URLs of other brokers that jobs may redirect letters to."""

    def __init__(self, open_server: Callable[[], Awaitable[Server]], open_desk: Callable[[], Awaitable[Desk]], *,
                 settings: ConsoleSettings | None = None, users: Mapping[str, User] | None = None,
                 tokens: Sequence[tuple[str, Secret[str]]] = (), clock: Clock | None = None,
                 holders: Callable[[], Awaitable[Sequence[Holding]]] | None = None,
                 applied_of: Callable[[str, str], Applied] | None = None,
                 brokers: Sequence[Secret[str]] = ()) -> None:
        self.settings = settings or ConsoleSettings()
        self.clock = clock or SystemClock()
        self.sessions = Sessions(self.clock)
        self.flashes = Flashes(self.clock)
        self.doorkeeper = Doorkeeper(users or {}, self.clock)
        self.tokens = tuple(tokens)
        self.holders = holders
        self.applied_of = applied_of
        self.brokers = Brokers(brokers)
        self.stopping = asyncio.Event()
        #: How many listen to ``/api/live``, by name.
        self.listening: Counter[str] = Counter()
        self.watching = Watching(self)
        self.taking_in = TakingIn(self)
        self.running = Running(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._opening: dict[str, Callable[[], Awaitable[Any]]] = {"server": open_server, "desk": open_desk}
        self._opened: dict[str, Any] = {}
        self._one = asyncio.Lock()

    async def server(self) -> Server:
        """The server. Raises ServerUnreachable."""
        found: Server = await self._had("server")
        return found

    async def desk(self) -> Desk:
        """The desk. Raises ServerUnreachable."""
        found: Desk = await self._had("desk")
        return found

    async def shelf(self, logical: str, group: str) -> Shelf:
        """A group's dead letters. Raises ServerUnreachable."""
        return Shelf(await self.server(), logical, group, prefix=self.settings.letter_prefix)

    def begin(self) -> None:
        """Begins what goes on without being asked: jobs whose runner died are taken up."""
        self.spawn(self.running.take_up())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the console."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _had(self, name: str) -> Any:
        if name not in self._opened:
            async with self._one:
                if name not in self._opened:
                    self._opened[name] = await self._open(name)
        return self._opened[name]

    async def _open(self, name: str) -> Any:
        try:
            return await self._opening[name]()
        except (ServerUnreachable, TimeoutError):
            raise
        except HoldfastError as error:  # mended where it is, and not by whoever asks: to them it is away
            raise ServerUnreachable(str(error)) from error
        except Exception as error:  # whatever a driver says to a wrong address: it is not there
            raise ServerUnreachable(f"the {name} cannot be opened: {type(error).__name__}") from error

    async def close(self) -> None:
        """Ends what goes on, jobs after the batch that is under way, and lets go of what was opened."""
        self.stopping.set()
        await self.running.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self._opened.values():
            await one.close()
        self._opened.clear()
