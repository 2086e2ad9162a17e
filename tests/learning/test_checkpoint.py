from __future__ import annotations

import json
import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from microgesture.core.errors import FormatError, NoInput, UsageError
from microgesture.core.layouts import SKELETONS
from microgesture.core.taxonomies import IMIGUE, SMG
from microgesture.core.taxonomy import Label, Taxonomy
from microgesture.layers.batch import PoseBatch
from microgesture.learning.checkpoint import CONFIG, WEIGHTS, Facts, _digest, _render, from_pretrained, save_pretrained
from microgesture.systems.stgcnpp import STGCNpp

ARGS = {"width": 6, "growth": [1], "strides": [1]}
FACTS = Facts(SKELETONS["imigue22"], (SMG,), 16, 1, 3, 28.0)


def saved(folder: Path, facts: Facts = FACTS) -> tuple[STGCNpp, Path]:
    torch.manual_seed(0)
    system = STGCNpp(**facts.arguments(STGCNpp), **ARGS).eval()
    return system, save_pretrained(folder, system, facts, ARGS, seed=3, metrics={"top1": 0.5})


def edit(folder: Path, **changes: object) -> None:
    """Change a config as someone would who knows how the digest is made."""
    config = json.loads((folder / CONFIG).read_text())
    del config["digest"]
    config |= changes
    (folder / CONFIG).write_text(_render(config | {"digest": _digest(config)}))


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    system, folder = saved(tmp_path)
    back = from_pretrained(folder, taxonomy=SMG)
    batch = PoseBatch(torch.randn(2, 1, 16, 22, 2), torch.ones(2, 1, 16, 22))
    torch.testing.assert_close(back.system(batch), system(batch), rtol=0, atol=0)
    assert back.facts == FACTS
    assert not back.system.training
    assert back.config["seed"] == 3
    assert back.config["parameters"] == sum(p.numel() for p in system.parameters())
    assert {p.name for p in folder.iterdir()} == {CONFIG, WEIGHTS}


def test_a_taxonomy_of_its_own_travels_with_the_model(tmp_path: Path) -> None:
    own = Taxonomy("own", "Own", (Label(0, "on", "g"), Label(1, "off", "g")), ("g",), illustrative=1)
    _, folder = saved(tmp_path, replace(FACTS, taxonomies=(own,)))
    assert from_pretrained(folder).facts.taxonomy == own


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    rng = random.Random(0)
    for name in (WEIGHTS, CONFIG):
        path = folder / name
        good = path.read_bytes()
        for _ in range(200):
            bad = bytearray(good)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            path.write_bytes(bad)
            with pytest.raises(FormatError, match=name):
                from_pretrained(folder)
        path.write_bytes(good)
    from_pretrained(folder)


def test_mutated_configs_never_raise_anything_else(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    good, rng = json.loads((folder / CONFIG).read_text()), random.Random(4)
    del good["digest"]
    values = [None, -1, 0, 1e9, "", "x", [], {}, [None], {"a": 1}, True, "imigue22", [["a", "b"]]]
    for _ in range(2000):  # with a digest that fits, so that the mutation gets past it
        config = json.loads(json.dumps(good))
        place = config
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
                break
            place = place[key]
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = rng.choice(values)
        (folder / CONFIG).write_text(_render(config | {"digest": _digest(config)}))
        with suppress(FormatError):
            from_pretrained(folder)


def test_truncated_files_are_found(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    for name in (WEIGHTS, CONFIG):
        good = (folder / name).read_bytes()
        for length in (0, 1, 8, len(good) // 2, len(good) - 1):
            (folder / name).write_bytes(good[:length])
            with pytest.raises(FormatError, match=name):
                from_pretrained(folder)
        (folder / name).write_bytes(good)


def test_other_labels_are_refused_by_digest_not_by_number(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    with pytest.raises(FormatError, match="was trained for the labels of smg, whose digest differs; expected 'imigue'"):
        from_pretrained(folder, taxonomy=IMIGUE)
    renamed = replace(SMG, labels=(replace(SMG[0], name="Another name"), *SMG.labels[1:]))
    with pytest.raises(FormatError, match="whose digest differs"):
        from_pretrained(folder, taxonomy=renamed)


def test_a_known_name_with_other_labels_is_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    config = json.loads((folder / CONFIG).read_text())
    config["taxonomies"][0]["digest"] = "0" * 64
    edit(folder, taxonomies=config["taxonomies"])
    with pytest.raises(FormatError, match="other labels under the name 'smg'"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"system": {"class_path": "os.system", "init_args": {}}}, "expected one of microgesture.systems"),
        ({"system": {"class_path": "microgesture.systems.none.None", "init_args": {}}}, "names the unknown system"),
        ({"system": {"class_path": "microgesture.systems.stgcnpp.class_loss", "init_args": {}}}, "which is no system"),
        ({"system": {}}, "lacks or misstates 'class_path'"),
        ({"skeleton": "octopus"}, "joints of 'octopus'"),
        ({"joints": ["nose"]}, "joints of 'imigue22' that this version does not have"),
        ({"format": 99}, "has format 99; expected 1"),
        ({"frames": "many"}, "lacks or misstates"),
        ({"sha256": "0" * 64}, "the file is damaged"),
        (
            {"system": {"class_path": "microgesture.systems.stgcnpp.STGCNpp", "init_args": {"width": 12}}},
            "does not fit STGCNpp",
        ),
        (
            {"system": {"class_path": "microgesture.systems.stgcnpp.STGCNpp", "init_args": {"wdith": 12}}},
            "does not fit STGCNpp",
        ),
    ],
)
def test_a_config_that_states_nonsense_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    _, folder = saved(tmp_path)
    edit(folder, **changes)
    with pytest.raises(FormatError) as caught:
        from_pretrained(folder)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 10_000, '{"digest": []}'])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    _, folder = saved(tmp_path)
    (folder / CONFIG).write_text(text)
    with pytest.raises(FormatError, match=CONFIG):
        from_pretrained(folder)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    (folder / WEIGHTS).unlink()
    with pytest.raises(FormatError, match="is missing beside its config"):
        from_pretrained(folder)
    with pytest.raises(NoInput, match="nowhere: no model there"):
        from_pretrained("nowhere")


class Outside(nn.Module):
    def __init__(self, taxonomy: Taxonomy, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, len(taxonomy))


def test_a_system_from_outside_is_given_not_imported(tmp_path: Path) -> None:
    folder = save_pretrained(tmp_path, Outside(SMG, 2), FACTS, {"width": 2})
    with pytest.raises(FormatError, match="Give the class"):
        from_pretrained(folder)
    assert isinstance(from_pretrained(folder, system=Outside).system, Outside)
    with pytest.raises(UsageError, match="not a STGCNpp"):
        from_pretrained(folder, system=STGCNpp)


def test_the_published_size_stays_small(tmp_path: Path) -> None:
    facts = replace(FACTS, taxonomies=(IMIGUE,))
    system = STGCNpp(**facts.arguments(STGCNpp))
    folder = save_pretrained(tmp_path, system, facts, {})
    assert (folder / WEIGHTS).stat().st_size < 6 << 20  # 1.39 M parameters in float32
