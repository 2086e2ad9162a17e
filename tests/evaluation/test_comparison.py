from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest

from microgesture.core.errors import UsageError
from microgesture.evaluation.comparison import METRICS, SURVEY, Result, compare, metric_name, pool, read_result
from microgesture.evaluation.records import Predictions, record, write_predictions, write_record
from microgesture.evaluation.tables import Block, Table, html, latex, markdown


def result(top1: float = 0.5, seed: int | None = 0, predictions: Predictions | None = None, **changes: Any) -> Result:
    metrics = {"top1": top1, "top1_exact95": [top1 - 0.04, top1 + 0.04], "majority_floor": 0.3984, "top5": 0.875}
    fields: dict[str, Any] = {
        "system": "microgesture.systems.stgcn.STGCN",
        "dataset": "smg",
        "taxonomy": "smg",
        "split": "test",
        "source": "SMG",
        "commit": "c0ffee" * 6,
        "clips": 610,
        "parameters": 3_000_000,
        "flops": 1.5e9,
        "latency_ms": 2.25,
        "weights_sha256": f"{seed}-{changes.get('system', '')}",
    }
    return Result(record(metrics=metrics | changes.pop("metrics", {}), seed=seed, **(fields | changes)), predictions)


OTHER = {"system": "microgesture.systems.ctrgcn.CTRGCN"}


def tables(*results: Result, **options: Any) -> list[Table]:
    return compare(results, command="microgesture compare x", **options)


def block(table: Table, words: str) -> Block:
    [found] = [b for b in table.blocks if words in b.heading]
    return found


def cells(block: Block, method: str) -> tuple[str, ...]:
    [found] = [row.cells for row in block.rows if row.cells[0] == method]
    return found


def test_one_run_is_shown_with_its_interval_cost_and_floor() -> None:
    [table] = tables(result())
    [measured] = table.blocks
    assert measured.heading == "Measured here, smg, smg labels, split test, 610 clips"
    assert table.columns == ("method", "seeds", "top-1", "top-5", "cost")
    assert cells(measured, "stgcn") == (
        "stgcn",
        "0 (n = 1)",
        "50.00 [46.00, 54.00]",
        "87.50",
        "3.00 M parameters, 1.50 GFLOP, 2.2 ms",
    )
    assert cells(measured, "majority floor")[2] == "39.84"
    assert "seeds 0, split test" in table.caption
    assert "at commit c0ffeec0ffee" in table.caption
    assert "`microgesture compare x`" in table.caption


def test_seeds_are_pooled_and_every_run_is_listed() -> None:
    values = [0.50, 0.53, 0.485]
    [table] = tables(*(result(v, seed) for seed, v in enumerate(values)))
    percent = [100 * v for v in values]
    assert cells(table.blocks[0], "stgcn")[1:3] == (
        "0, 1, 2 (n = 3)",
        f"{mean(percent):.2f} ± {stdev(percent):.2f} (48.50 to 53.00)",
    )
    runs = [note for note in table.notes if note.startswith("stgcn, seed")]
    assert len(runs) == 3
    assert runs[1].startswith(
        "stgcn, seed 1, commit c0ffeec0ffee, split test, 610 clips, floor 39.84: top-1 53.00 [49.00, 57.00]"
    )


def test_other_recipes_splits_and_clips_are_not_pooled() -> None:
    kinds = [{}, {"recipe": "smg/wide"}, {"split": "val"}, {"protocol": "cross-subject"}, {"clips": 600}, OTHER]
    assert len(pool([result(**kind) for kind in kinds])) == len(kinds)
    [table] = tables(*(result(**kind) for kind in kinds))
    assert len(table.blocks) == 4
    assert [row.cells[0] for row in block(table, "smg labels, split test, 610").rows] == [
        "ctrgcn",
        "stgcn",
        "stgcn (smg/wide)",
        "majority floor",
    ]


def test_the_same_weights_twice_are_refused() -> None:
    with pytest.raises(UsageError, match="two results of stgcn on smg, split test, are of the same weights"):
        tables(result(), result())


def test_the_order_of_the_arguments_does_not_matter() -> None:
    given = [result(0.5, 0), result(0.6, 1), result(0.55, **OTHER), result(simulated=True, weights_sha256=None)]
    for write in (markdown, latex, html):
        assert write(tables(*given, survey=True)) == write(tables(*reversed(given), survey=True))


