# SPDX-License-Identifier: Apache-2.0
"""Who opens the room needs no framework; who opens an adapter without its framework is told which extra it takes."""

from __future__ import annotations

import pytest

from holdfast.testing.processes import Worker


@pytest.mark.parametrize("framework", ["faststream", "taskiq", "django"])
def test_an_adapter_without_its_framework_names_the_extra(framework):
    code = (f"import sys; sys.modules[{framework!r}] = None\n"
            "import holdfast.adapters, holdfast.adapters.celery\n"
            f"import holdfast.adapters.{framework}")
    with Worker.code(code) as process:
        assert process.wait() == 1
        assert f"holdfast.adapters.{framework} needs the extra '{framework}'" in process.stderr


def test_the_room_itself_opens_no_framework():
    code = ("import sys, holdfast.adapters, holdfast.adapters.celery, holdfast.adapters.words\n"
            "print(*({'celery', 'django', 'faststream', 'fast_depends', 'kombu', 'taskiq'} & set(sys.modules)))")
    with Worker.code(code) as process:
        assert process.wait() == 0, process.stderr
        assert process.lines == [""]
