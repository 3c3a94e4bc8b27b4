"""What ``--help`` prints. The choices are read from the folders of YAML files, so Hydra need not be imported."""

import re
import textwrap

from vla_train.config import folders
from vla_train.config.plugins import problems
from vla_train.config.targets import GROUPS

MEANING = {
    "model": "the encoder of images, words and state",
    "head": "how actions are predicted; auto: what fits the paradigm and the actions",
    "dataset": "demonstrations; brings its environment along",
    "environment": "where the policy is evaluated, or collects experience",
    "paradigm": "how it learns; brings its source along",
    "source": "where its batches come from",
    "curriculum": "which stages of the environment are trained, and in what order",
    "continual": "what is done against forgetting",
    "augmentation": "changes to images and words in training",
    "randomization": "changes to the simulated world",
    "reward": "what a policy that learns by trying is rewarded for",
    "safety": "what it may not do there",
    "uncertainty": "how the policy tells what it does not know",
    "optimizer": "steps, schedule, clipping, averaging",
    "runtime": "device, threads, precision",
    "tracker": "logs and live view",
    "experiment": "a preset of all of the above",
    "sweep": "with -m: how its jobs are run, or searched for (pip install 'vla-train[sweep]')",
}

TRAIN = """\
vla-train: train a policy that sees, reads an instruction and acts.

Usage: vla-train [group=choice ...] [key=value ...]

It makes or reads demonstrations, trains, evaluates on the way, and writes checkpoints, logs and pictures to outputs/<run>.

Groups (* is what is taken when you say nothing):
{groups}
{plugins}
Keys of the run (all of them: vla-train --cfg job):
  steps=N env_steps=N minutes=M   length of the run; whichever is reached first
  seed=0                          same seed, same machine: same result
  dataset.batch_size=128  optimizer.lr=1e-3  model.width=128  runtime.device=cuda
  resume=outputs/RUN              go on with a run that was stopped
  sweep.resume=outputs/sweeps/S   with -m: run what is missing of a sweep
  init=outputs/RUN                start from the weights of another run
  debug=true                      show tracebacks

Examples:
  vla-train paradigm=bc model=transformer
  vla-train dataset=babyai dataset.level=GoToLocal model=film_cnn steps=2000
  vla-train curriculum=simple_manipulation minutes=15 optimizer.ema=0.999
  vla-train -m model=transformer,film_cnn seed=0,1         (a sweep: every combination)
{more}"""

EVAL = """\
vla-eval: measure how often a trained policy succeeds, and whether it listens to its instruction.

Usage: vla-eval checkpoint=RUN_OR_CHECKPOINT [key=value ...]

It writes report.html (one page with everything), report.json, episodes.csv and a video to outputs/<run>/evaluations, and
prints a table.

Keys (all of them: vla-eval --cfg job):
  checkpoint=outputs/RUN          its last checkpoint; name .../checkpoints/best for the best
  compare=[outputs/A,outputs/B]   instead: several policies on the same episodes, with the interval of each difference
  suite=NAME                      what is measured: {suites}; single keys still win
  baseline=outputs/BLIND          a policy trained with model.language=none, as one more row
  episodes=512  num_envs=128      how many episodes, how many at once
  conditions=[plain,swapped,foreign,empty,garbage,paraphrase,random,chance]
  zero_shot=[templates,pairs]     held-out splits of the environment, beside what was seen
  robustness=[0.25,0.5,1.0]       strengths of a change along each axis of the environment
  randomization=NAME              {randomizations}; left out: as trained
  seeds=test                      or validation
  split=templates                 a held-out split of the environment
  stage=NAME                      one stage only
  execute=4  ensemble=true        actions of each chunk to execute; average overlapping chunks
  device=cuda

Examples:
  vla-eval checkpoint=outputs/RUN
  vla-eval checkpoint=outputs/RUN/checkpoints/best episodes=128 conditions=[plain,swapped]
  vla-eval checkpoint=outputs/RUN suite=full baseline=outputs/BLIND
{more}"""

COLLECT = """\
vla-collect: record episodes of an environment, played by an expert, a policy, both or a person, into a dataset.

Usage: vla-collect output=FOLDER environment=NAME [key=value ...]
       vla-collect output=FOLDER checkpoint=RUN_OR_CHECKPOINT [key=value ...]

It adds to the dataset in FOLDER (LeRobotDataset v3.0), or begins it. Stopped or killed, the same command goes on.

Keys (all of them: vla-collect --cfg job):
  output=data/NAME                the dataset's folder
  environment=NAME                {environments}; left out: that of the checkpoint's run
  player=NAME                     expert, policy, mixture (the policy acts and the expert labels: DAgger), person (keyboard)
  checkpoint=outputs/RUN          the policy: its last checkpoint; name .../checkpoints/best for the best
  expert=0.5  intervene=0.5       player=mixture: when the expert acts too: by chance, or where the policy goes astray
  episodes=1000  start=0          which training seeds are played; without start: those behind what is there
  stage=NAME                      of the environment
  randomization=NAME              {randomizations}
  noise=0.3                       disturbs what the expert does; what is recorded is what it wanted to do
  keep=successes                  or all
  processes=4                     the result is the same for any number

Examples:
  vla-collect output=data/go environment=tabletop randomization=full episodes=10000 processes=8
  vla-collect output=data/dagger checkpoint=outputs/RUN player=mixture expert=0.5 episodes=500
  vla-train dataset=tabletop dataset.path=data/go
{more}"""