def test_published_and_measured_never_share_a_block() -> None:
    result_of_ours = result(0.9)
    [table] = tables(result_of_ours, survey=True, dataset="smg", metric="top1")[:1]
    assert (table.key, table.columns[1]) == ("4b", "published, or seeds here")
    for b in table.blocks:
        assert b.heading.startswith(("Measured here, ", "Published, "))
        ours = [row.cells[0] for row in b.rows if "(n = " in row.cells[1]]
        assert bool(ours) == b.heading.startswith("Measured here")
        assert ours in ([], ["stgcn"])
    printed = block(table, "Published, smg, subjects 36-40, 610 clips")
    assert cells(printed, "ST-GCN") == (
        "ST-GCN",
        "IJCV 2023",
        "41.48",
        "86.07",
        "github.com/mikecheninoulu/SMG, README",
    )
    assert printed.rows[0].cells[0] == "TSM, more pre-training"
    assert printed.rows[0].best == (2,)
    assert cells(printed, "majority floor")[2] == "39.84"


def test_simulated_data_are_marked_and_apart() -> None:
    simulated = result(0.95, dataset="simulated", source="simulated smg, test", weights_sha256=None)
    look_alike = result(0.97, source="look-alike of SMG", weights_sha256=None)
    table = tables(result(0.5), simulated, look_alike, survey=True, dataset="smg")[0]
    marked = [b for b in table.blocks if b.heading.startswith("Measured here, SIMULATED data, no recordings of people")]
    assert len(marked) == 2
    assert [row.cells[2][:5] for b in marked for row in b.rows if not row.floor] == ["95.00", "97.00"]
    assert sum("(simulated)" in note for note in table.notes) == 2


def test_unclear_figures_are_shown_and_not_ranked() -> None:
    table = next(t for t in tables(survey=True, dataset="imigue") if t.key == "4a")
    unclear = block(table, "split not stated in the source; not ranked")
    assert cells(unclear, "Micro-DualNet")[2] == "76.88"
    assert "protocol unclear" in cells(unclear, "Micro-DualNet")[-1]
    assert all(row.best == () for row in unclear.rows)
    [winner] = [row for b in table.blocks for row in b.rows if row.cells[0] == "XInsight, ensemble"]
    assert winner.cells[2] == "74.42"
    assert "model card states 74.66" in winner.cells[-1]


def test_every_block_has_a_floor_row_and_every_table_a_caption() -> None:
    for table in tables(result(), survey=True):
        assert table.caption.startswith("Made by `microgesture compare x`")
        for b in table.blocks:
            assert [row.cells[0] for row in b.rows if row.floor] == ["majority floor"]
            assert b.rows[-1].floor
    keys = [t.key for t in tables(survey=True)]
    assert keys == [layout.key for layout in SURVEY] == ["4a", "4b", "4c", "4d", "4e"]


def test_each_published_table_holds_only_its_own_task() -> None:
    online, states = (next(t for t in tables(survey=True) if t.key == key) for key in ("4c", "4e"))
    assert (
        cells(block(online, "Published, imigue, MiGA 2025 track 2"), "DyFADet + spatial-temporal attention")[5]
        == "38.03"
    )
    assert not any("track 2" in b.heading for b in states.blocks)
    assert cells(block(states, "deemo"), "DEEMO-LLaMA")[2:4] == ("74.49", "74.45")


def test_figures_of_ma52_go_by_their_published_names() -> None:
    four = {"coarse_macro": 0.7, "coarse_micro": 0.75, "fine_macro": 0.4, "fine_micro": 0.6, "f1_mean": 0.6125}
    ours = result(0.6, dataset="ma52", taxonomy="ma52", clips=5586, metrics={"ma52": four})
    [table] = tables(ours, survey=True, dataset="ma52")
    row = cells(block(table, "Measured here"), "stgcn")
    assert dict(zip(table.columns, row, strict=True)) | {"top-1": "", "source, or cost": ""} == {
        "method": "stgcn",
        "published, or seeds here": "0 (n = 1)",
        "body top-1": "75.00",
        "top-1": "",
        "top-5": "87.50",
        "body macro F1": "70.00",
        "action macro F1": "40.00",
        "F1 mean": "61.25",
        "source, or cost": "",
    }


