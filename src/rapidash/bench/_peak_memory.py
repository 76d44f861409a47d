"""Run one step of one variant in a process of its own and print the peak of memory above that before it."""

import re
import sys
from pathlib import Path

import torch

from rapidash.bench._cases import CASES
from rapidash.bench._measure import variants


def main(case: str, variant: str, device: str, threads: str) -> None:
    """Print the number of bytes."""
    torch.set_num_threads(int(threads))
    batch = variants(CASES[case], torch.device(device))[variant]
    small = batch.batch < 1
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
