"""Metrics for Prometheus, on a port of this machine; names are documented in docs/metrics.md."""

import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sensor.settings import SINKS

__all__ = [
    "GAUGES",
    "MEANINGS",
    "STATES",
    "Collector",
    "MetricsError",
    "free",
    "page",
    "serve",
]

_SINKS = [kind.metrics for kind in SINKS.values()]
GAUGES = {
    "hosts": "hosts tracked",
    "details": "hosts with counters by window",
    "sketches": "lists of destinations that are estimated",
    "leases_live": "leases that say whose an address is now",
    "customers_known": "customers with a lease, now or before",
    "leases_waiting": "leases that have not begun",
    "lease_sources_gone": "sources of leases whose process is gone",
    "sessions_open": "connections in which something is being said",
    "pieces_held": "pieces of streams out of order",
    "alerts_open": "alerts that are open",
    "alerts_open_unproven": "open alerts on hosts that proved no handshake",
    "exchangers_known": "addresses of mail exchangers with a name",
    "evidence_bytes": "bytes in the evidence store",
    "packets_per_second": "packets in the last second",
    "ring_blocks_waiting": "ring blocks that wait to be read",
    "loss_ratio": "share of packets or bytes lost in the last interval",
    "snapshot_time_seconds": "wall time of the last snapshot",
    "packet_time_seconds": "packet time of the newest frame",
    "outbox_alerts": "alerts not yet in the journal",
    "blocks_in_force": "blocks and lookups in force, in the mode that is set",
    "blocking_enforced": "1: blocks are real; 0: a dry run or off",
    "blocking_stopped": "1: blocking has stopped itself and does not yet go on as before",
    "delivery_gone": "1: the process that decides and passes alerts on is gone",
    "forward_waiting": "batches in memory or on their way to Kafka",
    "forwarding_away": "1: Kafka takes no segments, which go to disk",
    "judges_alone": "1: this sensor judges its share alone, as Kafka takes no segments",
    "spool_batches": "batches on disk that Kafka has not acknowledged",
    "spool_bytes": "bytes on disk that Kafka has not acknowledged",
    "partitions_followed": "partitions of the segments that this process follows",
    "commit_latency_seconds": "from a packet to the commit of what it led to, the worst of late "
    "(port25 correlate)",
    **{name: text for metrics in _SINKS for name, text in metrics.gauges.items()},
}
"""Counts that may fall, with what they are; all others only grow."""


