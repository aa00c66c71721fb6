"""The table that ``ptychoproduct convert`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptychoproduct_cli.output import megabytes

if TYPE_CHECKING:
    from ptychoproduct import DiffractionSummary, ExportSummary


def summary_rows(summary: ExportSummary) -> dict[str, str]:
    """Return what was converted, as names and values."""
    rows = {
        "product": f"{summary.product}  ({megabytes(summary.file_bytes)})",
        "positions": f"{summary.positions:,}",
    }
    if summary.position_index_note is not None:
        rows["position numbers"] = summary.position_index_note
    if summary.frames:
        shape = " x ".join(map(str, summary.frame_shape))
        rows["frames"] = f"{summary.frames:,} of {shape}, {summary.frame_dtype}"
        if summary.recipe is not None:
            rows["stored as"] = f"exact counts, {summary.recipe.count_dtype} ({summary.recipe.operation_order})"
        rows |= {
            "codec": f"{summary.compression}, chunks of {' x '.join(map(str, summary.chunk_shape))}",
            "ratio": f"{summary.ratio:.2f}  ({megabytes(summary.frame_bytes)} to {megabytes(summary.stored_bytes)})",
            "speed": f"{summary.throughput_mb_s:,.0f} MB/s  ({summary.seconds:.2f} s)",
        }
    choice = summary.choice
    if choice is not None:
        rows["chosen"] = f"{choice.reason}  ({choice.objective}, {choice.seconds:.2f} s)"
    if choice is not None and choice.trials:
        tried = (f"{trial.codec}: {trial.ratio:.2f} at {trial.write_mb_s:,.0f} MB/s" for trial in choice.trials)
        rows["tried"] = "\n".join(tried)
    if summary.diffraction is not None:
        rows |= _patterns_rows(summary.diffraction)
    rows |= _metadata_rows(summary)
    if summary.notes:
        rows["notes"] = "\n".join(summary.notes)
    return rows


def _patterns_rows(summary: DiffractionSummary) -> dict[str, str]:
    made_from = "frames as they are" if summary.frames_are == "counts" else "amplitudes squared"
    if summary.scale is not None:
        made_from += f", normalisation by {summary.scale:.6g} undone"
    size = megabytes(summary.file_bytes)
    rows = {
        "diffraction": f"{summary.path}  ({size})",
        "patterns": f"{summary.dtype}, {'whole ' if summary.exact else ''}counts; {made_from}",
    }
    if summary.bad_pixels:
        marks = ", ".join(f"{count:,} with {mark} in place of counts" for mark, count in summary.gaps.items())
        rows["bad pixels"] = f"{summary.bad_pixels:,}" + (f"  ({marks}; the patterns have 0 there)" if marks else "")
    return rows


def _metadata_rows(summary: ExportSummary) -> dict[str, str]:
    """Say where the pixel sizes come from, what files say themselves, and which values were not given."""
    rows, meta = {}, summary.meta
    for owner in ("object", "probe"):
        width, height = f"{owner}_pixel_width_m", f"{owner}_pixel_height_m"
        origin = meta.origins[width].replace("default", "the default")
        if width in summary.metadata_files:
            origin = f"from {summary.metadata_files[width].name}"
        rows[f"{owner} pixel"] = f"{getattr(meta, width):.6g} x {getattr(meta, height):.6g} m  ({origin})"
    if "object_center_x_m" in meta.derived or "object_center_y_m" in meta.derived:
        rows["object centre"] = (
            f"{meta.object_center_x_m:.6g}, {meta.object_center_y_m:.6g} m  (positions count from the object's corner)"
        )
    for file in dict.fromkeys(summary.metadata_files.values()):
        said = {name: getattr(meta, name) for name, found in summary.metadata_files.items() if found == file}
        rows[f"from {file.name}"] = ", ".join(
            f"{name} {value:.6g}"
            for name, value in said.items()
            if isinstance(value, float) and not name.startswith(("object_pixel", "probe_pixel"))
        )
    rows = {title: text for title, text in rows.items() if text}
    missing = [name for name in meta.not_given if not name.startswith(("object_pixel", "probe_pixel"))]
    for title, name, unit in (("energy", "probe_energy_eV", "eV"), ("distance", "detector_distance_m", "m")):
        if name in missing:
            rows[title] = f"not given, the product has 0 {unit}; give --{name.replace('_', '-')}"
            missing.remove(name)
    if missing:
        rows["not given"] = ", ".join(missing)
    return rows
