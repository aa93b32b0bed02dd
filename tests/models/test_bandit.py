"""The policy: probabilities that are true, sums that add up, choices that can be made again."""

import numpy as np
import pytest

from models.bandit import DIM, FACTORS, HALF_LIFE_S, LANDMARK_S, Definition, Posterior, Snapshot, Stats, merge, relatives
from models.normal import SHUT, normal_cdf, win_chances, win_probabilities
from schemas.errors import ShapeError

NOW = LANDMARK_S + 300 * 86_400.0


def a_context(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=DIM) / 4


def a_history(n: int = 400, *, seed: int = 7) -> list[tuple[str, str, np.ndarray, float, float]]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        factor = str(rng.choice(list(FACTORS)))
        arm = str(rng.choice(FACTORS[factor]))
        rows.append((factor, arm, a_context(rng), float(rng.choice([0.0, 0.02, 0.12, 1.12])), NOW - rng.uniform(0, 40 * 86_400)))
    return rows


def learnt(rows: list[tuple[str, str, np.ndarray, float, float]]) -> Stats:
    stats = Stats()
    for factor, arm, context, reward, at in rows:
        stats.update(factor, arm, context, reward, new=True, at=at)
    return stats


def assert_same(one: Stats, other: Stats) -> None:
    assert one.arms.keys() == other.arms.keys()
    for key, sums in one.arms.items():
        twin = other.arms[key]
        np.testing.assert_allclose(sums.a, twin.a, rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(sums.b, twin.b, rtol=1e-9, atol=1e-6)
        assert (sums.n, sums.sum_r, sums.sum_r2) == pytest.approx((twin.n, twin.sum_r, twin.sum_r2))


def test_two_arms_win_as_often_as_the_textbook_says():
    assert win_probabilities(np.array([1.0, 0.0]), np.array([3.0, 4.0])) == pytest.approx([0.579260, 0.420740], abs=1e-6)


def test_the_normal_distribution_function_is_right_to_seven_places():
    assert normal_cdf(np.array([-1.959963985, 0.0, 1.644853627, 20.0])) == pytest.approx([0.025, 0.5, 0.95, 1.0], abs=1e-7)


@pytest.mark.parametrize(
    ("mean", "sd"),
    [
        ([0.0, 0.0, 0.0], [1, 1, 1]),
        ([0.1, 0.0, 0.3], [0.01, 5.0, 0.2]),
        ([0.0, 1.0, 2.0, 2.1, -3.0], [1.0, 0.001, 0.5, 2.0, 9.0]),
    ],
)
def test_the_quadrature_agrees_with_drawing_two_hundred_thousand_times(mean, sd):
    draws = np.random.default_rng(3).normal(mean, sd, size=(200_000, len(mean)))
    frequency = np.bincount(draws.argmax(axis=1), minlength=len(mean)) / 200_000

    chances = win_probabilities(np.array(mean), np.array(sd, dtype=float))

    assert chances.sum() == pytest.approx(1.0)
    assert chances == pytest.approx(frequency, abs=0.005)


@pytest.mark.parametrize("ratio", [1.0, 20.0, 2_000.0])
def test_the_even_grid_and_the_careful_one_agree_however_narrow_an_arm_is(ratio):
    rng = np.random.default_rng(4)
    mean, sd = rng.normal(size=(6, 8)), np.geomspace(1.0, ratio, 8) * np.ones((6, 1))

    chances = win_chances(mean, sd)

    for row in range(6):
        z = np.sort(np.concatenate([m + s * np.linspace(-8, 8, 4_001) for m, s in zip(mean[row], sd[row], strict=True)]))
        below = np.array([[normal_cdf((z - m) / s)] for m, s in zip(mean[row], sd[row], strict=True)])[:, 0]
        dense = np.exp(-0.5 * ((z - mean[row][:, None]) / sd[row][:, None]) ** 2) / sd[row][:, None]
        others = np.array([np.prod(np.delete(below, i, axis=0), axis=0) for i in range(8)])
        exact = np.trapezoid(dense * others, z, axis=1)
        assert chances[row] == pytest.approx(exact / exact.sum(), abs=1e-5)


def test_an_arm_that_is_not_open_never_wins():
    chances = win_chances(np.array([[0.0, SHUT, 0.0], [SHUT, 0.3, SHUT]]), np.array([[1.0, 1e-12, 1.0], [1.0, 0.1, 1.0]]))

    assert chances.round(12).tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]
    assert chances[0, 1] == chances[1, 0] == 0.0