REPORT = """\
vla-report: learning curves of one or many runs, as a picture and as a page, and the settings in which they differ.

Usage: vla-report RUN [RUN ...] [key=value ...]

RUN is a run folder, one of its checkpoints, a sweep, or a folder of runs such as outputs. Runs that differ in their seed
alone share a colour. It writes index.html (one file: no network, no script) and curves.png to RUN/report, or for several
runs to outputs/reports/<n>.

Keys:
  output=FOLDER         where the report goes
  x=updates             or samples, minutes
  debug=true            show tracebacks

Examples:
  vla-report outputs/RUN
  vla-report outputs/*transformer* outputs/*film_cnn* x=minutes
"""

DATA = """\
vla-data: look at recorded data of any format, check, convert, show and replay them.

Usage: vla-data COMMAND FOLDER [key=value ...]

Commands:
  inspect FOLDER        episodes, tasks, cameras, rates, value ranges, and what is odd      episodes=all
  validate FOLDER       counts, times, NaN, missing frames, statistics; exit code 3 if something is wrong
                        --fix mends meta/ where the data tell what is right; pictures=false does not decode
  convert FROM TO       any format to LeRobotDataset v3.0; killed and begun again, it goes on where it was
                        images=keep|png|h264|av1   episodes=0-9   instruction='lift the cube'   rename={cam_high:top}
                        depth_range=[0.0,2.0]   verify=false
  stats FOLDER          statistics of every number                       columns=action,observation.state   output=stats.json
  view FOLDER           a page (one file) with frames, instruction and curves
                        episodes=0,3   output=page.html   columns=action,observation.state   cameras=NAME
  replay FOLDER         the recorded actions in their environment, from the recorded seeds: do they succeed?
                        episodes=0-9

debug=true shows tracebacks. Recordings are never changed.
"""

MORE = """
More:
  --cfg job             print the composed config and stop
  -m, --multirun        run every combination of comma-separated values
{config_dir}  --hydra-help          Hydra's own options
  shell completion:     eval "$(vla-{kind} -sc install=bash)"      (also zsh, fish)
"""


CONFIG_DIR = (
    "  --config-dir DIR      a folder of your own experiment/*.yaml\n"  # for vla-train alone: vla-eval has no experiments
)


def text(kind: str) -> str:
    """The help of ``vla-train``, ``vla-eval`` or ``vla-collect``."""
    more = MORE.format(kind=kind, config_dir=CONFIG_DIR if kind == "train" else "")
    if kind == "train":
        return TRAIN.format(groups=_groups(), plugins=_plugins(), more=more)
    named = {f"{group}s": ", ".join(folders.choices(group)) for group in ("suite", "randomization", "environment")}
    if kind == "collect":
        return COLLECT.format(**named, more=more)
    return EVAL.format(**named, more=more)


def _groups() -> str:
    shipped = (folders.shipped() / "train.yaml").read_text(encoding="utf-8")
    default = dict(re.findall(r"^  - (\w+): (\w+)", shipped, re.MULTILINE))
    for group in ("dataset", "paradigm"):  # they bring others along
        file = folders.shipped() / group / f"{default[group]}.yaml"
        default |= dict(re.findall(r"^  - override /(\w+)@\S+: (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    lines = []
    for group in GROUPS:
        names = [f"*{name}" if default.get(group) == name else name for name in folders.choices(group)]
        lines.append(f"  {group:<14}{MEANING[group]}")
        lines += textwrap.wrap(" ".join(names) or "(none yet)", width=100, initial_indent=" " * 18, subsequent_indent=" " * 18)
    return "\n".join(lines)


def _plugins() -> str:
    """The packages that brought choices, and what is wrong with those that could not; nothing without plug-ins."""
    lines = [f"  {package} ({folder.parent})" for package, folder in folders.plugins().items()]
    lines += [f"  {line}" for problem in problems() for line in textwrap.wrap(problem, 110, subsequent_indent="  ")]
    return "\n".join(["", "Plug-ins:", *lines, ""]) if lines else ""
