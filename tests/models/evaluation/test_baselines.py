import numpy as np
import pytest

from models.evaluation.baselines import BuyAgain, ItemKnn, Popularity, TifuKnn
from models.evaluation.baselines.memory import Faded, Purchases
from models.evaluation.log import Basket
from tests.models.evaluation.evalshop import DAY_S, habits

ALL = ["a", "b", "c", "d"]


def bought(user, day, *items):
    return Basket(user=user, at=day * DAY_S, items=items, order_id=f"{user}{day}")


def taught(method, *baskets):
    for basket in baskets:
        method.absorb(basket)
    return method


def test_what_sold_lately_is_popular_and_what_sold_long_ago_is_not():
    shop = taught(Popularity(ALL, half_life_s=DAY_S), *(bought(f"u{i}", 0, "a") for i in range(5)), bought("x", 4, "b"))

    assert shop.rank("y", 5 * DAY_S, k=2, unseen_only=False) == ["b", "a"]


def test_fading_counts_survive_any_stretch_of_time():
    counts = Faded(2, half_life_s=1.0)
    counts.add(np.array([0]), 0.0)
    counts.add(np.array([1]), 1e6)

    assert counts.shares() == pytest.approx([0.0, 1.0])


def test_only_new_products_leaves_out_all_ever_bought():
    shop = taught(Popularity(ALL), bought("x", 0, "a", "b"), bought("y", 1, "a", "c"))

    assert shop.rank("x", 2 * DAY_S, k=4, unseen_only=True) == ["c", "d"]


def test_own_purchases_come_before_what_others_buy():
    shop = taught(BuyAgain(ALL, popular=0.5), bought("x", 0, "d"), *(bought(f"u{i}", 1, "a") for i in range(9)))

    assert shop.rank("x", 2 * DAY_S, k=2, unseen_only=False) == ["d", "a"]
    assert shop.rank("stranger", 2 * DAY_S, k=1, unseen_only=False) == ["a"]


@pytest.mark.parametrize("by", ["basket", "shopper"])
def test_item_neighbours_are_bought_by_the_same(by):
    shop = taught(
        ItemKnn(ALL, by=by), *(bought(f"u{i}", i, "a", "b") for i in range(4)), bought("v", 5, "c", "d"), bought("x", 6, "a")
    )

    assert shop.rank("x", 7 * DAY_S, k=1, unseen_only=True) == ["b"]


def test_item_likeness_is_the_cosine_of_a_batch_computation():
    log = habits(shoppers=8, days=40)
    products = sorted({item for basket in log.baskets for item in basket.items})
    online = taught(ItemKnn(products, by="shopper", half_life_s=1e15), *log.baskets)
    shoppers = sorted({basket.user for basket in log.baskets})
    matrix = np.zeros((len(shoppers), len(products)))
    for basket in log.baskets:
        for item in basket.items:
            matrix[shoppers.index(basket.user), products.index(item)] = 1.0
    sizes = np.linalg.norm(matrix, axis=0)
    cosine = matrix.T @ matrix / np.outer(sizes, sizes)
    counts = Purchases(products)
    for basket in log.baskets:
        counts.add(basket)

    for user in shoppers:
        query = np.bincount(counts.of(user)[0], minlength=len(products))
        assert online.scores(user, log.baskets[-1].at, half_life_s=1e15, power=0.5) == pytest.approx(query @ cosine, rel=1e-6)


def test_only_the_last_products_count_where_that_is_asked():
    shop = taught(
        ItemKnn(ALL, last=1), *(bought(f"u{i}", i, "a", "b") for i in range(3)), *(bought(f"v{i}", i, "c", "d") for i in range(2))
    )
    taught(shop, bought("x", 8, "a"), bought("x", 9, "c"))

    assert shop.rank("x", 10 * DAY_S, k=1, unseen_only=True) == ["d"]


def test_the_pair_table_widens_before_it_overflows():
    shop = ItemKnn(["a", "b"])
    shop._counts[:] = 65_533
    shop._pairs[:] = 65_533

    taught(shop, *(bought("x", i, "a", "b") for i in range(4)))

    assert shop._pairs[0, 1] == 65_537


def test_tifu_online_equals_its_formula_on_the_whole_history():
    log = habits(shoppers=6, days=60)
    products = sorted({item for basket in log.baskets for item in basket.items})
    online = taught(TifuKnn(products, group=3, within=0.8, across=0.6, shoppers=2), *log.baskets)

    def formula(user):
        vectors = [[float(p in basket.items) for p in products] for basket in log.baskets if basket.user == user]
        groups = [np.array(vectors[i : i + 3]) for i in range(0, len(vectors), 3)]
        means = [sum(0.8 ** (len(g) - 1 - i) * row for i, row in enumerate(g)) / len(g) for g in groups]
        return sum(0.6 ** (len(means) - 1 - i) * mean for i, mean in enumerate(means)) / len(means)

    shoppers = sorted({basket.user for basket in log.baskets})
    truth = {user: formula(user) for user in shoppers}
    for user in shoppers:
        assert online.own(user) == pytest.approx(truth[user])
        others = sorted(
            (other for other in shoppers if other != user), key=lambda other: np.sum((truth[other] - truth[user]) ** 2)
        )
        assert online.near(user, 2) == pytest.approx((truth[others[0]] + truth[others[1]]) / 2)


def test_tifu_finds_something_for_a_stranger():
    shop = taught(TifuKnn(ALL), bought("u", 0, "b"), bought("v", 0, "b", "c"))

    assert shop.rank("stranger", DAY_S, k=1, unseen_only=False) == ["b"]


def test_looking_is_not_buying():
    look = Basket(user="x", at=0.0, items=("a",), action="view")
    shop = taught(Popularity(ALL), look, bought("y", 0, "b"))

    assert shop.rank("x", DAY_S, k=1, unseen_only=False) == ["b"]
    assert "a" in shop.rank("x", DAY_S, k=4, unseen_only=True)