def test_three_equal_arms_win_a_third_each():
    assert win_probabilities(np.full(3, 0.2), np.full(3, 0.7)) == pytest.approx([1 / 3] * 3, abs=1e-7)


def test_arms_are_taken_as_often_as_the_log_says():
    policy = Posterior(learnt(a_history()), now=NOW)
    rng = np.random.default_rng(11)
    context = a_context(rng)
    n = 6_000
    expected = policy.propensities("strategy", context) * n

    taken = [policy.choose("strategy", None, context, rng).arm for _ in range(n)]

    counts = np.array([taken.count(arm) for arm in FACTORS["strategy"]])
    assert ((counts - expected) ** 2 / expected).sum() < 13.82  # chi-square, 2 degrees of freedom, p = 0.001


def test_no_arm_falls_below_the_floor_however_bad_it_is():
    stats = Stats()
    context = np.zeros(DIM)
    for _ in range(2_000):
        stats.update("channel", "email", context, 1.0, new=True, at=NOW)
        stats.update("channel", "push", context, -5.0, new=True, at=NOW)

    choice = Posterior(stats, now=NOW, definition=Definition(floor=0.05)).choose(
        "channel", None, context, np.random.default_rng(1)
    )

    assert choice.propensities == pytest.approx({"email": 0.975, "push": 0.025})
    assert choice.arm == "email"


def test_what_sold_for_some_shoppers_is_preferred_for_them_only():
    stats, rng = Stats(), np.random.default_rng(2)
    for _ in range(600):
        context = np.zeros(DIM)
        context[0] = rng.choice([-1.0, 1.0])
        arm = str(rng.choice(["warm", "plain", "playful"]))
        best = "warm" if context[0] > 0 else "playful"
        stats.update("tone", arm, context, 1.0 if arm == best else 0.0, new=True, at=NOW)
    policy = Posterior(stats, now=NOW)
    likes, dislikes = np.eye(DIM)[0], -np.eye(DIM)[0]

    assert policy.propensities("tone", likes).round(2).tolist() == [0.97, 0.02, 0.02]
    assert policy.propensities("tone", dislikes).round(2).tolist() == [0.02, 0.02, 0.97]


def test_an_untried_arm_is_believed_to_be_average_and_is_tried():
    stats = Stats()
    for turn in range(500):
        stats.update("offer", "none", np.zeros(DIM), -2.0 * (turn % 2), new=True, at=NOW)

    chances = Posterior(stats, now=NOW).propensities("offer", np.zeros(DIM))

    assert 0.4 < chances[1] < 0.6  # not certain to be better only because nobody complained about it yet


def test_a_variant_starts_from_what_is_known_of_its_relatives():
    stats, context = Stats(), np.zeros(DIM)
    arms = ("warm", "playful", "playful/a", "playful/b", "playful/new")
    for arm, share in (("warm", 0), ("playful", 1), ("playful/a", 1), ("playful/b", 1)):
        for turn in range(400):
            stats.update("tone", arm, context, float(share and turn % 10 == 0), new=True, at=NOW)

    policy = Posterior(stats, now=NOW, factors={"tone": (*arms, "plain/new")})
    believed = policy.beliefs("tone", context)

    assert believed["playful/new"][0] > 0.08
    assert believed["playful/new"][0] > believed["plain/new"][0] + 0.02
    assert believed["playful/new"][1] > 2 * believed["playful/a"][1]  # and it knows that it does not know
    chances = policy.propensities("tone", context)
    assert chances[4] > 0.1
    assert chances[4] > 1.5 * chances[5]


