#!/usr/bin/env bash
# The second call, after gpu.sh, under 345 s where that has built: device tests, memcheck, counters of choose, racecheck.
#   bench/gpu_tests.sh [FOLDER]     default bench/results; gpu_tests.txt, ncu.txt, racecheck.txt
# What is not on the machine (compute-sanitizer, ncu) is said and left out; nothing is downloaded. Settings as of gpu.sh.
. "$(dirname "$0")/gpu_parts.sh"
begin 340 || end

# The CPU's test bodies with device="cuda"; what is only walked elsewhere is left out.
tests=(tests/device/test_device_network.py tests/device/test_device_sampling.py tests/device/test_device_threads.py)
workers=$([ "$device" = cpu ] && echo 0 || echo 6)
part "device tests" 150 "$python" -m pytest -q -n "$workers" --maxfail 12 --tb=short -p no:cacheprovider \
  -k "${PYMDM_GPU_TESTS:-cuda or OnCuda}" "${tests[@]}"

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer \
  /usr/local/cuda*/compute-sanitizer/compute-sanitizer /opt/nvidia/*/compute-sanitizer 2>/dev/null | head -1)
# Kernels of ours only; torch's probing calls to the runtime are no errors of ours.
small=(--error-exitcode 9 --report-api-errors no --kernel-name kns=pymdm "$python" -m pymdm.bench.gpu_small "$device")
if [ -n "$sanitizer" ]; then
  # PyTorch's own allocator hides ends of arrays: without caching every tensor is an allocation that is watched.
  part "memcheck" 80 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool memcheck "${small[@]}"
else
  say "compute-sanitizer is not here: no memcheck, no racecheck"
fi
if command -v ncu >/dev/null; then
  part "counters" 45 ncu --clock-control none --set full -k regex:choose_kernel -s 2 -c 1 --log-file "$out/ncu.txt" \
    "$python" -m pymdm.bench.gpu_small choose
else
  say "ncu is not here: no counters"
fi
if [ -n "$sanitizer" ]; then
  part "racecheck" 60 bash -c '"${@:2}" >"$1" 2>&1; code=$?; tail -5 "$1"; exit $code' \
    - "$out/racecheck.txt" "$sanitizer" --tool racecheck "${small[@]}"
fi
end
