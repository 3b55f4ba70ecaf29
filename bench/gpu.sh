#!/usr/bin/env bash
# The first call on a machine with an NVIDIA card, under 560 s: build, every kernel once, and the measurements, in the order of
# their worth. Every part is a process and a file of its own.
#   bench/gpu.sh [FOLDER]     default bench/results; gpu.txt, gpu-choose.json, gpu-step.json, gpu-whole.json, gpu-profile.txt
# Needs: python3 with torch 2.11 or later (a CUDA build), nvcc of the same CUDA major version, pybind11, cmake, ninja and the
# packages of pyproject.toml; no network. The card's settings are left as they are found. Exit code: 0, or that of the first part
# that failed. PYMDM_GPU_SECONDS: the whole's seconds (540). PYMDM_GPU_OPTIONS: options of `pymdm bench gpu`. PYMDM_GPU_DEVICE=cpu: a
# dry run.
. "$(dirname "$0")/gpu_parts.sh"
begin 540 || end

measure() { # PART SECONDS OPTIONS...
  local name=$1 limit=$2
  shift 2
  # shellcheck disable=SC2086
  part "$name" "$limit" "$python" -m pymdm.bench.gpu --device "$device" --parts "$name" ${PYMDM_GPU_OPTIONS:-} "$@"
}
part "every kernel once" 60 "$python" -m pymdm.bench.gpu_small "$device"
measure choose 80 --json "$out/gpu-choose.json"
measure step 100 --json "$out/gpu-step.json"
measure whole 100 --json "$out/gpu-whole.json"
rm -f "$out/gpu-profile.txt"
measure profile 40 --profile "$out/gpu-profile.txt"
end
