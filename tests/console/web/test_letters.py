"""Letters to customers in English and Japanese, and XARF, by a real mail server; kept as sent."""

import json
import re

import msgspec
import pytest
from playwright.sync_api import expect

from lab.browser import browsing
from lab.waiting import wait_for
from lab.web import serving, settings_for
from sensor.blocking.desk import Desk
from sensor.state.audit import Audit
from sensor.state.journal import Journal
from tests.conftest import needs
from tests.console.web.test_reach import ALERT, HOST, filled
from tests.notify.test_notify import HERE, postfix_that_keeps, signed_for_here


def with_letters(place, crt, more=""):
    config = settings_for(place)
    config.write_text(
        config.read_text() + f'\n[notify.letters]\nserver = "{HERE}:587"\nauthority = "{crt}"\n'
        f'sender = "abuse@isp.example"\norganisation = "Example ISP"\n{more}'
    )
    return config


def test_letters_are_sent_and_kept_as_they_were_sent(folder):
    needs("postfix", root=True)
    key, crt = signed_for_here(folder)
    state = filled(folder / "state")
    texts = folder / "texts"
    texts.mkdir()
    (texts / "customer.en.txt").write_text("Our own text for $host\n\nCall us: $alert\n")
    config = with_letters(folder, crt, f'templates = "{texts}"\n')
    path = f"/api/v1/alerts/{ALERT['north']}"
    with serving(state, "-c", str(config)) as server:
        ask = {"method": "POST", "timeout": 100}
        english = server.get(f"{path}/draft?kind=customer.en", "analyst").json()
        assert english["subject"] == f"Our own text for {HOST['north']}"
        japanese = server.get(f"{path}/draft?kind=customer.ja", "analyst").json()
        assert "迷惑メール" in japanese["subject"] and "OP25B" in japanese["text"]
        reasons = [line for line in japanese["text"].splitlines() if line.startswith("- ")]
        assert reasons and all(re.search("[ぁ-んァ-ン一-龥]", line) for line in reasons)
        assert server.get(f"{path}/draft", "viewer").status_code == 403
        body = {"kind": "customer.ja", "to": "alice@receiver.example"}
        body |= {"subject": japanese["subject"], "text": japanese["text"]}
        away = server.get(f"{path}/letters", "analyst", json=body, **ask)
        assert away.status_code == 503 and "mail server" in away.json()["detail"]
        (kept,) = server.get(f"{path}/letters", "analyst").json()["letters"]
        assert kept["sent"] == 0, "what was not taken says so"
        with postfix_that_keeps(folder / "postfix", key, crt) as spool:
            said = []

            def taken():
                answer = server.get(f"{path}/letters", "analyst", json=body, **ask)
                said.append(answer.text)
                return answer.ok

            wait_for(taken, 30, "postfix")
            xarf = body | {"kind": "xarf", "subject": "abuse report", "text": "see the attachment"}
            assert server.get(f"{path}/letters", "analyst", json=xarf, **ask).ok
            wait_for(lambda: len(spool()) == 2, 30)
            first, second = spool()
            with browsing(server.base) as desk:
                by_hand(desk, spool, folder)
        assert first["Subject"] == japanese["subject"] and first["To"] == "alice@receiver.example"
        assert first.get_content().split() == japanese["text"].split()
        (attached,) = second.iter_attachments()
        report = json.loads(attached.get_content())
        assert (report["source_identifier"], report["type"]) == (HOST["north"], "botnet")
        for wrong in (
            {"subject": "x\r\nBcc: all@isp.example"}, {"to": "a@b.example,c@d.example"},
            {"to": "x"}, {"kind": "other"}, {"text": ""},
        ):  # fmt: skip
            answer = server.get(f"{path}/letters", "analyst", json=body | wrong, **ask)
            assert answer.status_code == 400, wrong
    letters = Desk(state / "desk.sqlite", read_only=True).letters(ALERT["north"])
    taken = [one for one in letters if one.sent]
    assert [one.kind for one in taken] == ["customer.ja", "xarf", "customer.en"]
    assert first["Message-ID"] in taken[0].message and taken[0].by == "analyst-bot"
    acts = [one.act for one in Audit(state / "audit.sqlite", read_only=True).page(100)]
    assert acts.count("letter") == len(letters)


def by_hand(desk, spool, place):
    """On the page, as a person does it."""
    from lab.web import PASSWORDS

    page = desk.page
    page.fill("input[name=name]", "operator")
    page.fill("input[name=password]", PASSWORDS["operator"])
    page.click("button.main")
    page.wait_for_selector("h1 >> text=Alerts")
    desk.go(f"/alerts/{ALERT['north']}")
    page.click("text=Write to customer")
    page.fill("input[name=to]", "alice@receiver.example")
    expect(page.locator("input[name=subject]")).not_to_have_value("")
    desk.keep("letter")
    page.click("dialog button.main")
    page.locator("[role=status] >> text=Sent to alice").wait_for()
    wait_for(lambda: len(spool()) == 3, 30)
    assert spool()[2]["To"] == "alice@receiver.example"
    assert [one for one in desk.complaints if "401" not in one] == []


@pytest.mark.parametrize(("text", "fault"), [
    ("Subject $nothing\n", "there are host"), ("100 $\n", "there are host"),
])  # fmt: skip
def test_a_template_with_a_slip_says_what_there_is(tmp_path, text, fault):
    state = filled(tmp_path / "state")
    (tmp_path / "customer.en.txt").write_text(text)
    evil = msgspec.structs.replace(
        next(iter(Journal(state / "journal.sqlite", True).read())).alert, revision=7
    )
    Journal(state / "journal.sqlite").write([evil])
    config = settings_for(tmp_path)
    config.write_text(config.read_text() + f'\n[notify.letters]\ntemplates = "{tmp_path}"\n')
    with serving(state, "-c", str(config)) as server:
        path = f"/api/v1/alerts/{ALERT['north']}"
        answer = server.get(f"{path}/draft?kind=customer.en", "analyst")
        assert answer.status_code == 503 and fault in answer.json()["detail"]
        body = {"kind": "xarf", "to": "a@b.example", "subject": "x", "text": "x"}
        none = server.get(f"{path}/letters", "analyst", method="POST", json=body)
        assert none.status_code == 409 and "notify.letters" in none.json()["detail"]
