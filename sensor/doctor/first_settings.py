"""A first settings file: what is asked, what may be proposed from traffic, and the text of it."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from sensor.base.addresses import network_of, text
from sensor.doctor.traffic import Traffic
from sensor.settings import SettingsError, parse_settings

__all__ = ["QUESTIONS", "Question", "asked", "mistakes", "networks", "settings_text"]

_LOW: Final = (1 << 64) - 1
_SHOWN: Final = 5


class Question(NamedTuple):
    """One setting."""

    table: str
    """of TOML; empty: none"""
    key: str
    asked: str
    default: str
    is_list: bool
    comment: str
    """written above it"""


QUESTIONS: Final = (
    Question(
        "", "subscriber_prefixes", "Whose mail is looked at? Your subscribers' prefixes", "", True,
        "Who the subscribers are. Without this: every host that opens connections to port 25.",
    ),
    Question(
        "", "own_mail_servers", "Which mail servers are yours? Addresses or prefixes", "", True,
        "The provider's own servers, to which customers may send.",
    ),
    Question(
        "", "privacy", "What is read of mail: headers, envelope or evidence?", "envelope", False,
        '"headers": nothing beyond TCP; "envelope": what client and server say to each other;\n'
        '# "evidence": that is kept, too. Never a message.',
    ),
    Question(
        "kafka", "bootstrap", "Kafka brokers, as host:port, where alerts go", "", True,
        "Alerts are kept on disk; with brokers, they are passed on as well.",
    ),
    Question(
        "web", "listen", "Where does the abuse desk's page listen?", "127.0.0.1:8625", False,
        "Elsewhere than on loopback it needs users and TLS: docs/web.md.",
    ),
)  # fmt: skip
"""In the order of asking; plain keys first, as TOML has it."""

_END: Final = """
# Nothing is blocked before mode = "enforce"; what would be is decided and kept.
[blocking]
mode = "dry-run"
"""


def networks(traffic: Traffic) -> list[str]:
    """The networks that opened most connections, with how many; the busiest first."""
    opened: Counter[str] = Counter()
    for address, client in traffic.clients.items():
        opened[network_of(text(address >> 64, address & _LOW))] += client.opened
    return [f"{name} ({count:,} connections)" for name, count in opened.most_common(_SHOWN)]


def _value(question: Question, answer: str) -> str:
    if not question.is_list:
        return json.dumps(answer, ensure_ascii=False)
    words = answer.replace(",", " ").split()
    return f"[{', '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"


def settings_text(answers: list[str]) -> str:
    """The file, with as many of :data:`QUESTIONS` as are answered; defaults are left commented."""
    lines = [
        "# Settings of port25. All of them: docs/settings.md. `port25 doctor` looks at the rest."
    ]
    for question, answer in zip(QUESTIONS, answers, strict=False):
        lines += ["", f"# {question.comment}"]
        if question.table:
            lines.append(f"[{question.table}]")
        off = "#" if answer == question.default else ""
        lines.append(f"{off}{question.key} = {_value(question, answer)}")
    return "\n".join(lines) + "\n" + _END


def mistakes(answers: list[str]) -> list[str]:
    """What is wrong with the last answer; nothing when it will do."""
    try:
        parse_settings(settings_text(answers))
    except SettingsError as error:
        return list(error.mistakes)
    return []


Ask = Callable[[str], str]
"""Given a prompt, a person's answer; raises EOFError where nobody answers."""


def asked(ask: Ask, say: Callable[[str], None], hints: dict[str, list[str]]) -> list[str]:
    """All answers; each is asked for until it will do. ``hints`` by key. Raises EOFError."""
    answers: list[str] = []
    for question in QUESTIONS:
        for hint in hints.get(question.key, ()):
            say(f"    seen: {hint}")
        prompt = f"{question.asked} [{question.default or 'none'}]: "
        while True:
            answer = ask(prompt).strip() or question.default
            wrong = mistakes([*answers, answer])
            if not wrong:
                break
            for one in wrong:
                say(f"    {one}")
        answers.append(answer)
    return answers