def test_rows_are_sorted_by_the_metric_asked_for() -> None:
    a, b = result(0.6, metrics={"macro_f1": 0.2}), result(0.5, **OTHER, metrics={"macro_f1": 0.3})
    assert [row.cells[0] for row in tables(a, b)[0].blocks[0].rows][:2] == ["stgcn", "ctrgcn"]
    [table] = tables(a, b, metric="macro_f1")
    assert [row.cells[0] for row in table.blocks[0].rows][:2] == ["ctrgcn", "stgcn"]
    assert [row.best for row in table.blocks[0].rows] == [(3, 4), (2, 3), ()]  # top-5 is a tie, guessing never leads


def test_a_metric_without_a_published_name_and_unknown_ones() -> None:
    odd = result(metrics={"shots": {"few": 0.125}, "many": 3.5})
    [table] = tables(odd, metric="shots.few")
    assert cells(table.blocks[0], "stgcn")[table.columns.index("shots.few")] == "12.50"
    assert metric_name("ma52.f1_mean", ()) == "F1 mean"
    with pytest.raises(UsageError, match="no metric 'top2' that is a share; did you mean top"):
        tables(odd, metric="top2")
    with pytest.raises(UsageError, match="no metric 'many' that is a share"):
        tables(odd, metric="many")
    assert {name for names in METRICS.values() for name in names} >= {"top1", "ma52.f1_mean", "accuracy"}


def test_nothing_to_compare() -> None:
    with pytest.raises(UsageError, match="there is nothing to compare; name the folders of runs"):
        tables()
    with pytest.raises(UsageError, match="no figures for data set 'ma52'; there are: smg"):
        tables(result(), dataset="ma52")


def told(right: list[bool], names: list[str] | None = None) -> Predictions:
    labels = np.zeros(len(right), np.int64)
    probabilities = np.array([[0.9, 0.1] if ok else [0.1, 0.9] for ok in right])
    return Predictions(np.array(names or [f"c{i}" for i in range(len(right))]), labels, probabilities)


def test_two_systems_on_the_same_clips_are_tested() -> None:
    # 8 clips only the first knows, 1 only the second: exact p = 2 * (1 + 9) / 2^9
    first, second = told([True] * 8 + [False] + [True] * 3), told([False] * 8 + [True] + [True] * 3)
    [table] = tables(result(0.9, predictions=first), result(0.3, predictions=second, **OTHER))
    [line] = [note for note in table.notes if note.startswith("McNemar")]
    assert line == (
        "McNemar, stgcn seed 0 against ctrgcn seed 0: 8 clips only the first knows, 1 only the second, of 12; "
        f"exact p = {2 * 10 / 2**9:.4f}."
    )
    mixed = Predictions(second.names[::-1], second.label[::-1], second.probabilities[::-1])
    [again] = tables(result(0.9, predictions=first), result(0.3, predictions=mixed, **OTHER))
    assert line in again.notes


def test_other_clips_are_not_tested() -> None:
    first = told([True, False])
    for other in (told([True, True, False]), told([True, False], ["x", "y"]), told([True, False], ["c1", "c1"])):
        [table] = tables(result(0.9, predictions=first), result(0.3, predictions=other, **OTHER))
        assert any("not computed, their predictions are not of the same clips" in note for note in table.notes)


def test_seeds_of_one_system_are_not_tested_against_each_other() -> None:
    [table] = tables(*(result(0.5 + seed / 100, seed, told([True, seed == 0])) for seed in range(3)))
    assert not any("McNemar" in note for note in table.notes)
    [table] = tables(
        *(result(0.5, s, told([True, False])) for s in (0, 1)), result(0.6, 0, told([True, True]), **OTHER)
    )
    lines = [note for note in table.notes if "McNemar" in note]
    assert [line.partition(":")[0] for line in lines] == [
        "McNemar, ctrgcn seed 0 against stgcn seed 0",
        "McNemar, ctrgcn seed 0 against stgcn seed 1",
    ]
    assert "2 tests against the best run, not corrected for their number." in table.notes


def test_results_are_read_from_runs(tmp_path: Path) -> None:
    made = result()
    write_record(tmp_path / "test.json", made.record)
    assert read_result(tmp_path).predictions is None
    write_predictions(tmp_path / "predictions.npz", told([True, False]))
    found = read_result(tmp_path / "test.json")
    assert found.record == made.record
    assert found.predictions is not None
    assert found.predictions.right.tolist() == [True, False]
