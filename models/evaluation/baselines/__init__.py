"""What any recommender must beat, each tuned by a few arguments: popularity, buy-again, item neighbours, shopper neighbours."""

from models.evaluation.baselines.buy_again import BuyAgain
from models.evaluation.baselines.item_knn import ItemKnn
from models.evaluation.baselines.popularity import Popularity
from models.evaluation.baselines.tifu_knn import TifuKnn

__all__ = ["BuyAgain", "ItemKnn", "Popularity", "TifuKnn"]
