"""A process that is told to stop does not wait for a model."""

import asyncio
import subprocess
import sys
import textwrap
import time

import pytest

from streams.aside import aside


async def test_the_result_and_the_error_of_the_work_come_back():
    assert await aside(pow, 2, 10) == 1024
    with pytest.raises(ValueError, match="invalid literal"):
        await aside(int, "x")


async def test_the_loop_turns_meanwhile_and_a_cancelled_wait_ends_at_once():
    waiting = asyncio.create_task(aside(time.sleep, 0.5))
    began = time.monotonic()
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert time.monotonic() - began < 0.4


def test_a_process_leaves_with_its_status_though_a_thread_is_in_the_middle():
    code = """
        import asyncio, sys, time
        from streams.aside import aside, leave

        async def main():
            work = asyncio.create_task(aside(time.sleep, 60))
            await asyncio.sleep(0.05)
            work.cancel()
            print("stopped")
            return 7

        sys.exit(leave(asyncio.run(main())))
    """
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (7, "stopped\n", "")
    assert time.monotonic() - began < 20
