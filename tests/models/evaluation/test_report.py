import subprocess
import sys

import pytest

from models.evaluation.baselines import BuyAgain, Popularity
from models.evaluation.plots import draw
from models.evaluation.report import report, text
from models.evaluation.walk import Plan, walk
from tests.models.evaluation.evalshop import DAY_S, habits


class Stating(BuyAgain):
    """Says that each product of its list is bought with probability one half."""

    def rank(self, user, at, *, k, unseen_only):
        ranked = super().rank(user, at, k=k, unseen_only=unseen_only)
        self.odds = [0.5] * len(ranked)
        return ranked


@pytest.fixture(scope="module")
def found():
    log = habits()
    plan = Plan(start=50 * DAY_S, least_bought=3, k=5, flag=lambda basket: basket.user == "u3")
    outcome = walk(log, lambda products: [Stating(products, name="ours"), Popularity(products)], plan)
    return report(outcome, log, ours="ours", draws=300), outcome


def test_the_cohorts_are_all_baskets_and_the_flagged_ones_can_be_left_out(found):
    cohorts = found[0].methods[0].cohorts

    assert sum(cohorts[name].baskets for name in ("cold", "warm", "heavy")) == found[0].scored
    assert cohorts["without flagged"].baskets == found[0].scored - found[0].flagged < found[0].scored
    assert cohorts["heavy"].all is None


def test_the_interval_of_a_ratio_is_around_the_ratio_of_the_means(found):
    ours, popularity = found[0].methods
    all_items = ours.against["popularity"][0]

    assert all_items.ratio.value == pytest.approx(ours.figures["all"]["ndcg"].value / popularity.figures["all"]["ndcg"].value)
    assert all_items.ratio.low < all_items.ratio.value < all_items.ratio.high
    assert not popularity.against


def test_only_a_method_that_states_probabilities_is_calibrated(found):
    ours, popularity = found[0].methods

    assert ours.calibration.error == pytest.approx(abs(0.5 - found[1].scores["ours"].happened.mean()))
    assert popularity.calibration is None


def test_a_list_that_is_the_same_for_all_covers_little(found):
    ours, popularity = found[0].methods

    assert popularity.spread["all"].coverage < ours.spread["all"].coverage <= 1.0
    assert popularity.spread["all"].gini > ours.spread["all"].gini


def test_the_text_has_a_line_for_every_method_and_says_how_it_was_measured(found):
    lines = text(found[0]).splitlines()

    assert "no sampled negatives" in lines[0]
    assert sum(line.startswith("popularity") for line in lines) == 4
    assert all(len(line) < 180 for line in lines)


def test_pictures_are_drawn_in_either_format(found, tmp_path):
    for kind, begins in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        paths = draw(found[0], tmp_path, kind=kind)

        assert [path.name for path in paths] == [f"{name}.{kind}" for name in ("accuracy", "cohorts", "spread", "calibration")]
        assert all(path.read_bytes().startswith(begins) for path in paths)


def test_matplotlib_and_pyarrow_wait_until_they_are_needed():
    code = (
        "import sys, models.evaluation.plots, models.evaluation.sources; "
        "sys.exit(int('matplotlib' in sys.modules or 'pyarrow' in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
