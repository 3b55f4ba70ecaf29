#!/usr/bin/env bash
# One call on a machine with an NVIDIA card, under 10 minutes: build, device tests, compute-sanitizer, measurements.
#   bench/gpu.sh [FOLDER]     results go to FOLDER (default bench/results), as gpu.json beside gpu-tests.txt
# Needs: python3 with torch (a CUDA build), pybind11, cmake, ninja, setuptools, nvcc of the same CUDA major version, pytest and
# the packages of pyproject.toml. Nothing is downloaded except, where compute-sanitizer is missing, an attempt to install it.
# Settings of the card are left as they are found. Exit code: 0, or that of the first part that failed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-bench/results}
python=${PYTHON:-python3}
mkdir -p "$out"
report="$out/gpu-tests.txt"
: >"$report"
failed=0
say() { echo "== $*" | tee -a "$report"; }
part() { # name, seconds, command...
  local name=$1 limit=$2 code
  shift 2
  say "$name"
  timeout --kill-after=10 "$limit" "$@" 2>&1 | tee -a "$report"
  code=${PIPESTATUS[0]}
  [ "$code" -eq 0 ] || { say "$name: exit code $code"; [ "$failed" -ne 0 ] || failed=$code; }
  return "$code"
}

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv 2>&1 | tee -a "$report"
git rev-parse HEAD 2>/dev/null | tee -a "$report"

# Python's own search path, not an installation: the machine's packages stay as they are.
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
part "build" 240 env PYMDM_CUDA=ON "$python" setup.py -q build_ext --inplace || exit "$failed"
"$python" - <<'PY' || exit 2
import torch
import pymdm
from pymdm.network.device import as_device
print("torch", torch.__version__, "pymdm", pymdm.__version__, "on", torch.cuda.get_device_name(as_device("cuda")))
PY

# The CPU's test bodies with device="cuda"; what is only walked elsewhere is left out.
tests=(tests/device/test_device_network.py tests/device/test_device_sampling.py tests/device/test_devices.py)
part "device tests" 150 "$python" -m pytest -q -p no:cacheprovider -k "cuda or OnCuda or devices" "${tests[@]}"

sanitizer=$(command -v compute-sanitizer || true)
if [ -z "$sanitizer" ]; then
  tools=$(mktemp -d)
  timeout 60 "$python" -m pip install -q --target "$tools" nvidia-cuda-sanitizer-api >/dev/null 2>&1 || true
  sanitizer=$(find "$tools" -name compute-sanitizer -type f 2>/dev/null | head -1)
fi
if [ -n "$sanitizer" ]; then
  chmod +x "$sanitizer" 2>/dev/null || true
  # PyTorch's own allocator hides ends of arrays: without caching every tensor is an allocation that is watched.
  small=(--error-exitcode 9 --kernel-name kns=pymdm "$python" pymdm/bench/gpu_small.py)
  part "compute-sanitizer memcheck" 100 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool memcheck "${small[@]}"
  # choose's threads race over how early its shared cut rises, on purpose (ops/cuda/choose.cu): a hazard there is no fault.
  say "compute-sanitizer racecheck"
  timeout --kill-after=10 100 "$sanitizer" --tool racecheck "${small[@]}" >"$out/racecheck.txt" 2>&1
  code=$?
  tail -40 "$out/racecheck.txt" | tee -a "$report"
  if [ "$code" -ne 0 ] && { ! grep -q "Race reported" "$out/racecheck.txt" || [ "$code" -ne 9 ] ||
    grep "Race reported" "$out/racecheck.txt" | grep -vq choose_kernel; }; then
    say "racecheck: exit code $code"
    [ "$failed" -ne 0 ] || failed=$code
  fi
  rm -f "$out/racecheck.txt"
else
  say "compute-sanitizer: not here and not to be had (package nvidia-cuda-sanitizer-api); memcheck and racecheck skipped"
fi

part "measurements" 200 "$python" -m pymdm.bench.gpu --json "$out/gpu.json"
say "done, exit code $failed; results in $out"
exit "$failed"
