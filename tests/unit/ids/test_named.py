# SPDX-License-Identifier: Apache-2.0
"""Worker ids that are given from outside are read strictly."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.ids.named import from_ordinal, from_variable, wanted


def test_a_variable_is_a_number_within_the_layout():
    assert from_variable({"WORKER_ID": " 7 "}, 1024) == 7
    assert from_variable({"MACHINE": "1023"}, 1024, variable="MACHINE") == 1023


@pytest.mark.parametrize("text", ["", "seven", "-1", "1.0", "٧", "0x7"])
def test_what_is_missing_or_no_number_is_refused(text):
    with pytest.raises(ConfigurationError, match="a number from 0 to 1023 is wanted there"):
        from_variable({"WORKER_ID": text} if text else {}, 1024)


def test_a_number_beyond_the_layout_is_refused():
    with pytest.raises(ConfigurationError, match="WORKER_ID=1024: this layout has worker ids from 0 to 1023"):
        from_variable({"WORKER_ID": "1024"}, 1024)


@pytest.mark.parametrize(("environ", "ordinal"), [
    ({"HOSTNAME": "web-0"}, 0), ({"HOSTNAME": "my-web-12"}, 12), ({"POD_NAME": "web-3", "HOSTNAME": "node"}, 3),
    ({"POD_INDEX": "5", "HOSTNAME": "web-4"}, 5),
])
def test_an_ordinal_is_the_labels_or_the_end_of_the_name(environ, ordinal):
    assert from_ordinal(environ, 1024) == ordinal
    assert from_ordinal(environ, 1024, offset=100, count=100) == 100 + ordinal


@pytest.mark.parametrize("environ", [{}, {"HOSTNAME": "web"}, {"HOSTNAME": "web-7d9f8-x2x4z"}, {"HOSTNAME": "web-٣"}])
def test_a_name_without_an_ordinal_is_refused(environ):
    with pytest.raises(ConfigurationError, match="is no pod of a StatefulSet"):
        from_ordinal(environ, 1024)


def test_two_sets_do_not_run_into_each_other():
    with pytest.raises(ConfigurationError, match="pod 100 of this set is beyond its 100 worker ids, 100 to 199"):
        from_ordinal({"HOSTNAME": "web-100"}, 1024, offset=100, count=100)
    with pytest.raises(ConfigurationError, match="pod 24 of this set is beyond its 24 worker ids, 1000 to 1023"):
        from_ordinal({"HOSTNAME": "web-24"}, 1024, offset=1000)
    for offset, count in ((-1, 5), (1020, 5), (1024, None)):
        with pytest.raises(ConfigurationError, match="there are 1024 of them"):
            from_ordinal({"HOSTNAME": "web-0"}, 1024, offset=offset, count=count)
    with pytest.raises(ConfigurationError, match="POD_INDEX='a' is no number"):
        from_ordinal({"POD_INDEX": "a"}, 1024)


@pytest.mark.parametrize(("environ", "number"), [
    ({}, None), ({"HOSTNAME": "web-7d9f8-x2x4z"}, None), ({"HOSTNAME": "web-3"}, None), ({"WORKER_ID": "7"}, 7),
    ({"POD_INDEX": "3"}, 3), ({"POD_INDEX": "3", "WORKER_ID_OFFSET": "512", "WORKER_ID_COUNT": "512"}, 515),
    ({"WORKER_ID_OFFSET": "512", "POD_NAME": "web-3"}, 515), ({"WORKER_ID_COUNT": "4", "HOSTNAME": "web-3"}, 3),
])
def test_an_environment_says_which_one_is_wanted_or_that_any_will_do(environ, number):
    assert wanted(environ, 1024) == number


@pytest.mark.parametrize(("environ", "why"), [
    ({"WORKER_ID": ""}, "a number from 0 to 1023 is wanted there"),
    ({"WORKER_ID": "7", "POD_INDEX": "7"}, "WORKER_ID and POD_INDEX are both set"),
    ({"WORKER_ID": "7", "WORKER_ID_OFFSET": "7"}, "WORKER_ID and WORKER_ID_OFFSET are both set"),
    ({"POD_INDEX": "3", "WORKER_ID_OFFSET": "many"}, "WORKER_ID_OFFSET='many' is no number"),
    ({"POD_INDEX": "3", "WORKER_ID_COUNT": "-1"}, "WORKER_ID_COUNT='-1' is no number"),
    ({"POD_INDEX": "4", "WORKER_ID_COUNT": "4"}, "pod 4 of this set is beyond its 4 worker ids, 0 to 3"),
    ({"POD_INDEX": "0", "WORKER_ID_COUNT": "0"}, "0 worker ids from 0 on"),
    ({"WORKER_ID_OFFSET": "5", "POD_NAME": "web-7d9f8-x2x4z"}, "is no pod of a StatefulSet"),
])
def test_an_environment_that_says_two_things_or_nonsense_is_refused(environ, why):
    with pytest.raises(ConfigurationError, match=why):
        wanted(environ, 1024)
