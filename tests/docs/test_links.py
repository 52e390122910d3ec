# SPDX-License-Identifier: Apache-2.0
"""Links between the project's own pages lead somewhere."""

from __future__ import annotations

import re

import pytest

from tests.house.tree import named, tracked

LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)#\s]+)(?:#[^)]*)?\)")
PAGES = [path for path in tracked() if path.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not broken
