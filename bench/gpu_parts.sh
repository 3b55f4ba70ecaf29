# Sourced by gpu.sh and gpu_tests.sh: a folder for results, a report, a deadline, and parts that cannot take each other down.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:-bench/results}
device=${PYMDM_GPU_DEVICE:-cuda} # cpu: a dry run, in which the kernels are walked and nothing is built
python=$(command -v "${PYTHON:-python3}")
mkdir -p "$out"
report="$out/$(basename "${BASH_SOURCE[1]:-$0}" .sh).txt"
: >"$report"
failed=0
export PYTHONUNBUFFERED=1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" # not an installation: the machine's packages stay as they are
export PATH="$(dirname "$python"):$PATH:/usr/local/cuda/bin"

say() { echo "== [$SECONDS s] $*" | tee -a "$report"; }

# part NAME SECONDS COMMAND...: in a process of its own, within its seconds and those that are left of the whole.
part() {
  local name=$1 limit=$2 left=$((deadline - SECONDS)) code
  shift 2
  if [ "$left" -lt 10 ]; then
    say "$name: skipped, no time left"
    return 0
  fi
  [ "$limit" -lt "$left" ] || limit=$left
  say "$name (at most $limit s)"
  timeout --kill-after=5 "$limit" "$@" 2>&1 | tee -a "$report"
  code=${PIPESTATUS[0]}
  [ "$code" -eq 0 ] || say "$name: exit code $code"
  [ "$code" -eq 0 ] || [ "$failed" -ne 0 ] || failed=$code
  return "$code"
}

# CMake directly: older setuptools refuse pyproject.toml's license. One processor instead of three.
build() {
  local flags log
  log=$(mktemp)
  flags=$("$python" -c '
import re, sys, sysconfig, torch, pybind11
print("torch", torch.__version__, "cudnn", torch.backends.cudnn.version(), file=sys.stderr)
version = re.search("version = \"(.*?)\"", open("pyproject.toml").read())[1]
print(" ".join(["-DPython_EXECUTABLE=" + sys.executable, "-Dpybind11_DIR=" + pybind11.get_cmake_dir(),
  "-DPYMDM_TORCH_VERSION=" + torch.__version__, "-DPYMDM_EXTENSION=_C" + sysconfig.get_config_var("EXT_SUFFIX"),
  "-DPYMDM_VERSION=" + version]))') || return 1
  { cmake -G Ninja -S . -B "${PYMDM_GPU_BUILD:-build/gpu}" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$PWD/pymdm" -DPYMDM_CUDA=ON -DPYMDM_TESTING=ON -DPYMDM_CUDA_ARCHS="${PYMDM_CUDA_ARCHS:-90a-real}" $flags &&
    cmake --build "${PYMDM_GPU_BUILD:-build/gpu}" --target ${PYMDM_GPU_TARGET:-_C _C_testing} -j "$(nproc)"; } >"$log" 2>&1 && return 0
  tail -40 "$log"
  return 1
}
export -f build
export python

# Builds where there is no extension with CUDA kernels yet.
built() {
  if [ "$device" = cpu ] || "$python" -c 'from pymdm._native import C; import sys; sys.exit(not C.cuda_built)' 2>/dev/null; then
    return 0
  fi
  part "build" 200 bash -o pipefail -c build
}

begin() { # DEADLINE
  deadline=$((SECONDS + ${PYMDM_GPU_SECONDS:-$1}))
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit --format=csv 2>&1 | tee -a "$report"
  export PYMDM_COMMIT=${PYMDM_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null)}
  say "commit $PYMDM_COMMIT"
  env | grep -E "TF32|CUDNN_SDPA|CUBLAS|CUDA_" | tee -a "$report"
  built
}

end() {
  say "done, exit code $failed; results in $out"
  exit "$failed"
}
