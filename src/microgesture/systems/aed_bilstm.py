"""AED-BiLSTM: a recurrent network with attention reads states from frames, a hidden Markov model finds the gestures.

Paper      H. Chen, H. Shi, X. Liu, X. Li, G. Zhao: SMG: A Micro-gesture Dataset Towards Spontaneous Body Gestures for
           Emotional Stress State Analysis, IJCV 2023, https://doi.org/10.1007/s11263-023-01761-6
Input      xy (B, 1, T, V, C) and score (B, 1, T, V), windows in training and whole recordings in a test
Output     `StateScores`: logits (R, N) of frames for the N states of the model
Losses     state (cross-entropy against the states that the annotation gives to frames)
Fidelity   verified: features, networks, counts, emission transform, decoding and segments against the SMG start kit
           (mikecheninoulu/SMG). Holes: which network, cell and features the published row was made with (its name says
           BiLSTM, every released cell is a GRU; here attention over stacked moving poses, which the start kit sets
           but does not load); which background frames are learnt from (there five on each side of a gesture, of which
           20,000 are drawn; here a random share of all).
           compat="official": the attention network ends in a sigmoid, whose outputs the loss divides by their sum;
           the first and last five frames are background; `Segmenter` opens and closes gestures as there

STABNet, the row above it in the paper's table, is described nowhere that we could read. That it is this network without
the emission transform is inferred from its author's earlier code: `mu=0, lam=1`, see recipes/*/stabnet.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microgesture.core.detections import Detections
from microgesture.core.errors import UsageError
from microgesture.core.skeleton import Skeleton
from microgesture.core.taxonomy import Taxonomy
from microgesture.layers.batch import WindowBatch
from microgesture.layers.hmm import GestureHMM, StateScores, Transitions
from microgesture.layers.official import Keys
from microgesture.layers.pose_differences import FrameFeatures, Kind

Cell = Literal["gru", "lstm"]
_CHUNK = 2048  # rows at once, where no gradient is wanted
_EPS, _MOMENTUM = 1e-3, 0.01  # batch norm as Keras has it


class BiRNN(nn.Module):
    """(R, steps, D) to (R, steps, 2 * width), read in both directions."""

    def __init__(self, channels: int, width: int, cell: Cell) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.rnn = kind(channels, width, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y


class AttentionNet(nn.Module):
    """Two recurrent layers, each followed by a softmax that weighs its output: over time, then over channels."""

    def __init__(self, steps: int, channels: int, width: int, states: int, cell: Cell) -> None:
        super().__init__()
        half = width // 2
        self.first = BiRNN(channels, width, cell)
        self.time = nn.Linear(steps, steps)
        self.second = BiRNN(2 * width, half, cell)
        self.channel = nn.Linear(2 * half, 2 * half)
        self.dense = nn.Linear(2 * half, half)
        self.drop = nn.Dropout(0.3)
        self.bn = nn.BatchNorm1d(half, _EPS, _MOMENTUM)
        self.classifier = nn.Linear(half * steps, states)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x * self.time(x.transpose(1, 2)).softmax(-1).transpose(1, 2)
        x = self.second(x)
        x = x * self.channel(x).softmax(-1)
        x = self.drop(F.relu(self.dense(x)))  # (R, steps, width / 2)
        x = self.bn(x.flatten(0, 1)).view(x.shape)
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


class Perceptron(nn.Module):
    """Two hidden layers over all steps at once."""

    def __init__(self, steps: int, channels: int, width: int, states: int) -> None:
        super().__init__()
        self.first = nn.Linear(steps * channels, width)
        self.second = nn.Linear(width, width)
        self.drop = nn.Dropout(0.1)
        self.bn = nn.BatchNorm1d(width, _EPS, _MOMENTUM)
        self.classifier = nn.Linear(width, states)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.first(x.flatten(1)).sigmoid())
        x = self.drop(self.second(x).sigmoid())
        logits: Tensor = self.classifier(self.bn(x))
        return logits


class RecurrentNet(nn.Module):
    """Two recurrent layers and one hidden layer over all steps."""

    def __init__(self, steps: int, channels: int, width: int, states: int, cell: Cell) -> None:
        super().__init__()
        self.first = BiRNN(channels, width, cell)
        self.second = BiRNN(2 * width, width, cell)
        self.bn = nn.BatchNorm1d(2 * width * steps, _EPS, _MOMENTUM)
        self.dense = nn.Linear(2 * width * steps, width // 2)
        self.classifier = nn.Linear(width // 2, states)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.second(self.first(x)).flatten(1))
        logits: Tensor = self.classifier(self.dense(x).sigmoid())
        return logits


class AEDBiLSTM(nn.Module):
    """AED-BiLSTM spotter.

    Args:
        skeleton, taxonomy, frames, persons: facts of the data; any length is read, the first person alone.
        in_channels: C + 1.
        fps: of the poses.
        network: `"attention"`, `"perceptron"` or `"birnn"`: models 1, 2 and 4 of the start kit.
        cell: of the recurrent networks.
        width: of their first layer; the second of `"attention"` and the last hidden layer have half of it.
        inputs: kind of `FrameFeatures`; `joints` and `center` as there.
        states: per class.
        mu, lam: see `log_emissions`.
        transitions: see `log_transitions`.
        background, balance: see `GestureHMM`; the start kit learns from some 0.16 background frames per gesture frame.
        shortest: seconds; shorter gestures are dropped.
        compat: `"official"` for what the released code does.

    Raises:
        UsageError: an argument has none of the values above.

    Example:
        >>> from microgesture.core.layouts import SKELETONS
        >>> from microgesture.core.taxonomies import SMG
        >>> model = AEDBiLSTM(SKELETONS["kinect25"], SMG, frames=512, persons=1, in_channels=4, fps=28, width=64)
    """

    task: ClassVar[str] = "spot"
    whole: ClassVar[bool] = True

    def __init__(
        self,
        skeleton: Skeleton,
        taxonomy: Taxonomy,
        frames: int,
        persons: int,
        *,
        in_channels: int = 3,
        fps: float = 28.0,
        network: Literal["attention", "perceptron", "birnn"] = "attention",
        cell: Cell = "gru",
        width: int = 2000,
        inputs: Kind = "moving_pose",
        joints: Sequence[str] = (),
        center: str | None = "hip",
        states: int = 5,
        mu: float = -2.5,
        lam: float = 2.1,
        transitions: Transitions = "row_normalised",
        background: float = 1.0,
        balance: float = 0.0,
        shortest: float = 0.3,
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if cell not in ("gru", "lstm"):
            raise UsageError(f"cell '{cell}' is unknown; choose 'gru' or 'lstm'")
        self.features = FrameFeatures(skeleton, in_channels - 1, inputs, joints=joints, center=center)
        self.hmm = GestureHMM(
            len(taxonomy), states, mu=mu, lam=lam, transitions=transitions, background=background, balance=balance,
            shortest=round(shortest * fps), compat=compat,
        )  # fmt: skip
        sizes = (*self.features.shape, width, self.hmm.size)
        if network == "attention":
            self.network: nn.Module = AttentionNet(*sizes, cell)
        elif network == "perceptron":
            self.network = Perceptron(*sizes)
        elif network == "birnn":
            self.network = RecurrentNet(*sizes, cell)
        else:
            raise UsageError(f"network '{network}' is unknown; choose 'attention', 'perceptron' or 'birnn'")
        self.sigmoid = compat == "official" and network == "attention"

    def observe(self, recordings: Iterable[WindowBatch]) -> None:
        """Mean and deviation of the features, and transitions between states, in whole recordings."""
        kept = list(recordings)
        self.features.observe(kept)
        self.hmm.observe(kept)

    def forward(self, batch: WindowBatch) -> StateScores:
        poses = self.features.poses(batch)
        rows, background = self.hmm.rows(batch, thin=self.training)
        if torch.is_grad_enabled():
            return StateScores(self.network(self.features(poses, rows)), rows, background)
        parts = [self.network(self.features(poses, some)) for some in torch.split(rows, _CHUNK)]
        return StateScores(torch.cat(parts), rows, background)

    def losses(self, out: StateScores, batch: WindowBatch) -> dict[str, Tensor]:
        log = None
        if self.sigmoid:  # Keras divides what is no distribution by its sum
            log = F.logsigmoid(out.logits) - F.logsigmoid(out.logits).logsumexp(-1, keepdim=True)
        return {"state": self.hmm.loss(out, batch, log)}

    def posterior(self, logits: Tensor) -> Tensor:
        """Probability of each state, of the shape of the logits; after a sigmoid they need not sum to one."""
        return logits.sigmoid() if self.sigmoid else logits.softmax(-1)

    def detections(self, out: StateScores, batch: WindowBatch) -> list[Detections]:
        """Gestures of each window, decoded with the whole of it in view; in eval mode, where every frame has a row."""
        posterior = self.posterior(out.logits.float())
        return self.hmm.detections(posterior.view(len(batch), -1, self.hmm.size), batch)


def official_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of Keras in the layout of torch: matrices transposed, gates in its order, biases of a cell apart.

    Numbers that Keras gives to instances of a layer (`layer00_Dense/d_8/kernel`) are dropped from the names.
    """
    cells = {name.rpartition("/")[0] for name in state if name.endswith("/recurrent_kernel")}
    result = {}
    for name, tensor in state.items():
        path, _, leaf = name.rpartition("/")
        if path in cells:
            tensor = _torch_gates(tensor)
        elif "/" in path:
            path = path.partition("/")[0]
        if leaf == "bias" and tensor.ndim == 2:
            result[f"{path}/bias/input"], result[f"{path}/bias/recurrent"] = tensor
        else:
            result[f"{path}/{leaf}"] = tensor.T.contiguous() if leaf.endswith("kernel") else tensor
    return result


