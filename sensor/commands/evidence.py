"""``port25 evidence``: the packets that made an alert, for Wireshark."""

import argparse
import datetime
from pathlib import Path

import msgspec
import numpy as np

from sensor.alerts.alert import Alert
from sensor.capture.block import CaptureError
from sensor.capture.merge import Captures
from sensor.commands import complain, find_alert, person, report_faults, settings_from, state_from
from sensor.decode.decoder import Decoder
from sensor.evidence.store import Writer, frames_of, stored_files
from sensor.hosts.subscribers import host_of, parse_host
from sensor.settings import Settings, subscribers_of

__all__ = ["run"]

_SECOND = 1_000_000_000


def run(options: argparse.Namespace) -> int:
    """Write the stored packets of an alert's host, up to its last message; the access is logged."""
    settings = settings_from(options.config)
    if settings is None:
        return 2
    found = find_alert(state_from(options, settings), options.alert)
    if found is None:
        return 1
    alert, folder = found
    written, faults = _extract(settings, folder, alert, Path(options.output))
    log = folder / "evidence" / "access.log"
    entry = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(),
        "user": person(),
        "alert": alert.id,
        "host": alert.host,
        "packets": written,
    }
    try:
        with log.open("ab") as out:
            out.write(msgspec.json.encode(entry) + b"\n")
    except OSError as error:
        Path(options.output).unlink(missing_ok=True)
        complain(f"{log}: {error.strerror}; without a log of the access nothing is given out")
        return 1
    print(f"{written:,} packets of {alert.host} in {options.output}")
    return report_faults(faults)


def _extract(
    settings: Settings, folder: Path, alert: Alert, output: Path
) -> tuple[int, list[CaptureError]]:
    """Copy the host's packets; how many, and what was wrong with the store."""
    subscribers = subscribers_of(settings)
    key = parse_host(alert.host, subscribers)
    reasons = "; ".join(line.reason for line in alert.evidence[1:] if line.decibans)
    comment = f"port25 alert {alert.id}: {alert.host}, {alert.score:+.1f} decibans. {reasons}"
    files = stored_files(folder / "evidence")
    decoder = Decoder(settings.ports, duplicate_window=0)
    captures = Captures([str(file) for file in files])
    count = 0
    with output.open("wb") as target:
        writer = Writer(target, comment)
        for block in captures if files else ():
            segments = decoder.decode(block)
            times = segments["ts"]
            segments = segments[(times >= alert.first_seen * _SECOND) & (times <= alert.ts)]
            mine = np.zeros(len(segments), np.bool_)
            host_of(segments, decoder.watched, subscribers, np.array(key, np.uint64), mine)
            frames, _ = frames_of(block, segments[mine], True)
            writer.write(block.data, frames, frames["captured"].astype(np.int64))
            count += len(frames)
    return count, captures.faults
