# SPDX-License-Identifier: Apache-2.0
"""Who may ask the id service."""

from __future__ import annotations

import pytest

from holdfast._base.secret import Secret
from holdfast.errors import ConfigurationError, SecretUnavailable
from holdfast.ids.service import Tokens, tokens_in

ANA, BEN = "a" * 32, "b-1._~+/" * 4 + "=="


def test_a_file_has_names_and_tokens(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\n\nana:{ANA}\n  ben:{BEN}  \n{'c' * 20}\nana:{'d' * 20}\n")
    tokens = tokens_in(file)
    assert tokens.whose(ANA) == tokens.whose("d" * 20) == "ana"
    assert tokens.whose(BEN) == "ben"
    assert tokens.whose("c" * 20) == "default"
    for wrong in ("", ANA[:-1], ANA + "a", "ana:" + ANA, "ü", "\udcff"):
        assert tokens.whose(wrong) is None, "guard: a token that is none opens nothing"


@pytest.mark.parametrize("line", ["ana:short", "ana:" + "with blank " * 3, ":" + "a" * 20, "a b:" + "a" * 20,
                                  "ü" * 20, "ana:x:" + "a" * 20])
def test_a_line_that_is_none_is_named_and_not_shown(tmp_path, line):
    file = tmp_path / "tokens"
    file.write_text(f"ana:{ANA}\n{line}\n")
    with pytest.raises(ConfigurationError, match="tokens:2: NAME:TOKEN is wanted") as raised:
        tokens_in(file)
    assert line not in str(raised.value)


def test_no_token_at_all_is_a_mistake(tmp_path):
    (tmp_path / "tokens").write_text("# none\n")
    with pytest.raises(ConfigurationError, match="keep everybody out"):
        tokens_in(tmp_path / "tokens")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(SecretUnavailable, match="cannot be read"):
        tokens_in(tmp_path / "nowhere")


def test_the_tokens_themselves_are_not_kept():
    tokens = Tokens([("ana", Secret(ANA))])
    assert ANA not in repr(vars(tokens))
