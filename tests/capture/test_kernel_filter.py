"""The filter in the kernel passes what it passes interpreted; tcpdump sees all beside it."""

import os
import subprocess
import sys

from tests.conftest import ROOT, needs

PROGRAM = r"""
import ctypes, random, re, signal, socket, struct, subprocess, sys
from lab.bpf_machine import run
from sensor.capture.bpf import mail_filter, packed
from sensor.capture.merge import Captures
from tests.capture.test_bpf import IP, UDP, Ether, IPv6, asked

ATTACH_FILTER = 26
for line in ("add va type veth peer name vb", "set va up", "set vb up"):
    subprocess.run(["ip", "link", *line.split()], check=True)
program = mail_filter([25])
held = ctypes.create_string_buffer(packed(program))
ours = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
filtered = struct.pack("HL", len(program), ctypes.addressof(held))
ours.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, filtered)
ours.bind(("vb", 3))
ours.settimeout(2)
tcpdump = subprocess.Popen(
    ["tcpdump", "-Z", "root", "--immediate-mode", "-i", "vb", "-Uw", sys.argv[1], "udp port 53"],
    stderr=subprocess.PIPE,
)
while b"listening" not in tcpdump.stderr.readline():
    pass
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("va", 0))
rng, passed = random.Random(8), 0
head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
for k in range(400):
    ends = (
        IP(src="203.0.113.9", dst="192.0.2.53", id=k),
        IPv6(src="2001:db8::9", dst="2001:db8::53", fl=k),
    )
    ports = rng.choice([{"sport": 4000, "dport": 53}, {"sport": 53, "dport": 4000}])
    frame = bytes(head / rng.choice(ends) / UDP(**ports) / asked(rng)[0])
    out.send(frame)
    if run(program, frame):
        assert ours.recv(65535) == frame, k
        passed += 1
told = ("0", "1")
while told[0] != told[1]:  # what its ring holds at its end would be lost
    tcpdump.send_signal(signal.SIGUSR1)
    told = re.findall(r"\d+", tcpdump.stderr.readline().decode())
tcpdump.terminate()
tcpdump.wait()
ours.setblocking(False)
try:
    ours.recv(65535)
    raise SystemExit("one more than it should")
except BlockingIOError:
    pass
print(passed, sum(len(part.frames) for part in Captures([sys.argv[1]])))
"""


def test_what_the_kernel_passes_of_dns(tmp_path):
    needs("ip", "unshare", "tcpdump", root=True)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", PROGRAM, str(tmp_path / "beside.pcap")],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    passed, seen = map(int, done.stdout.split())
    assert seen == 400
    assert 100 < passed < 300
