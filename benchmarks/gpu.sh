#!/bin/bash
# All figures of a GPU in under ten minutes: benchmarks/gpu.sh [FOLDER]
# Uses the machine's own Python and torch and installs nothing. Pure packages that it lacks (jaxtyping, safetensors) can lie
# in .gpu-packages: pip install --no-deps --target .gpu-packages jaxtyping wadler-lindig safetensors
set -u
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD/src:$PWD/.gpu-packages${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
folder=${1:-${OUT:-benchmarks}}
python3 -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.__version__, torch.cuda.get_device_name())' || exit 1
timeout 570 python3 benchmarks/gpu.py --out "$folder" 2>&1 | tee "$folder/gpu.log"
