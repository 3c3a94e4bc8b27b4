"""How well the score of a language reward agrees with true success, before anything is trained with it.

    python scripts/measure_language_reward.py [stage ...] [--scorers sentence_encoder overlap] [--episodes 200]
                                              [--encoder FOLDER_OR_NAME] [--checkpoint outputs/RUN]

The expert, a mediocre player, a random one, and with --checkpoint a policy, play training seeds on the tabletop. A table in
Markdown has one line for each stage and scorer:

  AUROC, at the end   chance that an episode which succeeded ends with a higher score than one which did not
  AUROC, any moment   chance that a moment in which the goal is reached has a higher score than one in which it is not
  rank, any moment    Spearman's correlation of the score with minus what remains to the goal, over all moments
  rank, within        the same within each episode, on average over the episodes in which both change
  <player>            mean score at the end of its episodes, and how often it succeeded
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import vla_train
from vla_train.collection.behaviour import Behaviour
from vla_train.envs.tabletop import TabletopVectorEnv
from vla_train.envs.tabletop.stages import STAGES
from vla_train.errors import VlaTrainError
from vla_train.rewards.agreement import auroc, rank_correlation
from vla_train.rewards.language import SCORERS, Judge, LanguageScore
from vla_train.seeds import seeds

Act = Callable[[TabletopVectorEnv, np.ndarray, int, Any], np.ndarray]  # environment, seeds [n], step, what is seen
PLAYERS = {"expert": Behaviour(noise=0.3), "mediocre": Behaviour(mediocre=1.0), "random": Behaviour(random=1.0)}


@dataclass
class Played:
    """The moments of all episodes: [t, n], ``under_way`` until each episode's last."""

    scores: dict[str, np.ndarray]
    success: np.ndarray
    remaining: np.ndarray
    under_way: np.ndarray

    @property
    def last(self) -> np.ndarray:
        """[n]: the last moment of each episode."""
        last: np.ndarray = self.under_way.sum(axis=0) - 1
        return last

    def at_end(self, values: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = values[self.last, np.arange(values.shape[1])]
        return chosen


def behaviour(player: Behaviour) -> Act:
    def act(env: TabletopVectorEnv, row_seeds: np.ndarray, step: int, seen: Any) -> np.ndarray:
        return player.execute(env.expert_action(), row_seeds, np.full(env.num_envs, step), env.io_spec.action)

    return act


def policy(checkpoint: str) -> tuple[Act, dict[str, Any]]:
    """The policy's first action at each step, and the settings of the world that it was made for."""
    agent = vla_train.load(checkpoint)
    spec = agent.processor.spec
    sizes = [image.height for image in spec.images.values()]

    def act(env: TabletopVectorEnv, row_seeds: np.ndarray, step: int, seen: Any) -> np.ndarray:
        if step == 0:
            agent.reset()
        chunk: np.ndarray = agent.act(seen["images"], seen["instruction"], seen["state"])
        return chunk[:, 0]

    return act, {"cameras": list(spec.images), "actions": spec.action.kind} | ({"image_size": sizes[0]} if sizes else {})


def play(stage: str, act: Act, judges: dict[str, Judge], episodes: int, first: int, world: dict[str, Any]) -> Played:
    env = TabletopVectorEnv(episodes, stage, **world)
    row_seeds = seeds("train", episodes, first)
    seen, _ = env.reset(seed=row_seeds)
    measures = {name: LanguageScore(env, judge) for name, judge in judges.items()}
    scores: dict[str, list[np.ndarray]] = {name: [] for name in judges}
    success, remaining, under_way = [], [], [np.ones(episodes, bool)]
    for step in range(env.io_spec.horizon + 1):
        for name, measure in measures.items():
            scores[name].append(measure())
        success.append(env.success)
        remaining.append(env.remaining())
        if step == env.io_spec.horizon or not under_way[-1].any():
            break
        seen, _, terminated, truncated, _ = env.step(act(env, row_seeds, step, seen))
        running = under_way[-1] & ~(under_way[-1] & (terminated | truncated))
        under_way.append(running)
    moments = np.stack([np.ones(episodes, bool), *under_way[:-1]])[: len(success)]  # an episode's last moment belongs to it
    return Played({name: np.stack(found) for name, found in scores.items()}, np.stack(success), np.stack(remaining), moments)


def row(stage: str, scorer: str, played: dict[str, Played]) -> list[str]:
    """One line of the table."""
    every = list(played.values())

    def moments(values: Callable[[Played], np.ndarray]) -> np.ndarray:
        return np.concatenate([values(each)[each.under_way] for each in every])

    def ends(values: Callable[[Played], np.ndarray]) -> np.ndarray:
        return np.concatenate([each.at_end(values(each)) for each in every])

    def score(each: Played) -> np.ndarray:
        return each.scores[scorer]

    within = [
        rank_correlation(score(each)[: last + 1, column], -each.remaining[: last + 1, column])
        for each in every
        for column, last in enumerate(each.last)
    ]
    found = [
        auroc(ends(score), ends(lambda each: each.success)),
        auroc(moments(score), moments(lambda each: each.success)),
        rank_correlation(moments(score), -moments(lambda each: each.remaining)),
        float(np.nanmean(within)),
    ]
    ended = [f"{each.at_end(score(each)).mean():.2f} ({each.at_end(each.success).mean():.0%})" for each in every]
    return [f"`{stage}`", f"`{scorer}`", *(f"{value:.3f}" for value in found), *ended]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="stage", help=f"of {', '.join(STAGES)}; default: all")
    parser.add_argument("--scorers", nargs="+", choices=list(SCORERS), default=list(SCORERS))
    parser.add_argument("--encoder", help="folder or hub name of a sentence encoder; default: the installed package's")
    parser.add_argument("--episodes", type=int, default=200, help="of each player")
    parser.add_argument("--checkpoint", help="a policy that plays too")
    options = parser.parse_args()
    judges = {name: Judge(name, options.encoder) for name in options.scorers}
    players: dict[str, tuple[Act, dict[str, Any]]] = {
        name: (behaviour(player), {"cameras": []}) for name, player in PLAYERS.items()
    }
    if options.checkpoint:
        try:
            players["policy"] = policy(options.checkpoint)
        except VlaTrainError as error:
            raise SystemExit(f"error: {error}") from None
    heads = ["Stage", "Scorer", "AUROC, at the end", "AUROC, any moment", "rank, any moment", "rank, within", *players]
    print("|", " | ".join(heads), "|")
    print("|", " | ".join("---" for _ in heads), "|")
    for stage in options.stages:
        played = {
            name: play(stage, act, judges, options.episodes, number * options.episodes, world)
            for number, (name, (act, world)) in enumerate(players.items())
        }
        for scorer in options.scorers:
            print("|", " | ".join(row(stage, scorer, played)), "|", flush=True)


if __name__ == "__main__":
    main()