def test_arms_are_relatives_by_name():
    assert relatives(("a/b/c", "a/b", "d")).tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    assert relatives(("email", "push")).tolist() == [[1.0], [1.0]]


def test_beliefs_of_one_arm_alone_are_the_textbook_posterior():
    rng = np.random.default_rng(8)
    stats = Stats(3)
    xs, rs = rng.normal(size=(50, 3)), rng.normal(size=50)
    for x, r in zip(xs, rs, strict=True):
        stats.update("f", "one", x, r, new=True, at=NOW)
    rules = Definition(kin=2.0, own=3.0)

    policy = Posterior(stats, now=NOW, factors={"f": ("one",)}, definition=rules)

    x = np.hstack([xs, np.ones((50, 1))])
    start = np.array([0, 0, 0, rs.sum() / 70.0])
    prior_cov = np.eye(4) * (1 / 2.0 + 1 / 3.0)  # what is shared plus what is its own
    gram = np.linalg.inv(x.T @ x + np.linalg.inv(prior_cov))
    mean = gram @ (x.T @ rs + np.linalg.inv(prior_cov) @ start)
    noise = np.sqrt((20 * 0.1**2 + (rs**2).sum() - rs.sum() ** 2 / 50) / 70)
    at = np.array([0.3, -0.2, 0.5, 1.0])
    believed = policy.beliefs("f", at[:3])["one"]
    assert believed[0] == pytest.approx(mean @ at)
    assert believed[1] == pytest.approx(noise * np.sqrt(at @ gram @ at))


def test_a_snapshot_makes_every_choice_again_to_the_last_bit():
    policy = Posterior(learnt(a_history()), now=NOW, weigh_pending=True)
    context = a_context(np.random.default_rng(1))
    taken = policy.slate(context, np.random.default_rng([5, 6]))

    snapshot = Snapshot.decode(policy.snapshot.encode())
    again = Posterior.restore(snapshot).slate(context, np.random.default_rng([5, 6]))

    assert snapshot.version == policy.version
    assert again == taken


def test_an_arm_that_was_quiet_for_long_is_explored_again():
    stats, context = Stats(), np.zeros(DIM)
    for turn in range(3_000):
        stats.update("channel", "push", context, 0.0, new=True, at=NOW)
        stats.update("channel", "email", context, float(turn % 10 == 0), new=True, at=NOW)
    year = 365 * 86_400.0
    for turn in range(3_000):  # e-mail went on as before
        stats.update("channel", "email", context, float(turn % 10 == 0), new=True, at=NOW + year)

    then, now = (Posterior(stats, now=at) for at in (NOW, NOW + year))

    assert then.propensities("channel", context)[1] == pytest.approx(0.025, abs=1e-6)
    assert now.propensities("channel", context)[1] > 0.2
    assert now.beliefs("channel", context)["push"][1] > 3 * then.beliefs("channel", context)["push"][1]


def test_one_slate_equals_its_factors_chosen_one_by_one():
    policy = Posterior(learnt(a_history()), now=NOW)
    context = a_context(np.random.default_rng(1))

    slate = policy.slate(context, np.random.default_rng(9), eligible={"channel": ("push",)})

    rng = np.random.default_rng(9)
    for factor in FACTORS:
        one = policy.choose(factor, ("push",) if factor == "channel" else None, context, rng)
        assert one.arm == slate[factor].arm
        assert one.propensities == pytest.approx(slate[factor].propensities)