MEANINGS = {
    "attempts": "connections opened, by their SYNs",
    "retries": "SYNs sent again",
    "answered": "SYNs answered",
    "attempts_of_proven": "connections opened by hosts that had completed a handshake before",
    "replies_to_proven": "connections of hosts proven before that were answered, or refused",
    "refused": "SYNs answered by RST or an ICMP error",
    "unanswered": "SYNs without answer in time",
    "proven": "handshakes whose client knew the server's number",
    "disowned": "answers the client reset: its address was forged, or it scans",
    "denied": "handshakes the holder of the address reset afterwards: somebody else completed them",
    "visits": "first contacts under a name, compared with those of other subscribers",
    "meetings": "two subscribers of one make at an unusual network of servers within minutes",
    "meetings_displaced": "visits forgotten early, since another's stands in their place",
    "unbacked": "proven first contacts with servers nobody else uses: no reason for a block",
    "unsolicited_answers": "SYN-ACKs to no SYN seen",
    "outside_connections": "segments of no connection that is followed",
    "attempts_to_own_servers": "connections to the provider's own mail servers",
    "attempts_by_own_servers": "connections of the provider's own mail servers",
    "attempts_from_elsewhere": "connections of hosts outside the subscriber prefixes",
    "suppressed_by_exemption": "times an exempt host reached the raise level",
    "midstream": "connections picked up without their SYN",
    "sessions": "connections in which something was said",
    "sessions_evicted": "sessions given up for want of room",
    "sessions_passed_over": "sessions beyond 2,000 a second, of which no record or usage is kept",
    "sessions_unreadable": "connections whose record could not be made",
    "transactions_accepted": "mail transactions the server took",
    "transactions_rejected": "mail transactions the server refused",
    "transactions_asked": "transactions in which a recipient was asked for, and no mail sent",
    "inbound_messages": "messages from outside that subscribers took",
    "failures_excused": "first contacts that failed while a host heard from nobody any more",
    "bytes_read": "bytes of streams",
    "bytes_missed": "bytes of streams that were lost before they got here",
    "segments_ignored": "resets and the like that their receivers drop",
    "connections_evicted": "connections given up for want of room",
    "unanswered_forgotten": "SYNs without answer whose late repetitions would count as new ones",
    "pieces_refused": "pieces of streams out of order there was no room for",
    "pipeconnect_forgotten": "servers known to offer PIPECONNECT, given up for others",
    "hosts_evicted": "hosts given up for want of room",
    "hosts_forgotten": "hosts that did nothing for a day",
    "hosts_refused": "hosts there was no room for, proven ones also for counters by window",
    "hosts_evicted_proven": "hosts given up for want of room that had proved a handshake",
    "details_evicted_proven": "hosts with counters by window given up that had proved a handshake",
    "details_taken": "counters by window taken from hosts with an alert of which nothing is proven",
    "details_refused": "times a host of which nothing is proven got no counters by window",
    "sketches_taken": "sketches taken from hosts of which nothing is proven",
    "details_evicted": "hosts with counters by window given up for want of room",
    "sketches_refused": "lists of destinations that stay lower bounds for want of room",
    "leases_taken": "leases that began",
    "leases_renewed": "leases that were told again by their customer",
    "leases_ended": "leases that ended when they said they would",
    "leases_expired": "leases without end of which nothing more was told (customers.ttl)",
    "leases_replaced": "leases without end whose prefix another customer has now",
    "leases_overlapping": "leases not taken: another customer had the prefix, or a part of it",
    "leases_of_own_servers": "leases not taken: a mail server of the provider was in them",
    "leases_without_room": "leases not taken for want of room (limits.max_leases)",
    "leases_contradictory": "connections from an address in leases of two customers",
    "leases_past_dropped": "leases of the past forgotten for want of room",
    "leases_ill_formed": "leases not taken: they could not be read",
    "leases_backwards": "leases not taken: they ended before they began",
    "leases_too_wide": "leases not taken: no customer has so wide a prefix (customers.widest_ipv4)",
    "leases_late": "leases not taken: something newer of the prefix was told before",
    "leases_early": "leases not taken: they began an hour ahead or more (customers.late)",
    "leases_heard": "leases that sources told",
    "leases_not_kept": "leases that could not be written to leases.csv",
    "cgn_log_messages": "messages of a CGN's log heard",
    "cgn_log_unknown_senders": "messages of nobody among customers.cgn_log.senders",
    "cgn_log_other": "messages of a CGN's log that no pattern fits",
    "cgn_log_cut": "messages of a CGN's log that were too long, or broke off",
    "cgn_log_late": "messages about what was an hour ago or more (customers.late)",
    "cgn_log_released_unknown": "blocks of ports released of which it was not known who had them",
    "cgn_log_forgotten": "blocks of ports forgotten for want of room: their release is not known",
    "cgn_log_refused_connections": "connections refused: nobody among the senders, or too many",
    "dhcp_messages": "DHCP messages seen",
    "dhcp_ill_formed": "DHCP messages that could not be read",
    "dhcp_fragmented": "parts of datagrams, which are not put together",
    "dhcp_unknown_servers": "answers of nobody among customers.dhcp.servers",
    "dhcp_without_customer": "grants without any of customers.dhcp.customer",
    "dhcp_forgotten": "leases forgotten for want of room: whose address it was is told no more",
    "dhcp_dropped": "frames the kernel dropped for want of room",
    "ipfix_messages": "IPFIX messages heard",
    "ipfix_unknown_senders": "messages of nobody among customers.ipfix.senders",
    "ipfix_cut": "messages that were too long, or broke off",
    "ipfix_refused_connections": "connections refused: nobody among the senders, or too many",
    "ipfix_ill_formed": "messages that could not be read",
    "ipfix_without_template": "sets of records passed over, as their template is not known",
    "ipfix_skipped": "sets of options passed over",
    "ipfix_lost": "records (of NetFlow 9: messages) that are missing by their numbers",
    "ipfix_templates_forgotten": "templates given up for want of room",
    "ipfix_other": "records that are no allocation or release of a block of ports",
    "ipfix_incomplete": "events of blocks of ports without what is needed, or with scattered ports",
    "customer_names_not_kept": "names of customers that the disk refused (customers.names)",
    "ipfix_late": "events of an hour ago or more (customers.late)",
    "ipfix_released_unknown": "blocks of ports released of which it was not known who had them",
    "ipfix_forgotten": "blocks of ports forgotten for want of room: their release is not known",
    "resolver_asked": "questions to customers.resolver",
    "resolver_answered": "answers that were taken as leases",
    "resolver_unknown": "answers that it is nobody's who is known",
    "resolver_failed": "questions without an answer in time, or answered by an error; asked again",
    "resolver_redirects": "answers that send elsewhere; nobody follows",
    "resolver_too_large": "answers of more than 64 kB",
    "resolver_ill_formed": "answers that are no JSON, or not as it should be",
    "resolver_elsewhere": "answers about another address, port or time than was asked",
    "resolver_not_asked": "hosts not asked about, as too many waited",
    "kea_without_customer": "leases of Kea without any of customers.kea.customer",
    "kea_over": "leases of Kea that were over when they were read",
    "radius_requests": "accounting requests heard",
    "radius_repeated": "accounting requests heard before, and answered again",
    "radius_unknown_clients": "packets of nobody among customers.radius.clients",
    "radius_wrong_secret": "accounting requests not signed with the client's secret",
    "radius_ill_formed": "packets of clients that could not be read",
    "radius_not_accounting": "packets of clients that are no accounting requests",
    "radius_late": "accounting requests about what was an hour ago or more (customers.late)",
    "radius_sessions_restarted": "times a NAS said that it began or ended (Accounting-On, -Off)",
    "radius_stops_lost": "sessions that had a prefix which another is told to have now",
    "radius_stops_unknown": "Stops of sessions nothing was known of",
    "radius_out_of_order": "accounting requests older than what is known of their session",
    "radius_sessions_reused": "sessions under the id of another customer's, which so ended",
    "radius_sessions_forgotten": "sessions forgotten for want of room",
    "radius_without_customer": "accounting requests without customers.radius.customer",
    "radius_without_address": "accounting requests of sessions that have no address yet",
    "radius_other_status": "accounting requests about no session",
    "mx_queries": "questions for MX",
    "mx_queries_repeated": "questions for MX asked again by the same client within 10 s",
    "answers_read": "DNS answers read",
    "answers_unasked": "DNS answers for MX whose question was not seen, or was forgotten",
    "questions_forgotten": "questions of DNS given up for others, before their answers came",
    "messages_unreadable": "DNS messages without header or question",
    "pieces_lost": "pieces of DNS over TCP that could not be put together",
    "answers_skipped": "DNS answers not read: one segment of TCP brought more than are taken",
    "answers_known": "DNS answers read that said nothing new",
    "exchangers_forgotten": "names or addresses of exchangers given up for want of room",
    "answers_unreadable": "DNS answers that are damaged; what comes before the damage is read",
    "records_unreadable": "records of MX and addresses in DNS answers that are damaged",
    "records_of_other_classes": "records of MX and addresses of another class than IN, left aside",
    "records_skipped": "records of MX and addresses beyond 512 in one answer, not read",
    "names_unreadable": "names of servers whose provider could not be worked out",
    "alerts_refused": "alerts not opened for want of room",
    "siblings_forgotten": "IPv6 sites forgotten, in which a delegated prefix was looked for",
    "hosts_without_alert_in_floods": "hosts that raised no alert, being unproven ones too many",
    "clock_steps_back": "times packet time stepped back",
    "clock_steps_forward": "times packet time leapt",
    "packets_received": "packets that passed the kernel's filter, dropped ones included",
    "packets_dropped": "packets that passed the kernel's filter and found no room",
    "ring_freezes": "times the ring was full",
    "alerts_raised": "alerts raised",
    "alerts_escalated": "escalations told",
    "alerts_refreshed": "refreshes told",
    "alerts_closed": "alerts closed",
    "evidence_failures": "times the evidence store could not be written",
    "evidence_files_dropped": "files of the evidence store that made room",
    "candidates_not_kept": "candidates that could not be written to the journal",
    "sessions_not_kept": "records of suspects' sessions that could not be written",
    "journal_failures": "times the journal could not be written",
    "journal_messages_dropped": "messages deleted from the journal for want of room",
    "outbox_messages_dropped": "messages deleted from the journal that Kafka never had: lost to it",
    "desk_acts_heard": "acts about alerts at other desks that were new here",
    "desk_acts_refused": "acts about alerts at other desks for which there was no room",
    "desk_resumes_heard": "words from elsewhere that let blocking go on here",
    "desk_acts_waiting": "acts at other desks about alerts that were not known here yet",
    "decisions_block": "blocks made and renewed",
    "decisions_lookup": "customers of shared addresses to be looked up",
    "decisions_release": "blocks and lookups that ended",
    "decisions_refuse": "blocks recommended and not made",
    "decisions_stop": "times blocking stopped itself",
    "decisions_step": "steps by which it went on by itself",
    "decisions_resume": "times it went on as before, by itself",
    "decisions_alarm": "alarms for a person",
    "alerts_taken": "alerts of the topic that were new (port25 decide; on the health topic)",
    "alerts_unreadable": "messages of the topic of alerts that are none (port25 decide)",
    "segments_merged": "segments of all sensors that were followed, in order (port25 correlate)",
    "segments_copied": "segments followed that another sensor had sent before",
    "segments_put_right": "segments followed that were stamped after what answers them",
    "segments_late": "segments left out: their time had passed",
    "segments_unwaited": "segments that no longer waited for a slower sensor, for want of room",
    "batches_crowded": "batches of sensors beyond as many as are known at once, left out",
    "batches_missing": "batches of sensors that never came",
    "batches_repeated": "batches that came again, and were left out",
    "batches_unreadable": "messages on the topic of segments that are no batches",
    "fleet_heard": "words of other machines on the health topic (port25 decide)",
    "fleet_unreadable": "messages of the health topic that could not be read (port25 decide)",
    "fleet_not_written": "times what other machines said could not be left for the page",
    "fleet_forgotten": "machines forgotten: silent for a week, or too many",
    "alerts_held_back": "messages of alerts not told: a person exempted the host",
    "exemptions_forgotten": "exemptions of persons forgotten for want of room (port25 correlate)",
    "snapshots_unwritten": "snapshots of a partition that could not be written (port25 correlate)",
    "streams_set_back": "times a partition's time went back, for the clocks of all sensors had",
    "sensors_forgotten": "sensors left behind, forgotten for want of room",
    "sensors_of_one_name": "times one of two sensors of one name spoke after the other",
    "sensors_left_behind": "times a sensor was silent for longer than cluster.patience",
    "segments_forwarded": "segments given to Kafka or to the spool, by partition",
    "batches_forwarded": "batches of segments, also empty ones, which tell how far the sensor is",
    "bytes_forwarded": "bytes of the batches given to Kafka or to the spool",
    "dns_withheld": "messages of DNS that have nothing to do with mail and stayed here",
    "batches_acknowledged": "batches that Kafka has acknowledged",
    "batches_of_other_partitions": "batches left out: the topic has no such partition any more",
    "forwarding_restarts": "times sending segments began anew",
    "spool_batches_dropped": "batches lost: for want of room on disk, or it refused them",
    "spool_segments_dropped": "segments lost, in batches the disk had no room for or refused",
    "times_alone": "times this sensor began to judge alone (cluster.alone)",
    "spool_records_damaged": "records of the spool that could not be read; what follows is lost",
    **{name: text for metrics in _SINKS for name, text in metrics.counters.items()},
}
"""What each counter counts."""


