"""choose reads nothing beyond its rows: they end where the memory does, and the next page may not be read."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, mmap, torch
from pymdm._native import C

SIZE = 1 << 20
memory = mmap.mmap(-1, SIZE + mmap.PAGESIZE)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(first + SIZE), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
whole = torch.frombuffer(memory, dtype=torch.uint8, count=SIZE)
zero = torch.zeros(1, dtype=torch.long)
for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
    most = torch.finfo(dtype).max / 4
    for vocab in (1, 5, 17, 63, 64, 65, 511, 513, 1023, 1200):
        for values in ([0.0], [1.0, -2.0, 3.0], [most, -most], [-most], [-float("inf"), 1.0]):
            x = whole[SIZE - vocab * dtype.itemsize :].view(dtype).view(1, vocab)
            x.copy_(torch.tensor(values, dtype=dtype).repeat(vocab)[-vocab:])
            want = C.choose(x.clone(), 1, zero, zero)
            for temperature in (1.0, 0.0, 1e-5, 1e25):
                C.choose(x, 1, zero, zero, temperature=temperature)
            assert torch.equal(C.choose(x, 1, zero, zero), want)
            C.choose(x, 1, zero, zero, top_k=3)
            C.choose(x, 1, zero, zero, top_p=0.9)
print("read")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect of Linux")
@pytest.mark.parametrize("disabled", ["", "avx512", "avx512,avx2"])
def test_nothing_is_read_beyond_a_row(disabled):
    env = {**os.environ, "PYMDM_CPU_DISABLE": disabled}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr[-1000:]
