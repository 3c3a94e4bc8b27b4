"""``vla-train`` and ``vla-eval`` as a user meets them: help, mistakes, sweeps, stops. The work itself is a stand-in here."""

import os
import signal
import subprocess
import sys
import time

import pytest
from hydra.core.global_hydra import GlobalHydra

from vla_train import stopping
from vla_train.cli import command
from vla_train.config import dump, folders, load_saved
from vla_train.errors import DataError

SLACK = 6.0  # a loaded machine; an idle one takes a sixth of the bounds below


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Runs a program in this process, in an empty folder, with a stand-in for its work. Returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words, kind="train", work=lambda config, overrides: None):
        monkeypatch.setattr(sys, "argv", [f"vla-{kind}", *words])
        GlobalHydra.instance().clear()
        return command.run(kind, lambda config, overrides, opened: work(config, overrides))

    return run


def process(*words, kind="train", **options):
    code = f"import sys; sys.argv[0] = 'vla-{kind}'; from vla_train.cli.{kind} import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False, **options
    )


def imported(*words, kind="train"):
    """The modules that a command imported until it ended, and its exit code."""
    code = (
        f"import sys; sys.argv = ['vla-{kind}', *sys.argv[1:]]\nfrom vla_train.cli.{kind} import main\n"
        "code = main()\nprint('MODULES', code, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=True)
    _, code, *modules = done.stdout.splitlines()[-1].split()
    return int(code), set(modules)


def test_help_says_what_the_program_does_and_lists_every_choice(program, capsys):
    assert program("--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("vla-train: train a policy")
    for words in ["film_cnn *transformer", "*tabletop", "quickstart", "basic_navigation", "Examples:", "resume="]:
        assert words in out
    assert program("-h", kind="eval") == 0
    assert "vla-eval checkpoint=" in capsys.readouterr().out


def test_help_is_quick_and_imports_neither_torch_nor_hydra():
    assert imported("--help")[1].isdisjoint({"torch", "hydra", "omegaconf", "numpy"})
    began = time.perf_counter()
    assert process("--help").returncode == 0
    assert time.perf_counter() - began < 0.4 * SLACK


@pytest.mark.parametrize("words", [["model.widht=3"], ["model=transfomer"], ["optimizer.lr=-1"]])
def test_a_mistake_is_told_before_torch_is_imported(words):
    code, modules = imported(*words)
    assert code == 2
    assert "torch" not in modules


def test_a_mistake_is_one_message_and_quick():
    began = time.perf_counter()
    done = process("optimizr.lr=0.1")
    assert time.perf_counter() - began < 1.0 * SLACK
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: optimizr.lr: vla-train has no such key. Did you mean optimizer.lr?\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["model=transfomer"],
            "model=transfomer: there is no such model. Did you mean transformer? Choices: feature_mlp, film_cnn, transformer.",
        ),
        (["modle=film_cnn"], "Did you mean model?"),
        (["lr=0.1"], "Did you mean optimizer.lr?"),
        (["model.widht=3"], "model.widht: model=transformer has no such key. Did you mean model.width?"),
        (["model=film_cnn", "model.stem=patch"], "model=film_cnn has no such key"),
        (["augmentation.cutout=0"], "augmentation=none has no such key. These have it: augmentation=full, augmentation=images."),
        (["head=gaussian", "+head.loss=l2"], "head=gaussian has no such key. These have it: head=regression."),
        (["every.lgo=3"], "Did you mean every.log?"),
        (["~every.lgo"], "Did you mean every.log?"),
        (["experiment=quikstart"], "Did you mean quickstart?"),
        (["source=nothing"], "no such source"),
        (["model=3"], "Choices: feature_mlp, film_cnn, transformer"),
        (["curriculum=null"], "Choices: basic_navigation,"),
        (["+model=film_cnn"], "model"),
        (["model.width=[1,2"], "not of the form key=value"),
        (["transformer"], "transformer: not of the form key=value (missing EQUAL"),
        (["seed=0,1"], "add -m"),
        (["model.width=${no.such}"], "no.such"),
        (["model._target_=os.system"], "not allowed"),
        (["--steps=3"], "written without dashes"),
        (["--experimental-rerun=job.pickle"], "no such option"),
        (["-cn", "eval"], "-cn: there is no such option"),
        (["-cp=/tmp"], "-cp=/tmp: there is no such option"),
        (["--config-dir=nowhere"], "nowhere"),
        ([f"model.cameras={'[' * 2000}{']' * 2000}"], "[...: nested too deeply to be read"),
        (["-m", "seed=0,1", "output=/dev/null/runs"], "output folder cannot be written"),
        (["modle=film_cnn", "model=nothing"], "model=nothing"),
    ],
)
def test_what_a_mistake_says(program, capsys, words, said):
    assert program(*words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_folder_of_own_experiments(program, tmp_path):
    write(tmp_path / "mine/experiment/tiny.yaml", "# @package _global_\nsteps: 7\n")
    seen = []
    words = ["--config-dir=mine", "experiment=tiny"]
    assert program(*words, work=lambda config, overrides: seen.append(config)) == 0
    assert (seen[0]["steps"], seen[0]["choices"]["experiment"]) == (7, "tiny")
    assert load_saved(dump(seen[0])) == seen[0]  # without the folder


@pytest.mark.parametrize(
    ("file", "word"),
    [
        ("model/mine.yaml", "model=mine"),
        ("model/transformer.yaml", "seed=1"),  # in place of the shipped one
        ("model/mine.yaml", "+experiment=brings"),
        ("train.yaml", "seed=1"),
    ],
)
@pytest.mark.parametrize("option", ["--config-dir=mine", "hydra.searchpath=[file://{}]"])
def test_a_folder_of_own_groups_could_never_be_resumed_and_is_refused(program, capsys, tmp_path, file, word, option):
    shipped = folders.shipped() / file
    text = (shipped if shipped.is_file() else folders.shipped() / "model/transformer.yaml").read_text()
    write(tmp_path / "mine" / file, text)
    write(tmp_path / "mine/experiment/brings.yaml", "# @package _global_\ndefaults:\n  - override /model: mine\n")
    words = [option.format(tmp_path / "mine"), word.lstrip("+")]
    assert program(*words, work=lambda config, overrides: pytest.fail("accepted")) == 2
    said = capsys.readouterr().err
    assert f"mine/{file}: a folder of your own" in said
    assert "plug-in" in said


def test_help_of_evaluation_offers_no_folder_of_experiments(program, capsys):
    assert program("--help") == 0
    assert "--config-dir DIR      a folder of your own experiment/*.yaml\n" in capsys.readouterr().out
    assert program("--help", kind="eval") == 0
    assert "--config-dir" not in capsys.readouterr().out


def test_mistakes_of_evaluation(program, capsys):
    assert program(kind="eval") == 2
    assert "checkpoint= is missing" in capsys.readouterr().err
    assert program("chekpoint=outputs/x", kind="eval") == 2
    assert "Did you mean checkpoint?" in capsys.readouterr().err


def test_debug_shows_where_a_mistake_was_found(program, capsys):
    assert program("model.width=0", "debug=true") == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_work_gets_a_validated_config_and_the_overrides(program, tmp_path):
    seen = []
    words = ["dataset=babyai", "seed=3", "name=a b"]
    assert program(*words, work=lambda config, overrides: seen.append((config, overrides))) == 0
    ((config, overrides),) = seen
    assert (config["seed"], config["choices"]["environment"], overrides) == (3, "babyai", words)
    assert list(tmp_path.iterdir()) == []  # Hydra leaves nothing behind


def fails(error):
    def work(config, overrides):
        raise error

    return work


def test_an_error_of_ours_sets_the_exit_code(program, capsys):
    assert program(work=fails(DataError("episode 3 holds NaN"))) == 3
    captured = capsys.readouterr()
    assert captured.err == "error: episode 3 holds NaN\n"


def test_an_unforeseen_error_shows_its_traceback(program, capsys):
    assert program(work=fails(RuntimeError("a bug"))) == 1
    assert "RuntimeError: a bug" in capsys.readouterr().err


def test_a_missing_extra_is_a_mistake_of_the_installation(program, capsys):
    assert program(work=fails(ModuleNotFoundError("No module named 'minigrid'", name="minigrid"))) == 2
    assert "pip install 'vla-train[babyai]'" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_stops_politely(program, capsys, number, code):
    def work(config, overrides):
        os.kill(os.getpid(), number)
        stopping.check()

    assert program(work=work) == code
    assert "Traceback" not in capsys.readouterr().err
    assert signal.getsignal(number) is not stopping._handle


def test_a_second_interrupt_stops_at_once(program):
    def work(config, overrides):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

    assert program(work=work) == 130


def test_a_sweep_runs_every_combination_and_tells_of_failed_jobs(program, capsys, tmp_path):
    seen = []

    def work(config, overrides):
        seen.append((config["choices"]["model"], config["seed"]))
        if seen[-1] == ("transformer", 1):
            raise DataError("no data")

    assert program("-m", "model=transformer,film_cnn", "seed=0,1", work=work) == 1
    assert seen == [("transformer", 0), ("transformer", 1), ("film_cnn", 0), ("film_cnn", 1)]
    captured = capsys.readouterr()
    assert "[job 1] model=transformer seed=1" in captured.out
    assert captured.err == "error: no data\n"
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]  # sweeps/<time>/multirun.yaml


