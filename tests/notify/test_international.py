"""Addresses of mail in letters of any script, by a real mail server that has SMTPUTF8 or not."""

import pytest

from lab.waiting import wait_for
from sensor.notify import letters
from sensor.notify.destination import NotTakenError, RefusedError
from sensor.notify.letters import LetterError, LetterSettings
from sensor.notify.mail import Mail
from sensor.notify.trial import trial
from sensor.settings import SettingsError, parse_settings
from tests.conftest import needs
from tests.notify.test_notify import HERE, postfix_that_keeps, signed_for_here

TO = "\u7530\u4e2d@receiver.example"


@pytest.mark.parametrize("able", [True, False])
def test_a_server_with_smtputf8_takes_them_and_another_is_said_not_to(folder, able):
    needs("postfix", root=True)
    key, crt = signed_for_here(folder)
    with_letters = LetterSettings(
        server=f"{HERE}:587", authority=str(crt), sender="abuse@isp.example", organisation="ISP"
    )
    draft = letters.draft(with_letters, trial(1), "customer.ja")
    made = letters.message(with_letters, trial(1), draft, TO)
    mail = Mail(
        name="m", server=f"{HERE}:587", authority=str(crt), sender="abuse@isp.example", to=(TO,)
    )
    with postfix_that_keeps(
        folder / "postfix",
        key,
        crt,
        more=f"local_recipient_maps =\nsmtputf8_enable = {'yes' if able else 'no'}\n",
    ) as spool:
        way, post = mail.opened(), with_letters.opened()

        def decided():
            try:
                way([trial(1)], "TEST")
            except NotTakenError:
                return False  # it has not begun yet
            except RefusedError as error:
                return "SMTPUTF8" in str(error) and not able
            return able

        wait_for(decided, 30, "postfix")
        if not able:
            with pytest.raises(LetterError, match="SMTPUTF8"):
                post(made, TO)
            return
        post(made, TO)
        wait_for(lambda: len(spool()) == 2, 30)
        assert [one["To"] for one in spool()] == [TO, TO]
        assert spool()[1]["Subject"] == draft.subject


@pytest.mark.parametrize("bad", ["a b@c.example", "\u200fa@b.example", "a\u3000b@c", "<a@b>"])
def test_what_is_no_address_is_refused(bad):
    text = '[[notify.mail]]\nname = "m"\nserver = "a:25"\nsender = "a@b.example"\nto = ["%s"]\n'
    with pytest.raises(SettingsError):
        parse_settings(text % bad)
