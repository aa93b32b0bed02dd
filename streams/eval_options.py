"""The options of `headrace eval`. Loads nothing: the command line is read before anything heavy is."""

from __future__ import annotations

import argparse
from typing import Final

METHODS: Final = ("headrace", "popularity", "buy-again", "item-knn", "tifu-knn")
COLUMNS: Final = ("user", "item", "time", "order", "action", "quantity", "price", "category", "brand", "name")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "log", metavar="LOG", help="a .csv, .parquet or .jsonl file, or topic:NAME[,NAME...] of the configured Kafka"
    )
    for name in COLUMNS:
        parser.add_argument(f"--{name}-column", default="", metavar="NAME", help=f"column of the {name} (CSV and Parquet)")
    parser.add_argument("--test-from", default="", metavar="TIME", help="ISO 8601 time from which baskets are scored")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="without --test-from: last share of the purchases (default 0.2)"
    )
    parser.add_argument("--sample", type=int, default=2000, help="baskets to score, drawn by --seed (default 2000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--k", type=int, default=10, help="length of the ranked lists (default 10)")
    parser.add_argument(
        "--least-bought", type=int, default=10, help="purchases before the test that make a product eligible (default 10)"
    )
    parser.add_argument("--methods", default=",".join(METHODS), help=f"comma-separated, of: {', '.join(METHODS)} (default: all)")
    parser.add_argument("--out", default="", metavar="FOLDER", help="write report.json, report.txt and pictures here")
    parser.add_argument("--pictures", choices=("png", "svg", "none"), default="png")