def test_options_may_stand_anywhere():
    assert command.options_first(["a=1", "-m", "~b", "--config-dir", "c", "d=2"]) == [
        "-m",
        "--config-dir",
        "c",
        "a=1",
        "~b",
        "d=2",
    ]


def test_a_stopped_sweep_begins_no_further_job(program):
    seen = []

    def work(config, overrides):
        seen.append(config["seed"])
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.check()

    assert program("steps=3", "-m", "seed=0,1,2", work=work) == 75
    assert seen == [0]


def test_the_config_can_be_shown_without_running(program, capsys):
    assert program("--cfg", "job", "-p", "optimizer", work=fails(AssertionError("ran"))) == 0
    assert "schedule: cosine" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--info", "defaults"], ["--hydra-help"], ["-sc", "install=bash"]])
def test_hydras_own_options_work(option):
    done = process(*option)
    assert done.returncode == 0
    assert done.stdout


def test_shell_completion_knows_choices_and_keys():
    environment = {**os.environ, "COMP_LINE": "vla-train model="}
    assert process("-sc", "query=bash", env=environment).stdout.split() == [
        "model=feature_mlp",
        "model=film_cnn",
        "model=transformer",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("vla-train runtime.precision=", ["auto", "fp32", "bf16"]),
        ("vla-train seed=1 model=transformer model.stem=f", ["film_conv"]),
        ("vla-train tracker.tensorboard=", ["true", "false"]),
        ("vla-train dataset=babyai environment.view=", ["rgb", "symbolic"]),
        ("vla-eval seeds=", ["test", "validation"]),
    ],
)
def test_shell_completion_offers_the_words_of_a_rule(program, capsys, monkeypatch, line, words):
    monkeypatch.setenv("COMP_LINE", line)
    assert program("-sc", "query=bash", kind=line[4:].split()[0]) == 0
    key = line.split()[-1].partition("=")[0]
    assert capsys.readouterr().out.split() == [f"{key}={word}" for word in words]


@pytest.mark.parametrize(
    ("line", "words"),
    [("vla-train model.width=", ["model.width=64"]), ("vla-train runtime.p", ["runtime.precision="]), ("vla-train no.such=", [])],
)
def test_shell_completion_leaves_the_rest_to_hydra(program, capsys, monkeypatch, line, words):
    monkeypatch.setenv("COMP_LINE", line)
    assert program("-sc", "query=bash") == 0
    assert capsys.readouterr().out.split() == words


def test_a_reader_that_leaves_is_no_error():
    script = f"{sys.executable} -m vla_train.cli.train --cfg job | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["141"]
    assert done.stderr == ""
