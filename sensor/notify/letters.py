"""Letters about an alert: to the customer, in English or Japanese, and to others as XARF.

The texts are templates (``string.Template``: ``$host``), files of the desk's own where it has some
(``notify.letters.templates``: ``customer.en.txt``, ``customer.ja.txt``; the first line is the
subject), else those below. What a person made of one is what is sent, and what was sent is kept.
"""

import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from sensor.alerts.alert import Alert, rfc3339
from sensor.base.sentences import in_words
from sensor.base.terminal import printable
from sensor.notify.letter_settings import LetterError, LetterSettings
from sensor.sinks.xarf import report

if TYPE_CHECKING:
    from email.message import EmailMessage

__all__ = ["Draft", "Kind", "LetterError", "LetterSettings", "draft", "message"]

Kind = Literal["customer.en", "customer.ja", "xarf"]
_TEXTS: Final = {
    "customer.en": """\
Unwanted mail is sent from your connection ($host)
Dear customer,

since $since mail is sent from your connection ($host) to many mail servers of
others at once. Most likely a computer, telephone or router of yours was taken over.

What we saw:
$reasons

Please look for malware on all devices, change the passwords of your mail accounts, and
update your router. If mail to port 25 is blocked for you, sending by your provider's
mail server (port 587) goes on working.

$organisation
Reference: $alert
""",
    "customer.ja": """\
お客様の回線から迷惑メールが送信されています ($host)
お客様各位

$since 以降、お客様の回線 ($host) から多数の外部メールサーバーへ直接メールが送信されて
います。端末やルーターがマルウェアに感染している、または第三者に悪用されている可能性が
あります。

検知内容:
$reasons

すべての端末のウイルス検査、メールアカウントのパスワード変更、ルーターの更新をお願い
いたします。OP25B により 25 番ポートを遮断している場合も、587 番ポート (サブミッション)
での送信はご利用いただけます。

$organisation
お問い合わせ番号: $alert
""",
}


class Draft(msgspec.Struct, frozen=True):
    """A letter as it would be sent."""

    kind: Kind
    subject: str
    text: str


def _template(settings: LetterSettings, kind: str) -> str:
    file = Path(settings.templates) / f"{kind}.txt" if settings.templates else None
    if file is None or not file.is_file():
        return _TEXTS[kind]
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LetterError(f"{file}: {error}") from None


def draft(settings: LetterSettings, alert: Alert, kind: Kind) -> Draft:
    """A letter to begin with. Raises LetterError.

    Names from the network are hostile: they are printable by then, and a subject is one line.
    """
    if kind == "xarf":
        subject = f"abuse report (XARF): {alert.host}"
        return Draft(kind, printable(subject), _xarf(settings, alert)["description"])
    language = kind.partition(".")[2]
    said = (in_words(e.code, e.figures, e.reason, language) for e in alert.against)
    reasons = "\n".join(f"- {printable(one)}" for one in said)
    values = {
        "host": alert.host, "alert": alert.id, "since": rfc3339(alert.opened)[:19] + " UTC",
        "severity": alert.severity, "reasons": reasons, "organisation": settings.organisation,
        "customer": alert.customer or "",
    }  # fmt: skip
    try:
        text = string.Template(_template(settings, kind)).substitute(values)
    except (KeyError, ValueError) as error:
        raise LetterError(f"{kind}.txt: {error}: there are {', '.join(values)}") from None
    subject, _, body = text.partition("\n")
    return Draft(kind, printable(subject.strip()), body.lstrip("\n"))


def _xarf(settings: LetterSettings, alert: Alert) -> dict[str, Any]:
    return report(alert, settings.organisation, settings.sender)


def message(settings: LetterSettings, alert: Alert, letter: Draft, to: str) -> "EmailMessage":
    """The mail, as it is sent and kept. Raises LetterError for what is no header."""
    from email import policy
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    ascii_ = f"{settings.sender}{to}".isascii()
    made = EmailMessage(policy.SMTP if ascii_ else policy.SMTPUTF8)
    try:
        made["From"], made["To"], made["Subject"] = settings.sender, to, letter.subject
    except ValueError as error:
        raise LetterError(f"subject: {error}") from None
    made["Date"] = formatdate(localtime=True)
    made["Message-ID"] = make_msgid(alert.id, settings.sender.rpartition("@")[2])
    made["X-Port25-Alert"] = alert.id
    made.set_content(letter.text)
    if letter.kind == "xarf":
        made["X-XARF"] = "PLAIN"
        content = json.dumps(_xarf(settings, alert), indent=1).encode()
        made.add_attachment(content, maintype="application", subtype="json", filename="xarf.json")
    return made
