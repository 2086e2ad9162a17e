"""The spotting task on Lightning: systems that find gestures in a `WindowBatch` learn as those that name clips do."""

from __future__ import annotations

from microgesture.layers.batch import PoseBatch
from microgesture.learning.recognise import Recognise


class Spot(Recognise):
    """Trains `system` to find gestures: `forward(WindowBatch) -> out`, `losses(out, batch) -> named terms`."""

    def validation_step(self, batch: PoseBatch, _: int) -> None:
        terms = self.system.losses(self.system(batch), batch)  # type: ignore[operator]
        self.log("val/loss", sum(terms.values()), prog_bar=True, batch_size=len(batch))
