# SPDX-License-Identifier: Apache-2.0
"""A topic's user says what passes, and has so much time for it."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigurationError
from holdfast.gossip.defence.validation import Accounts, Judged, Letter, Validators, Verdict


class Watch:
    """A stopwatch whose time a validator passes by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def letter(topic="news", payload=b"x"):
    return Letter(topic, payload, "peer", "origin")


def test_a_topic_without_a_validator_is_accepted():
    assert Validators(Accounts()).judge(letter(), 0.0).verdict is Verdict.ACCEPT


@pytest.mark.parametrize("said", [Verdict.ACCEPT, Verdict.IGNORE, Judged(Verdict.REJECT, "balance", 5.0)],
                         ids=["accept", "ignore", "reject"])
def test_the_validator_has_the_word(said):
    validators = Validators(Accounts())
    validators.add("news", lambda _: said)
    judged = validators.judge(letter(), 0.0)
    assert judged == (said if isinstance(said, Judged) else Judged(said))
    assert sum(validators.counts.values()) == 1


def test_all_validators_of_a_topic_have_to_accept():
    validators, asked = Validators(Accounts()), []
    for name, verdict in (("one", Verdict.ACCEPT), ("two", Verdict.IGNORE), ("three", Verdict.REJECT)):
        validators.add("news", lambda _, name=name, verdict=verdict: asked.append(name) or verdict)
    assert validators.judge(letter(), 0.0).verdict is Verdict.IGNORE
    assert asked == ["one", "two"]


def test_a_star_stands_for_topics_without_their_own():
    validators = Validators(Accounts())
    validators.add("*", lambda _: Verdict.REJECT)
    validators.add("news", lambda _: Verdict.ACCEPT)
    assert validators.judge(letter("other"), 0.0).verdict is Verdict.REJECT
    assert validators.judge(letter("news"), 0.0).verdict is Verdict.ACCEPT


def test_a_validator_that_fails_lets_nothing_pass_and_blames_nobody():
    validators = Validators(Accounts())
    validators.add("news", lambda _: 1 / 0)
    assert validators.judge(letter(), 0.0) == Judged(Verdict.IGNORE, "the validator failed")


def test_validators_have_so_much_time_and_then_are_not_asked():
    watch, asked = Watch(), []
    validators = Validators(Accounts(share=0.1, burst_s=1.0), watch)

    def slow(one):
        asked.append(one)
        watch.now += 0.4
        return Verdict.ACCEPT

    validators.add("news", slow)
    verdicts = [validators.judge(letter(), 0.0) for _ in range(10)]
    assert len(asked) == 3  # the third one overdraws
    assert verdicts[3:] == [Judged(Verdict.IGNORE, "validators are busy")] * 7
    # 0.2 s over at 0.1 s a second: in 2 s it is even.
    assert validators.judge(letter(), 1.9).verdict is Verdict.IGNORE
    assert validators.judge(letter(), 2.1).verdict is Verdict.ACCEPT


def test_over_a_long_time_validators_use_their_share():
    watch = Watch()
    validators = Validators(Accounts(share=0.1, burst_s=1.0), watch)

    def slow(_):
        watch.now += 0.05
        return Verdict.ACCEPT

    validators.add("news", slow)
    for step in range(1_000):
        validators.judge(letter(), step * 0.1)
    assert watch.now <= 1.0 + 0.1 * 100 + 0.05


def test_one_topic_does_not_use_anothers_time_and_nobody_invents_accounts():
    watch = Watch()
    validators = Validators(Accounts(), watch)

    def slow(_):
        watch.now += 10.0
        return Verdict.ACCEPT

    validators.add("*", slow)
    validators.add("news", lambda _: Verdict.ACCEPT)
    for number in range(100):
        validators.judge(letter(f"invented-{number}"), 0.0)
    assert watch.now == 10.0
    assert validators.judge(letter("news"), 0.0).verdict is Verdict.ACCEPT
    assert set(validators._accounts) == {"*", "news"}


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigurationError, match="share"):
        Accounts(share=0)
