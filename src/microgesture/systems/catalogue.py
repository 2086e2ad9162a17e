"""Every system of the survey, its baselines and our own model, as plain data; imports neither torch nor the systems.

The order is the survey's (newest first), then the methods that came with data sets, then baselines. A system that is
`available` lives in `microgesture.systems.<key>`.

A number stands here only if its source was read; figures recalled from memory are left out, so an empty `reported`
means "not found", not "not published". Survey: Wang et al., Micro-gesture Recognition: A Comprehensive Survey of
Datasets, Methods, and Challenges, Machine Intelligence Research 23(2), 2026, doi 10.1007/s11633-025-1629-x.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from microgesture.core.errors import UsageError

Paradigm = Literal["supervised", "unsupervised", "contrastive", "fusion", "mllm", "wearable"]
Task = Literal["recognise", "spot", "pretrain", "emotion"]
Fidelity = Literal["verified", "described", "reconstructed", "original"]
Status = Literal["planned", "available"]
Mark = Literal["read", "calculated", "third-party"]


@dataclass(frozen=True)
class Reported:
    """A published figure.

    Args:
        dataset: key of the data set.
        split: what it was measured on.
        metric: e.g. `"top-1"`, in percent unless the name says otherwise.
        value: the figure.
        source: where it was read.
        mark: `read` in the paper's own text or repository, `calculated` from figures read there, or found in a
            `third-party` text about the paper.
    """

    dataset: str
    split: str
    metric: str
    value: float
    source: str
    mark: Mark = "read"


@dataclass(frozen=True)
class SystemInfo:
    """One row of the survey's table of methods.

    Args:
        key: name in commands, recipes and file names.
        title, venue, year, link: of the paper; `link` may be empty.
        paradigm: the survey's family of methods.
        modalities: what goes in: skeleton, rgb, flow, depth, text, audio, semg.
        task: one of the four training tasks.
        fidelity: `verified` (numerically equal to the official code), `described` (built from the paper's text),
            `reconstructed` (the paper leaves holes that we fill), `original` (our own). For planned systems: what
            the public sources allow.
        status: `available` if this package contains it.
        parameters: (what is counted, number), measured on the official code; those of the graph baselines leave the
            classifier out.
        reported: published figures.
    """

    key: str
    title: str
    venue: str
    year: int
    link: str
    paradigm: Paradigm
    modalities: tuple[str, ...]
    task: Task
    fidelity: Fidelity
    status: Status = "planned"
    parameters: tuple[tuple[str, int], ...] = ()
    reported: tuple[Reported, ...] = ()

    @property
    def module(self) -> str:
        """Dotted name of the module that holds the system once it is available."""
        return f"microgesture.systems.{self.key}"


IMIGUE_README = "github.com/linuxsino/iMiGUE, README"
SMG_README = "github.com/mikecheninoulu/SMG, README"
PYSKL_CONFIGS = "github.com/kennymckormick/pyskl, configs"
MA52_README = "github.com/VUT-HFUT/Micro-Action, mar_scripts/README"
MIGA_TEST = "MiGA test, 4,562 clips"
CROSS_SUBJECT = "cross-subject, 35 test subjects"
SMG_TEST = "subjects 36-40, 610 clips"
LONG_TEST = "long test recordings"
EMOTION_TEST = "emotion, 100 test videos"
MA52_TEST = "test, 5,586 clips"
NTU_TEST = "cross-subject, HRNet 2-D joints"


def _arxiv(number: str) -> str:
    return f"https://arxiv.org/abs/{number}"


def _top(dataset: str, split: str, source: str, top1: float, top5: float) -> tuple[Reported, Reported]:
    return Reported(dataset, split, "top-1", top1, source), Reported(dataset, split, "top-5", top5, source)


def _spotting(dataset: str, recall: float, precision: float, f1: float) -> tuple[Reported, ...]:
    figures = (("recall@0.3", recall), ("precision@0.3", precision), ("F1@0.3", f1))
    return tuple(Reported(dataset, LONG_TEST, metric, value, SMG_README) for metric, value in figures)


SYSTEMS: dict[str, SystemInfo] = {
    s.key: s
    for s in (
        SystemInfo(
            "h2oformer",
            "Hybrid-supervised Hypergraph-enhanced Transformer for Micro-gesture Based Emotion Recognition",
            "arXiv",
            2025,
            _arxiv("2507.14867"),
            "supervised",
            ("skeleton",),
            "emotion",
            "verified",
            parameters=(("imigue22, 6 encoder and 2 decoder blocks", 7_921_160), ("kinect25, 10 and 4", 11_651_216)),
        ),
        SystemInfo(
            "dyfadet_sta",
            "Online Micro-gesture Recognition Using Data Augmentation and Spatial-Temporal Attention",
            "MiGA@IJCAI",
            2025,
            _arxiv("2507.09512"),
            "supervised",
            ("rgb", "skeleton"),
            "spot",
            "reconstructed",
            "available",
            # the detector itself is equal to the released DyFADet
            parameters=(("detector without attention, 1,408 features, 17 classes", 27_529_509),),
            reported=(Reported("imigue", "MiGA 2025 track 2", "F1", 38.03, "arXiv 2507.09512, abstract"),),
        ),
        SystemInfo(
            "dcsnn",
            "DCSNN: An Efficient and High-speed sEMG-based Transient-state Micro-gesture Recognition Method on "
            "Wearable Devices",
            "PACM IMWUT",
            2025,
            "https://doi.org/10.1145/3729494",
            "wearable",
            ("semg",),
            "recognise",
            "reconstructed",
        ),
        SystemInfo(
            "topo_posec3d",
            "Towards Fine-Grained Emotion Understanding via Skeleton-Based Micro-Gesture Recognition",
            "MiGA@IJCAI",
            2025,
            _arxiv("2506.12848"),
            "supervised",
            ("skeleton",),
            "recognise",
            "reconstructed",
            "available",
            parameters=(("backbone, 41 joints", 2_031_712),),
            reported=(Reported("imigue", MIGA_TEST, "top-1", 67.01, "arXiv 2506.12848, abstract"),),
        ),
        SystemInfo(
            "clip_mg",
            "CLIP-MG: Guiding Semantic Attention with Skeletal Pose Features and RGB Data for Micro-Gesture "
            "Recognition on the iMiGUE Dataset",
            "MiGA@IJCAI",
            2025,
            _arxiv("2506.16385"),
            "fusion",
            ("rgb", "skeleton", "text"),
            "recognise",
            "reconstructed",
            reported=(Reported("imigue", MIGA_TEST, "top-1", 61.82, "arXiv 2506.16385, abstract"),),
        ),
        SystemInfo(
            "mamba_mg",
            "Micro-gesture recognition using Mamba",
            "LUT University, thesis",
            2025,
            "https://lutpub.lut.fi/handle/10024/170090",
            "supervised",
            ("rgb", "skeleton"),
            "recognise",
            "reconstructed",
            "available",
            parameters=(
                ("VideoMamba-Ti, 16 frames, 32 classes", 6_964_256),
                ("VideoMamba-S", 25_430_048),
                ("MSF-Mamba-S", 33_392_672),
            ),
        ),
        SystemInfo(
            "pcan",
            "Prototypical Calibrating Ambiguous Samples for Micro-Action Recognition",
            "AAAI",
            2025,
            _arxiv("2412.14719"),
            "supervised",
            ("rgb", "skeleton"),
            "recognise",
            "verified",
            "available",
            parameters=(("backbone", 37_983_296), ("whole, 52 and 7 classes", 39_118_262)),
        ),
        SystemInfo(
            "identity_free_mg",
            "Identity-free Artificial Emotional Intelligence via Micro-Gesture Understanding",
            "arXiv",
            2025,
            _arxiv("2405.13206"),
            "contrastive",
            ("skeleton", "text"),
            "pretrain",
            "reconstructed",
        ),
        SystemInfo(
            "mm_gesture",
            "MM-Gesture: Towards Precise Micro-Gesture Recognition through Multimodal Fusion",
            "MiGA@IJCAI",
            2025,
            _arxiv("2507.08344"),
            "fusion",
            ("skeleton", "rgb", "flow", "depth"),
            "recognise",
            "verified",
            parameters=(("PoseConv3D, 36 joints, 32 classes", 2_040_288),),
            reported=(Reported("imigue", MIGA_TEST, "top-1", 73.213, "arXiv 2507.08344, abstract"),),
        ),
        SystemInfo(
            "proto_mg",
            "Prototype Learning for Micro-gesture Classification",
            "MiGA@IJCAI",
            2024,
            _arxiv("2408.03097"),
            "supervised",
            ("rgb", "skeleton"),
            "recognise",
            "reconstructed",
            "available",
            reported=(Reported("imigue", MIGA_TEST, "top-1", 70.254, "arXiv 2408.03097, abstract"),),
        ),
        SystemInfo(
            "data_prior_ssl",
            "Naive Data Augmentation Might Be Toxic: Data-Prior Guided Self-Supervised Representation Learning for "
            "Micro-Gesture Recognition",
            "FG",
            2024,
            "https://ieeexplore.ieee.org/document/10581907",
            "unsupervised",
            ("skeleton",),
            "pretrain",
            "reconstructed",
        ),
        SystemInfo(
            "query_points",
            "Micro-gesture Online Recognition using Learnable Query Points",
            "MiGA@IJCAI",
            2024,
            _arxiv("2407.04490"),
            "supervised",
            ("rgb", "skeleton"),
            "spot",
            "reconstructed",
            "available",
            parameters=(
                ("PointTAD, I3D, 17 classes, 48 queries", 210_059_657),
                ("I3D to Mixed_5c", 12_287_264),
                ("a block of Mamba, width 512", 1_694_720),
            ),
            reported=(
                Reported("smg", "MiGA 2024 track 2", "F1", 14.34, "summaries of arXiv 2407.04490", "third-party"),
            ),
        ),
        SystemInfo(
            "visual_text_mg",
            "Enhancing Micro Gesture Recognition for Emotion Understanding via Context-Aware Visual-Text Contrastive "
            "Learning",
            "arXiv",
            2024,
            _arxiv("2405.01885"),
            "contrastive",
            ("rgb", "text"),
            "recognise",
            "verified",
            parameters=(("video encoder", 31_300_125), ("text encoder", 66_362_880), ("prompt", 789_760)),
        ),
        SystemInfo(
            "beyondvision",
            "BeyondVision: An EMG-driven Micro Hand Gesture Recognition Based on Dynamic Segmentation",
            "IJCAI",
            2024,
            "https://doi.org/10.24963/ijcai.2024/668",
            "wearable",
            ("semg",),
            "spot",
            "reconstructed",
        ),
        SystemInfo(
            "jsse",
            "Joint Skeletal and Semantic Embedding Loss for Micro-gesture Classification",
            "MiGA@IJCAI",
            2023,
            _arxiv("2307.10624"),
            "supervised",
            ("skeleton", "text"),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("backbone, 22 joints", 2_001_920),
                ("with both heads", 2_172_236),
                ("at inference", 2_018_336),
            ),
            reported=(
                # the gain of 6.13 to 70.25 that the next year's winner states
                Reported("imigue", MIGA_TEST, "top-1", 64.12, "arXiv 2408.03097, abstract", "calculated"),
            ),
        ),
        SystemInfo(
            "aed_bilstm",
            "SMG: A Micro-gesture Dataset Towards Spontaneous Body Gestures for Emotional Stress State Analysis",
            "IJCV",
            2023,
            "https://doi.org/10.1007/s11263-023-01761-6",
            "supervised",
            ("skeleton",),
            "spot",
            "verified",
            "available",
            parameters=(
                ("perceptron emission network", 9_730_086),
                ("attention emission network, moving pose", 66_771_116),
                ("attention emission network, slices of one frame", 67_131_116),
                ("recurrent emission network", 122_835_086),
            ),
            reported=_spotting("smg", 17.3, 24.5, 20.3) + _spotting("imigue", 16.6, 17.7, 17.1),
        ),
        SystemInfo(
            "cdclr",
            "CdCLR: Clip-Driven Contrastive Learning for Skeleton-Based Action Recognition",
            "VCIP",
            2022,
            "https://doi.org/10.1109/VCIP56404.2022.10008837",
            "contrastive",
            ("skeleton",),
            "pretrain",
            "verified",
            parameters=(("60 inputs", 2_157_698), ("66 inputs", 2_176_130), ("44 inputs", 2_108_546)),
        ),
        SystemInfo(
            "dense_graph_ssl",
            "Efficient Dense-Graph Convolutional Network with Inductive Prior Augmentations for Unsupervised "
            "Micro-Gesture Recognition",
            "ICPR",
            2022,
            "https://doi.org/10.1109/ICPR56361.2022.9956565",
            "unsupervised",
            ("skeleton",),
            "pretrain",
            "reconstructed",
        ),
        SystemInfo(
            "u_s_vae",
            "iMiGUE: An Identity-free Video Dataset for Micro-Gesture Understanding and Emotion Analysis",
            "CVPR",
            2021,
            _arxiv("2107.00285"),
            "unsupervised",
            ("skeleton",),
            "pretrain",
            "reconstructed",
            reported=(
                *_top("imigue", CROSS_SUBJECT, IMIGUE_README, 32.43, 64.30),
                Reported("imigue", EMOTION_TEST, "accuracy", 55.0, IMIGUE_README),
            ),
        ),
        # ---- methods that came with data sets
        SystemInfo(
            "manet",
            "Benchmarking Micro-action Recognition: Dataset, Methods, and Applications",
            "IEEE TCSVT",
            2024,
            _arxiv("2403.05234"),
            "supervised",
            ("rgb", "text"),
            "recognise",
            "verified",
            "available",
            parameters=(("training", 32_284_252), ("at inference", 31_579_252)),
            reported=tuple(
                Reported("ma52", MA52_TEST, metric, value, MA52_README)
                for metric, value in (
                    ("top-1", 61.33),
                    ("top-5", 88.83),
                    ("body top-1", 78.95),
                    ("action macro F1", 49.22),
                    ("body macro F1", 72.87),
                    ("F1 mean", 65.59),
                )
            ),
        ),
        SystemInfo(
            "bayes_emotion",
            "Analyze Spontaneous Gestures for Emotional Stress State Recognition: A Micro-gesture Dataset and Analysis "
            "with Deep Learning",
            "FG",
            2019,
            "https://doi.org/10.1109/FG.2019.8756513",
            "supervised",
            ("skeleton",),
            "emotion",
            "reconstructed",
        ),
        SystemInfo(
            "eald_mllm",
            "EALD-MLLM: Emotion Analysis in Long-sequential and De-identity videos with Multi-modal Large Language "
            "Model",
            "arXiv",
            2024,
            _arxiv("2405.00574"),
            "mllm",
            ("rgb", "audio", "text"),
            "emotion",
            "reconstructed",
            reported=(Reported("eald", "zero-shot", "accuracy", 58.1, "summaries of arXiv 2405.00574", "third-party"),),
        ),
        SystemInfo(
            "deemo_llama",
            "DEEMO: De-identity Multimodal Emotion Recognition and Reasoning",
            "ACM MM",
            2025,
            _arxiv("2504.19549"),
            "mllm",
            ("rgb", "audio", "text"),
            "emotion",
            "reconstructed",
            reported=tuple(
                Reported("deemo", "test", metric, value, "arXiv 2504.19549, abstract")
                for metric, value in (
                    ("accuracy", 74.49),
                    ("F1", 74.45),
                    ("clue overlap of 10", 6.20),
                    ("label overlap of 10", 7.66),
                )
            ),
        ),
        # ---- baselines
        SystemInfo(
            "fcn_window",
            "FCN sliding window, a baseline of the SMG benchmark",
            "IJCV",
            2023,
            "https://doi.org/10.1007/s11263-023-01761-6",
            "supervised",
            ("skeleton",),
            "spot",
            "reconstructed",
            "available",
            parameters=(("kinect25, 17 classes", 342_802),),
        ),
        SystemInfo(
            "ctrgcn",
            "Channel-wise Topology Refinement Graph Convolution for Skeleton-Based Action Recognition",
            "ICCV",
            2021,
            _arxiv("2107.12213"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("coco17, 2 persons", 1_421_076),
                ("kinect25, 2 persons", 1_431_252),
                ("imigue22, 1 person", 1_426_854),
            ),
            reported=(Reported("ntu60", NTU_TEST, "top-1", 90.6, PYSKL_CONFIGS),),
        ),
        SystemInfo(
            "posec3d",
            "Revisiting Skeleton-based Action Recognition",
            "CVPR",
            2022,
            _arxiv("2104.13586"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("backbone, 17 joints", 1_994_080),
                ("backbone, 22 joints", 2_001_920),
                ("backbone, 28 joints", 2_011_328),
            ),
            reported=(
                Reported("ntu60", NTU_TEST, "top-1", 93.7, PYSKL_CONFIGS),
                Reported("ntu60", NTU_TEST, "top-1, limbs", 93.4, PYSKL_CONFIGS),
                Reported("ntu60", NTU_TEST, "top-1, joints and limbs", 94.1, PYSKL_CONFIGS),
            ),
        ),
        SystemInfo(
            "rgbpose",
            "Revisiting Skeleton-based Action Recognition (RGBPose-Conv3D)",
            "CVPR",
            2022,
            _arxiv("2104.13586"),
            "fusion",
            ("rgb", "skeleton"),
            "recognise",
            "verified",
            "available",
            parameters=(("backbone, 28 joints", 36_011_456),),
        ),
        SystemInfo(
            "stgcnpp",
            "PYSKL: Towards Good Practices for Skeleton Action Recognition",
            "ACM MM",
            2022,
            _arxiv("2205.09443"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("coco17, 2 persons", 1_377_596),
                ("kinect25, 2 persons", 1_387_724),
                ("imigue22, 1 person", 1_383_476),
            ),
            reported=(Reported("ntu60", NTU_TEST, "top-1", 89.3, PYSKL_CONFIGS),),
        ),
        SystemInfo(
            "msg3d",
            "Disentangling and Unifying Graph Convolutions for Skeleton-Based Action Recognition",
            "CVPR",
            2020,
            _arxiv("2003.14111"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("coco17, 2 persons", 2_952_663),
                ("kinect25, 2 persons", 3_171_495),
                ("imigue22, 1 person", 3_079_536),
            ),
            reported=(
                *_top("imigue", CROSS_SUBJECT, IMIGUE_README, 54.91, 89.98),
                *_top("smg", SMG_TEST, SMG_README, 64.75, 91.48),
                Reported("imigue", EMOTION_TEST, "accuracy", 55.0, IMIGUE_README),
                Reported("ntu60", NTU_TEST, "top-1", 92.7, PYSKL_CONFIGS),
            ),
        ),
        SystemInfo(
            "aagcn",
            "Skeleton-Based Action Recognition with Multi-Stream Adaptive Graph Convolutional Networks",
            "IEEE TIP",
            2020,
            _arxiv("1912.06971"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("coco17, 2 persons", 3_744_808),
                ("kinect25, 2 persons", 3_766_248),
                ("imigue22, 1 person", 3_756_218),
            ),
            reported=(Reported("ntu60", NTU_TEST, "top-1", 89.7, PYSKL_CONFIGS),),
        ),
        SystemInfo(
            "agcn",
            "Two-Stream Adaptive Graph Convolutional Networks for Skeleton-Based Action Recognition",
            "CVPR",
            2019,
            _arxiv("1805.07694"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            # of one stream; the published figures are of two together
            parameters=(
                ("coco17, 2 persons", 3_443_924),
                ("kinect25, 2 persons", 3_454_100),
                ("imigue22, 1 person", 3_449_702),
            ),
        ),
        SystemInfo(
            "tsm",
            "TSM: Temporal Shift Module for Efficient Video Understanding",
            "ICCV",
            2019,
            _arxiv("1811.08383"),
            "supervised",
            ("rgb",),
            "recognise",
            "described",
            "available",
            # its figures on iMiGUE, SMG and MA-52 stand with the other baselines in `evaluation.published`
            parameters=(("ResNet-50 without classifier", 23_508_032), ("whole, 52 classes", 23_614_580)),
        ),
        SystemInfo(
            "stgcn",
            "Spatial Temporal Graph Convolutional Networks for Skeleton-Based Action Recognition",
            "AAAI",
            2018,
            _arxiv("1801.07455"),
            "supervised",
            ("skeleton",),
            "recognise",
            "verified",
            "available",
            parameters=(
                ("coco17, 2 persons", 3_073_284),
                ("kinect25, 2 persons", 3_083_412),
                ("imigue22, 1 person", 3_079_164),
            ),
            reported=(
                *_top("imigue", CROSS_SUBJECT, IMIGUE_README, 46.97, 84.09),
                *_top("smg", SMG_TEST, SMG_README, 41.48, 86.07),
                Reported("imigue", EMOTION_TEST, "accuracy", 50.0, IMIGUE_README),
                Reported("ntu60", NTU_TEST, "top-1", 89.0, PYSKL_CONFIGS),
            ),
        ),
        SystemInfo(
            "dbn_hmm",
            "Leveraging Hierarchical Parametric Networks for Skeletal Joints Based Action Segmentation and Recognition",
            "CVPR",
            2014,
            "https://github.com/stevenwudi/CVPR_2014_code",
            "supervised",
            ("skeleton",),
            "spot",
            "reconstructed",
            "available",
            # its figures, and those of fcn_window, stand with the other baselines in `evaluation.published`
            parameters=(("kinect25, 17 classes", 8_640_086),),
        ),
        # ---- ours
        SystemInfo(
            "rocket",
            "ROCKET: Exceptionally fast and accurate time series classification using random convolutional kernels",
            "Data Min. Knowl. Discov.",
            2020,
            _arxiv("1910.13051"),
            "supervised",
            ("skeleton",),
            "recognise",
            "original",
            "available",
        ),
        SystemInfo(
            "bodygcn",
            "BodyGCN: the model that ships with this package, trained on simulated motion",
            "this project",
            2026,
            "",
            "supervised",
            ("skeleton",),
            "recognise",
            "original",
            "available",
        ),
    )
}
"""Key -> system, in the order described above."""


def system(key: str) -> SystemInfo:
    """The system of that key.

    Raises:
        UsageError: no such system; the message offers the nearest keys.
    """
    if key not in SYSTEMS:
        near = get_close_matches(key, SYSTEMS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`microgesture systems` lists them"
        raise UsageError(f"no system '{key}'; {hint}")
    return SYSTEMS[key]