class Labelled(NamedTuple):
    """A gauge for each of several."""

    stage: str
    key: str
    """of what the stage says of one; empty: that is the value"""
    label: str
    said: str


LABELLED = {
    "partition_lag": Labelled(
        "partitions", "", "partition", "messages of a partition not yet read (`port25 correlate`)"
    ),
    "sensor_ahead_seconds": Labelled(
        "sensors", "ahead", "sensor",
        "by how much, at least, its clock is ahead of another sensor's (`port25 correlate`)",
    ),
    "sensor_behind_seconds": Labelled(
        "sensors", "behind", "sensor",
        "packet time the sensor in the middle is ahead of it (`port25 correlate`)",
    ),
    "sensor_left_behind": Labelled(
        "sensors", "left_behind", "sensor",
        "1: it is silent, and the others go on without it (`port25 correlate`)",
    ),
    "detector_right": Labelled(
        "verdicts", "right", "detector",
        "alerts it had a part in that the desk found right, of the last 28 days",
    ),
    "detector_wrong": Labelled(
        "verdicts", "wrong", "detector",
        "alerts it had a part in that the desk found wrong, of the last 28 days",
    ),
    "detector_drift_decibans": Labelled(
        "verdicts", "drift", "detector",
        "by how much the odds the desk found are above those the scores promised",
    ),
}  # fmt: skip


