"""From a trained run to the shipped model: calibrate on validation people, measure on test people, write the card.

    microgesture train recipes/simulated/base.yaml --out runs/base
    python benchmarks/ship.py runs/base --clips ../shared/data/clips

Writes `src/microgesture/weights/base/` (weights, config, README.md with the results).
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from real_clips import ranks

from microgesture.analysis.calibrate import calibrate, spotting
from microgesture.analysis.recogniser import Recogniser
from microgesture.core.durable import write_text
from microgesture.core.taxonomies import taxonomy
from microgesture.evaluation.classification import summary
from microgesture.learning.checkpoint import save_pretrained
from microgesture.learning.runs import commit
from microgesture.simulation.clips import simulate_clips

WEIGHTS = Path(__file__).parents[1] / "src/microgesture/weights"
KEPT = ("recipe", "commit", "seed", "epochs", "serves")
WINDOW = 40  # frames of a window along a recording; 20 to 40 were tried on validation recordings, the longest won


def clip_results(recogniser: Recogniser, key: str, count: int) -> dict[str, Any]:
    """Metrics of pre-cut clips of test people, of three lengths."""
    space = taxonomy(key)
    p, label, subject = [], [], []
    for part, frames in enumerate((28, 40, 56)):
        made = simulate_clips(key, count // 3, 500 + part, frames=frames, split="test")
        p += [recogniser.clip(made.track(i), space) for i in range(len(made))]
        label.append(made.label)
        subject.append(made.subject)
    return summary(np.stack(p).astype(np.float64), np.concatenate(label), subjects=np.concatenate(subject))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", default="base")
    parser.add_argument("--clips", type=Path, help="folder of real labelled clips")
    parser.add_argument("--count", type=int, default=1200, help="simulated test clips per taxonomy")
    parser.add_argument("--recordings", type=int, default=4, help="of ten minutes, per taxonomy")
    given = parser.parse_args()

    raw = Recogniser.from_pretrained(given.run)
    raw.model.config["window"] = WINDOW
    _, notes = calibrate(raw, recordings=given.recordings)
    config, facts = raw.model.config, raw.model.facts
    kept = {name: config[name] for name in KEPT if name in config}
    folder = save_pretrained(
        WEIGHTS / given.name, raw.model.system, facts, config["system"]["init_args"], window=WINDOW, **kept, **notes
    )
    shipped = Recogniser.from_pretrained(folder)
    results = {
        key: {
            "clips": clip_results(shipped, key, given.count),
            "spotting": spotting(shipped, key, range(900, 900 + given.recordings)),
        }
        for key in shipped.taxonomies
    }
    real = ranks(given.clips, [str(folder)])["clips"] if given.clips else []
    write_text(folder / "README.md", card(shipped, results, real))
    for key, found in results.items():
        print(key, json.dumps(found["clips"]), found["spotting"])
    for row in real:
        print(row)


def card(recogniser: Recogniser, results: dict[str, Any], real: list[dict[str, Any]]) -> str:
    """The model card in Markdown, with the metadata block model hubs read."""
    config = recogniser.model.config
    head = (
        "---\nlicense: apache-2.0\nlibrary_name: microgesture\npipeline_tag: video-classification\n"
        "tags: [micro-gesture, skeleton, simulated-data]\ndatasets: []\nmetrics: [accuracy, f1]\n---\n\n"
        f"# {Path(recogniser.model.folder).name}: micro-gestures from a pose track\n\n"
        f"BodyGCN, {config['parameters']:,} parameters, {len(recogniser.model.facts.taxonomy)} motions; answers in "
        f"{', '.join(recogniser.taxonomies)}. Made by `{config.get('recipe')}` at commit `{config.get('commit')}`, "
        f"seed {config.get('seed')}, {config.get('epochs')} epochs; measured at commit `{commit()}` on "
        f"{date.today()}.\n\n"
        "## Trained on\n\nSimulated motion only: no recording of a person took part in the training. Calibration and "
        "decoder were fitted on simulated validation people.\n\n"
    )
    rows = [
        "## On simulated people it never met\n",
        "| taxonomy | clips | top-1 (95 % interval) | top-5 | macro-F1 | majority floor | calibration error | F1@0.3 "
        "along recordings | false alarms per minute |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, found in results.items():
        m, s = found["clips"], found["spotting"]
        low, high = m["top1_wilson95"]
        rows.append(
            f"| {key} | {m['clips']} | {m['top1']:.3f} ({low:.3f}-{high:.3f}) | {m['top5']:.3f} | {m['macro_f1']:.3f}"
            f" | {m['majority_floor']:.3f} | {m['calibration_error']:.3f} | {s.f1:.3f} |"
            f" {s.false_alarms_per_minute:.1f} |"
        )
    rows.append("\nThese figures say how well the model knows its simulator, not how well it knows people.\n")
    rows.append("## On real clips\n")
    if real:
        rows += ["| clip | class | rank of the true class | probability | first guess |", "|---|---|---|---|---|"]
        rows += [
            f"| {r['clip']} | {r['label']} ({r['taxonomy']}) | {m['rank']} | {m['p']:.2f} | {m['first']} |"
            for r in real
            for m in r["models"]
        ]
        rows.append("\nFour clips, used while the simulator was developed: anecdotes, not a test set.\n")
    else:
        rows.append("Not measured.\n")
    tail = (
        "## Who it fails for\n\nPeople seen from the side or the back; fewer than 9 frames per second; hands that the "
        "pose estimator does not find; gestures of the face under masks; cultures whose gestures the programs do not "
        "describe. Small head movements and neighbouring places on the face are confused most.\n\n"
        "## Not for\n\nHiring, lie detection, diagnosis, surveillance, or any decision about a person. A micro-gesture "
        "is weak evidence of a state and no evidence of a trait.\n"
    )
    return head + "\n".join(rows) + "\n" + tail


if __name__ == "__main__":
    main()
