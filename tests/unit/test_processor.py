"""The Processor: words to tokens, pictures to size, and the same again from its JSON."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_train.errors import CheckpointError, DataError, Notice, UsageError
from vla_train.processor import Processor, clean, train_tokenizer
from vla_train.spec import ActionSpec, ImageSpec, Spec

INSTRUCTIONS = ["go to the red cup", "pick up the blue ball", "go to the blue cup"]
SPEC = Spec(
    images={
        "top": ImageSpec(8, 8),
        "depth": ImageSpec(8, 8, channels=1, kind="depth"),
        "grid": ImageSpec(3, 3, channels=2, kind="symbols", symbols=(11, 6)),
    },
    state_size=2,
    action=ActionSpec("continuous", 1, (-1.0,), (1.0,)),
)


def processor(**settings) -> Processor:
    return Processor(
        SPEC, train_tokenizer(INSTRUCTIONS, 400), **{"cameras": None, "image_size": None, "max_tokens": 16, **settings}
    )


def images(n: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.integers(0, 6, (n, i.height, i.width, i.channels), np.uint8) for name, i in SPEC.images.items()}


def decode(p: Processor, tokens: np.ndarray, mask: np.ndarray) -> str:
    return p.tokenizer.decode(tokens[mask][1:].tolist())


def test_clean():
    assert clean("  Go  to\tthe RED cup ") == "go to the red cup"


def test_the_begin_token_stands_first_and_alone_for_an_empty_instruction():
    tokens, mask = processor().tokenize(["", "go to the red cup"])
    assert tokens.dtype == np.int64
    assert tokens.shape == (2, 16)
    assert mask.sum(1).tolist()[0] == 1
    assert tokens[0, 0] == tokens[1, 0] == 1
    assert (tokens[~mask] == 0).all()


@pytest.mark.parametrize("text", ["go to the red cup", "zebra!", "größe 猫 ☃", "<pad> <begin>"])
def test_no_word_is_unknown(text):
    p = processor(max_tokens=40)
    tokens, mask = p.tokenize([text])
    assert decode(p, tokens[0], mask[0]).strip() == text
    assert not {0, 1} & set(tokens[0][mask[0]][1:].tolist()), "special tokens come from no text"


def test_seen_words_are_one_token_each():
    _, mask = processor().tokenize(["go to the red cup"])
    assert mask.sum() == 1 + 5


def test_the_tokenizer_depends_on_the_set_of_instructions_only():
    assert train_tokenizer(INSTRUCTIONS, 400).to_str() == train_tokenizer([*INSTRUCTIONS[::-1], INSTRUCTIONS[0]], 400).to_str()


def test_a_vocabulary_below_the_bytes_is_refused():
    with pytest.raises(UsageError, match="258"):
        train_tokenizer(INSTRUCTIONS, 200)


def test_a_long_instruction_is_cut_with_a_warning():
    short = processor(max_tokens=3)
    with pytest.warns(Notice, match="the longest instruction has 6 tokens, and 3 are read: .* model.max_tokens=6"):
        _, mask = short.tokenize(["go to it", "go to the red cup"])
    assert mask.sum() == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short.tokenize(["go to the cup"])  # not again for one that is no longer


def test_json_round_trip():
    first = processor(cameras=["grid", "top"], image_size=4)
    second = Processor.from_texts(first.texts())
    assert second.texts() == first.texts()
    assert second.spec == SPEC
    assert second.cameras == ["grid", "top"]
    assert second.cache_key == first.cache_key
    for a, b in zip(first.tokenize(["go to the zebra"]), second.tokenize(["go to the zebra"]), strict=True):
        assert (a == b).all()


def test_torn_texts_are_a_checkpoint_error():
    with pytest.raises(CheckpointError, match="cannot be read"):
        Processor.from_texts({"processor.json": "{", "tokenizer.json": ""})


def test_resize_keeps_what_fits_and_never_touches_symbols():
    given = images()
    assert all(resized is given[name] for name, resized in processor().resize(given).items())
    small = processor(image_size=4).resize(given)
    assert {name: image.shape for name, image in small.items()} == {
        "top": (2, 4, 4, 3),
        "depth": (2, 4, 4, 1),
        "grid": (2, 3, 3, 2),
    }
    assert small["top"].dtype == np.uint8
    assert small["grid"] is given["grid"]


def test_depth_is_given_in_the_units_that_became_bytes():
    """Near 1 and far 3: 2 is half way, 255 / 2 = 127.5, to even 128. Bytes stay; without a range nothing is changed."""
    depth = np.array([0.5, 1.0, 2.0, 3.0, np.nan, np.inf]).reshape(1, 1, 6, 1)
    spec = replace(SPEC, images={"depth": ImageSpec(1, 6, 1, kind="depth", depth_range=(1.0, 3.0))})
    made = Processor(spec, train_tokenizer(INSTRUCTIONS, 400), cameras=None, image_size=None, max_tokens=16)
    (seen,) = made.resize({"depth": depth}).values()
    assert (seen.dtype, seen.ravel().tolist()) == (np.uint8, [0, 0, 128, 255, 255, 255])
    assert made.resize({"depth": seen})["depth"] is seen
    assert Processor.from_texts(made.texts()).spec == spec
    plain = processor(cameras=["depth"])
    assert plain.resize({"depth": np.ones((1, 8, 8, 1), np.float32)})["depth"].dtype == np.float32


def test_depth_takes_a_pixel_where_colour_averages():
    board = np.zeros((1, 8, 8, 3), np.uint8)
    board[:, ::2] = 200
    given = {**images(1), "top": board, "depth": board[..., :1]}
    small = processor(image_size=4).resize(given)
    assert set(np.unique(small["depth"])) <= {0, 200}
    assert not set(np.unique(small["top"][:, 1:-1])) & {0, 200}


def test_cameras_are_chosen_and_the_cache_key_tells_them_apart():
    p = processor(cameras=["top"], image_size=4)
    assert list(p.resize(images())) == ["top"]
    assert list(p.image_specs) == ["top"]
    assert p.image_specs["top"].height == 4
    keys = {p.cache_key, processor().cache_key, processor(cameras=["top"]).cache_key, processor(cameras=["depth"]).cache_key}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": np.full((2, 3, 3, 2), 6, np.uint8)}, "codes"),
        ({"grid": np.zeros((2, 4, 3, 2), np.uint8)}, r"\[2, 4, 3, 2\]"),
        ({"top": np.zeros((2, 8, 8, 1), np.uint8)}, "Spec says"),
        ({"top": None}, "missing"),
    ],
)
def test_pictures_that_do_not_fit_are_data_errors(change, words):
    given = {name: image for name, image in {**images(), **change}.items() if image is not None}
    with pytest.raises(DataError, match=words):
        processor().resize(given)


def test_an_unknown_camera_is_a_usage_error():
    with pytest.raises(UsageError, match="'front'"):
        processor(cameras=["front"])


def test_observation_has_channels_first_and_copies_nothing():
    p = processor()
    window = {name: np.repeat(image[:, None], 3, 1) for name, image in p.resize(images()).items()}
    tokens, mask = p.tokenize(["go to the red cup", ""])
    state, present = np.zeros((2, 3, 2), np.float32), np.ones((2, 3), np.bool_)
    observation = p.observation(window, tokens, mask, state, present)
    assert observation.images["top"].shape == (2, 3, 3, 8, 8)
    assert observation.images["top"].dtype == torch.uint8
    assert observation.images["grid"].shape == (2, 3, 2, 3, 3)
    assert observation.task.tolist() == [0, 0]
    window["top"][1, 2, 5, 6, 0] = 99
    assert observation.images["top"][1, 2, 0, 5, 6] == 99


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((480, 640), (96, 128)),
        ((720, 1280), (72, 128)),
        ((300, 640), (64, 128)),
        ((1280, 720), (128, 72)),
        ((129, 129), (128, 128)),
        ((128, 96), (128, 96)),
        ((64, 64), (64, 64)),
        ((100, 3000), (8, 128)),
    ],
)
def test_auto_keeps_small_cameras_and_the_shape_of_large_ones(given, wanted):
    spec = replace(SPEC, images={"top": ImageSpec(*given), "grid": ImageSpec(200, 200, 1, "symbols", (6,))})
    p = Processor(spec, train_tokenizer(INSTRUCTIONS, 400), cameras=None, image_size="auto", max_tokens=16)
    assert (p.image_specs["top"].height, p.image_specs["top"].width) == wanted
    assert p.image_specs["grid"] == spec.images["grid"]
    assert len(p.notes()) == (given != wanted)
    assert Processor.from_texts(p.texts()).image_specs == p.image_specs
    if given == (480, 640):
        assert p.notes() == ["camera top: 640 x 480 pixels are resized to 128 x 96 (model.image_size=auto)"]


def test_auto_changes_nothing_for_small_cameras():
    """Neither what is read nor which frame cache it comes from: results from before there was "auto" stand."""
    auto, as_given = processor(image_size="auto"), processor()
    assert auto.cache_key == as_given.cache_key
    for name, image in auto.resize(images()).items():
        np.testing.assert_array_equal(image, images()[name])


def test_without_language_every_instruction_is_the_begin_token():
    p = processor(language="none")
    for kept in (p, Processor.from_texts(p.texts())):
        tokens, mask = kept.tokenize(["go to the red cup", ""])
        assert tokens.tolist() == [[1] + [0] * 15] * 2
        assert mask.sum(axis=1).tolist() == [1, 1]


def test_a_processor_saved_before_language_could_be_left_out_reads_instructions():
    texts = processor().texts()
    settings = json.loads(texts["processor.json"])
    del settings["language"]
    old = Processor.from_texts(texts | {"processor.json": json.dumps(settings)})
    assert old.tokenize(["go to the red cup"])[1].sum() > 1
