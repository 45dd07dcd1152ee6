"""The kernels compiled in advance: which, for what arguments, and into one library."""

import fcntl
import gc
import os
import selectors
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sensor.base.cache import cache_folder
from sensor.base.machine_code import HALVES, file_name, is_missing, level, look_again
from sensor.capture.block import Block

__all__ = ["ensure", "make"]


def _play() -> None:
    """Call every kernel that any verb calls, as it calls it."""
    from sensor.capture.merge import Captures
    from sensor.evidence.store import Writer
    from sensor.hosts.subscribers import host_of
    from sensor.pipeline import Pipeline
    from sensor.service.live import compile_all
    from sensor.service.rehearsal import LEAST, one_syn
    from sensor.settings import Settings, subscribers_of

    compile_all.__wrapped__()
    block = one_syn()
    frame = block.frames[0]
    with tempfile.TemporaryDirectory(prefix="port25-") as folder:
        pcap, pcapng = Path(folder, "a.pcap"), Path(folder, "b.pcapng")
        head = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, int(frame["link"]))
        size = len(block.data)
        second = int(frame["ts"]) // 1_000_000_000
        pcap.write_bytes(head + struct.pack("<IIII", second, 0, size, size) + block.data.tobytes())
        with pcapng.open("wb") as file:
            Writer(file).write(block.data, block.frames, np.array([size]))
        pipeline = Pipeline(Settings(limits=LEAST), sessions="all")
        for _ in pipeline.run(Captures([str(pcap), str(pcapng)])):
            pass
    segments, subscribers = pipeline.decoder.decode(block), subscribers_of(Settings())
    mine, key = np.zeros(1, np.bool_), np.zeros(2, np.uint64)
    host_of(segments[:1], pipeline.decoder.watched, subscribers, key, mine)
    _play_together(block)


def _play_together(block: Block) -> None:
    """The same of what two sensors forward, and who correlates."""
    from sensor.cluster.forwarder import Forwarder
    from sensor.cluster.share import Share
    from sensor.decode.decoder import Decoder
    from sensor.service.rehearsal import LEAST
    from sensor.settings import Settings

    settings = Settings(limits=LEAST)
    share = Share(settings)
    for sensor in ("north", "south"):
        forwarder = Forwarder(settings, sensor, 1, lambda _, batch: share.add(batch, 0, False))
        segments = Decoder(settings.ports, 0, True).decode(block)
        forwarder.add(segments, block.data, int(block.frames["ts"][-1]), "")
        forwarder.end()
    share.finish()


def _deep(work: Callable[[], bytes]) -> bytes:
    """What ``work`` gives, which calls itself deeply.

    CPython keeps its frames in chunks of 16 kB, and asks the system for one whenever a call comes
    to the end of the last, also where a loop does so each time: that was a tenth of compiling. For
    a frame that says it is large it asks for up to twice that, in which there is room for all.
    """
    return work()


_deep.__code__ = _deep.__code__.replace(co_stacksize=300_000)  # words; the chunk has 2**19


def make(folder: Path, half: str, of: str, tell: Callable[[int, int], None]) -> None:
    """Write one of the halves for processors of level ``of``; ``tell`` how many kernels are done.

    Raises OSError.
    """
    from sensor.base.kernel import Kernel, rehearse
    from sensor.base.object_code import distinct, object_code
    from sensor.base.shared_object import shared_object

    gc.disable()  # what is made is needed to the end
    mine = [
        (form, call)
        for form, call in distinct(rehearse(_play))
        if form.startswith("sensor.tracking.") == (half == HALVES[0])
    ]
    made = _deep(lambda: object_code(mine, of, lambda done: tell(done, Kernel.count)))
    code = shared_object(made)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(half, of)
    unfinished = path.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(code)
    unfinished.replace(path)


def ensure(say: Callable[[str], None], progress: Callable[[str], None]) -> bool:
    """Have a library, made now if there is none; whoever else wants it waits for it.

    ``progress`` is given a line every now and then. False when it could not be made.
    """
    of = level()
    if not is_missing() or of is None:
        return True
    say("compiling, once: half a minute")
    folder = cache_folder()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        look_again()
        if is_missing():
            _both(folder, of, progress)
            look_again()
    return not is_missing()


def _both(folder: Path, of: str, progress: Callable[[str], None]) -> None:
    """Two processes, a half each; what they say is how far they are."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "sensor.service.compiling", str(folder), half, of],
            stdout=subprocess.PIPE,
            bufsize=0,  # a line that waits here would not wake the selector
        )
        for half in HALVES
    ]
    done: dict[int, int] = {}
    try:
        with selectors.DefaultSelector() as selector:
            for one in running:
                assert one.stdout is not None
                selector.register(one.stdout, selectors.EVENT_READ, one.stdout)
            while selector.get_map():
                for key, _ in selector.select():
                    line = key.data.readline().split()
                    if not line:
                        selector.unregister(key.fileobj)
                        continue
                    done[key.fd], whole = int(line[0]), int(line[1])
                    # What both need, both compile; so the sum may come to more than there is.
                    progress(f"compiling {min(sum(done.values()), whole)} of {whole}")
    finally:
        for one in running:
            if one.poll() is None and sys.exc_info()[0] is not None:
                one.terminate()
            one.wait()


def main() -> None:
    """One half, as ``ensure`` has it made."""
    folder, half, of = sys.argv[1:4]
    make(Path(folder), half, of, lambda done, whole: print(done, whole, flush=True))


if __name__ == "__main__":
    main()
