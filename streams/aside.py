"""Long work in a thread that nobody waits for: a process that is told to stop stops, whatever a model is in the middle of.

`asyncio.to_thread` is waited for at the end of the loop and again at the end of the interpreter. What runs here must be harmless to
leave half done: it computes, and hands over its result in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["aside", "leave"]

P = ParamSpec("P")
T = TypeVar("T")
NAME = "aside"


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns or raises. Cancelled, it returns at once, and the thread goes on to its end unheard."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work(*args, **kwargs)
        except BaseException as raised:  # handed over, to be raised where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is gone
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=NAME, daemon=True).start()
    return await done


def leave(status: int) -> int:
    """`status`, or the end of the process with it where a thread is still in the middle: the interpreter would end under its feet."""
    if any(thread.name == NAME for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
