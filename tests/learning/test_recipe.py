from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.learning.ensemble import is_ensemble
from microgesture.learning.recipe import read_recipe, write_recipe
from microgesture.learning.recognise import parameter_groups
from microgesture.learning.runs import facts_of

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml"))
GOOD = """\
system:
  class_path: microgesture.systems.stgcnpp.STGCNpp
  init_args: {width: 8, growth: [1], strides: [1]}
data: {class_path: tests.learning.toy.Toy}
loading:
  frames: 8
  augment:
    - {class_path: microgesture.datasets.augment.Scale, init_args: {amount: 0.2}}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.01}}
training: {epochs: 2, warmup: 0}
"""


def recipe(folder: Path, text: str = GOOD) -> Path:
    path = folder / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, old: str, new: str, *overrides: str) -> str:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        read_recipe(recipe(folder, GOOD.replace(old, new)), overrides)
    return str(caught.value).replace(str(folder), "")


@pytest.mark.parametrize("path", [p for p in RECIPES if not is_ensemble(p)], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_recipe_in_the_tree_parses_and_builds(path: Path) -> None:
    plan = read_recipe(path)
    system = plan.system.build(**facts_of(plan).arguments(plan.system.cls))
    assert sum(p.numel() for p in system.parameters()) > 0
    groups = parameter_groups(system)
    assert sorted(id(p) for g in groups for p in g["params"]) == sorted(map(id, system.parameters()))
    plan.optimizer.build(params=groups)
    assert path.read_text(encoding="utf-8").startswith(("# microgesture train", "# microgesture test")), (
        "a recipe starts with its command"
    )


SETTINGS = ("batch", "frames", "lr", "weight_decay", "epochs", "clip")


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("imigue/jsse", (32, 48, 0.0667, 3e-4, 100, 0)),
        ("imigue/posec3d", (32, 48, 0.05, 3e-4, 240, 40)),
        ("imigue/rgbpose", (6, 32, 0.0075, 1e-4, 20, 40)),
        ("imigue/mamba_mg", (32, 16, 1e-4, 0.05, 50, 5)),
        ("smg/stgcn", (64, 60, 0.01, 1e-4, 20, 0)),
        ("ma52/manet", (10, 8, 0.00125, 1e-4, 80, 20)),
        ("ma52/tsm", (10, 8, 0.00125, 1e-4, 80, 20)),
        ("ma52/pcan", (10, 32, 0.0075, 1e-4, 30, 40)),
        *((f"{data}/{key}", (32, 100, 0.025, 5e-4, 80, 5)) for data in ("imigue", "smg") for key in ("agcn", "msg3d")),
    ],
)
def test_settings_as_published(name: str, published: tuple[float, ...]) -> None:
    """What the recipe's head says of them, with the batch and rate that belong together."""
    plan = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    parts = {**vars(plan.loading), **plan.optimizer.args, **vars(plan.training)}
    assert tuple(parts[setting] for setting in SETTINGS) == published


@pytest.mark.parametrize(
    ("name", "drops", "drop"),
    [
        ("imigue/rgbpose", [12, 16], 0.1),
        ("imigue/tsm", [30, 60], 0.1),
        ("imigue/query_points", [10, 20, 30, 40], 0.5),
        ("smg/stgcn", [5, 10], 0.1),
        ("smg/query_points", [10, 20, 30, 40], 0.5),
        ("smg/query_points_rgb", [10, 20, 30, 40], 0.5),
        ("ma52/manet", [30, 60], 0.1),
        ("ma52/tsm", [30, 60], 0.1),
        ("ma52/pcan", [10, 20], 0.1),
    ],
)
def test_steps_as_published(name: str, drops: list[int], drop: float) -> None:
    training = read_recipe(ROOT / "recipes" / f"{name}.yaml").training
    assert (training.drops, training.drop, training.warmup) == (drops, drop, 0)


def test_settings_that_heads_of_recipes_offer() -> None:
    recipes = ROOT / "recipes"
    steps = ["--training.epochs", "8", "--training.warmup", "0", "--training.drops", "[4, 6]", "--training.clip", "0"]
    rates = ["--optimizer.lr", "0.0001", "--optimizer.weight_decay", "0.00001"]
    published = read_recipe(recipes / "imigue" / "stgcn.yaml", [*rates, *steps])
    assert (published.training.drops, published.optimizer.args["weight_decay"]) == ([4, 6], 1e-5)
    released = read_recipe(recipes / "ma52" / "manet.yaml", ["--system.init_args.compat", "official"])
    assert released.system.build(**facts_of(released).arguments(released.system.cls)).compat == "official"
    slow = read_recipe(recipes / "smg" / "query_points_rgb.yaml", ["--system.init_args.encoder_rate", "0.05"])
    shares = {g["rate"] for g in parameter_groups(slow.system.build(**facts_of(slow).arguments(slow.system.cls)))}
    assert shares == {0.05, 1}


