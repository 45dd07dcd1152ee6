"""The queue of what waits for a reply against a list, and what decides a transaction."""

import random

import pytest

from sensor.smtp.anomalies import MANY_OUTSTANDING, UNEXPECTED_REPLY
from sensor.smtp.session import MAIL_ANSWERED, NO_DEAL, OUTSTANDING, new_sessions
from sensor.smtp.transactions import (
    PATIENCE_SECONDS,
    decide,
    excused,
    first_waits,
    pop,
    push,
    skip_to,
    waits,
)
from sensor.smtp.verbs import DATA, MAIL, NO_VERB, QUIT, RCPT, RSET, VERBS

SECOND = 10**9


def session():
    s = new_sessions(1, 1).rows[0]
    s["from_size"] = 14  # a sender's domain
    return s


def runs(queue: list[int]) -> int:
    return sum(k == 0 or verb != queue[k - 1] for k, verb in enumerate(queue))


@pytest.mark.slow
def test_it_gives_what_a_list_would():
    for seed in range(200):
        rng = random.Random(seed)
        s, queue = session(), []
        for _ in range(300):
            verb = rng.choice((MAIL, RCPT, RCPT, RCPT, DATA, RSET))
            if rng.random() < 0.55 and runs([*queue, verb]) <= OUTSTANDING:
                push(s, verb, 5)
                queue.append(verb)
            else:
                assert pop(s) == (queue.pop(0) if queue else -1)
            assert first_waits(s, RCPT) == (queue[:1] == [RCPT])
            assert waits(s, RCPT) == (queue[-1:] == [RCPT])
        assert not int(s["anomalies"])


def test_beyond_what_is_told_apart_only_the_number_is_kept():
    s = session()
    sent = [MAIL if k % 2 else RCPT for k in range(3 * OUTSTANDING)]
    for verb in sent:
        push(s, verb, 5)
    assert int(s["anomalies"]) == 1 << MANY_OUTSTANDING
    popped = [pop(s) for _ in sent]
    assert pop(s) == -1
    assert popped[: OUTSTANDING - 1] == sent[: OUTSTANDING - 1]
    assert set(popped[OUTSTANDING - 1 :]) == {NO_VERB}


@pytest.mark.slow
def test_a_run_of_one_command_takes_one_place():
    s = session()
    for _ in range(70_000):
        push(s, RCPT, 5)
    push(s, QUIT, 5)
    assert int(s["waiting_size"]) == 3, "a run is 65,535 long at most"
    for _ in range(70_000):
        assert pop(s) == RCPT
    assert [pop(s), pop(s)] == [QUIT, -1]


def test_what_will_not_be_answered_is_left_out():
    s = session()
    for verb in (MAIL, RCPT, RCPT, DATA, QUIT):
        push(s, verb, 5)
    skip_to(s, RSET)
    assert first_waits(s, MAIL), "nothing to skip to"
    skip_to(s, DATA)
    assert int(s["anomalies"]) == 1 << UNEXPECTED_REPLY
    assert [pop(s), pop(s), pop(s)] == [DATA, QUIT, -1]


def test_the_first_that_waits_is_skipped_to_without_a_word():
    s = session()
    push(s, DATA, 5)
    skip_to(s, DATA)
    assert not int(s["anomalies"])
    assert first_waits(s, DATA)


def test_a_client_is_excused_once_its_patience_may_be_over():
    s = session()
    push(s, DATA, SECOND)
    assert not excused(s, SECOND + PATIENCE_SECONDS * SECOND - 1)
    assert excused(s, SECOND + PATIENCE_SECONDS * SECOND)
    s = session()
    assert not excused(s, 10**6 * SECOND), "nothing is awaited"
    s["closing"] = 1
    assert excused(s, 0)
    s = session()
    s["anomalies"] = 1 << UNEXPECTED_REPLY
    assert excused(s, 0)


@pytest.mark.parametrize(
    ("taken", "refused", "deferred", "good", "bad", "verdict"),
    [
        (1, 0, 0, True, False, "accepted"),
        (2, 2, 0, True, False, "accepted"),
        (1, 2, 0, True, False, "rejected"),  # most of its recipients were
        (1, 0, 0, False, True, "rejected"),
        (0, 1, 0, False, False, "rejected"),
        (1, 0, 0, False, False, None),
        (0, 0, 0, False, True, "rejected"),
        (0, 5, 1, False, True, None),  # something in it was put off
        (1, 0, 1, True, False, "accepted"),
    ],
)
def test_verdicts(taken, refused, deferred, good, bad, verdict):
    s = session()
    s["deal"], s["ok_here"], s["bad_here"], s["later_here"] = (
        MAIL_ANSWERED,
        taken,
        refused,
        deferred,
    )
    decide(s, good, bad)
    decide(s, good, bad)  # there is no transaction any more
    assert int(s["accepted"]) == (verdict == "accepted")
    assert int(s["rejected"]) == (verdict == "rejected")
    assert int(s["deal"]) == NO_DEAL


def test_verbs_have_one_number_each():
    assert len(set(VERBS)) == len(VERBS)
    assert VERBS[NO_VERB] == ""
    assert [VERBS[verb] for verb in (MAIL, RCPT, DATA, QUIT, RSET)] == [
        "MAIL", "RCPT", "DATA", "QUIT", "RSET",
    ]  # fmt: skip
