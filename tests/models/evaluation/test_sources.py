from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.evaluation.log import EvaluationError
from models.evaluation.sources import Columns, read_csv, read_parquet, seconds


def csv_of(tmp_path, text):
    path = tmp_path / "orders.csv"
    path.write_text(text)
    return path


def test_lines_of_one_order_are_one_basket(tmp_path):
    log = read_csv(
        csv_of(tmp_path, "user_id,order_id,product_id,timestamp,quantity,price\nx,1,a,10,2,1.5\nx,1,b,12,1,3\ny,2,a,11,1,1.5\n")
    )

    assert [(b.user, b.at, b.items, b.quantities) for b in log.baskets] == [
        ("y", 11.0, ("a",), (1,)),
        ("x", 12.0, ("a", "b"), (2, 1)),
    ]
    assert log.baskets[1].prices == (1.5, 3.0)


def test_without_orders_lines_of_one_shopper_and_moment_are_one_basket(tmp_path):
    log = read_csv(csv_of(tmp_path, "user,item,time\nx,a,10\nx,b,10\nx,c,11\n"))

    assert [b.items for b in log.baskets] == [("a", "b"), ("c",)]


def test_columns_may_have_any_name(tmp_path):
    path = csv_of(tmp_path, "wer,was,wann\nx,a,2026-01-02T03:04:05Z\n")

    log = read_csv(path, Columns(user="wer", item="was", time="wann"))

    assert log.baskets[0].at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


def test_looks_are_told_from_purchases(tmp_path):
    log = read_csv(csv_of(tmp_path, "user,item,time,event\nx,a,10,view\nx,a,11,Purchase\n"))

    assert [b.action for b in log.baskets] == ["view", "purchase"]


def test_every_missing_column_is_named_with_those_that_are_there(tmp_path):
    path = csv_of(tmp_path, "who,what\nx,a\n")

    with pytest.raises(EvaluationError) as error:
        read_csv(path, Columns(price="paid"))

    for part in ("for user", "for item", "for time", "'paid'", "who, what", "--user-column"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("x,a,yesterday,1", "expected a time"),
        ("x,a,10,many", "number for quantity"),
        (",a,10,1", "user is empty"),
        ("x,a,10,nan", "number"),
    ],
)
def test_a_bad_value_is_reported_with_its_line(tmp_path, line, complaint):
    path = csv_of(tmp_path, f"user,item,time,quantity\nx,a,10,1\n{line}\n")

    with pytest.raises(EvaluationError, match=f"line 3.*{complaint}"):
        read_csv(path)


def test_an_empty_table_says_so(tmp_path):
    with pytest.raises(EvaluationError, match="no lines"):
        read_csv(csv_of(tmp_path, "user,item,time\n"))


def test_parquet_and_csv_of_the_same_lines_are_the_same_log(tmp_path):
    text = csv_of(tmp_path, "user,item,time,category\nx,a,2026-01-01 10:00:00,tea\ny,b,2026-01-02 10:00:00,tea\n")
    moments = [datetime(2026, 1, day, 10) for day in (1, 2)]
    pq.write_table(
        pa.table({"user": ["x", "y"], "item": ["a", "b"], "time": moments, "category": ["tea", "tea"]}), tmp_path / "o.parquet"
    )

    one, other = read_csv(text), read_parquet(tmp_path / "o.parquet")

    assert list(one.baskets) == list(other.baskets)
    assert one.products == other.products


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match="not a Parquet file"):
        read_parquet(csv_of(tmp_path, "no"))


def test_large_times_are_milliseconds():
    assert seconds(1_767_225_600_000, "here") == seconds("2026-01-01", "here") == 1_767_225_600.0