@pytest.mark.parametrize("name", ["imigue/stgcn", "smg/stgcn"])
def test_baselines_fill_short_clips_with_nothing(name: str) -> None:
    plan = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert plan.loading.pad_to == plan.loading.frames == plan.dataset.longest  # type: ignore[attr-defined]


def test_there_are_recipes() -> None:
    assert RECIPES


def test_parts_are_read_and_built(tmp_path: Path) -> None:
    plan = read_recipe(recipe(tmp_path))
    assert (plan.loading.frames, plan.training.epochs, plan.dataset.key) == (8, 2, "toy")
    assert plan.loading.augment[0].amount == 0.2  # type: ignore[attr-defined]
    assert plan.name == f"{tmp_path.name}/toy"
    again = read_recipe(recipe(tmp_path, write_recipe(plan.plain)))
    assert again.plain == plan.plain


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("width: 8", "widht: 4", "/toy.yaml:3  'system.init_args.widht' is no known key; did you mean 'width'?"),
        ("  frames: 8", "  frame: 8", "/toy.yaml:6  'loading.frame' is no known key; did you mean 'frames'?"),
        ("training:", "trainig:", "/toy.yaml:10  'trainig' is no known key; did you mean 'training'?"),
        ("epochs: 2", "epoch: 2", "/toy.yaml:10  'training.epoch' is no known key; did you mean 'epochs'?"),
        (
            "amount",
            "amuont",
            "/toy.yaml:8  'loading.augment.0.init_args.amuont' is no known key; did you mean 'amount'?",
        ),
        (
            "init_args: {lr",
            "init_arg: {lr",
            "/toy.yaml:9  'optimizer.init_arg' is no known key; did you mean 'init_args'?",
        ),
        ("STGCNpp", "STGCNPP", "which does not exist; did you mean 'microgesture.systems.stgcnpp.STGCNpp'?"),
        ("torch.optim.AdamW", "torhc.optim.AdamW", "module 'torhc.optim' cannot be imported"),
        ("width: 8", "width: wide", "/toy.yaml:3  'system.init_args.width' does not fit"),
        ("width: 8", "skeleton: 8", "'system.init_args.skeleton' follows from the data and is not written in a recipe"),
        ("epochs: 2", "epochs: -1", "training.epochs is -1; it must lie in 0.."),
        ("epochs: 2", "epochs: 0", "'training.epochs' is 0; only recognisers that learn by `observe` can do without"),
        (
            "epochs: 2",
            "epochs: 2, drops: [1, 1]",
            "training.drops is [1, 1]; expected rising numbers of epochs from 1 on",
        ),
        ("epochs: 2", "epochs: 2, drops: [0]", "training.drops is [0]; expected rising numbers of epochs from 1 on"),
        ("epochs: 2", "epochs: 2, drops: [1], drop: 1", "training.drop is 1.0; it must be above 0 and below 1"),
        ("epochs: 2", "epochs: 2, drops: [0.5]", "/toy.yaml:10  'training.drops' does not fit"),
        (
            "epochs: 2",
            "epochs: 2, drops: [1, 2]",
            "/toy.yaml:10  'training.drops' is [1, 2]; they must lie below the 2 epochs; [] gives the cosine",
        ),
        ("  frames: 8", "  frames: 0", "loading.frames is 0; it must be at least 1"),
        ("  frames: 8", "  views: 3", "views above 1 needs loading.sampling 'uniform'"),
        ("  frames: 8", "  streams: [bones]", "/toy.yaml:6  'loading.streams' does not fit"),
        ("{class_path: tests.learning.toy.Toy}", "7", "/toy.yaml:4  'data' needs a class_path"),
        ("{class_path: tests.learning.toy.Toy}", "{class_path: torch.optim.SGD}", "params"),
        ("{class_path: tests.learning.toy.Toy}", "{class_path: pathlib.PurePath}", "which is no dataset of clips"),
        ("{width: 8, growth: [1], strides: [1]}", "[4]", "'system.init_args' is [4]; expected arguments by name"),
        ("  frames: 8", "  frames: ${NO_SUCH_VARIABLE}", "needs the environment variable NO_SUCH_VARIABLE"),
        ("training:", "weights: 3\ntraining:", "'weights' is 3; expected the folder or name of a model"),
    ],
)
def test_a_wrong_recipe_is_refused_with_place_and_hint(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert words in problems(tmp_path, old, new)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("width: 8", "width: wide, growht: 1")
        .replace("lr: 0.01", "lr: fast")
        .replace("epochs: 2", "epoch: 2")
    )
    with pytest.raises(UsageError) as caught:
        read_recipe(recipe(tmp_path, text))
    told = str(caught.value).splitlines()
    assert len(told) == 3
    assert all("toy.yaml:" in line for line in told)


