# SPDX-License-Identifier: Apache-2.0
"""The runner of snippets runs what it should and fails where it should."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from tests.docs.snippets import blocks, run

PAGE = """
# A page

```python
import asyncio
x = 1
```

- a list with a block

  ```python
  await asyncio.sleep(0)
  x += 1
  ```

```python no-run: it needs a server that nobody has
raise SystemError
```

```bash
exit 1
```
"""


@pytest.fixture
def page(tmp_path):
    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path
    return write


def test_blocks_share_a_namespace_and_may_await(page):
    assert asyncio.run(run(page(PAGE + "\n```python\nassert x == 2\n```\n"))) == 3


def test_a_block_that_fails_fails_at_its_line_of_the_page(page):
    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(run(page("one\n\n```python\nx = 1\nx / 0\n```\n")))
    assert traceback.extract_tb(caught.tb)[-1].lineno == 5


def test_a_block_that_is_not_run_carries_its_reason(page):
    assert [block.reason for block in blocks(page(PAGE)) if not block.runs] == ["it needs a server that nobody has"]