def _torch_gates(tensor: Tensor) -> Tensor:
    """Columns of update, reset and candidate to reset, update and candidate."""
    update, reset, candidate = tensor.chunk(3, -1)
    return torch.cat((reset, update, candidate), -1)


_LAYERS = {
    AttentionNet: {"first": "01_Bidirectional", "time": "04_Dense", "second": "07_Bidirectional", "channel": "08_Dense",
                   "dense": "10_Dense", "bn": "12_BatchNormalization", "classifier": "14_Dense"},
    Perceptron: {"first": "00_Dense", "second": "02_Dense", "bn": "04_BatchNormalization", "classifier": "05_Dense"},
    RecurrentNet: {"first": "01_Bidirectional", "second": "02_Bidirectional", "bn": "04_BatchNormalization",
                   "dense": "05_Dense", "classifier": "06_Dense"},
}  # fmt: skip
_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_CELL = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel", "bias_ih": "bias/input", "bias_hh": "bias/recurrent"}


def official_keys(model: AEDBiLSTM) -> Keys:
    """Keys of the Keras models 1, 2 and 4 of the SMG start kit, `layerNN_kind/...`, laid out by `official_layout`.

    Raises:
        UsageError: the system has LSTM cells, which no released model has.
    """
    if any(isinstance(module, nn.LSTM) for module in model.modules()):
        raise UsageError("the released networks have GRU cells; build the system with cell='gru'")
    layers = _LAYERS[type(model.network)]
    return {key: _official(key, layers) for key in model.state_dict()}


def _official(key: str, layers: Mapping[str, str]) -> tuple[str, ...]:
    match key.split("."):
        case ["network", _, "num_batches_tracked"] | ["features" | "hmm", _]:
            return ()
        case ["network", name, "rnn", leaf]:
            kind, backward = re.fullmatch(r"(\w+)_l0(_reverse)?", leaf).groups()  # type: ignore[union-attr]
            return (f"layer{layers[name]}/{'backward' if backward else 'forward'}/{_CELL[kind]}",)
        case ["network", "bn", leaf]:
            return (f"layer{layers['bn']}/{_NORM[leaf]}",)
        case ["network", name, leaf]:
            return (f"layer{layers[name]}/{'kernel' if leaf == 'weight' else leaf}",)
    raise KeyError(key)