STATES = {name: found for metrics in _SINKS for name, found in metrics.states.items()}
"""Those that are words: what they say, and which there are."""


def _state(name: str) -> str:
    said, states = STATES[name]
    return f"{said}: {', '.join(states)}"


class MetricsError(Exception):
    """The metrics cannot be served; the text says why."""


class Collector:
    """Turns counters by stage into metrics when Prometheus asks."""

    def __init__(self, counters: Callable[[], dict[str, dict[str, Any]]]) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        for stage, counters in self._counters().items():
            if stage == "frames":
                frames = CounterMetricFamily(
                    "port25_frames", "frames by what they were decoded to", labels=["outcome"]
                )
                for name, value in counters.items():
                    frames.add_metric([name], value)
                yield frames
                continue
            if any(stage == one.stage for one in LABELLED.values()):
                yield from _labelled(stage, counters)
                continue
            for name, value in counters.items():
                if name in STATES:
                    state = GaugeMetricFamily(f"port25_{name}", _state(name), labels=["state"])
                    for one in STATES[name][1]:
                        state.add_metric([one], one == value)
                    yield state
                elif name in GAUGES:
                    yield GaugeMetricFamily(f"port25_{name}", GAUGES[name], value=value)
                else:
                    yield CounterMetricFamily(f"port25_{name}", MEANINGS[name], value=value)


