"""Run one step of one variant in a process of its own and print the peak of memory above that before it."""

import json
import re
import sys
from pathlib import Path

import torch

from rapidash._plain import from_plain
from rapidash.bench._cases import BenchCase
from rapidash.bench._measure import variants

FEW_POINTS = 64  # enough for a step on one scale that compiles and loads; its memory may stay with the process


def main(variant: str, device: str, threads: str) -> None:
    """Print the number of bytes for the case on standard input."""
    torch.set_num_threads(int(threads))
    batch = variants(from_plain(BenchCase, json.load(sys.stdin)), torch.device(device))[variant]
    small = (batch.batch < 1).nonzero().squeeze(1)[: FEW_POINTS if len(batch.model.rules) == 1 else None]
    type(batch)(batch.model, batch.pos[small], batch.batch[small], batch.scalars[small]).step()  # compile, load
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        batch.step()
        print(torch.cuda.max_memory_allocated() - before)
        return
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    before = _resident("VmRSS")
    batch.step()
    print(_resident("VmHWM") - before)


def _resident(entry: str) -> int:
    found = re.search(rf"{entry}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
