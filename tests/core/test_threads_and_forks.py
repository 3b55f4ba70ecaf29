"""Threads that cannot start, and forks while other threads sample: the run goes on."""

from __future__ import annotations

import subprocess
import sys

# Far less memory than the stacks of 64 workers: threads fail to start part of the way.
FEWER = """
import resource, torch, pymdm
from pymdm._native import C
logits = torch.zeros(4096, 1000)
ids = torch.arange(4096)
torch.set_num_threads(1)
C.set_num_threads(1)
alone = C.choose(logits, 1, ids, ids)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), used + (200 << 20)))
C.set_num_threads(64)
assert torch.equal(C.choose(logits, 1, ids, ids), alone)
threads = int(next(line for line in open("/proc/self/status") if line.startswith("Threads")).split()[1])
assert 1 < threads < 64, threads
assert torch.equal(C.choose(logits, 1, ids, ids), alone)
print("same")
"""

FORK = """
import os, sys, threading, torch, pymdm
torch.manual_seed(0)
model = pymdm.MaskedTransformer(pymdm.ModelConfig(vocab_size=50, length=64, width=64, layers=2, heads=2))
engine = pymdm.Engine(model)
want = pymdm.sample(engine, length=16, seed=1).tokens
stop = threading.Event()
def work():
    while not stop.is_set():
        pymdm.sample(engine, length=64, num_samples=4, seed=2, max_calls=8)
thread = threading.Thread(target=work)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        ok = torch.equal(pymdm.sample(engine, length=16, seed=1).tokens, want)
        os._exit(0 if ok else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
thread.join()
print("same")
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def test_threads_that_cannot_start_are_done_without():
    done = run(FEWER)
    assert done.stdout == "same\n" and done.returncode == 0, done.stderr[-500:]


def test_a_child_samples_while_its_parent_did():
    done = run(FORK)
    assert done.stdout == "same\n" and done.returncode == 0, done.stderr[-500:]
