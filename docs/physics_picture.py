"""Draw physics.png, what a wrong convention looks like: python docs/physics_picture.py."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ptychoproduct.validation.hypotheses import AS_IT_IS, Hypothesis
from ptychoproduct.validation.physics_evidence import evidence_from

HERE = Path(__file__).parent
PICTURES = (
    ("as it is", AS_IT_IS),
    ("x and y exchanged", Hypothesis("", "swap")),
    ("x reversed", Hypothesis("", "flip-x")),
    ("one frame early", Hypothesis("", "roll=1")),
    ("5 pixels off", Hypothesis("", "offset=5:0")),
)


def draw() -> None:
    """Simulate a scan, and draw one frame and what each convention predicts of it."""
    spec = importlib.util.spec_from_file_location("campaign", HERE.parent / "tests" / "campaigns" / "physics.py")
    campaign = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = campaign
    spec.loader.exec_module(campaign)
    scan = campaign.Scan(campaign.Kind(64, 1e6), 3)
    x_m, y_m = scan.x * campaign.PIXEL_M, scan.y * campaign.PIXEL_M
    evidence = evidence_from(scan.probe, scan.object, x_m, y_m, scan.meta, scan.rows, lambda: scan.frames)
    measured, mean = scan.frames[20], scan.frames.mean(axis=0)
    figure = Figure(figsize=(11, 4.4), dpi=64, layout="constrained")
    axes = figure.subplots(2, len(PICTURES) + 1)
    columns = [("measured", measured, mean, "")]
    for name, hypothesis in PICTURES:
        predicted, _ = evidence.predicted(hypothesis)
        predicted *= np.linalg.norm(scan.frames) / np.linalg.norm(predicted)
        number = evidence.agreement(hypothesis).correlation
        columns.append((name, predicted[20], predicted.mean(axis=0), f"\ncorrelation {number:.2f}"))
    reach = np.abs(measured - mean).max() / 2
    for column, (name, values, average, number) in enumerate(columns):
        axes[0, column].imshow(np.sqrt(values), cmap="inferno")
        axes[1, column].imshow(values - average, cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes[0, column].set_title(name + number, fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].set_ylabel("a frame")
    axes[1, 0].set_ylabel("without the mean")
    figure.savefig(HERE / "physics.png")


if __name__ == "__main__":
    draw()
