"""``port25 watch``: alerts as they come, on a terminal.

Keys as in htop and k9s. At 80 columns and 24 lines everything is there; severity is a word and not
only a colour (NO_COLOR is heeded). ``plain.py`` is for screen readers.
"""

import contextlib
import textwrap
import time
from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, Sparkline, Static

from sensor.alerts.alert import Alert
from sensor.base.database import DatabaseError
from sensor.base.terminal import printable
from sensor.console.sparing import exempt, release
from sensor.console.status import Mode
from sensor.console.terminal.fleet import machines
from sensor.console.terminal.words import Words, zone
from sensor.console.view import Seen, StateGoneError, View
from sensor.state.journal import Wanted

__all__ = ["Watch"]

_LISTED = 500
_SPARKS = 60
_REASON = 26
"""Column of a detail's reasons."""
_STYLES = {"medium": "yellow", "high": "red", "critical": "bold red"}
_COLUMNS = {
    "alerts": ("raised", "host", "severity", "score", "state", "block", "seen", "kind", "customer"),
    "hosts": ("when", "host", "score", "most"),
    "blocks": ("until", "host", "mode", "why"),
    "fleet": ("heard", "machine", "said"),
}
"""Of each list, by their names in the catalogue."""
_KEYS = {
    "1": ("show('alerts')", "alerts"),
    "2": ("show('hosts')", "hosts"),
    "3": ("show('blocks')", "blocks"),
    "4": ("show('fleet')", "fleet"),
    "o": ("toggle_open", "open"),
    "slash": ("filter", "filter"),
    "a": ("acknowledge", "acknowledge"),
    "e": ("exempt", "exempt"),
    "r": ("release", "release"),
    "escape,backspace,q": ("list", "back"),
    "question_mark": ("help", "help"),
    "q": ("leave", "quit"),
}
"""What keys do, and what that is called."""
_OF_LISTS = ("show", "toggle_open", "filter", "leave")
"""Actions that one alert has not: its foot has room for its own."""


class Ask(ModalScreen[str]):
    """A question with a line for the answer; empty where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave")]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Question and line."""
        yield Static(Text(printable(self._question)), id="question")
        yield Input(id="answer")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The answer."""
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """No answer."""
        self.dismiss("")


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark", "app.pop_screen", "Back")
    ]

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static(Text(self._words.say("help.keys", zone=zone()).strip()), id="keys")


class Detail(Screen[None]):
    """All there is of one alert."""

    def __init__(self, view: View, id_: str, words: Words) -> None:
        super().__init__()
        self._view = view
        self._words = words
        self.alert = id_

    def compose(self) -> ComposeResult:
        """One text to scroll."""
        with VerticalScroll():
            yield Static(id="detail")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show it, and again when something changes."""
        self.show()

    def show(self) -> None:
        """As it is now."""
        said = self._words.whole(self._view, self.alert)
        width = max(40, self.size.width - 4)
        lines = [
            part
            for line in said
            for part in (
                textwrap.wrap(
                    line,
                    width,
                    subsequent_indent=" " * _REASON if line.startswith("  ") else "",
                    replace_whitespace=False,
                )
                or [""]
            )
        ]
        self.query_one("#detail", Static).update(Text("\n".join(lines)))


