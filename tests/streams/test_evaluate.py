import asyncio
import csv
import json
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer

from streams.cli import main
from streams.embedded import EmbeddedKafka
from tests.models.evaluation.evalshop import habits

SIMPLE = ("--methods", "popularity,buy-again,item-knn,tifu-knn", "--least-bought", "3")


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "order_id", "product_id", "timestamp", "category"])
        for basket in habits().baskets:
            rows.writerows([basket.user, basket.order_id, item, basket.at, f"c{item[-1]}"] for item in basket.items)
    return path


def test_a_table_of_orders_is_evaluated_and_written(orders, tmp_path, capsys):
    out = tmp_path / "out"

    assert main(["eval", str(orders), *SIMPLE, "--out", str(out)]) == 0

    printed = capsys.readouterr()
    report = json.loads((out / "report.json").read_text())
    by_name = {one["name"]: one["figures"]["all"]["ndcg"] for one in report["methods"]}
    assert by_name["buy-again"]["low"] > by_name["popularity"]["value"]
    assert all(name in printed.out for name in by_name)
    assert "100%" in printed.err
    assert {path.name for path in out.iterdir()} == {"report.json", "report.txt", "accuracy.png", "cohorts.png", "spread.png"}
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_all_methods_are_asked_unless_told_otherwise(orders, tmp_path, capsys):
    assert (
        main(["eval", str(orders), "--least-bought", "3", "--sample", "40", "--out", str(tmp_path / "out"), "--pictures", "none"])
        == 0
    )

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [one["name"] for one in report["methods"]] == ["headrace", "popularity", "buy-again", "item-knn", "tifu-knn"]
    assert set(report["methods"][0]["against"]) == {"popularity", "buy-again", "item-knn", "tifu-knn"}
    assert report["methods"][0]["calibration"]["error"] < 0.5
    assert "headrace over each" in capsys.readouterr().out


def test_our_own_events_are_evaluated_the_same_as_a_table(orders, tmp_path, capsys):
    lines = [_record(basket) for basket in habits().baskets]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in [*lines, lines[0], {**lines[0], "value": {"userId": "x"}}]))

    main(["eval", str(orders), *SIMPLE])
    table = capsys.readouterr().out
    main(["eval", str(path), *SIMPLE])
    events = capsys.readouterr()

    assert _figures(table) == _figures(events.out)
    assert "left out 1 records" in events.err


async def _publish(address, records):
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    for record in records:
        await producer.send("headrace.conversion", json.dumps(record["value"]).encode(), key=record["key"].encode())
    await producer.flush()
    await producer.stop()


def test_what_a_topic_holds_is_evaluated_the_same_as_a_table(orders, capsys, monkeypatch):
    main(["eval", str(orders), *SIMPLE])
    table = capsys.readouterr().out
    with EmbeddedKafka() as kafka:
        asyncio.run(_publish(kafka.address, [_record(basket) for basket in habits().baskets]))
        monkeypatch.setenv("HEADRACE_KAFKA", kafka.address)

        assert main(["eval", "topic:conversion", *SIMPLE]) == 0
        topic = capsys.readouterr().out
        assert main(["eval", "topic:orders", *SIMPLE]) == 2

    assert _figures(table) == _figures(topic)
    assert "no inbound topic orders" in capsys.readouterr().err


def _record(basket):
    return {
        "topic": "conversion",
        "timestamp_ms": (1_700_000_000 + basket.at) * 1000,
        "key": basket.user,
        "value": {
            "messageId": f"m-{basket.order_id}",
            "type": "track",
            "event": "Order Completed",
            "userId": basket.user,
            "timestamp": datetime.fromtimestamp(1_700_000_000 + basket.at, UTC).isoformat().replace("+00:00", "Z"),
            "properties": {"order_id": basket.order_id, "products": [{"product_id": item} for item in basket.items]},
        },
    }


def _figures(text):
    """Without the name of the file and the seconds it took."""
    return text.splitlines()[1:-1]


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["nowhere.csv"], "no such file"),
        (["{orders}", "--user-column", "wer"], "no column 'wer' for user"),
        (["{orders}", "--methods", "magic"], "unknown magic"),
        (["{orders}", "--test-share", "2"], "--test-share"),
        (["{orders}", "--test-from", "soon"], "--test-from"),
        (["{orders}", "--test-from", "2030-01-01"], "no basket to score"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(orders, capsys, arguments, complaint):
    chosen = arguments if "--methods" in arguments else [*arguments, *SIMPLE]

    status = main(["eval", *(part.replace("{orders}", str(orders)) for part in chosen)])

    error = capsys.readouterr().err
    assert status == 2
    assert complaint in error.splitlines()[-1]


def test_a_log_without_purchases_asks_about_the_action_column(tmp_path, capsys):
    path = tmp_path / "looks.csv"
    path.write_text("user,item,time,event\nx,a,10,view\n")

    assert main(["eval", str(path)]) == 2
    assert "--action-column" in capsys.readouterr().err
