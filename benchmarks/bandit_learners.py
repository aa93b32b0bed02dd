"""The learners that the regret benchmark compares, behind one small interface. Peers are imported where they are used.

A learner may be asked for many contexts before it is told their rewards: ours and MABWiser's are told every 100 rounds, as a worker
is; Vowpal Wabbit and River after every round, which is in their favour.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.bandit_problem import ARMS, DIM, Floats
from models.bandit import Definition, Posterior, Stats
from models.policy_stats import LANDMARK_S

Picks = NDArray[np.intp]
NAMES = tuple(f"a{i:02}" for i in range(ARMS))
FOREVER = 1e9  # half-life in rounds: nothing fades


class Learner(Protocol):
    batch: int  # rounds between two lessons
    usable: bool  # leaves the probability of what it took, none of them 0

    def take(self, contexts: Floats) -> tuple[Picks, Floats | None]:
        """Arms (n,), and the probabilities that are logged with them."""

    def learn(self, contexts: Floats, picked: Picks, rewards: Floats, logged: Floats | None) -> None: ...


class Headrace:
    """The product's code: statistics, hierarchical beliefs, a policy with its floor, exact propensities. One second a round."""

    usable = True

    def __init__(
        self,
        features: Floats,
        *,
        seed: int,
        definition: Definition,
        half_life: float = FOREVER,
        batch: int = 100,
        related: bool = True,
    ) -> None:
        self.definition, self.batch = definition, batch
        self.stats = Stats(DIM, half_life_s=half_life)
        ones = np.ones((ARMS, 1))
        self.features = np.hstack([ones, features]) if related else ones
        self.rng = np.random.default_rng([11, seed])
        self.round = 0
        self._believe()

    def _believe(self) -> None:
        self.posterior = Posterior(
            self.stats,
            now=LANDMARK_S + self.round,
            factors={"arm": NAMES},
            definition=self.definition,
            features={"arm": self.features},
        )

    def take(self, contexts: Floats) -> tuple[Picks, Floats | None]:
        picked, logged = np.empty(len(contexts), dtype=np.intp), np.empty(len(contexts))
        for i, context in enumerate(contexts):
            choice = self.posterior.slate(context, self.rng)["arm"]
            picked[i], logged[i] = int(choice.arm[1:]), choice.propensity
        return picked, logged

    def learn(self, contexts: Floats, picked: Picks, rewards: Floats, logged: Floats | None) -> None:
        for context, arm, reward in zip(contexts, picked, rewards, strict=True):
            self.stats.update("arm", NAMES[arm], context, float(reward), new=True, at=LANDMARK_S + self.round)
            self.round += 1
        self._believe()


class Mab:
    """MABWiser's linear policies. They log no probability, and what LinTS does not draw has none."""

    usable = False
    batch = 100

    def __init__(self, kind: str, *, seed: int, alpha: float, l2: float = 1.0) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        policy = {"lints": LearningPolicy.LinTS, "linucb": LearningPolicy.LinUCB}[kind]
        self.mab: Any = MAB(list(range(ARMS)), policy(alpha=alpha, l2_lambda=l2), seed=seed)
        self.rng = np.random.default_rng(seed)
        self.fitted = False

    def take(self, contexts: Floats) -> tuple[Picks, Floats | None]:
        if not self.fitted:
            return np.asarray(self.rng.integers(ARMS, size=len(contexts))), None
        return np.atleast_1d(np.asarray(self.mab.predict(with_bias(contexts)))).astype(np.intp), None

    def learn(self, contexts: Floats, picked: Picks, rewards: Floats, logged: Floats | None) -> None:
        teach = self.mab.partial_fit if self.fitted else self.mab.fit
        teach(list(map(int, picked)), list(map(float, rewards)), with_bias(contexts))
        self.fitted = True


class Vw:
    """Vowpal Wabbit, action-dependent features, with interactions of shopper and arm."""

    batch = 1

    def __init__(self, features: Floats, *, seed: int, options: str, usable: bool) -> None:
        from vowpalwabbit import Workspace

        self.usable = usable
        self.vw: Any = Workspace(f"--cb_explore_adf -q SA --quiet --random_seed {seed + 1} {options}")
        self.rng = np.random.default_rng([12, seed])
        self.shared = ""
        self.arms = [
            "|A a" + str(a) + " " + " ".join(f"f{j}:{value:.5f}" for j, value in enumerate(row)) for a, row in enumerate(features)
        ]

    def take(self, contexts: Floats) -> tuple[Picks, Floats | None]:
        self.shared = "shared |S " + " ".join([f"x{j}:{value:.5f}" for j, value in enumerate(contexts[0].tolist())])
        chances = np.array(self.vw.predict([self.shared, *self.arms]))
        chances = np.maximum(chances, 0.0)
        arm = int(self.rng.choice(ARMS, p=chances / chances.sum()))
        return np.array([arm]), np.array([chances[arm]])

    def learn(self, contexts: Floats, picked: Picks, rewards: Floats, logged: Floats | None) -> None:
        if logged is None:
            raise ValueError("Vowpal Wabbit learns from probabilities")
        lines = list(self.arms)
        lines[picked[0]] = f"0:{-rewards[0]}:{max(logged[0], 1e-6):.6f} {lines[picked[0]]}"
        self.vw.learn([self.shared, *lines])  # of the context that was asked about last


class River:
    """River's disjoint LinUCB: deterministic, one event at a time."""

    usable = False
    batch = 1

    def __init__(self, *, seed: int, alpha: float) -> None:
        from river.bandit import LinUCBDisjoint

        self.policy: Any = LinUCBDisjoint(alpha=alpha, seed=seed)
        self.arms = list(range(ARMS))

    def take(self, contexts: Floats) -> tuple[Picks, Floats | None]:
        return np.array([self.policy.pull(self.arms, context=_named(contexts[0]))]), None

    def learn(self, contexts: Floats, picked: Picks, rewards: Floats, logged: Floats | None) -> None:
        self.policy.update(int(picked[0]), _named(contexts[0]), float(rewards[0]))


def with_bias(contexts: Floats) -> Floats:
    return np.hstack([contexts, np.ones((len(contexts), 1))])


def _named(context: Floats) -> dict[int, float]:
    return {**dict(enumerate(context.tolist())), DIM: 1.0}
