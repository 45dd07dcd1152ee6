"""What replies do, against what RFC 5321 says they mean."""

import numpy as np
import pytest

from sensor.smtp.end_of_data import AT_LINE_START
from sensor.smtp.replies import EFFECT, EFFECTS, answer, reply_class
from sensor.smtp.session import (
    AUTH_ACCEPTED,
    AUTH_REFUSED,
    DOUBT,
    GREETED,
    IN_TLS,
    LINES,
    MAIL_ANSWERED,
    MESSAGE,
    OCTETS,
    SECRET,
    STARTTLS_ACCEPTED,
    STARTTLS_REFUSED,
    TLS,
    new_sessions,
)
from sensor.smtp.transactions import push
from sensor.smtp.verbs import (
    AUTH,
    BDAT,
    BDAT_LAST,
    BODY,
    DATA,
    EHLO,
    GREETING,
    HELO,
    MAIL,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    VERBS,
)

# RFC 5321, 4.3.2: the codes each command may be answered by ("S" success, "I" intermediate, "E"
# error), with those of 4954 (AUTH), 3207 (STARTTLS) and 3030 (BDAT) added.
CODES = {
    GREETING: [220, 554],
    EHLO: [250, 504, 550, 502],
    HELO: [250, 504, 550, 502],
    MAIL: [250, 552, 451, 452, 550, 553, 503, 455, 555],
    RCPT: [250, 251, 550, 551, 552, 553, 450, 451, 452, 503, 455, 555],
    DATA: [354, 503, 554, 450, 451],
    BODY: [250, 552, 554, 451, 452, 450, 550],
    BDAT: [250, 503, 552, 554, 451, 452],
    BDAT_LAST: [250, 503, 552, 554, 451, 452],
    RSET: [250],
    QUIT: [221],
    AUTH: [235, 334, 432, 454, 500, 534, 535, 538],
    STARTTLS: [220, 501, 454],
}


def session(recipients: int = 0, mode: int = LINES):
    """A session in a transaction that the server has taken so many recipients of."""
    s = new_sessions(1, 1).rows[0]
    s["mode"][0] = mode
    s["tail"] = AT_LINE_START
    s["from_size"] = 14  # a sender's domain
    s["deal"], s["mail_open"] = MAIL_ANSWERED, 1
    s["rcpt_attempted"], s["ok_here"] = max(1, recipients), recipients
    return s


def test_every_code_of_the_rfc_that_is_no_success_is_treated_as_none():
    for verb, codes in CODES.items():
        for code in codes:
            s = session(recipients=1)
            answer(s, verb, code)
            good = int(s["messages_accepted"]) + int(s["rcpt_accepted"]) + int(s["accepted"])
            bad = int(s["messages_rejected"]) + int(s["rcpt_rejected"]) + int(s["mail_rejected"])
            if code >= 400:
                assert good == 0, (VERBS[verb], code)
            else:
                assert bad == 0, (VERBS[verb], code)


def test_4yz_is_never_a_verdict():
    for verb in range(len(VERBS)):
        for code in (421, 450, 451, 452, 499):
            s = session(recipients=1)
            answer(s, verb, code)
            assert int(s["rejected"]) == 0, (VERBS[verb], code)
            assert int(s["accepted"]) == 0, (VERBS[verb], code)


