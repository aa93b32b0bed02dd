"""The shop with known truth."""

import numpy as np

from models.bandit import FACTORS
from models.evidence.sequences import lift
from models.simulation.population import ORACLE, WEEKLY, Population
from models.simulation.shop import Shop, learning, oracle, uniform

ARMS = {factor: arms[0] for factor, arms in FACTORS.items()}


def test_the_same_seed_gives_the_same_books():
    people = Population(150, seed=5)
    one, two = (Shop(people, days=14).run(learning(), seed=9) for _ in range(2))

    assert one.groups == two.groups and one.added == two.added and one.decisions == two.decisions


def test_the_best_messages_add_what_the_population_was_set_to_allow():
    people = Population(400, seed=5)
    best = np.mean([people.added(i, people.best(i, week=2, eligible=FACTORS), week=2) for i in range(400)])

    assert abs(best * WEEKLY / people.weekly_orders.mean() / ORACLE - 1.0) < 0.02


def test_no_arm_beats_the_oracle():
    people = Population(60, seed=6)
    rng = np.random.default_rng(1)

    for i in range(60):
        best = people.added(i, people.best(i, week=1, eligible=FACTORS), week=1)
        for _ in range(20):
            arms = {f: arms[int(rng.integers(len(arms)))] for f, arms in FACTORS.items()} | {"send": "send"}
            assert people.added(i, arms, week=1) <= best * (1 + 1e-12)


def test_answers_come_as_often_as_their_chances_say():
    people = Population(50, seed=7)
    shopper = int(np.flatnonzero(~people.bot)[0])
    chances = people.chances(shopper, ARMS, week=1)
    rng = np.random.default_rng(2)
    answers = [people.answer(shopper, ARMS, week=1, rng=rng) for _ in range(20_000)]

    opened, clicked = (sum(getattr(a, what) for a in answers) for what in ("opened", "clicked"))

    assert abs(opened / 20_000 - chances[0]) < 0.015
    assert abs(clicked / max(opened, 1) - chances[1]) < 0.03


def test_more_messages_are_opened_less_and_unsubscribed_more():
    people = Population(50, seed=7)

    assert people.chances(3, ARMS, week=4)[0] < people.chances(3, ARMS, week=1)[0]
    rng = np.random.default_rng(3)
    often = sum(people.answer(3, ARMS, week=9, rng=rng).unsubscribed for _ in range(4_000))
    seldom = sum(people.answer(3, ARMS, week=0, rng=rng).unsubscribed for _ in range(4_000))
    assert often > seldom


def test_a_learning_policy_earns_more_than_chance_and_less_than_the_oracle():
    people = Population(700, seed=8)
    lifts = [Shop(people, days=28).run(policy, seed=8).true_lift for policy in (uniform(), learning(), oracle(people))]

    assert lifts[0] * 1.15 < lifts[1] < lifts[2]


def test_without_messages_the_interval_holds_no_effect():
    people = Population(600, seed=9)
    books = Shop(people, days=28).run(learning(eligible={"send": ("nothing",)}), seed=9)
    told = lift(books.groups["treated"]["orders"], books.groups["holdout"]["orders"])

    assert books.sent == 0 and books.added == 0.0
    assert told is not None and not told.excludes_zero


def test_another_fashion_changes_what_fits():
    people = Population(300, seed=10)
    before, after = people.tastes(change=0), people.tastes(change=1)

    moved = [int(np.argmax(before.fit["tone"][i]) != np.argmax(after.fit["tone"][i])) for i in range(300)]

    assert 0.2 < np.mean(moved) < 0.9
