import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.frames import block
from sensor.decode.decoder import Decoder
from tests.conftest import ROOT
from tests.decode.fuzz import seeds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "variable"), [(1_000_000, "PORT25_CHECKED_LOADS"), (5_000, "NUMBA_DISABLE_JIT")]
)
def test_no_frame_is_read_beyond_its_end_and_counters_add_up(frames, variable):
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::RuntimeWarning:__main__",
            "-m",
            "tests.decode.fuzz",
            str(frames),
        ],
        env=os.environ | {variable: "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    counts = eval(run.stdout)  # a dict literal our own script printed
    assert sum(counts.values()) == frames
    if frames > 100_000:
        rare = [name for name, count in counts.items() if not count]
        assert not rare, f"the fuzzer never reached {rare}"


CORPUS = seeds()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(CORPUS),
            st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=4),
            st.integers(0, 150),
        ),
        max_size=8,
    ),
    st.sampled_from([0, 1, 101, 113, 276]),
)
def test_counters_add_up_whatever_the_frames(choices, link):
    frames = []
    for (_, frame), changes, length in choices:
        made = bytearray(frame[: length or len(frame)])
        for at, value in changes:
            if made:
                made[at % len(made)] = value
        frames.append(bytes(made))
    decoder = Decoder(None)
    rows = decoder.decode(block(frames, link))
    assert decoder.counts.sum() == len(frames)
    assert len(rows) == decoder.counts[:3].sum()
