"""Export messages of many exporters, in whatever form, taken to flows; each is counted.

IPFIX, NetFlow 9 and 5, and sFlow 5 are told apart by the version they begin with. Exporters are
told apart by address, and by domain within. Templates outlive a restart where they are kept
(:meth:`Collector.templates`): some exporters send theirs every half an hour.
"""

import struct
from typing import Final

from sensor.base.door import Door
from sensor.decode.decoder import Decoder
from sensor.flows.netflow import ELEMENTS, flow_of, rate_of, read_5
from sensor.flows.record import Export, ExportError, Flow
from sensor.flows.sflow import read_sflow, sub_agent
from sensor.leases.ipfix_message import MessageError, Templates

__all__ = ["Collector"]

_MOST: Final = 10_000
"""Exporters, domains of one counted each; the one heard longest ago goes first."""
_SFLOW: Final = 5


class Collector:
    """Hears messages; its counters add up to them, and to their records."""

    def __init__(self, decoder: Decoder) -> None:
        """``decoder`` takes the headers that sFlow samples, and must watch the right ports."""
        self._decoder = decoder
        self.templates: Final = Templates(ELEMENTS, options=True)
        self.rates: dict[str, int] = {}
        """by exporter, one packet in how many it looks at, as far as it was told"""
        self._numbers: dict[tuple[str, str, int], int] = {}
        self.door: Final = Door("exports_unreadable")
        """of what nobody thought of"""
        self.fault = ""
        """the first message that was not as it should be, and why"""
        self._counts = dict.fromkeys(
            ("exports", "exports_ill_formed", "exports_lost", "exports_without_template",
             "flows_read", "flows_of_others"), 0,
        )  # fmt: skip

    def hear(self, data: bytes, exporter: str) -> list[Flow]:
        """The flows of a message, with the rate at which each was sampled."""
        self._counts["exports"] += 1
        export = self.door.read(self._read, data, exporter)
        if export is None:
            return []
        if export.rate:
            self._note_rate(exporter, export.rate)
        self._counts["exports_lost"] += export.lost
        self._counts["exports_without_template"] += export.unknown
        self._counts["flows_read"] += len(export.flows)
        self._counts["flows_of_others"] += export.others
        rate = self.rates.get(exporter, 1)
        return [one if one.rate else one._replace(rate=rate) for one in export.flows]

    def _read(self, data: bytes, exporter: str) -> Export | None:
        try:
            return self._export(data, exporter)
        except (ExportError, MessageError) as error:
            self._counts["exports_ill_formed"] += 1
            self.fault = self.fault or f"{exporter}: {error}"
            return None

    def _export(self, data: bytes, exporter: str) -> Export:
        if len(data) < 4:
            raise ExportError(f"{len(data)} bytes are no message")
        version, following = struct.unpack_from(">HH", data)
        if version == 0 and following == _SFLOW:
            place = ("sflow", exporter, sub_agent(data))
            export, number = read_sflow(data, self._decoder, self._numbers.pop(place, None))
        elif version == _SFLOW:
            place = ("netflow5", exporter, int.from_bytes(data[20:22]))
            export, number = read_5(data, self._numbers.pop(place, None))
        else:
            return self._by_template(data, exporter)
        self._numbers[place] = number
        if len(self._numbers) > _MOST:
            del self._numbers[next(iter(self._numbers))]
        return export

    def _by_template(self, data: bytes, exporter: str) -> Export:
        message = self.templates.read(data, exporter)
        found = [flow_of(record) for record in message.records]
        flows = [one for one in found if one is not None]
        rate = rate_of(message.options)
        return Export(flows, len(found) - len(flows), message.lost, rate, message.unknown)

    def _note_rate(self, exporter: str, rate: int) -> None:
        self.rates.pop(exporter, None)
        self.rates[exporter] = rate
        if len(self.rates) > _MOST:
            del self.rates[next(iter(self.rates))]

    def counters(self) -> dict[str, int]:
        """What was heard."""
        return self._counts | {
            "exports_unreadable": self.door.refused,
            "exports_sampled": sum(rate > 1 for rate in self.rates.values()),
            "templates_forgotten": self.templates.forgotten,
        }
