# SPDX-License-Identifier: Apache-2.0
"""The example at the room's door, as it stands there."""

from __future__ import annotations

import textwrap

from holdfast import gossip


def test_the_example_of_the_door_runs(capsys):
    example = gossip.__doc__.split("::", 1)[1].split("Inside::")[0]
    exec(compile(textwrap.dedent(example), "example", "exec"), {})
    assert capsys.readouterr().out == "one alive {'role': 'web'}\ntwo alive {}\n"
