"""`headrace simulate`, in one process."""

import pytest

from streams.cli import main
from streams.simulate.live import CAMPAIGNS


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    for name in ("HEADRACE_KAFKA", "HEADRACE_REDIS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_SECRET", "a secret for tests only")


@pytest.mark.parametrize("policy", ["thompson", "uniform", "oracle"])
def test_it_says_what_is_true_beside_what_would_be_reported(policy, capsys):
    assert main(["simulate", "--shoppers", "120", "--days", "14", "--policy", policy]) == 0

    said = capsys.readouterr().out
    assert "true lift: orders +" in said
    assert "as reported: orders" in said


def test_the_same_seed_says_the_same(capsys):
    said = []
    for _ in range(2):
        main(["simulate", "--shoppers", "80", "--days", "7", "--seed", "5"])
        said.append(capsys.readouterr().out)

    assert said[0] == said[1]


def test_the_campaign_of_the_live_simulation_is_valid(tmp_path):
    from models.campaign_file import load

    file = tmp_path / "campaigns.yaml"
    file.write_text(CAMPAIGNS % 0.1)

    assert list(load(file)) == ["cart_abandonment"]