def test_a_missing_section_is_told(tmp_path: Path) -> None:
    text = "\n".join(line for line in GOOD.splitlines() if not line.startswith("optimizer"))
    with pytest.raises(UsageError, match="'optimizer' is missing"):
        read_recipe(recipe(tmp_path, text))


@pytest.mark.parametrize(
    "overrides",
    [["training.epochs=5", "system.width=9"], ["--training.epochs", "5", "--system.init_args.width=9"]],
)
def test_the_command_line_overrides(tmp_path: Path, overrides: list[str]) -> None:
    plan = read_recipe(recipe(tmp_path), overrides)
    assert plan.training.epochs == 5
    assert plan.system.args == {"width": 9, "growth": [1], "strides": [1]}


@pytest.mark.parametrize(
    "override, words",
    [
        ("training.epoch=5", "command line  'training.epoch' is no known key; did you mean 'epochs'?"),
        ("nonsense", "'nonsense' is no setting; expected --key value or key=value"),
        ("training.epochs.x=1", "'epochs' holds a value, not keys"),
        ("training.epochs=[", "the value is not YAML"),
        ("=3", "is no setting"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, words: str) -> None:
    assert words in problems(tmp_path, "epochs: 2", "epochs: 2", override)


def test_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recipe(tmp_path, GOOD.replace("training:", "weights: ${HERE:-runs}/x\ntraining:"))
    assert read_recipe(path).weights == "runs/x"
    monkeypatch.setenv("HERE", "/there")
    assert read_recipe(path).weights == "/there/x"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "the file is empty"),
        (b"- 1\n", "is no recipe"),
        (b"system: {a: 1\n", "line 2: is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: &x [1]\nb: *x\n", "line 2: uses an alias"),
        (b"a: " + b"[" * 70 + b"]" * 70, "nested deeper than 64"),
        (b"a: " + b"[" * 100_000, "nested deeper than 64"),
        (b"a: 1\na: 2\n", "line 2: 'a' stands there twice"),
        (b"? [1, 2]\n: 3\n", "has a key that is no name"),
        (b"a: !!python/object/apply:os.system [ls]\n", "is not YAML"),
        (b"#" * ((1 << 20) + 1), "expected at most 1,048,576"),
    ],
)
def test_what_is_no_recipe_is_a_format_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_recipe(path)
    assert words in str(caught.value)


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="does not exist"):
        read_recipe(tmp_path / "none.yaml")


def test_mutated_recipes_never_raise_anything_else(tmp_path: Path) -> None:
    import random

    rng, path = random.Random(5), tmp_path / "fuzz.yaml"
    # importing what a mutation names is the recipe's right; here the names stay
    text = GOOD.encode()
    for _ in range(2000):
        data = bytearray(text)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[place] ^= 1 << rng.randrange(8)
                case 1:
                    del data[place : place + rng.randint(1, 9)]
                case _:
                    data[place:place] = rng.choice([b"\x00", b"\n", b": ", b"{", b"- ", b"1e999", b"~", b"!!set "])
        path.write_bytes(bytes(data))
        with suppress(UsageError, FormatError):
            read_recipe(path)


def test_constructor_errors_become_usage_errors(tmp_path: Path) -> None:
    plan = read_recipe(recipe(tmp_path), ["optimizer.lr=-1"])
    with pytest.raises(UsageError, match=r"torch.optim.AdamW: Invalid learning rate"):
        plan.optimizer.build(params=[torch.nn.Parameter(torch.zeros(1))])
