"""What `judge` is given: some frames, probe, object and positions of a product, wherever it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from ptychoproduct.aliases import Array, Origin
from ptychoproduct.errors import warn
from ptychoproduct.hdf5.contract_fields import _read_values, find_dataset, read_attribute, read_metadata, read_recipe
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import open_hdf5, reading
from ptychoproduct.hdf5.sharded_chunks import stored_as
from ptychoproduct.model import contract
from ptychoproduct.model.axes import canonical_axes
from ptychoproduct.model.counts import CountsRecipe
from ptychoproduct.model.geometry import far_field_pixel_m, resolve_metadata
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.object_center import with_object_center
from ptychoproduct.model.position_units import are_metres
from ptychoproduct.model.positions import pixels_to_metres, to_object_pixels
from ptychoproduct.model.transforms import parse_positions_transform, transformed_positions
from ptychoproduct.model.wavelength import wavelength_m
from ptychoproduct.scan.scan import Scan
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.sampling import sample_rows, spread_runs
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.kept_frames import KeptFrames, frames_to_judge
from ptychoproduct.validation.physics import PhysicsReport, as_it_is, judge
from ptychoproduct.validation.physics_model import Optics, on_object, predicted_amplitudes, transfer_function
from ptychoproduct.validation.physics_sample import LEAST_FRAMES, Evidence, as_amplitudes
from ptychoproduct.validation.physics_search import SURE

# Predicting larger frames would take more time and memory than converting them.
_QUICK_PIXELS = 2**18
_ONES = PhysicsReport("undecided", reason="the object stands in for an unknown one")


class UnknownOpticsError(Exception):
    """Something that is needed to predict frames is not known."""


def judge_physics(
    product: str | PathLike[str] | Scan | ScanFiles | object, meta: ExportMeta | None = None, *, thorough: bool = True
) -> PhysicsReport:
    """Judge whether probe, object and positions of a product predict its frames, or which other convention does.

    What is judged is whether a product agrees with itself: a reconstruction made under a mirrored convention does.

    Parameters
    ----------
    product : path, Product, Scan or ScanFiles
    meta : ExportMeta, optional
        Of a scan, what it does not say itself.
    thorough : bool
        Whether all conventions are tried where the product does not predict its frames. Other directions and orders are
        tried in any case; probes, units and centres take some seconds.

    Returns
    -------
    PhysicsReport

    Raises
    ------
    SourceError
        There is no HDF5 file.
    ContractError
        The file is no product, or is damaged.
    """
    if isinstance(product, ScanFiles):
        with opened_scan(product, Resources()) as scan:
            return judge_scan(scan, meta or ExportMeta(), thorough)
    if isinstance(product, Scan):
        return judge_scan(product, meta or ExportMeta(), thorough)
    path = product if isinstance(product, str | PathLike) else product.path  # type: ignore[attr-defined]
    with open_hdf5(Path(path)) as file, reading(file):
        return judge_file(file, thorough=thorough)


def judge_scan(
    scan: Scan,
    given: ExportMeta,
    thorough: bool = True,
    *,
    axis_order: str = "auto",
    object_center: str = "auto",
    positions_transform: str = "",
) -> PhysicsReport:
    """Judge a scan that no product was made of yet, as the product would be that an export makes with these options.

    Parameters
    ----------
    scan : Scan
    given : ExportMeta
    thorough : bool
        See `judge_physics`.
    axis_order, object_center, positions_transform
        See `ExportOptions`.
    """
    frames, object_ = scan.frames, scan.object
    if frames is None or object_ is None or scan.is_object_synthetic:
        return _ONES if frames is not None else PhysicsReport("undecided", reason="the scan has no frames")
    if np.ndim(scan.x) != 1 or np.shape(scan.x) != np.shape(scan.y):
        return PhysicsReport("undecided", reason="the positions are no lists of one length")
    unit = scan.positions_in or ("m" if are_metres(scan.x, scan.y) else "px")
    source = frames.rows(canonical_axes(frames.axis_order(len(scan.x), axis_order, scan.origin)))
    meta = resolve_metadata(given, scan.metadata, source.shape)
    sizes_m = meta.object_pixel_width_m, meta.object_pixel_height_m

    def in_metres(x_px: Array, y_px: Array) -> tuple[Array, Array]:
        return pixels_to_metres(x_px, sizes_m[0]), pixels_to_metres(y_px, sizes_m[1])

    def center_px(x_px: Array, y_px: Array) -> tuple[float, float]:
        found = with_object_center(object_center, *in_metres(x_px, y_px), object_.shape, meta)
        return found.object_center_x_m / sizes_m[0], found.object_center_y_m / sizes_m[1]

    x_px, y_px = (
        np.asarray(to_object_pixels(values, key, unit, size_m, scan.origin))
        for key, values, size_m in zip(("xcoords", "ycoords"), (scan.x, scan.y), sizes_m, strict=True)
    )
    x_px, y_px = transformed_positions(parse_positions_transform(positions_transform), x_px, y_px, center_px)
    x_m, y_m = in_metres(x_px, y_px)
    wanted = len(frames_to_judge(source.shape[0], source.shape[1:]))
    rows = np.array([run.start for run in spread_runs(source.shape[0], 1, wanted)]) if wanted else np.empty(0, int)
    try:
        with np.errstate(all="ignore"):
            evidence = evidence_from(
                np.asarray(scan.probe),
                object_,
                x_m,
                y_m,
                with_object_center(object_center, x_m, y_m, object_.shape, meta),
                rows,
                lambda: sample_rows(source, 1, wanted),
                opr_weights=scan.reconstruction.opr_weights,
                layer_spacing_m=scan.reconstruction.object_layer_spacing_m,
            )
            return judge(evidence, thorough=thorough)
    except UnknownOpticsError as reason:
        return PhysicsReport("undecided", reason=str(reason))


def judge_file(file: h5py.File, *, thorough: bool = True, kept: KeptFrames | None = None) -> PhysicsReport:
    """Judge an open product, see `judge_physics`; one that is being written, too, with the frames that were kept."""
    frames = find_dataset(file, contract.DIFFRACTION)
    if not thorough and frames is not None and math.prod((frames.shape or ())[1:]) > _QUICK_PIXELS:
        return PhysicsReport("undecided", reason="the frames are large; `ptychoproduct validate --physics` judges them")
    with np.errstate(all="ignore"):  # what is not finite is predicted by nothing
        evidence = evidence_of(file, kept)
        return evidence if isinstance(evidence, PhysicsReport) else judge(evidence, thorough=thorough)


def record_physics(file: h5py.File, origin: Origin, kept: KeptFrames | None, convention: str) -> PhysicsReport | None:
    """Judge a product that is being written, note the verdict in it, and warn of another convention.

    Without frames there is nothing to judge.

    Parameters
    ----------
    file : h5py.File
    origin : path or str
        What messages name.
    kept : KeptFrames or None
        Frames that need not be read back; None where nothing is to be judged.
    convention : {"given", "auto"}
        "auto": all conventions are tried.
    """
    if kept is None or contract.DIFFRACTION.name not in file:
        return None
    report = judge_file(file, thorough=convention == "auto", kept=kept)
    file.attrs[contract.PHYSICS_VERDICT.name] = report.verdict
    if report.frames:
        file.attrs[contract.PHYSICS_CORRELATION.name] = np.float64(report.correlation)
    if report.better is not None:
        file.attrs[contract.PHYSICS_CONVENTION.name] = report.flags
        warn(f"{origin}: {report.sentence}")
    return report


def evidence_of(file: h5py.File, kept: KeptFrames | None = None) -> Evidence | PhysicsReport:
    """Read what `judge` needs of a product; the report that nothing can be judged where something is not known."""
    names = (contract.PROBE, contract.OBJECT, contract.POSITION_X, contract.POSITION_Y, contract.DIFFRACTION)
    found = {expected.name: find_dataset(file, expected) for expected in names}
    missing = [name for name, dataset in found.items() if dataset is None]
    if missing:
        return PhysicsReport("undecided", reason=f"the product has no {missing[0].rpartition('/')[2]}")
    probe, object_, x, y, frames = (dataset for dataset in found.values() if dataset is not None)
    if read_attribute(object_, contract.SYNTHETIC):
        return _ONES
    weights, spacing = (find_dataset(file, expected) for expected in (contract.OPR, contract.OBJECT_LAYER_SPACING))
    with stored_as(frames) as stored:
        rows = frames_to_judge(len(frames), frames.shape[1:], stored.chunks)
    found_frames = None if kept is None else kept.of(rows)
    try:
        return evidence_from(
            _read_values(probe, contract.PROBE),
            _read_values(object_, contract.OBJECT),
            _read_values(x, contract.POSITION_X),
            _read_values(y, contract.POSITION_Y),
            read_metadata(file, probe, object_),
            rows,
            lambda: _read_frames(frames, rows) if found_frames is None else found_frames,
            recipe=read_recipe(frames),
            opr_weights=None if weights is None else _read_values(weights, contract.OPR),
            layer_spacing_m=() if spacing is None else _read_values(spacing, contract.OBJECT_LAYER_SPACING),
        )
    except UnknownOpticsError as reason:
        return PhysicsReport("undecided", reason=str(reason))


def predicted_frame(path: Path, number: int) -> tuple[Array, float] | None:
    """Predict one frame of a product, to be seen beside it.

    Parameters
    ----------
    path : Path
    number : int
        Of the frame.

    Returns
    -------
    frame : array, [H, W]
        Amplitudes or counts, as the frames are, and as strong as the measured frame.
    correlation : float
        Of the product, see `PhysicsReport`.

    None where nothing predicts the frames, and no other convention is noted that would.
    """
    with open_hdf5(path) as file, reading(file):
        evidence = evidence_of(file)
        if isinstance(evidence, PhysicsReport) or len(evidence.rows) < LEAST_FRAMES:
            return None
        found = as_it_is(evidence)
        noted = read_attribute(file, contract.PHYSICS_CONVENTION)
        one = replace(evidence, rows=np.array([number]), _seen={})
        x_px, y_px = one.patches("")
        on = on_object(x_px, y_px, one.optics.probe.shape, one.optics.object.shape)
        if not on.all() or (found.deviations <= SURE and not noted):
            return None
        frames = find_dataset(file, contract.DIFFRACTION)
        assert frames is not None
        measured, _ = as_amplitudes(_read_frames(frames, one.rows), read_recipe(frames))
        values = _as_product_gives(frames, one.rows)
    amplitudes = predicted_amplitudes(one.optics, x_px, y_px, one.rows)[0]
    amplitudes *= float(np.sum(measured[0] * amplitudes)) / max(float(np.sum(amplitudes**2)), 1e-30)
    is_squared = np.sum(np.abs(values - measured[0] ** 2)) < np.sum(np.abs(values - measured[0]))
    return (amplitudes**2 if is_squared else amplitudes), found.correlation


def _as_product_gives(frames: h5py.Dataset, rows: Array) -> Array:
    """Return one frame as `Product.frames` has it, float64."""
    values, recipe = _read_frames(frames, rows)[0], read_recipe(frames)
    return np.asarray(values if recipe is None else recipe.to_amplitudes(values), np.float64)


def _read_frames(frames: h5py.Dataset, rows: Array) -> Array:
    with closing(DatasetReader(frames, 1)) as reader:  # which refuses forged sizes before a filter sees them
        return reader.read(rows)


def evidence_from(
    probe: Array,
    object_: Array,
    x_m: Array,
    y_m: Array,
    meta: ExportMeta | ResolvedMetadata,
    rows: Array,
    read_frames: Callable[[], Array],
    *,
    recipe: CountsRecipe | None = None,
    opr_weights: Array | None = None,
    layer_spacing_m: Sequence[float] | Array = (),
) -> Evidence:
    """Put together what `judge` needs.

    Parameters
    ----------
    probe, object_, opr_weights, layer_spacing_m
        As a product has them.
    x_m, y_m : array, [N]
        All positions.
    meta : ExportMeta
    rows : array, [n], int
        Which frames are judged.
    read_frames : callable
        Returns these, [n, H, W]; called when it is known that they can be predicted.
    recipe : CountsRecipe, optional
        How amplitudes were made of the counts that are stored.

    Raises
    ------
    UnknownOpticsError
        Frames cannot be predicted; the message says why.
    """
    pixel_m = meta.object_pixel_width_m, meta.object_pixel_height_m
    if not all(pixel_m) or not len(x_m) == len(y_m):
        raise UnknownOpticsError("the pixel size of the object is not known")
    width_m, height_m = float(pixel_m[0] or 0), float(pixel_m[1] or 0)
    if probe.ndim not in (2, 3, 4) or object_.ndim not in (2, 3):
        raise UnknownOpticsError("probe or object have another number of axes")
    if any(probe.shape[axis] > object_.shape[axis] for axis in (-1, -2)):
        raise UnknownOpticsError("the object is smaller than the probe")
    optics = _propagated(Optics.of(probe, object_, opr_weights), meta, layer_spacing_m)
    frames = read_frames()
    if len(x_m) <= rows.max(initial=-1):
        raise UnknownOpticsError("there are fewer positions than frames")
    if frames.shape[1:] != probe.shape[-2:] and frames.shape[:0:-1] != probe.shape[-2:]:
        raise UnknownOpticsError("frames and probe have different numbers of pixels")
    return Evidence(
        frames,
        rows,
        np.asarray(x_m, np.float64) / width_m,
        np.asarray(y_m, np.float64) / height_m,
        ((meta.object_center_x_m or 0.0) / width_m, (meta.object_center_y_m or 0.0) / height_m),
        (width_m, height_m),
        optics,
        recipe,
    )


def _propagated(
    optics: Optics, meta: ExportMeta | ResolvedMetadata, layer_spacing_m: Sequence[float] | Array
) -> Optics:
    """Add propagation between layers and, in the near field, to the detector."""
    layers = len(optics.object)
    is_near = meta.far_field is False
    if layers == 1 and not is_near:
        return optics
    pixel_m = (meta.probe_pixel_height_m or 0.0, meta.probe_pixel_width_m or 0.0)
    energy_eV = meta.probe_energy_eV or 0.0
    if not all(pixel_m) or energy_eV <= 0 or len(layer_spacing_m) != layers - 1:
        raise UnknownOpticsError(
            "the near field needs photon energy and pixel size" if is_near else "the layers' distances are not known"
        )
    shape, wave_m = optics.probe.shape[-2:], wavelength_m(energy_eV, meta.particle)
    transfers = [transfer_function(shape, pixel_m, wave_m, float(distance)) for distance in layer_spacing_m]
    optics = replace(optics, transfers=transfers)
    if not is_near:
        return optics
    distance_m, focus_m = meta.detector_distance_m or 0.0, meta.focus_object_distance_m or 0.0
    if focus_m:
        magnification = abs((distance_m - focus_m) / focus_m)
        distance_m = distance_m / magnification if magnification else 0.0
    sampled = all(
        distance_m > 0 and far_field_pixel_m(energy_eV, distance_m, pixels, size, meta.particle) <= size
        for pixels, size in zip(shape, pixel_m, strict=True)
    )
    if not sampled:
        raise UnknownOpticsError("the near field is not sampled finely enough")
    return replace(optics, to_detector=transfer_function(shape, pixel_m, wave_m, distance_m))
