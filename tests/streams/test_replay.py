"""A file of records through the stages, in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import PipelineError
from streams.replay import read_log, run_replay
from tests.streams.shop import SETTINGS, product, track

YEARS_AGO = 1_600_000_000.0


def line(topic: str, offset: int, value: Any, *, key: str = "ana", at: float = YEARS_AGO) -> str:
    return json.dumps(
        {"topic": topic, "partition": 0, "offset": offset, "timestamp_ms": int(at * 1000), "key": key, "value": value}
    )


def looked(n: int) -> dict[str, Any]:
    return track("Product Viewed", "ana", at=YEARS_AGO + n, mid=f"m{n}", product_id="tea")


async def run(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    assert await run_replay(str(path), SETTINGS) == 0
    told = capsys.readouterr()
    return told.out, told.err


async def test_an_old_log_is_read_as_if_it_were_then_and_says_the_same_every_time(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    lines = [line("catalog", 0, product("tea", "Green tea", category="food/tea"), key="tea")]
    lines += [line("click", n, looked(n), at=YEARS_AGO + n) for n in range(3)]
    log.write_text("\n".join([*lines, line("headrace.click", 3, "no event", at=YEARS_AGO + 3)]))

    first, refused = await run(log, capsys)
    again, _ = await run(log, capsys)

    assert first == again
    (update,) = [json.loads(one) for one in first.splitlines() if json.loads(one)["topic"] == "profiles"]
    assert update["value"]["at"].startswith("2020-09-13T")
    assert update["value"]["triggers"]  # not late
    assert json.loads(refused)["dead_letter"]["dlq.reason"] == "not_json"


def test_a_line_that_is_no_record_is_named(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(line("click", 0, looked(0)) + "\n{}\n")

    with pytest.raises(PipelineError, match=r"log\.jsonl:2: not a record: KeyError"):
        read_log(log, prefix="headrace")