def test_a_channel_without_consent_is_never_taken_and_has_no_share():
    policy = Posterior(Stats(), now=NOW)
    rng = np.random.default_rng(5)

    slates = [policy.slate(np.zeros(DIM), rng, eligible={"channel": ("push",)}) for _ in range(20)]

    assert {slate["channel"].arm for slate in slates} == {"push"}
    assert slates[0]["channel"].propensities == {"push": 1.0}
    assert list(slates[0]) == list(FACTORS)


def test_four_partitions_added_up_know_what_one_learner_knows():
    rows = a_history()

    total = merge(learnt(rows[part::4]) for part in range(4))

    assert_same(total, learnt(rows))


def test_the_order_of_events_does_not_matter():
    rows = a_history()

    assert_same(learnt(rows[::-1]), learnt(rows))


def test_a_late_conversion_counts_as_if_it_had_been_known_at_once():
    at, context = NOW - 3 * 86_400, np.arange(DIM) / DIM
    late, known = Stats(), Stats()

    late.update("tone", "warm", context, 0.02, new=True, at=at)
    late.update("tone", "warm", context, 1.10, new=False, at=at, before=0.02)
    late.update("tone", "warm", context, -0.5, new=False, at=at, before=1.12)
    known.update("tone", "warm", context, 0.62, new=True, at=at)

    assert_same(late, known)


def test_a_decision_weighs_half_after_one_half_life():
    stats = Stats()

    assert stats.weight(LANDMARK_S) == 1.0
    assert stats.weight(NOW) / stats.weight(NOW - HALF_LIFE_S) == pytest.approx(2.0)


def test_statistics_read_back_unchanged_and_have_one_form():
    stats = learnt(a_history())

    data = stats.encode()

    assert_same(Stats.decode(data), stats)
    assert Stats.decode(data).encode() == data
    assert Stats.decode(Stats().encode()).arms == {}


@pytest.mark.parametrize(
    "damage", [b"", b"HB", b"junk" * 20, learnt(a_history(50)).encode()[:-3], learnt(a_history(50)).encode() + b"x"]
)
def test_damaged_statistics_are_refused_with_a_reason(damage):
    with pytest.raises(ShapeError, match="policy statistics"):
        Stats.decode(damage)


def test_the_same_seed_makes_the_same_choice_and_logs_the_same_version():
    stats = learnt(a_history())
    context = a_context(np.random.default_rng(0))

    one, two = (Posterior(Stats.decode(stats.encode()), now=NOW) for _ in range(2))

    assert one.slate(context, np.random.default_rng(42)) == two.slate(context, np.random.default_rng(42))
    assert one.version == two.version
    assert one.version != Posterior(stats, now=NOW + 1).version


def test_wrong_shapes_and_names_are_refused():
    policy = Posterior(Stats(), now=NOW)
    rng = np.random.default_rng(0)

    with pytest.raises(ShapeError, match="context has 3 features, this policy was built for 16"):
        policy.choose("tone", None, [1.0, 2.0, 3.0], rng)
    with pytest.raises(ShapeError, match="must be finite"):
        policy.choose("tone", None, [float("nan")] * DIM, rng)
    with pytest.raises(ShapeError, match="not one of"):
        policy.choose("colour", None, np.zeros(DIM), rng)
    with pytest.raises(ShapeError, match="each once"):
        policy.choose("tone", ("rude",), np.zeros(DIM), rng)
    with pytest.raises(ShapeError, match="cannot add"):
        merge([Stats(3)])
    with pytest.raises(ShapeError, match="not one of thompson"):
        Definition(rule="magic").policy()
    with pytest.raises(ShapeError, match="floor"):
        Definition(floor=0.01).policy()
    with pytest.raises(ShapeError, match="unexpected keyword"):
        Definition(rule="greedy", settings={"width": 1.0}).policy()
    with pytest.raises(ShapeError, match="snapshot"):
        Snapshot.decode(b"junk")
    with pytest.raises(ShapeError, match="half-lives"):
        Stats().weight(1e12)
