# SPDX-License-Identifier: Apache-2.0
"""A file that grows is read as it does; nothing is given twice and nothing is left out."""

from __future__ import annotations

import gzip
from contextlib import ExitStack

import pytest

from holdfast.errors import ConfigurationError
from holdfast.traces.formats import Bad
from holdfast.traces.reading import Follow


def line(n):
    return b'{"trace_id":"t","span_id":"%d","start_ns":%d,"end_ns":%d}\n' % (n, n, n + 1)


def names(found):
    return [span.span_id for part in found if not isinstance(part, Bad) for span in part.spans]


def bad(found):
    return [(one.offset, one.length, one.line) for one in found if isinstance(one, Bad)]


@pytest.fixture
def opened():
    with ExitStack() as all_of_them:
        yield all_of_them.enter_context


def add(path, content):
    with path.open("ab") as file:
        file.write(content)


def test_a_line_is_given_once_its_end_is_written(tmp_path, opened):
    path = tmp_path / "f"
    following = opened(Follow(str(path)))
    assert list(following.poll()) == []
    add(path, line(1)[:20])
    assert list(following.poll()) == []
    add(path, line(1)[20:] + line(2) + b"\n[1]\n" + line(3)[:-1])
    found = list(following.poll())
    assert names(found) == ["1", "2"]
    assert bad(found) == [(2 * len(line(1)) + 1, 4, 4)]
    assert following.lag_bytes == 0
    add(path, b"\n" + line(4))
    assert following.lag_bytes == 1 + len(line(4))
    assert names(following.poll()) == ["3", "4"]
    add(path, line(5)[:-1])
    assert names(following.poll()) == []
    assert names(following.rest()) == ["5"]


def test_a_renamed_file_is_read_to_its_end_before_its_successor(tmp_path, opened):
    path = tmp_path / "f"
    add(path, line(1))
    following = opened(Follow(str(path)))
    assert names(following.poll()) == ["1"]
    path.rename(tmp_path / "f.1")
    add(tmp_path / "f.1", line(2))
    assert names(following.poll()) == ["2"]
    add(tmp_path / "f.1", line(3) + line(4)[:-1])
    add(path, line(5))
    assert names(following.poll()) == ["3", "4", "5"]
    assert names(following.poll()) == []


def test_a_file_that_became_shorter_is_read_from_its_beginning(tmp_path, opened):
    path = tmp_path / "f"
    add(path, line(1) + line(2) + line(3))
    following = opened(Follow(str(path)))
    assert names(following.poll()) == ["1", "2", "3"]
    path.write_bytes(line(4))
    assert names(following.poll()) == ["4"]


def test_a_file_that_was_begun_anew_and_is_longer_than_before_is_read_from_its_beginning(tmp_path, opened):
    path = tmp_path / "f"
    add(path, line(1))
    following = opened(Follow(str(path)))
    assert names(following.poll()) == ["1"]
    path.write_bytes(line(2) + line(3))
    assert names(following.poll()) == ["2", "3"]


def test_a_span_in_lines_of_logs_is_given_when_it_was_quiet_for_long(tmp_path, opened):
    def told(span, second):
        return b"%d.000 trace_id=%032x span_id=%016x hello\n" % (1_700_000_000 + second, 9, span)

    path = tmp_path / "f"
    add(path, told(1, 0) + told(1, 5) + told(2, 20))
    following = opened(Follow(str(path), "text"))
    assert names(following.poll()) == []
    add(path, told(2, 36))
    assert names(following.poll()) == [f"{1:016x}"]
    assert names(following.rest()) == [f"{2:016x}"]


@pytest.mark.parametrize("content", [pytest.param(gzip.compress(line(1), mtime=0) + b"\n", id="gzip"),
                                     pytest.param(b'{"data": [\n', id="one document"),
                                     pytest.param(b"once upon a time\n", id="prose")])
def test_what_cannot_be_followed_says_so(tmp_path, content):
    path = tmp_path / "f"
    add(path, content)
    with pytest.raises(ConfigurationError), Follow(str(path), "jaeger" if b"data" in content else None) as following:
        list(following.poll())
