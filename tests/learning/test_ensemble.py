from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.learning.test_recipe import GOOD, RECIPES, recipe

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.datasets.augment import sided
from microgesture.datasets.sfinge3d import TAXONOMY as SFINGE
from microgesture.datasets.utd_mhad import UTD_MHAD
from microgesture.evaluation.comparison import compare, read_result
from microgesture.evaluation.records import PREDICTIONS, read_predictions, read_record
from microgesture.learning import test as measure
from microgesture.learning import train
from microgesture.learning.checkpoint import CONFIG
from microgesture.learning.ensemble import averaged, is_ensemble, read_ensemble
from microgesture.learning.runs import RECIPE, facts_of

TWO = """\
members:
  - {recipe: toy.yaml, name: joint, weight: 3}
  - {recipe: toy.yaml, name: motion, overrides: {loading.streams: [joint_motion], training: {seed: 1}}}
"""
QUICK = GOOD.replace("lr: 0.01", "lr: 0.03").replace("frames: 8", "frames: 8\n  batch: 8")


def ensemble(folder: Path, text: str = TWO) -> Path:
    recipe(folder, QUICK)
    path = folder / "both.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    return train(ensemble(folder), ["training.epochs=3"], folder / "run")


def test_every_ensemble_in_the_tree_parses_and_its_members_build() -> None:
    found = [path for path in RECIPES if is_ensemble(path)]
    assert {path.stem for path in found} >= {"aagcn_four", "posec3d_both", "stgcnpp_ensemble"}
    for path in found:
        several = read_ensemble(path)
        assert several.name == f"{path.parent.name}/{path.stem}"
        assert path.read_text(encoding="utf-8").startswith(f"# microgesture train recipes/{several.name}.yaml")
        for plan in several.plans:
            assert plan.system.build(**facts_of(plan).arguments(plan.system.cls)).training
        assert len({str((plan.plain["system"], plan.plain["loading"])) for plan in several.plans}) == len(several.plans)


