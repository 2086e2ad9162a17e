from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import get_args

import pytest

from microgesture.core.errors import UsageError
from microgesture.core.taxonomies import TAXONOMIES
from microgesture.datasets.catalogue import DATASETS
from microgesture.systems.catalogue import SYSTEMS, Fidelity, Mark, Paradigm, Status, SystemInfo, Task, system

METHODS = (
    "h2oformer dyfadet_sta dcsnn topo_posec3d clip_mg mamba_mg pcan identity_free_mg mm_gesture proto_mg "
    "data_prior_ssl query_points visual_text_mg beyondvision jsse aed_bilstm cdclr dense_graph_ssl u_s_vae"
)
WITH_DATASETS = "manet bayes_emotion eald_mllm deemo_llama"
BASELINES = ("agcn", "aagcn", "msg3d", "stgcn", "stgcnpp", "ctrgcn")
OURS = ("rocket", "bodygcn")

ALL = pytest.mark.parametrize("info", SYSTEMS.values(), ids=SYSTEMS)


def test_the_table_of_the_survey_is_complete_and_in_order() -> None:
    assert " ".join(list(SYSTEMS)[:23]) == f"{METHODS} {WITH_DATASETS}"
    assert {*BASELINES, *OURS} <= set(SYSTEMS)
    assert all(key == info.key for key, info in SYSTEMS.items())


@ALL
def test_every_field_has_an_allowed_value(info: SystemInfo) -> None:
    assert info.paradigm in get_args(Paradigm)
    assert info.task in get_args(Task)
    assert info.fidelity in get_args(Fidelity)
    assert info.status in get_args(Status)
    assert info.title
    assert info.venue
    assert 2013 < info.year < 2030
    assert set(info.modalities) <= {"skeleton", "rgb", "flow", "depth", "text", "audio", "semg"}
    assert info.modalities
    assert info.link.startswith("https://") or info.key in OURS
    assert all(number > 0 for _, number in info.parameters)


@ALL
def test_every_figure_has_a_source(info: SystemInfo) -> None:
    for figure in info.reported:
        assert figure.dataset in DATASETS or figure.dataset == "ntu60"
        assert figure.mark in get_args(Mark)
        assert figure.source
        assert figure.split
        assert 0 < figure.value < 100
    assert len(set(info.reported)) == len(info.reported)


@ALL
def test_an_available_system_is_there_and_a_planned_one_is_not(info: SystemInfo) -> None:
    there = importlib.util.find_spec(info.module) is not None
    assert there == (info.status == "available"), f"{info.key} is {info.status}, but {info.module} says otherwise"


def figure(key: str, dataset: str, metric: str) -> float:
    [value] = {r.value for r in SYSTEMS[key].reported if (r.dataset, r.metric) == (dataset, metric)}
    return value


def test_known_figures() -> None:
    assert figure("mm_gesture", "imigue", "top-1") == 73.213
    assert figure("proto_mg", "imigue", "top-1") == 70.254
    assert figure("jsse", "imigue", "top-1") == round(70.25 - 6.13, 2)
    assert figure("aed_bilstm", "smg", "F1@0.3") == 20.3
    assert figure("stgcn", "smg", "top-1") == round(100 * 253 / 610, 2)


def test_aggregated_figures_follow_from_their_parts() -> None:
    # the body-level and action-level micro F1 of a single-label task are its accuracies
    parts = [figure("manet", "ma52", m) for m in ("body macro F1", "body top-1", "action macro F1", "top-1")]
    assert sum(parts) / 4 == pytest.approx(figure("manet", "ma52", "F1 mean"), abs=0.005)
    for dataset in ("smg", "imigue"):
        recall, precision, f1 = (figure("aed_bilstm", dataset, m) for m in ("recall@0.3", "precision@0.3", "F1@0.3"))
        assert 2 * recall * precision / (recall + precision) == pytest.approx(f1, abs=0.1)


def test_figures_that_were_only_recalled_are_absent() -> None:
    assert SYSTEMS["pcan"].reported == ()
    assert SYSTEMS["identity_free_mg"].reported == ()


def test_parameter_counts_of_the_baselines() -> None:
    expected = {
        "agcn": (3_443_924, 3_454_100, 3_449_702),
        "aagcn": (3_744_808, 3_766_248, 3_756_218),
        "msg3d": (2_952_663, 3_171_495, 3_079_536),
        "stgcn": (3_073_284, 3_083_412, 3_079_164),
        "stgcnpp": (1_377_596, 1_387_724, 1_383_476),
        "ctrgcn": (1_421_076, 1_431_252, 1_426_854),
    }
    assert {key: tuple(n for _, n in SYSTEMS[key].parameters) for key in BASELINES} == expected


def test_listing_costs_no_torch() -> None:
    code = (
        "import sys, microgesture.systems.catalogue, microgesture.datasets.catalogue\n"
        "heavy = {'torch', 'numpy', 'lightning', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_system_offers_near_keys() -> None:
    with pytest.raises(UsageError, match=r"no system 'stgcn_pp'; did you mean stgcnpp"):
        system("stgcn_pp")
    with pytest.raises(UsageError, match=r"no system 'zzz'; `microgesture systems` lists them"):
        system("zzz")
    assert system("pcan").title.startswith("Prototypical")


def test_datasets() -> None:
    survey = [d for d in DATASETS.values() if d.survey]
    assert {d.key for d in survey} == {"imigue", "smg", "ma52", "spontaneous2019", "eald", "deemo"}
    assert [d.year for d in survey] == sorted((d.year for d in survey), reverse=True)
    assert list(DATASETS.values())[:6] == survey
    assert all(d.key == key and d.taxonomy in ("", *TAXONOMIES) for key, d in DATASETS.items())
    assert (DATASETS["imigue"].clips, DATASETS["smg"].clips, DATASETS["ma52"].clips) == (18_499, 3_692, 22_422)
