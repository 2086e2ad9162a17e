from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.learning.twins import SHOWN, Twin
from torch import nn

from microgesture.core.errors import FormatError, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG, UNIFIED_TAXONOMY, to_unified
from microgesture.datasets.harmonised import Harmonised, Together
from microgesture.datasets.loading import Loading
from microgesture.layers.batch import PoseBatch
from microgesture.layers.losses import class_loss
from microgesture.learning import train
from microgesture.learning.checkpoint import from_pretrained
from microgesture.learning.recipe import read_recipe
from microgesture.learning.transfer import (
    JointHeads,
    adopt,
    class_weights,
    features,
    labelled,
    measured_split,
    open_source,
    shared_probabilities,
    target,
    transfer,
    zero_shot_metrics,
)
from microgesture.systems.stgcnpp import STGCNpp

TWIN = """\
system: {class_path: microgesture.systems.stgcnpp.STGCNpp, init_args: {width: 8, growth: [1], strides: [1]}}
data:
  class_path: microgesture.datasets.harmonised.Harmonised
  init_args:
    hide: [r_eye, l_eye, r_ear, l_ear]
    labels: own
    data: {class_path: tests.learning.twins.Twin, init_args: {like: imigue}}
loading: {frames: 16, batch: 8, streams: [joint_motion]}
optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.03}}
training: {epochs: 40}
"""
SMG_ALONE = TWIN.replace("like: imigue", "like: smg").replace("epochs: 40", "epochs: 2")
TWO = """[
      {class_path: microgesture.datasets.harmonised.Harmonised, init_args: {LABELS, coordinates: 2, data:
        {class_path: tests.learning.twins.Twin, init_args: {like: imigue}}}},
      {class_path: microgesture.datasets.harmonised.Harmonised, init_args: {LABELS, coordinates: 2, data:
        {class_path: tests.learning.twins.Twin, init_args: {like: smg}}}}]"""
INNER = TWIN[TWIN.index("    hide") : TWIN.index("loading")]
BOTH = "    heads: true\n    data: " + TWO.replace("LABELS", "labels: own") + "\n"
HEADS = TWIN.replace("harmonised.Harmonised", "harmonised.Together").replace(INNER, BOTH)


