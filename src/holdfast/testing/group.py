# SPDX-License-Identifier: Apache-2.0
"""What every topology of several servers has in common: started together or not at all, ended together."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from .single import Single


class Group:
    """Several servers. ``nodes`` are all of them, for tests that hurt one."""

    nodes: list[Single]

    def start(self) -> Self:
        """Starts everything and returns when the whole is ready for clients."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        raise NotImplementedError

    @property
    def pids(self) -> list[int]:
        """Of the nodes that live."""
        return [node.pid for node in self.nodes if node.alive]

    def node_at(self, port: int) -> Single:
        """The node that listens on ``port``."""
        return next(node for node in self.nodes if node.port == port)

    def close(self) -> None:
        """Ends all nodes and removes their folders."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.nodes[0].binary} ports {[node.port for node in self.nodes]}>"

    def _wake(self) -> list[Single]:
        """Continues what is paused and starts what is dead; returns the nodes that were dead."""
        dead = [node for node in self.nodes if not node.alive]
        for node in self.nodes:
            if node.paused:
                node.resume()
            node.start()
        return dead
