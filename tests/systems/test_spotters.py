"""Every spotter keeps the contract of `microgesture.testing`, and the contract finds those that do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from microgesture.testing import check_spotter


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_query_points() -> None:
    from microgesture.systems.query_points import QueryPoints

    check_spotter(
        QueryPoints, features=6, width=16, layers=1, queries=4, points=6, heads=2, feedforward=16, mixing=8,
        mamba_blocks=1, dropout=0.0,
    )  # fmt: skip


JOINTS = ["nose", "neck", "r_shoulder", "l_shoulder", "r_wrist", "l_wrist", "r_hip", "l_hip"]


def test_aed_bilstm() -> None:
    from microgesture.systems.aed_bilstm import AEDBiLSTM

    check_spotter(AEDBiLSTM, width=8, joints=JOINTS)


def test_dbn_hmm() -> None:
    from microgesture.systems.dbn_hmm import DBNHMM

    check_spotter(DBNHMM, widths=(12, 10), joints=JOINTS)


def test_fcn_window() -> None:
    from microgesture.systems.fcn_window import FCNWindow

    check_spotter(FCNWindow, widths=(8, 8, 8), window=16, stride=4, joints=JOINTS)


class Broken(nn.Module):
    """Says little, finds what is not there."""

    task = "recognise"

    def __init__(self, taxonomy, skeleton, frames, persons, **options):  # type: ignore[no-untyped-def]
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, batch):  # type: ignore[no-untyped-def]
        return self.weight

    def losses(self, out, batch):  # type: ignore[no-untyped-def]
        return {"loss": out * float("nan")}

    def detections(self, out, batch):  # type: ignore[no-untyped-def]
        from microgesture.core.detections import Detections

        return [Detections([0.2], [1.4], [99], [2.0])] * len(batch)


def test_a_spotter_that_breaks_the_contract_is_told_everything() -> None:
    with pytest.raises(AssertionError) as error:
        check_spotter(Broken)
    words = str(error.value)
    for part in (
        "does not say task = 'spot'",
        "no line for Paper, Input, Output, Losses, Fidelity",
        "a class that does not exist",
        "loss 'loss' has shape (1,)",
        "a value that is not finite is not named: NaN passes",
    ):
        assert part in words
