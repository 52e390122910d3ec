# SPDX-License-Identifier: Apache-2.0
"""What is known, what is seen, and what is done about it."""

from __future__ import annotations

from holdfast.logs.tail.rotation import Follow, Gone, Known, Resume, Seen, in_order, settle


def known(source="a", inode=1, at=100, *, held=False, family="app.log"):
    return Known(source=source, family=family, dev=1, inode=inode, at=at, held=held)


def seen(path="app.log", inode=1, size=100, mtime_ns=10, *, holds=(), stranger=False,
         family="app.log"):
    return Seen(path=path, family=family, main=path == family, dev=1, inode=inode, size=size, mtime_ns=mtime_ns,
                holds=frozenset(holds), stranger=stranger)


def test_a_file_that_nobody_knows_is_left_over():
    new = seen()
    assert settle([], [new]) == ([], [new])


def test_a_file_that_is_held_open_is_itself_whatever_its_name():
    renamed, new = seen("app.log.1", inode=1), seen(inode=2)
    assert settle([known(held=True)], [new, renamed]) == ([Follow("a", renamed)], [new])


def test_an_inode_is_believed_only_with_the_bytes_it_had():
    same, other = seen(holds="a"), seen()
    assert settle([known()], [same]) == ([Resume("a", same)], [])
    assert settle([known()], [other]) == ([Gone("a")], [other])


def test_a_content_is_found_in_a_copy_and_its_file_holds_another_one():
    copy, new = seen("app.log.1", inode=2, holds="a"), seen(inode=1)
    assert settle([known()], [new, copy]) == ([Resume("a", copy)], [new])


def test_a_copy_of_what_stands_in_its_own_file_is_left_over():
    main, copy = seen(holds="a"), seen("app.log.1", inode=2, holds="a")
    assert settle([known()], [copy, main]) == ([Resume("a", main)], [copy])


def test_of_nothing_no_file_is_a_copy():
    moved = seen("app.log.1", inode=5, holds="a")
    assert settle([known(at=0)], [moved]) == ([Gone("a")], [moved])


def test_what_is_new_is_read_oldest_first_and_before_the_path_itself():
    first, second, new = seen("app.log.1", mtime_ns=20), seen("app.log.2", mtime_ns=30), seen(mtime_ns=5)
    assert in_order([new, second, first]) == [first, second, new]


def test_of_what_was_written_in_the_same_instant_the_higher_number_is_older():
    files = [seen("app.log.10.gz"), seen("app.log.2"), seen("app.log.1.gz"), seen()]
    assert in_order(reversed(files)) == files


def test_of_two_contents_that_begin_alike_the_copy_is_of_the_one_that_went_further():
    short, long = known("short", inode=7, at=10), known("long", inode=8, at=90)
    copy = seen("app.log.1", inode=9, holds=("short", "long"))
    assert settle([short, long], [copy]) == ([Gone("short"), Resume("long", copy)], [])


def test_the_latest_content_of_a_file_stays_in_it_and_the_earlier_one_is_looked_for():
    before, after = known("before", at=50), known("after", at=20)
    main, copy = seen(holds=("after",)), seen("app.log.1", inode=2, holds=("before", "after"))
    assert settle([before, after], [main, copy]) == ([Resume("before", copy), Resume("after", main)], [])


def test_a_file_is_one_file_however_many_patterns_name_it():
    twice = [seen(), seen("other.log", inode=1, family="other.log")]
    assert settle([], twice) == ([], [twice[0]])


def test_a_content_goes_on_in_a_file_that_is_not_to_be_read_only_if_it_does_in_no_other():
    stranger = seen("app.log.1", inode=2, holds="a", stranger=True)
    copy, main = seen("app.log.2", inode=3, holds="a"), seen(inode=4)
    assert settle([known()], [main, stranger, copy])[0] == [Resume("a", copy)]
    assert settle([known()], [main, stranger])[0] == [Resume("a", stranger)]