def written(folder: Path, text: str, name: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained on the twin of iMiGUE."""
    folder = tmp_path_factory.mktemp("source")
    return train(written(folder, TWIN, "imigue"), [], folder / "run")


@pytest.fixture
def smg(tmp_path: Path) -> Path:
    return written(tmp_path, SMG_ALONE, "smg")


# ---- zero-shot


def test_unified_probabilities_are_sums_over_what_means_the_same() -> None:
    p = [[0.1, 0.2, 0.3, 0.15, 0.25]]
    table = (2, 2, 5, -1, 7)
    np.testing.assert_allclose(shared_probabilities(p, table, (2, 5, 7)), np.array([[0.3, 0.3, 0.25]]) / 0.85)
    np.testing.assert_allclose(shared_probabilities(p, table, (2, 5)), [[0.5, 0.5]])
    # nothing said about the shared classes: no preference
    np.testing.assert_allclose(shared_probabilities([[0, 0, 0, 1, 0]], table, (2, 5)), [[0.5, 0.5]])
    one_hot = np.eye(25)
    np.testing.assert_array_equal(shared_probabilities(one_hot, to_unified("unified"), range(25)), one_hot)


def test_zero_shot_counts_only_clips_whose_class_is_shared() -> None:
    # source classes mean U2, U5, U10 and nothing; U7 is only in the target
    table = (2, 5, 10, -1)
    p = np.array([[0.6, 0.4, 0, 0], [0.1, 0.2, 0.7, 0], [0.2, 0.3, 0.5, 0], [0.9, 0, 0.1, 0], [0, 0, 0, 1]])
    truth = [2, 10, 5, 7, -1]
    both = zero_shot_metrics(p, table, truth, {2, 5, 10})
    assert (both["clips"], both["left_out"]) == (3, 2)
    assert both["top1"] == pytest.approx(2 / 3)
    assert both["majority_floor"] == pytest.approx(1 / 3)
    assert both["top1_wilson95"][0] < 2 / 3 < both["top1_wilson95"][1]
    # U2 right; U10 named twice, once right; U5 never named
    assert both["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert both["classes"] == ["neck", "fold_arms", "illustrative"]
    quiet = zero_shot_metrics(p, table, truth, {2, 5, 10}, illustrative=False)
    # without the illustrative class the clip of U5 is named right
    assert (quiet["clips"], quiet["top1"], quiet["left_out"]) == (2, 1.0, 3)
    with pytest.raises(UsageError, match="share 1 unified classes"):
        zero_shot_metrics(p, table, truth, {2, 10}, illustrative=False)
    with pytest.raises(UsageError, match="no target clip shows a class that the source knows"):
        zero_shot_metrics(p, table, [7] * 5, {2, 5, 10})


def test_a_model_names_the_clips_of_another_data_set(run: Path, smg: Path, tmp_path: Path) -> None:
    record = transfer(run, smg, "zero-shot", out=tmp_path / "out")
    cells = record["cells"]
    assert cells["with illustrative"]["clips"] == 18
    assert cells["without illustrative"]["clips"] == 12
    assert cells["with illustrative"]["left_out"] == 6  # the class that only the twin of SMG has
    assert cells["with illustrative"]["top1"] >= 0.9
    assert cells["with illustrative"]["majority_floor"] == pytest.approx(1 / 3)
    # metres and fifty frames a second came to the model as what it knows
    assert record["target"]["joints"] == "upper12"
    assert (record["target"]["fps"], record["target"]["coordinates"]) == (25.0, 2)
    assert json.loads((tmp_path / "out" / "zero-shot.json").read_text()) == json.loads(json.dumps(record))


def test_classes_outside_of_the_map_have_no_zero_shot(run: Path, tmp_path: Path) -> None:
    text = TWIN.replace("tests.learning.twins.Twin, init_args: {like: imigue}", "tests.learning.toy.Toy")
    with pytest.raises(UsageError, match="the classes of 'toy' have no place among the unified ones"):
        transfer(run, written(tmp_path, text, "toy"), "zero-shot", out=tmp_path / "out")


# ---- features


def test_features_are_what_enters_the_classifier(run: Path) -> None:
    source = open_source(run)
    assert source.plan is not None
    clips = source.plan.dataset.clips("test")
    x = features(source.saved.system, clips, source.plan.loading)
    assert x.shape == (24, 8)
    classifier = source.saved.system.classifier
    logits = classifier(torch.from_numpy(x).to(classifier.weight.device)).softmax(-1).detach().cpu().numpy()  # type: ignore[operator,union-attr]
    from microgesture.learning.runs import predict

    np.testing.assert_allclose(logits, predict(source.saved.system, clips, source.plan.loading), atol=1e-5)
    assert not source.saved.system.classifier._forward_pre_hooks  # type: ignore[union-attr]


def test_a_system_without_a_linear_layer_has_no_features() -> None:
    class Bare(nn.Module):
        def forward(self, batch: PoseBatch) -> torch.Tensor:
            return batch.xy.mean((1, 2, 3))

    with pytest.raises(UsageError, match="Bare has no linear layer"):
        features(Bare(), Twin().clips("test"), Loading(frames=8))


@pytest.mark.parametrize(("protocol", "cell"), [("probe", "linear probe"), ("knn", "nearest neighbours")])
def test_frozen_features_tell_the_target_classes(
    run: Path, smg: Path, tmp_path: Path, protocol: str, cell: str
) -> None:
    figures = transfer(run, smg, protocol, out=tmp_path / "out")["cells"][cell]
    assert figures["top1"] >= 0.8
    assert figures["majority_floor"] == 0.25
    assert (figures["features"], figures["train_clips"], figures["clips"]) == (8, 24, 24)


# ---- training further


def test_few_shots_go_on_where_they_were_interrupted(run: Path, smg: Path, tmp_path: Path) -> None:
    told: list[str] = []
    options: dict[str, Any] = {"shots": (1, 10), "out": tmp_path / "out", "tell": told.append}
    first = transfer(run, smg, "k-shot", seeds=(0,), **options)
    assert list(first["cells"]) == ["shots=1 seed=0", "shots=10 seed=0"]
    assert [cell["train_clips"] for cell in first["cells"].values()] == [4, 24]
    assert any("10 shots: 4 classes have fewer clips" in line for line in first["notes"])
    assert not list((tmp_path / "out").glob("*/last.ckpt"))
    saved = from_pretrained(tmp_path / "out" / "shots=10_seed=0", taxonomy=SMG)
    assert saved.facts.skeleton == SKELETONS["upper12"]
    marked = tmp_path / "out" / "k-shot.json"
    value = json.loads(marked.read_text())
    value["cells"]["shots=1 seed=0"]["top1"] = 0.123  # would not survive being measured again
    marked.write_text(json.dumps(value))
    second = transfer(run, smg, "k-shot", seeds=(0, 1), **options)
    assert second["cells"]["shots=1 seed=0"]["top1"] == 0.123
    assert second["cells"]["shots=10 seed=0"] == first["cells"]["shots=10 seed=0"]
    figures = second["summary"]["shots=1"]
    assert figures["seeds"] == 2
    values = [second["cells"][f"shots=1 seed={seed}"]["top1"] for seed in (0, 1)]
    assert figures["top1"]["mean"] == pytest.approx(np.mean(values))
    assert figures["top1"]["sd"] == pytest.approx(np.std(values, ddof=1))
    with pytest.raises(UsageError, match=r"k-shot\.json holds another measurement \(settings differ\)"):
        transfer(run, smg, "k-shot", overrides=["training.epochs=3"], seeds=(0,), **options)
    marked.write_text("[]")
    with pytest.raises(FormatError, match="is no record of a transfer"):
        transfer(run, smg, "k-shot", seeds=(0,), **options)


def test_an_interrupted_cell_goes_on_and_ends_the_same(run: Path, smg: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("epoch 2"):
            raise Stop

    options: dict[str, Any] = {"seeds": (0,), "shots": (5,), "overrides": ["training.epochs=4"]}
    whole = transfer(run, smg, "k-shot", out=tmp_path / "whole", **options)
    with pytest.raises(Stop):
        transfer(run, smg, "k-shot", out=tmp_path / "out", tell=stop, **options)
    assert (tmp_path / "out" / "shots=5_seed=0" / "last.ckpt").exists()
    with pytest.raises(UsageError, match=r"holds another measurement \(settings differ\)"):
        transfer(run, smg, "k-shot", out=tmp_path / "out", **(options | {"overrides": ["training.epochs=3"]}))
    told: list[str] = []
    again = transfer(run, smg, "k-shot", out=tmp_path / "out", tell=told.append, **options)
    assert again["cells"] == whole["cells"]
    assert not any(line.startswith("epoch 1 ") for line in told)


def test_fine_tuning_stands_beside_training_from_nothing(run: Path, smg: Path, tmp_path: Path) -> None:
    record = transfer(run, smg, "fine-tune", seeds=(0,), out=tmp_path / "out")
    assert list(record["cells"]) == ["pretrained seed=0", "scratch seed=0"]
    assert record["summary"]["pretrained"]["top1"]["sd"] is None
    assert record["summary"]["scratch"]["majority_floor"] == 0.25
    known, own, fresh = (
        from_pretrained(folder).system.state_dict()
        for folder in (run, tmp_path / "out" / "pretrained_seed=0", tmp_path / "out" / "scratch_seed=0")
    )
    name = next(n for n, v in known.items() if v.ndim > 2)
    near, far = ((known[name] - other[name]).abs().mean() for other in (own, fresh))
    assert near < far / 2


def test_only_the_head_depends_on_the_labels() -> None:
    def build(space: Any) -> nn.Module:
        return STGCNpp(SKELETONS["upper12"], space, frames=8, persons=1, width=8, growth=[1], strides=[1])

    head = class_weights(build, SMG)
    assert head == {"classifier.weight", "classifier.bias"}
    source, system = build(IMIGUE), build(SMG)
    adopt(system, source, head)
    for name, value in system.state_dict().items():
        assert name in head or torch.equal(value, source.state_dict()[name])
    wide = STGCNpp(SKELETONS["upper12"], SMG, frames=8, persons=1, width=16, growth=[1], strides=[1])
    with pytest.raises(UsageError, match=r"weights do not fit the system for these data: .* differ"):
        adopt(wide, source, head)


# ---- joint training


class Logits(nn.Module):
    """Logits are free parameters, one row per clip."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, batch: PoseBatch) -> torch.Tensor:
        return self.rows

    def losses(self, out: torch.Tensor, batch: PoseBatch) -> dict[str, torch.Tensor]:
        return {"class": class_loss(out, batch)}


def joint() -> tuple[JointHeads, PoseBatch, torch.Tensor, list[int]]:
    both = Together([Harmonised(Twin(like), coordinates=2) for like in ("imigue", "smg")], heads=True)
    rows = torch.randn(3, len(both.taxonomy), generator=torch.Generator().manual_seed(0))
    label = [11, 32 + 5, 1]  # iMiGUE's neck (U2), SMG's neck (U2), a class of iMiGUE alone
    batch = PoseBatch(torch.zeros(3, 1, 8, 12, 2), torch.zeros(3, 1, 8, 12), torch.tensor(label))
    return JointHeads(Logits(rows), both.heads), batch, rows, label


def test_heads_compete_among_themselves_only() -> None:
    heads, batch, rows, label = joint()
    terms = heads.losses(heads(batch), batch)
    own = [
        F.cross_entropy(rows[0, :32], torch.tensor(label[0])),
        F.cross_entropy(rows[1, 32:49], torch.tensor(label[1] - 32)),
        F.cross_entropy(rows[2, :32], torch.tensor(label[2])),
    ]
    assert terms["own/class"].item() == pytest.approx(torch.stack(own).mean().item(), rel=1e-5)
    unified = F.cross_entropy(rows[:2, 49:], torch.tensor([2, 2]))
    assert terms["unified/class"].item() == pytest.approx(unified.item(), rel=1e-5)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    gradient = heads.system.rows.grad  # type: ignore[union-attr]
    assert isinstance(gradient, torch.Tensor)
    assert not gradient[0, 32:49].any()
    assert not gradient[1, :32].any()
    assert not gradient[2, 32:].any()
    assert gradient[0, :32].all()
    assert gradient[1, 49:].all()


def test_a_batch_without_shared_classes_has_no_unified_loss() -> None:
    heads, batch, rows, _ = joint()
    alone = PoseBatch(batch.xy[2:], batch.score[2:], torch.tensor([1]))
    assert list(heads.losses(rows[2:], alone)) == ["own/class"]


def test_smoothed_labels_stay_within_their_head() -> None:
    heads, batch, rows, label = joint()
    size = rows.shape[1]
    amount = 0.1
    batch.soft = F.one_hot(torch.tensor(label), size) * (1 - amount) + amount / size
    terms = heads.losses(rows, batch)
    small = amount / size
    for name, part, wanted in (("own/class", slice(32, 49), label[1] - 32), ("unified/class", slice(49, 74), 2)):
        width = part.stop - part.start
        soft = torch.full((width,), small)
        soft[wanted] += 1 - amount
        expected = F.cross_entropy(rows[1:2, part], (soft / soft.sum())[None])
        one = PoseBatch(batch.xy[1:2], batch.score[1:2], batch.label[1:2], None, batch.soft[1:2])  # type: ignore[index]
        assert heads.losses(rows[1:2], one)[name].item() == pytest.approx(expected.item(), rel=1e-4)
    assert all(torch.isfinite(term) for term in terms.values())


def test_heads_need_logits_and_labels() -> None:
    class Odd(nn.Module):
        def forward(self, batch: PoseBatch) -> dict[str, int]:
            return {}

    heads, batch, rows, _ = joint()
    with pytest.raises(UsageError, match="Odd gives dict instead of logits"):
        JointHeads(Odd(), ())(batch)
    with pytest.raises(UsageError, match="the batch has no labels"):
        heads.losses(rows, PoseBatch(batch.xy, batch.score))


def test_one_model_for_two_data_sets(tmp_path: Path) -> None:
    path = written(tmp_path, HEADS, "joint")
    record = transfer(path, None, "joint", seeds=(0,), out=tmp_path / "out")
    parts = record["cells"]["seed=0"]["parts"]
    assert list(parts) == ["twin_imigue", "twin_smg"]
    for figures in parts.values():
        assert figures["own"]["top1"] >= 0.8
        assert figures["own"]["clips"] == 24
        assert figures["unified_head"]["top1"] >= 0.8
        assert figures["unified_head"]["clips"] == figures["unified_from_own"]["clips"] == 18
    saved = from_pretrained(tmp_path / "out" / "seed=0")
    assert type(saved.system) is STGCNpp
    assert len(saved.facts.taxonomy) == 32 + 17 + 25
    # as a source its unified head speaks
    again = transfer(tmp_path / "out" / "seed=0", written(tmp_path, SMG_ALONE, "smg"), "zero-shot", out=tmp_path / "z")
    assert again["cells"]["with illustrative"]["top1"] == pytest.approx(parts["twin_smg"]["unified_head"]["top1"])


def test_leaving_one_data_set_out_is_a_recipe_and_zero_shot(tmp_path: Path, smg: Path) -> None:
    text = TWIN.replace("labels: own", "labels: unified").replace("epochs: 40", "epochs: 2")
    model = train(written(tmp_path, text, "others"), [], tmp_path / "run")
    source = open_source(model)
    assert source.saved.facts.taxonomy == UNIFIED_TAXONOMY
    assert source.unified == tuple(sorted({i for i in to_unified("imigue") if i >= 0}))
    record = transfer(model, smg, "zero-shot", out=tmp_path / "out")
    assert record["cells"]["with illustrative"]["clips"] == 18
    assert {"neck", "fold_arms", "illustrative"} <= set(record["cells"]["with illustrative"]["classes"])
    assert len(SHOWN) == 3


# ---- what does not fit


def test_arguments_that_do_not_fit(run: Path, smg: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no protocol 'zeroshot'; choose zero-shot, probe"):
        transfer(run, smg, "zeroshot", out=out)
    with pytest.raises(UsageError, match="probe needs the recipe that names the target data: --to"):
        transfer(run, None, "probe", out=out)
    with pytest.raises(UsageError, match=r"shots \[0\] and seeds \[0, 1, 2\]: name shots from 1"):
        transfer(run, smg, "k-shot", shots=(0,), out=out)
    with pytest.raises(UsageError, match="joint takes one recipe"):
        transfer(smg, smg, "joint", out=out)
    with pytest.raises(UsageError, match=r"joint training needs data of .*Together with heads: true"):
        transfer(smg, None, "joint", out=out)
    hidden = written(tmp_path, SMG_ALONE.replace("like: smg", "like: smg, withheld: true"), "hidden")
    with pytest.raises(UsageError, match="twin_smg gives no labels for split 'test': choose another with --split"):
        transfer(run, hidden, "zero-shot", out=out)


def test_data_a_model_cannot_read(run: Path, smg: Path, tmp_path: Path) -> None:
    model, plan = open_source(run), read_recipe(smg)
    two = Twin("smg")
    two.persons = 2
    with pytest.raises(UsageError, match="reads 1 persons, twin_smg shows 2"):
        target(model, replace(plan, dataset=two))
    own = replace(model.saved.facts, skeleton=replace(model.saved.facts.skeleton, name="mine"))
    with pytest.raises(UsageError, match="reads joints of its own \\('mine'\\): nothing projects"):
        target(replace(model, saved=replace(model.saved, facts=own)), plan)
    # what is as the model knows it stays as it is
    assert model.plan is not None
    assert target(model, model.plan) is model.plan.dataset


def test_val_stands_in_where_no_test_clip_has_a_label() -> None:
    class WithVal(Twin):
        splits = ("train", "test", "val")

    assert measured_split(WithVal(withheld=True)) == "val"
    assert measured_split(WithVal()) == "test"
    assert measured_split(Twin(withheld=True)) == "test"
    assert len(labelled(WithVal(withheld=True), "val")) == 24


def test_the_shipped_model_answers_in_the_classes_of_the_target(tmp_path: Path) -> None:
    text = SMG_ALONE.replace("frames: 16", "frames: 48").replace("[joint_motion]", "[joint]")
    record = transfer("base", written(tmp_path, text, "smg"), "zero-shot", out=tmp_path / "out")
    cell = record["cells"]["with illustrative"]
    assert cell["clips"] == 18
    assert len(cell["classes"]) == len({i for i in to_unified("smg") if i >= 0})
    assert (record["source"]["taxonomy"], record["target"]["joints"]) == ("motions", "canonical")


def test_a_model_without_its_recipe_reads_the_loading_of_the_target(run: Path, smg: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("model.safetensors", "config.json"):
        (bare / name).write_bytes((run / name).read_bytes())
    with_recipe, without = (
        transfer(model, smg, "zero-shot", out=tmp_path / model.name)["cells"] for model in (run, bare)
    )
    assert with_recipe == without
    with pytest.raises(UsageError, match=r"reads 16 frames of 3 channels, the recipe loads 8 frames with 1 streams"):
        transfer(bare, smg, "zero-shot", overrides=["loading.frames=8"], out=tmp_path / "x")


def test_a_long_tail_kit_is_not_passed_over_in_silence(run: Path, smg: Path, tmp_path: Path) -> None:
    remedy = ["longtail={class_path: microgesture.learning.longtail.LDAM}"]
    with pytest.raises(UsageError, match=r"transfer trains without a long-tail kit; leave it out with longtail=null"):
        transfer(run, smg, "zero-shot", overrides=remedy, out=tmp_path / "out")