def test_the_class_is_the_first_digit():
    assert [reply_class(code) for code in (200, 299, 300, 399, 400, 499, 500, 599)] == [
        0, 0, 1, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    assert reply_class(150) == 0, "1yz is heard of DATA only: it was accepted"


def test_every_effect_is_used_and_every_verb_with_one_has_its_codes():
    assert set(np.unique(EFFECT).tolist()) == set(range(len(EFFECTS)))
    assert {verb for verb in range(len(VERBS)) if EFFECT[verb].any()} == set(CODES)


@pytest.mark.parametrize("verb", [v for v in range(len(VERBS)) if v not in CODES])
def test_replies_to_other_verbs_change_nothing(verb):
    for code in (150, 250, 354, 450, 550):
        s = session(recipients=1, mode=SECRET)
        before = s.tobytes()
        answer(s, verb, code)
        assert s.tobytes() == before, VERBS[verb]


def test_a_reply_to_nothing_changes_nothing():
    s = session(recipients=1)
    before = s.tobytes()
    answer(s, -1, 550)
    assert s.tobytes() == before


@pytest.mark.parametrize(("code", "put_off", "rejected"), [(220, 0, 0), (421, 1, 0), (554, 0, 1)])
def test_greeting(code, put_off, rejected):
    s = session()
    answer(s, GREETING, code)
    found = [int(s[name]) for name in ("greeted", "banner_code", "put_off", "rejected")]
    assert found == [GREETED, code, put_off, rejected]


@pytest.mark.parametrize("verb", [HELO, EHLO])
def test_a_name_put_off_takes_the_verdict_from_what_follows(verb):
    s = session()
    answer(s, verb, 450)
    answer(s, MAIL, 550)
    assert int(s["rejected"]) == 0
    answer(s, verb, 250)
    answer(s, MAIL, 550)
    assert int(s["rejected"]) == 1


def test_more_recipients_refused_than_taken_is_a_refusal_however_it_ends():
    for taken, refused, rejected in ((1, 2, 1), (2, 1, 0), (1, 1, 0)):
        s = session()
        for _ in range(taken):
            answer(s, RCPT, 250)
        for _ in range(refused):
            answer(s, RCPT, 550)
        answer(s, RSET, 250)
        assert int(s["rejected"]) == rejected


def test_data_without_a_recipient_has_no_verdict_of_its_own():
    for code in (503, 554):
        s = session(recipients=0, mode=MESSAGE)
        answer(s, DATA, code)
        assert int(s["rejected"]) == int(s["messages_rejected"]) == 0
        assert int(s["mode"][0]) == LINES
        s = session(recipients=1, mode=MESSAGE)
        answer(s, DATA, code)
        assert int(s["rejected"]) == int(s["messages_rejected"]) == 1


def test_a_message_is_a_verdict():
    for verb in (BODY, BDAT_LAST):
        for code, accepted, rejected in ((250, 1, 0), (554, 0, 1), (451, 0, 0)):
            s = session(recipients=1)
            answer(s, verb, code)
            assert [int(s["accepted"]), int(s["rejected"])] == [accepted, rejected]
            assert int(s["messages_deferred"]) == (code == 451)


def test_a_piece_that_is_accepted_is_no_message_yet():
    s = session(recipients=1)
    answer(s, BDAT, 250)
    assert int(s["messages_accepted"]) == int(s["accepted"]) == 0


@pytest.mark.parametrize("verb", [BDAT, BDAT_LAST])
@pytest.mark.parametrize("code", [451, 554])
def test_a_piece_turned_down_before_its_octets_may_not_be_sent(verb, code):
    s = session(recipients=1, mode=OCTETS)
    s["chunk_left"] = 10
    answer(s, verb, code)
    assert int(s["mode"][0]) == OCTETS, "it had begun"
    s["chunk_fresh"] = 1
    answer(s, verb, code)
    assert int(s["mode"][0]) == DOUBT


@pytest.mark.parametrize(
    ("code", "auth", "mode"),
    [
        (235, AUTH_ACCEPTED, LINES),
        (334, 0, SECRET),
        (454, AUTH_REFUSED, LINES),
        (535, AUTH_REFUSED, LINES),
    ],
)
def test_authentication(code, auth, mode):
    s = session(mode=SECRET)
    answer(s, AUTH, code)
    assert [int(s["auth"]), int(s["mode"][0])] == [auth, mode]


def test_starttls_begins_tls_on_both_sides_and_nothing_waits_any_more():
    s = session()
    push(s, MAIL, 5)
    answer(s, STARTTLS, 220)
    assert s["mode"].tolist() == [TLS, TLS]
    assert [int(s[name]) for name in ("tls", "starttls", "waiting_size")] == [
        IN_TLS, STARTTLS_ACCEPTED, 0,
    ]  # fmt: skip
    for code in (354, 454, 501):
        s = session()
        answer(s, STARTTLS, code)
        assert int(s["starttls"]) == STARTTLS_REFUSED
        assert s["mode"].tolist() == [LINES, LINES]