def test_a_run_has_a_folder_per_member_and_a_recipe_of_its_own(run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {RECIPE, "joint", "motion"}
    both = read_ensemble(run)
    assert [(m.name, m.weight, m.overrides) for m in both.members] == [("joint", 3.0, {}), ("motion", 1.0, {})]
    assert [plan.plain["training"] for plan in both.plans] == [
        {"epochs": 3, "warmup": 0},
        {"epochs": 3, "warmup": 0, "seed": 1},
    ]
    assert [list(plan.loading.streams) for plan in both.plans] == [["joint"], ["joint_motion"]]
    assert both.name == read_ensemble(run.parent / "both.yaml").name


@pytest.mark.parametrize("mean", ["probability", "logits"])
def test_the_record_is_the_weighted_mean_of_its_members(run: Path, tmp_path: Path, mean: str) -> None:
    path = ensemble(tmp_path, TWO + f"mean: {mean}\nname: toys/both\n")
    made = measure(path, weights=run, out=tmp_path / "out")
    single = [measure(run / name, out=tmp_path / name) for name in ("joint", "motion")]
    told = [read_predictions(tmp_path / name / PREDICTIONS) for name in ("joint", "motion", "out")]
    one, other, both = (t.probabilities for t in told)
    want = 0.75 * one + 0.25 * other
    if mean == "logits":
        want = one**0.75 * other**0.25
        want /= want.sum(1, keepdims=True)
    np.testing.assert_allclose(both, want, atol=1e-9)
    assert (made["system"], made["key"], made["recipe"]) == (
        "ensemble of 2 stgcnpp",
        "ensemble of 2 stgcnpp",
        "toys/both",
    )
    assert made["seed"] is None
    for cost in ("parameters", "flops"):
        assert made[cost] == sum(record[cost] for record in single)
    right = float((want.argmax(1) == told[0].label).mean())
    assert made["metrics"]["top1"] == pytest.approx(right)
    assert made == read_record(tmp_path / "out")


def test_a_run_is_measured_as_its_recipe_is_and_compared(run: Path, tmp_path: Path) -> None:
    by_run = measure(run)
    by_recipe = measure(run.parent / "both.yaml", weights=run, out=tmp_path)
    assert {**by_run, "latency_ms": 0} == {**by_recipe, "latency_ms": 0}
    measure(run / "joint")
    table = compare([read_result(run), read_result(run / "joint")], command="")[0]
    methods = [row.cells[0] for row in table.blocks[0].rows]
    assert {f"ensemble of 2 stgcnpp ({by_run['recipe']})"} < set(methods)


def test_resuming_goes_on_with_the_member_that_was_interrupted(tmp_path: Path) -> None:
    path, settings = ensemble(tmp_path), ["training.epochs=2"]
    told: list[str] = []

    def stop(line: str) -> None:
        told.append(line)
        if told[-2:-1] == ["member motion"]:  # its first epoch
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(path, settings, tmp_path / "run", tell=stop)
    assert (tmp_path / "run" / "joint" / CONFIG).exists()
    assert not (tmp_path / "run" / "motion" / CONFIG).exists()
    with pytest.raises(UsageError, match="holds a run already; go on with --resume"):
        train(path, settings, tmp_path / "run")
    with pytest.raises(NoInput, match="Train one: microgesture train"):
        measure(tmp_path / "run")
    finished = (tmp_path / "run" / "joint" / CONFIG).stat().st_mtime_ns
    again: list[str] = []
    train(path, settings, tmp_path / "run", resume=True, tell=again.append)
    assert again[:2] == ["member joint: finished before", "member motion"]
    assert len(again) == 4
    assert (tmp_path / "run" / "joint" / CONFIG).stat().st_mtime_ns == finished
    with pytest.raises(UsageError, match="differs from this recipe: a run is resumed with the settings it began with"):
        train(path, ["training.epochs=5"], tmp_path / "run", resume=True)
    path.write_text(TWO.replace("weight: 3", "weight: 2"), encoding="utf-8")
    with pytest.raises(UsageError, match="differs from this ensemble: a run is resumed with the members it began with"):
        train(path, settings, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("weight", "wieght", "/both.yaml:2  'members.0.wieght' is no known key; did you mean 'weight'?"),
        ("members:", "maen: logits\nmembers:", "/both.yaml:1  'maen' is no known key; did you mean 'mean'?"),
        ("members:", "mean: median\nmembers:", "/both.yaml:1  'mean' is 'median'; expected probability or logits"),
        ("members:", "name: 3\nmembers:", "/both.yaml:1  'name' is 3; expected words"),
        ("weight: 3", "weight: 0", "/both.yaml:2  'members.0' weight is 0.0; it must be positive"),
        ("weight: 3", "weight: much", "/both.yaml:2  'members.0.weight' does not fit"),
        ("name: joint", "name: ../joint", "name is '../joint'; expected letters, digits and _ . + -"),
        ("name: joint", "name: motion", "'members' has 2 members called 'motion'; give each a name of its own"),
        ("name: motion, ", "name: joint, ", "'members' has 2 members called 'joint'"),
        ("loading.streams: [joint_motion]", "loading.steams: [bone]", ":3  member 'motion'  'loading.steams' is no"),
        ("{recipe: toy.yaml, name: joint, weight: 3}", "7", "'members.0' is 7; expected arguments by name"),
        ("toy.yaml, name: joint", "both.yaml, name: joint", "which is an ensemble; expected a single system"),
    ],
)  # fmt: skip
def test_a_wrong_ensemble_is_refused_with_place_and_hint(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in TWO
    with pytest.raises(UsageError) as caught:
        read_ensemble(ensemble(tmp_path, TWO.replace(old, new, 1)))
    assert words in str(caught.value).replace(str(tmp_path), "")


def test_one_member_is_no_ensemble(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'members' needs a list of two or more"):
        read_ensemble(ensemble(tmp_path, "members: [{recipe: toy.yaml}]"))
    with pytest.raises(NoInput, match=r"none\.yaml"):
        read_ensemble(ensemble(tmp_path, TWO.replace("toy.yaml", "none.yaml")))
    with pytest.raises(FormatError, match="is not YAML"):
        read_ensemble(ensemble(tmp_path, "members: ["))


def test_members_without_names_are_called_by_their_recipe(tmp_path: Path) -> None:
    path = ensemble(tmp_path, "members: [{recipe: toy.yaml}, {recipe: other.yaml}, {recipe: toy.yaml}]")
    (tmp_path / "other.yaml").write_text(QUICK, encoding="utf-8")
    assert [member.name for member in read_ensemble(path).members] == ["toy_1", "other", "toy_3"]


def test_settings_of_the_command_line_go_to_every_member(tmp_path: Path) -> None:
    plans = read_ensemble(ensemble(tmp_path), ["training.seed=7", "system.width=12"]).plans
    assert [(plan.training.seed, plan.system.args["width"]) for plan in plans] == [(7, 12), (7, 12)]
    with pytest.raises(UsageError, match=r"command line  'training\.sed' is no known key"):
        read_ensemble(ensemble(tmp_path), ["training.sed=7"])


def test_members_on_other_clips_are_not_averaged(run: Path, tmp_path: Path) -> None:
    text = TWO.replace("overrides: {", "overrides: {data: {clips: 12}, ")
    with pytest.raises(
        UsageError, match=r"members 'joint' and 'motion' are not measured on the same clips: 24 .* 12 of"
    ):
        measure(ensemble(tmp_path, text), weights=run, out=tmp_path)


def test_an_ensemble_is_no_single_system(run: Path) -> None:
    from microgesture.learning.runs import load

    with pytest.raises(UsageError, match="is an ensemble; expected a single system"):
        load(run)


def test_equal_answers_stay_as_they_are() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(5), 7)
    for mean in ("probability", "logits"):
        np.testing.assert_allclose(averaged([p, p, p], [1, 2, 3], mean), p, atol=1e-12)
    certain = np.eye(5)[:1]
    assert np.isfinite(averaged([certain, certain[:, ::-1]], [1, 1], "logits")).all()


def test_which_classes_are_sided() -> None:
    assert sided(UTD_MHAD) == ("swipe left", "swipe right", "draw circle cw", "draw circle ccw")
    assert sided(SFINGE) == ("swipe_left", "swipe_right")
