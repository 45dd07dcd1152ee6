"""Writes the dashboard: ``python deploy/grafana/make.py > deploy/grafana/port25.json``."""

import json
from typing import Any

ROWS: tuple[tuple[str, tuple[tuple[str, str, tuple[str, ...]], ...]], ...] = (
    (
        "What is going on",
        (
            ("SMTP connections opened", "ops", ("rate(port25_attempts_total[1m])",)),
            (
                "What became of them",
                "ops",
                tuple(
                    f"rate(port25_{name}_total[1m])"
                    for name in ("answered", "refused", "unanswered", "proven", "disowned")
                ),
            ),
            ("Alerts open", "none", ("port25_alerts_open",)),
            (
                "Alerts told",
                "none",
                tuple(f"increase(port25_alerts_{s}_total[1h])" for s in ("raised", "closed")),
            ),
            (
                "Mail taken and refused",
                "ops",
                tuple(
                    f"rate(port25_transactions_{s}_total[1m])" for s in ("accepted", "rejected")
                ),
            ),
            ("MX questions", "ops", ("rate(port25_mx_queries_total[1m])",)),
        ),
    ),
    (
        "Is anything lost",
        (
            ("Packets", "pps", ("rate(port25_packets_received_total[1m])",)),
            ("Packets dropped by the kernel", "pps", ("rate(port25_packets_dropped_total[1m])",)),
            ("Share lost", "percentunit", ("port25_loss_ratio",)),
            ("Ring blocks waiting", "none", ("port25_ring_blocks_waiting",)),
            ("Frames by outcome", "pps", ("sum by (outcome) (rate(port25_frames_total[1m]))",)),
            ("Behind by", "s", ("time() - port25_packet_time_seconds",)),
        ),
    ),
    (
        "Where alerts go, and what is blocked",
        (
            ("Blocks in force", "none", ("port25_blocks_in_force",)),
            (
                "Decisions",
                "none",
                tuple(
                    f"increase(port25_decisions_{s}_total[1h])"
                    for s in ("block", "lookup", "release", "refuse")
                ),
            ),
            (
                "Calls for a person",
                "none",
                ("port25_blocking_stopped", "port25_delivery_gone",
                 "increase(port25_decisions_alarm_total[1h])"),
            ),
            ("State of Kafka", "none", ("port25_kafka_state",)),
            ("Waiting for Kafka", "none", ("port25_kafka_waiting",)),
            ("Packet to acknowledgement, p99", "s", ("port25_kafka_delay_p99_seconds",)),
        ),
    ),
    (
        "Is it well",
        (
            ("Hosts tracked", "none", ("port25_hosts", "port25_details")),
            ("Sessions", "none", ("port25_sessions_open", "port25_pieces_held")),
            (
                "Evicted for want of room",
                "ops",
                tuple(
                    f"rate(port25_{name}_total[5m])"
                    for name in ("hosts_evicted", "details_evicted", "connections_evicted",
                                 "sessions_evicted", "pieces_refused", "sketches_refused")
                ),
            ),
            ("Alerts not yet on disk", "none", ("port25_outbox_alerts",)),
            ("Age of the snapshot", "s", ("time() - port25_snapshot_time_seconds",)),
            ("Evidence kept", "bytes", ("port25_evidence_bytes",)),
        ),
    ),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, plots in ROWS:
        panels.append({"type": "row", "title": title, "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        y += 1
        for k, (name, unit, queries) in enumerate(plots):
            panels.append(
                {
                    "type": "timeseries",
                    "title": name,
                    "datasource": {"type": "prometheus", "uid": "${source}"},
                    "gridPos": {"h": 7, "w": 8, "x": k % 3 * 8, "y": y + k // 3 * 7},
                    "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                    "targets": [
                        {"expr": query, "refId": chr(65 + n)} for n, query in enumerate(queries)
                    ],
                }
            )
        y += (len(plots) + 2) // 3 * 7
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "title": "port25",
        "uid": "port25",
        "schemaVersion": 39,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "source", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=1))
