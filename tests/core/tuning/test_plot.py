"""The picture of a tuning."""

from pathlib import Path

import pytest

from ptychoproduct.tuning.trials import Trial
from ptychoproduct.tuning.tune import TuneReport

matplotlib = pytest.importorskip("matplotlib")


def test_every_trial_of_the_front_has_a_label_and_no_two_overlap(tmp_path, monkeypatch):
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation, Text

    from ptychoproduct.tuning.plot import plot_trials, trial_label

    # A crowd, and some on their own.
    crowd = [Trial(f"zstd:{n}", (4, 256, 256), 7 + 0.02 * n, 1000 + 7 * n, 1000.0, 1.0) for n in range(1, 9)]
    tall = Trial("bzip2:9", (250, 16, 16), 18.0, 70.0, 250.0, 200.0)
    quick = Trial("bitshuffle-lz4,block=64KiB", (4, 256, 256), 4.6, 2000.0, 3000.0, 1.0)
    trials = (*crowd, tall, quick)
    report = TuneReport(
        Path("scan.npz"),
        2000,
        (256, 256),
        "float32",
        256,
        2,
        "balanced",
        trials,
        (7, 8, 9),
        7,
        True,
        None,
        3,
        26.8,
        None,
        1,
    )
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (drawn.append(figure), Path(path).touch()))
    plot_trials(report, tmp_path / "tune.png")
    labels = [text for text in drawn[0].axes[0].texts if isinstance(text, Annotation)]
    assert {label.get_text() for label in labels} == {trial_label(trials[number]) for number in report.front}
    boxes = [Text.get_window_extent(label) for label in labels]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_the_picture_is_a_png(tmp_path):
    from ptychoproduct.tuning.plot import plot_trials

    trials = (Trial("zstd:1", (4, 16, 16), 3.0, 500.0, 900.0, 0.1),)
    report = TuneReport(Path("a"), 4, (16, 16), "uint16", 4, 1, "ratio", trials, (0,), 0, True, None, 0, None, None, 1)
    plot_trials(report, tmp_path / "tune.png")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")
