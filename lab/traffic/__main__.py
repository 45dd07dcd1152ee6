"""Write a capture of a simulated provider, and beside it the truth.

    python -m lab.traffic OUT.pcap --subscribers 10000 --days 1 --seed 7 [--bots 3] [--syns]

``OUT.truth.json`` tells of each class how many there are and, of each sender, its class.
"""

import argparse
import json
from pathlib import Path

from lab.traffic.packets import blocks, write
from lab.traffic.population import traffic


def main() -> None:
    """Write both, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lab.traffic", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--subscribers", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bots", type=int, default=0, help="of each family and kind of evader")
    parser.add_argument("--scanners", type=int, default=0, help="of each kind")
    parser.add_argument("--syns", action="store_true", help="only what opens connections")
    a = parser.parse_args()
    world = traffic(a.seed, a.subscribers, a.days, a.bots, a.scanners)
    frames = write(a.out, blocks(world.connections, world.scripts, a.syns))
    hosts = list(world.hosts)
    truth = {
        "seed": a.seed,
        "days": a.days,
        "frames": frames,
        "silent_subscribers": world.silent,
        "classes": [
            {"name": group.name, "kind": group.kind, "subscribers": group.senders,
             "hosts": hosts[group.first : group.first + group.senders]}
            for group in world.groups
        ],
    }  # fmt: skip
    a.out.with_suffix(".truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    print(f"{frames:,} frames, {len(world.connections):,} connections and lookups")


if __name__ == "__main__":
    main()