class Watch(App[None]):
    """The list, with what goes on above it."""

    TITLE = "port25"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #status, #vitals { height: 1; text-style: bold; }
    #syns { height: 2; }
    #syns > .sparkline--max-color { color: $accent; }
    #syns > .sparkline--min-color { color: $accent; }
    DataTable { height: 1fr; }
    Ask { align: center middle; }
    Help { align: center middle; }
    #keys { width: 78; padding: 1 2; background: $panel; }
    #reason { max-height: 3; padding: 0 1; }
    #question { width: 76; padding: 1 2 0 2; background: $panel; }
    #answer { width: 76; }
    """

    def __init__(
        self, view: View, by: str, mode: Mode = "dry-run", words: Words | None = None
    ) -> None:
        """``mode``: of blocking, where nothing was decided yet; ``words``: of whom it speaks to."""
        super().__init__()
        self._words = words or Words()
        for key, (action, name) in _KEYS.items():
            shown = {"slash": "/", "question_mark": "?", "escape,backspace,q": "esc"}.get(key)
            said = self._words.say(f"key.{name}")
            at_foot = name != "fleet"  # 80 columns have no room for it; `?` tells of it
            self.bind(key, action, description=said, key_display=shown, show=at_foot)
        self._view = view
        self._by = by
        self._mode: Mode = mode
        self._fault = ""
        self._what = "alerts"
        self._is_open = False
        self._text = ""
        self._reasons: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Status, vitals, sparkline, table, keys."""
        yield Static(id="status")
        yield Static(id="vitals")
        yield Sparkline([], id="syns")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Static(id="reason")
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Fill it, and look twice a second whether there is anything new."""
        self._fill()
        self.set_interval(0.5, self._look)

    def _look(self) -> None:
        if not self._base.query("#status"):
            return  # it is closing, and its parts are gone before the timer is
        try:
            if self._view.refresh():
                self._fill()
                if isinstance(self.screen, Detail):
                    self.screen.show()
            else:
                self._vitals()  # a sensor that died changes nothing
                if self._what == "fleet":  # nor does the word of a machine
                    self._table()
            self._fault = ""
        except DatabaseError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                self._say(self._fault)
            if isinstance(error, StateGoneError):
                self._reopen()

    def _reopen(self) -> None:
        """Look at the files there are now; those looked at are not in the folder any more."""
        with contextlib.suppress(DatabaseError):  # tried again at the next look
            view = View(self._view.state)
            self._view.close()
            self._view = view
            self._fill()

    def _say(self, text: str) -> None:
        self.notify(printable(text), markup=False)

    @property
    def _base(self) -> Screen[object]:
        return self.screen_stack[0]

    def _fill(self) -> None:
        vitals = self._view.vitals(_SPARKS)
        self._base.query_one("#syns", Sparkline).data = [v.syns / v.seconds for v in vitals]
        self._vitals()
        self._table()

    def _vitals(self) -> None:
        now = self._view.status(self._mode)
        if now.running and (vitals := self._view.vitals(1)):
            v = vitals[-1]
            line = self._words.say(
                "status.vitals", syns=v.syns / v.seconds, packets=v.packets / v.seconds,
                dropped=v.dropped, loss=v.loss, hosts=v.hosts, alerts=v.alerts_open,
            )  # fmt: skip
        else:
            line = ""
        if self._text or self._is_open:
            is_open = self._words.say("status.open") if self._is_open else ""
            line += f"  [{f'{is_open} {self._text}'.strip()}]"
        untold = self._words.away(self._view.away())
        bad = now.stopped or not now.running or untold
        said = "  ".join([*self._words.status(now), *untold])
        text = Text(printable(said), style="bold red" if bad else "")
        self._base.query_one("#status", Static).update(text)
        self._base.query_one("#vitals", Static).update(Text(printable(line)))

    def _table(self) -> None:
        table = self._base.query_one(DataTable)
        before = self._selected(), table.cursor_row
        table.clear(columns=True)
        names = (self._words.say(f"column.{name}", zone=zone()) for name in _COLUMNS[self._what])
        table.add_columns(*names)
        keys = []
        for key, cells in self._rows():
            table.add_row(*cells, key=key)
            keys.append(key)
        if keys:
            row = keys.index(before[0]) if before[0] in keys else min(before[1], len(keys) - 1)
            table.move_cursor(row=row, scroll=False)
        else:
            self._base.query_one("#reason", Static).update("")

    def _rows(self) -> list[tuple[str, list[Text]]]:
        """Of each row its key and cells; what it has to say in full is kept beside."""
        words = self._words
        found: list[tuple[str, tuple[str, ...], str]] = []
        self._reasons = {}
        if self._what == "alerts":
            wanted = Wanted(self._text, "open" if self._is_open else "")
            seen = self._view.alerts(_LISTED, wanted)
            self._reasons = {one.head.id: words.reason(one.gist.strongest) for one in seen}
            return [(one.head.id, self._cells(one)) for one in seen]
        if self._what == "hosts":
            for c in self._view.candidates(_LISTED):
                why = words.reason(max(c.evidence[1:], key=lambda line: line.decibans))
                found.append((c.host, (words.clock(c.ts), c.host, f"{c.score:+.1f}"), why))
        elif self._what == "fleet":
            for one in machines(words, self._view.state, time.time_ns()):
                heard = words.clock(one.heard) if one.heard else ""
                found.append((one.name, (heard, one.name), one.said))
        else:
            for b in self._view.blocks():
                mode = words.say("list.enforced" if b.enforced else "list.dry")
                cells = words.clock(b.expires), b.host, mode
                found.append((f"{b.host} {b.enforced}", cells, words.why(b)))
        self._reasons = {key: why for key, _, why in found}
        return [
            (key, [Text(printable(cell)) for cell in (*cells, why)]) for key, cells, why in found
        ]

    def _cells(self, seen: Seen) -> list[Text]:
        h, say = seen.head, self._words.say
        style = "dim" if seen.acknowledged or h.state == "closed" else _STYLES[h.severity]
        done = (
            say("list.exempt") if seen.exempted else say("list.seen") if seen.acknowledged else ""
        )
        cells = (
            self._words.clock(h.opened)[2:], h.host, say(f"severity.{h.severity}"),
            f"{h.score:+.1f}", say(f"state.{h.state}"), self._words.standing(seen.block), done,
            say(f"kind.{h.abuse}"), h.customer,
        )  # fmt: skip
        return [Text(printable(cell), style=style) for cell in cells]

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Columns cut what is long: below the list it stands in full."""
        why = self._reasons.get(str(event.row_key.value), "")
        self._base.query_one("#reason", Static).update(Text(printable(why)))

    # --- keys ------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """See ``App``: what can be done where one is."""
        on_one = isinstance(self.screen, Detail)
        return on_one if action == "list" else not on_one or action not in _OF_LISTS

    def action_leave(self) -> None:
        """The end."""
        self.exit()

    def action_list(self) -> None:
        """From an alert to the list."""
        self.pop_screen()

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help(self._words))

    def action_show(self, what: str) -> None:
        """Another list."""
        self._what = what
        self._table()

    def action_toggle_open(self) -> None:
        """Open alerts only, or all."""
        self._is_open = not self._is_open
        self._fill()

    def action_filter(self) -> None:
        """Alerts of which host, severity, state or id hold a text."""

        def take(text: str | None) -> None:
            self._text = text or ""
            self._fill()

        self.push_screen(Ask(self._words.say("ask.filter")), take)

    def _selected(self) -> str:
        """Id of the alert the cursor is on, or that is shown; empty: none."""
        if isinstance(self.screen, Detail):
            return self.screen.alert
        table = self._base.query_one(DataTable)
        if self._what != "alerts" or not table.row_count:
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def on_data_table_row_selected(self) -> None:
        """Open it."""
        if id_ := self._selected():
            self.push_screen(Detail(self._view, id_, self._words))

    def _ask(self, about: str, does: Callable[[Alert, str], str]) -> None:
        """Ask about the selected alert, do it with its last message and the answer, say so."""
        id_ = self._selected()
        messages = self._view.messages(id_) if id_ else []
        if not messages:
            return
        last = messages[-1]

        def take(answer: str | None) -> None:
            if answer:
                try:
                    self._say(does(last, answer))
                except (DatabaseError, ValueError) as error:
                    self._say(str(error))
                self._look()

        self.push_screen(Ask(self._words.say(f"ask.{about}", host=last.host)), take)

    def action_acknowledge(self) -> None:
        """Somebody has seen to it."""

        def does(alert: Alert, reason: str) -> str:
            self._view.acknowledge(alert.id, self._by, reason)
            return self._words.say("done.acknowledged")

        self._ask("acknowledge", does)

    def action_exempt(self) -> None:
        """Never alert on its host, nor block it."""

        def does(alert: Alert, answer: str) -> str:
            days, _, reason = answer.partition(" ")
            if not days.isdigit() or not reason:
                raise ValueError(self._words.say("wrong.days"))
            made = exempt(self._view, alert.customer or alert.host, int(days), self._by, reason)
            until = self._words.at(made.until)
            return self._words.say("done.exempt", host=made.host, until=until)

        self._ask("exempt", does)

    def action_release(self) -> None:
        """End the block of its host."""

        def does(alert: Alert, reason: str) -> str:
            ended = release(self._view, alert.customer or alert.host, self._by, reason)
            return self._words.say("done.released", blocks=ended)

        self._ask("release", does)
