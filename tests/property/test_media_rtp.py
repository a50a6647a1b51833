"""Laws of RTP arithmetic: nothing depends on how packets were cut into batches, and nothing is lost or doubled."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media.rtp.jitter import JitterEstimator
from media.rtp.ordering import Resequencer
from media.rtp.rtcp import parse_rtcp
from media.rtp.sequence import extend_sequence_numbers, extend_timestamps, nearest_extended
from media.rtp.source import STRAY, SourceTracker

starts = st.integers(0, 2**40)
seeds = st.integers(0, 2**32 - 1)


@given(starts, st.lists(st.integers(-30_000, 30_000), max_size=40))
def test_extended_sequence_numbers_are_what_was_sent(start: int, steps: list[int]) -> None:
    sent = start + np.cumsum(np.array(steps, np.int64))
    assert extend_sequence_numbers((sent % 65536).astype(np.uint16), start).tolist() == sent.tolist()


@given(starts, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40))
def test_extended_timestamps_are_what_was_sent(start: int, distances: list[int]) -> None:
    sent = start + np.array(distances, np.int64)
    assert extend_timestamps((sent % 2**32).astype(np.uint32), start).tolist() == sent.tolist()


@given(st.integers(0, 65535), st.integers(-(2**40), 2**40))
def test_the_nearest_extended_number_is_congruent_and_nearest(number: int, expected: int) -> None:
    found = nearest_extended(number, expected)
    assert found % 65536 == number
    assert abs(found - expected) <= 32768


@given(seeds, st.integers(1, 8), st.sampled_from([0, 0.2, 0.6]))
@settings(deadline=None)
def test_order_does_not_depend_on_batches(seed: int, parts: int, loss: float) -> None:
    random = np.random.default_rng(seed)
    sent = 65_500 + np.arange(400)
    arrived = sent[random.random(400) >= loss]
    arrived = arrived[np.argsort(np.arange(len(arrived)) + random.normal(0, 4, len(arrived)))]
    again = random.integers(0, len(arrived), 30)
    arrived = np.insert(arrived, np.minimum(again + random.integers(1, 8, 30), len(arrived)), arrived[again])
    resequencer = Resequencer()
    held = np.zeros(0, np.int64)
    emitted: list[int] = []
    duplicates = 0
    for batch in np.array_split(arrived, parts):
        given_ = np.concatenate([held, batch])
        found = resequencer.order(np.zeros(len(given_), np.int32), given_, flush=False)
        emitted += given_[found.emitted].tolist()
        held = given_[found.held]
        duplicates += found.duplicates
    last = resequencer.order(np.zeros(len(held), np.int32), held, flush=True)
    emitted += held[last.emitted].tolist()
    assert sorted(emitted) == sorted(set(arrived.tolist()))
    assert emitted == sorted(emitted)
    assert duplicates == len(arrived) - len(set(emitted))
    assert resequencer.lost == max(emitted) - min(emitted) + 1 - len(emitted)


@given(seeds, st.integers(1, 9), st.integers(0, 3))
@settings(deadline=None)
def test_runs_do_not_depend_on_batches(seed: int, parts: int, restarts: int) -> None:
    random = np.random.default_rng(seed)
    sequence, stamps, times = [], [], []
    clock_ns = 0
    for _ in range(restarts + 1):
        base, stamp = int(random.integers(0, 65536)), int(random.integers(0, 2**32))
        count = int(random.integers(60, 200))
        sequence.append((base + np.arange(count)) % 65536)
        stamps.append((stamp + np.arange(count) * 160) % 2**32)
        times.append(clock_ns + np.arange(count) * 20_000_000 + random.integers(0, 5_000_000, count))
        clock_ns = int(times[-1][-1]) + int(random.integers(20_000_000, 10**10))
    arrays: tuple[NDArray[Any], ...] = (
        np.concatenate(sequence).astype(np.uint16),
        np.concatenate(stamps).astype(np.uint32),
        np.full(sum(map(len, sequence)), 160, np.int64),
        np.concatenate(times),
    )
    whole = SourceTracker(8000).locate(arrays[0], arrays[1], arrays[2], arrays[3], final=True)
    tracker = SourceTracker(8000)
    runs: list[int] = []
    numbers: list[int] = []
    waiting: list[NDArray[Any]] = [array[:0] for array in arrays]
    for part in range(parts):
        start, end = part * len(arrays[0]) // parts, (part + 1) * len(arrays[0]) // parts
        fed = [np.concatenate([old, new[start:end]]) for old, new in zip(waiting, arrays, strict=True)]
        found = tracker.locate(fed[0], fed[1], fed[2], fed[3], final=part == parts - 1)
        waiting = [array[len(found.runs) :] for array in fed]
        runs += found.runs.tolist()
        numbers += found.extended_sequence_numbers.tolist()
    assert runs == whole.runs.tolist()
    assert numbers == whole.extended_sequence_numbers.tolist()
    assert STRAY not in runs
    assert np.diff(runs).min() >= 0


@given(seeds, st.integers(1, 5))
def test_jitter_does_not_depend_on_batches(seed: int, parts: int) -> None:
    random = np.random.default_rng(seed)
    times = np.cumsum(random.integers(0, 60_000_000, 300))
    stamps = np.cumsum(random.integers(0, 400, 300))
    whole, cut = JitterEstimator(8000), JitterEstimator(8000)
    whole.feed(times, stamps)
    for time, stamp in zip(np.array_split(times, parts), np.array_split(stamps, parts), strict=True):
        cut.feed(time, stamp)
    assert abs(whole.units - cut.units) < 1e-6
    assert abs(whole.mean_milliseconds - cut.mean_milliseconds) < 1e-6


@given(st.binary(max_size=200))
def test_any_bytes_are_read_as_rtcp_or_not_at_all(datagram: bytes) -> None:
    parse_rtcp(datagram)
    parse_rtcp(b"\x81\xc8" + datagram)
    parse_rtcp(b"\x82\xca" + datagram)