def _labelled(stage: str, counters: dict[str, Any]) -> Iterator[Metric]:
    """Gauges of each partition, sensor or detector."""
    for name, of in LABELLED.items():
        if of.stage != stage:
            continue
        gauge = GaugeMetricFamily(f"port25_{name}", of.said, labels=[of.label])
        for one, value in counters.items():
            gauge.add_metric([one], value[of.key] if of.key else value)
        yield gauge


def free(address: str) -> None:
    """Make sure that ``host:port`` can be served at. Raises MetricsError."""
    host, port = _place(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        raise _fault(address, error) from None


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise MetricsError(f"metrics at {address}: expected ADDRESS:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _fault(address: str, error: Exception) -> MetricsError:
    return MetricsError(f"metrics at {address}: {getattr(error, 'strerror', None) or error}")


def serve(address: str, collector: Collector) -> Callable[[], None]:
    """Answer at ``host:port`` from a thread of its own; call the result to stop it.

    Raises MetricsError.
    """
    host, port = _place(address)
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, _ = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise _fault(address, error) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def page() -> str:
    """docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "`port25 live` answers Prometheus at `127.0.0.1:9625` (`live.metrics` in the settings).",
        "Made by `make schema` from the program.",
        "",
        "| name | kind | meaning |",
        "| --- | --- | --- |",
        '| `port25_frames_total{outcome="..."}` | counter | frames by what they were decoded to;'
        " together, all that were read |",
    ]
    lines += [f'| `port25_{name}{{state="..."}}` | gauge | {_state(name)} |' for name in STATES]
    lines += [f"| `port25_{name}` | gauge | {what} |" for name, what in GAUGES.items()]
    lines += [
        f'| `port25_{name}{{{of.label}="..."}}` | gauge | {of.said} |'
        for name, of in LABELLED.items()
    ]
    lines += [f"| `port25_{name}_total` | counter | {what} |" for name, what in MEANINGS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
