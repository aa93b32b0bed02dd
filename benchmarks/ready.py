"""How long a start takes: `headrace --help`, everything through `headrace up`, and the writer with its model in the cache.

Bars: help within 0.5 s; every worker that holds no model ready within 5 s of `headrace up`, the broker and Redis that it starts included;
the writer ready within 10 s (its model is converted first, if that was never done, and that start does not count). Ready is what
/ready says. Each figure is the median of `--runs` starts; the worst is printed beside it. Python may keep its bytecode here, in a
folder of this run: where it may not (PYTHONDONTWRITEBYTECODE), every start compiles every import again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from streams.embedded import EmbeddedRedis, free_port

HELP_S, WORKERS_S, WRITER_S = 0.5, 5.0, 10.0
PATIENCE_S = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ready", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--generator", default="smollm2", help="none leaves the writer out")
    args = parser.parse_args()
    print(f"{os.cpu_count()} cores (load {os.getloadavg()[0]:.1f} at the start), Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="headrace-ready-") as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env |= {
            "PYTHONPYCACHEPREFIX": folder,
            "HEADRACE_SECRET": "a secret of this benchmark",
            "HEADRACE_GENERATOR": args.generator,
        }
        timed: list[tuple[str, float, Callable[[], float]]] = [
            ("headrace --help", HELP_S, lambda: helped(env)),
            ("headrace up, until every worker is ready", WORKERS_S, lambda: all_ready(env | {"HEADRACE_GENERATOR": "none"})),
        ]
        if args.generator != "none":
            timed.append((f"headrace writer ({args.generator}), until its model is ready", WRITER_S, lambda: writer_ready(env)))
        met = [judged(what, bar_s, measure, runs=args.runs) for what, bar_s, measure in timed]
    print("PASSED" if all(met) else "FAILED")
    return 0 if all(met) else 1


def judged(what: str, bar_s: float, measure: Callable[[], float], *, runs: int) -> bool:
    measure()  # fills the caches
    times = [measure() for _ in range(runs)]
    median = statistics.median(times)
    print(f"{what}: median {median:.2f} s, worst {max(times):.2f} s of {runs}; the bar is {bar_s:g} s", flush=True)
    return median <= bar_s


def helped(env: Mapping[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "streams.cli", "--help"], env=env, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def all_ready(env: Mapping[str, str]) -> float:
    """`headrace up` prints a line once /ready of every worker says yes."""
    bare = {name: value for name, value in env.items() if name not in ("HEADRACE_KAFKA", "HEADRACE_REDIS")}
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "up"], env=bare, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as up:
        try:
            line = up.stdout.readline() if up.stdout else ""
            took = time.monotonic() - began
            json.loads(line.removeprefix("ready "))
        finally:
            up.send_signal(signal.SIGTERM)
    return took


def writer_ready(env: Mapping[str, str]) -> float:
    port = free_port()
    with EmbeddedRedis() as redis:
        began = time.monotonic()
        own = {**env, "HEADRACE_REDIS": redis.url, "HEADRACE_WEB_PORT": str(port)}
        with subprocess.Popen([sys.executable, "-m", "streams.cli", "writer"], env=own, stderr=subprocess.DEVNULL) as writer:
            try:
                while not answers(f"http://127.0.0.1:{port}/ready"):
                    if writer.poll() is not None or time.monotonic() - began > PATIENCE_S:
                        raise RuntimeError(f"the writer was not ready in {PATIENCE_S:.0f} s (status {writer.returncode})")
                    time.sleep(0.02)
                return time.monotonic() - began
            finally:
                writer.send_signal(signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(main())
