# SPDX-License-Identifier: Apache-2.0
"""The flame graph: time by call path, callers above those they called. Pure.

Widths are shares of all time that was waited for. A frame is drawn if it is wide enough to be seen; what is narrower is
left out, and said. The script on the page only moves what is drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...._base.markup import Markup, tag, text
from ..stacks import Node
from ..words import count_of, share_of, time_of
from .waterfall import COLOURS

FRAMES_MAX = 1_200
#: Share of the whole below which a frame is not drawn.
NARROWEST = 0.001
ROW = 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A node, where it begins, and how wide it is: shares of the whole."""

    node: Node
    x: float
    width: float


def frames(root: Node) -> tuple[list[Frame], int]:
    """What is drawn, from the top; and how many are too narrow, or too many. The widest stand left, then by name."""
    whole = root.total_us
    found: list[Frame] = []
    narrow = 0
    waiting = [Frame(root, 0.0, 1.0)] if whole > 0 else []
    for frame in waiting:  # grows while it is read: layer by layer
        x = frame.x
        for node in sorted(frame.node.below.values(), key=lambda n: (-n.total_us, n.service, n.operation)):
            width = node.total_us / whole
            if width < NARROWEST or len(found) >= FRAMES_MAX:
                narrow += 1
                continue
            found.append(Frame(node, x, width))
            waiting.append(found[-1])
            x += width
    return found, narrow


def flame(root: Node, colours: dict[str, int]) -> Markup:
    """The picture."""
    found, narrow = frames(root)
    height = ROW * max((frame.node.depth for frame in found), default=0)
    picture = tag("svg", [_frame(frame, root.total_us, colours) for frame in found], class_="flame", width="100%",
                  height=height, role="img",
                  aria_label=f"Flame graph of {time_of(root.total_us)} in {len(found)} call paths")
    said = f"{count_of(narrow)} call paths below {NARROWEST:.1%} of the time are not drawn." if narrow else ""
    return text([picture, tag("p", said, class_="hint") if said else None])


def _frame(frame: Frame, whole: int, colours: dict[str, int]) -> Markup:
    node = frame.node
    called = f"{node.operation} · {node.service}"
    said = (f"{called}: {time_of(node.total_us)}, {share_of(node.total_us, whole)}; "
            f"{time_of(node.own_us)} of it its own")
    return tag("svg", tag("title", said), tag("rect", width="100%", height=ROW - 1, rx=2,
                                              class_=f"bar c{colours.get(node.service, 0) % COLOURS}"),
               tag("text", called, x=5, y=14),
               x=f"{100 * frame.x:.4f}%", y=ROW * (node.depth - 1), width=f"{100 * frame.width:.4f}%", height=ROW,
               data_x=f"{frame.x:.6f}", data_w=f"{frame.width:.6f}", data_d=node.depth, class_="frame")
