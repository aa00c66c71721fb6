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
from ptychoproduct.errors import OptionError, warn
from ptychoproduct.hdf5.contract_fields import _read_values, find_dataset, read_attribute, read_metadata, read_recipe
from ptychoproduct.hdf5.dataset_reader import DatasetReader
from ptychoproduct.hdf5.local_links import open_hdf5, reading
from ptychoproduct.hdf5.shard_layout import is_sharded
from ptychoproduct.hdf5.sharded_chunks import stored_as
from ptychoproduct.model import contract
from ptychoproduct.model.axes import axis_order, canonical_axes
from ptychoproduct.model.counts import CountsRecipe, InexactError
from ptychoproduct.model.gaps import are_no_counts, have_marks, usual_marks
from ptychoproduct.model.geometry import far_field_pixel_m, resolve_metadata, wavelength_m
from ptychoproduct.model.metadata import ExportMeta, ResolvedMetadata
from ptychoproduct.model.object_center import with_object_center
from ptychoproduct.model.patterns import choose_patterns
from ptychoproduct.model.position_units import known_unit
from ptychoproduct.model.positions import pixels_to_metres, to_object_pixels
from ptychoproduct.scan.scan import Scan
from ptychoproduct.scan.scan_files import ScanFiles, opened_scan
from ptychoproduct.streaming.sampling import sample_rows, spread_runs
from ptychoproduct.system.resources import Resources
from ptychoproduct.validation.hypotheses import AS_IT_IS
from ptychoproduct.validation.physics import LEAST_FRAMES, SURE, Evidence, PhysicsReport, frames_to_judge, judge
from ptychoproduct.validation.physics_model import Optics, on_object, predicted_amplitudes, transfer_function

# A chunk of more frames than this is decoded for several of them.
_DEEP_CHUNK = 8
_DEEP_CHUNKS = 4
_ELEMENTS = 2**15
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
            return _judge_scan(scan, meta or ExportMeta(), thorough)
    if isinstance(product, Scan):
        return _judge_scan(product, meta or ExportMeta(), thorough)
    path = product if isinstance(product, str | PathLike) else product.path  # type: ignore[attr-defined]
    with open_hdf5(Path(path)) as file, reading(file):
        return judge_file(file, thorough=thorough)


def _judge_scan(scan: Scan, given: ExportMeta, thorough: bool) -> PhysicsReport:
    """Judge a scan that no product was made of yet; its object lies where `with_object_center` finds that it fits."""
    frames, object_ = scan.frames, scan.object
    if frames is None or object_ is None or scan.is_object_synthetic:
        return _ONES if frames is not None else PhysicsReport("undecided", reason="the scan has no frames")
    unit = known_unit(scan.positions_in, scan.x, scan.y, scan.origin)
    source = frames.rows(canonical_axes(axis_order(frames.shape, len(scan.x), "auto", scan.origin, frames.key)))
    meta = resolve_metadata(given, scan.metadata, source.shape)
    sizes_m = meta.object_pixel_width_m, meta.object_pixel_height_m
    x_m, y_m = (
        pixels_to_metres(to_object_pixels(values, key, unit, size_m, scan.origin), size_m)
        for key, values, size_m in zip(("xcoords", "ycoords"), (scan.x, scan.y), sizes_m, strict=True)
    )
    wanted = len(frames_to_judge(source.shape[0], source.shape[1:]))
    rows = np.array([run.start for run in spread_runs(source.shape[0], 1, wanted)]) if wanted else np.empty(0, int)
    try:
        with np.errstate(all="ignore"):
            evidence = evidence_from(
                np.asarray(scan.probe),
                object_,
                x_m,
                y_m,
                with_object_center("auto", x_m, y_m, object_.shape, meta),
                rows,
                lambda: sample_rows(source, 1, wanted),
                opr_weights=scan.reconstruction.opr_weights,
                layer_spacing_m=scan.reconstruction.object_layer_spacing_m,
            )
            return judge(evidence, thorough=thorough)
    except UnknownOpticsError as reason:
        return PhysicsReport("undecided", reason=str(reason))


def judge_file(file: h5py.File, *, thorough: bool = True) -> PhysicsReport:
    """Judge an open product, see `judge_physics`; one that is being written, too."""
    frames = find_dataset(file, contract.DIFFRACTION)
    if not thorough and frames is not None and math.prod((frames.shape or ())[1:]) > _QUICK_PIXELS:
        return PhysicsReport("undecided", reason="the frames are large; `ptychoproduct validate --physics` judges them")
    with np.errstate(all="ignore"):  # what is not finite is predicted by nothing
        evidence = evidence_of(file)
        return evidence if isinstance(evidence, PhysicsReport) else judge(evidence, thorough=thorough)


def record_physics(file: h5py.File, origin: Origin, wanted: bool, convention: str) -> PhysicsReport | None:
    """Judge a product that is being written, note the verdict in it, and warn of another convention.

    Without frames there is nothing to judge.

    Parameters
    ----------
    file : h5py.File
    origin : path or str
        What messages name.
    wanted : bool
        Whether to judge.
    convention : {"given", "auto"}
        "auto": all conventions are tried.
    """
    if not wanted or contract.DIFFRACTION.name not in file:
        return None
    report = judge_file(file, thorough=convention == "auto")
    file.attrs[contract.PHYSICS_VERDICT.name] = report.verdict
    if report.frames:
        file.attrs[contract.PHYSICS_CORRELATION.name] = np.float64(report.correlation)
    if report.better is not None:
        file.attrs[contract.PHYSICS_CONVENTION.name] = report.flags
        warn(f"{origin}: {report.sentence}")
    return report


def evidence_of(file: h5py.File) -> Evidence | PhysicsReport:
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
    rows = _rows(frames)
    try:
        return evidence_from(
            _read_values(probe, contract.PROBE),
            _read_values(object_, contract.OBJECT),
            _read_values(x, contract.POSITION_X),
            _read_values(y, contract.POSITION_Y),
            read_metadata(file, probe, object_),
            rows,
            lambda: _read_frames(frames, rows),
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
        Of the product, see `Agreement`.

    None where nothing predicts the frames, and no other convention is noted that would.
    """
    with open_hdf5(path) as file, reading(file):
        evidence = evidence_of(file)
        if isinstance(evidence, PhysicsReport) or len(evidence.rows) < LEAST_FRAMES:
            return None
        found = evidence.agreement(AS_IT_IS)
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


def _rows(frames: h5py.Dataset) -> Array:
    """Choose frames so that few chunks have to be decoded."""
    rows = frames_to_judge(len(frames), frames.shape[1:])
    with stored_as(frames) as stored:
        depth = stored.chunks[0] if stored.chunks else 1
    if depth <= _DEEP_CHUNK or len(frames) <= _DEEP_CHUNKS * depth:
        return rows
    each = -(-len(rows) // _DEEP_CHUNKS)
    firsts = frames_to_judge(len(frames) // depth, (2**30,))[:: max(1, _DEEP_CHUNKS - 1)][:_DEEP_CHUNKS] * depth
    found: Array = np.unique(firsts[:, np.newaxis] + np.linspace(0, depth - 1, each).astype(int))
    return found


def _read_frames(frames: h5py.Dataset, rows: Array) -> Array:
    if is_sharded(frames):  # HDF5 would give zeros for what it does not find
        with closing(DatasetReader(frames)) as reader:
            return reader.read(rows)
    with reading(frames):
        values: Array = frames[rows]
    return values


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
    if any(probe.shape[axis] > object_.shape[axis] for axis in (-1, -2)):
        raise UnknownOpticsError("the object is smaller than the probe")
    optics = _propagated(Optics.of(probe, object_, opr_weights), meta, layer_spacing_m)
    frames = read_frames()
    if len(x_m) <= rows.max(initial=-1):
        raise UnknownOpticsError("there are fewer positions than frames")
    if frames.shape[1:] != probe.shape[-2:] and frames.shape[:0:-1] != probe.shape[-2:]:
        raise UnknownOpticsError("frames and probe have different numbers of pixels")
    amplitudes, are_counts = as_amplitudes(frames, recipe)
    marks = usual_marks(frames.dtype, None)
    bad = np.any(are_no_counts(frames), axis=0) | np.all(have_marks(frames, marks), axis=0)
    return Evidence(
        amplitudes,
        ~bad,
        rows,
        np.asarray(x_m, np.float64) / width_m,
        np.asarray(y_m, np.float64) / height_m,
        ((meta.object_center_x_m or 0.0) / width_m, (meta.object_center_y_m or 0.0) / height_m),
        (width_m, height_m),
        optics,
        are_counts,
    )


def as_amplitudes(frames: Array, recipe: CountsRecipe | None = None) -> tuple[Array, bool]:
    """Return amplitudes of frames of either quantity, float32, and whether these are roots of photon counts.

    Parameters
    ----------
    frames : array, [n, H, W]
        What is no count becomes 0.
    recipe : CountsRecipe, optional
        The frames are counts, of which it makes amplitudes.
    """
    values = np.where(are_no_counts(frames), frames.dtype.type(0), frames)
    if recipe is not None or values.dtype.kind in "biu":
        return np.sqrt(values, dtype=np.float32), True
    some = np.ascontiguousarray(values.reshape(-1)[:: max(1, values.size // _ELEMENTS)])
    try:
        patterns = choose_patterns(some, "auto", "", "")
        counts = np.empty(values.shape, patterns.dtype)
        patterns.fill(np.ascontiguousarray(values), counts)
    except (OptionError, InexactError):
        return values.astype(np.float32), False
    return np.sqrt(counts, dtype=np.float32), True


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
    shape, wave_m = optics.probe.shape[-2:], wavelength_m(energy_eV)
    transfers = [transfer_function(shape, pixel_m, wave_m, float(distance)) for distance in layer_spacing_m]
    optics = replace(optics, transfers=transfers)
    if not is_near:
        return optics
    distance_m, focus_m = meta.detector_distance_m or 0.0, meta.focus_object_distance_m or 0.0
    if focus_m:
        magnification = abs((distance_m - focus_m) / focus_m)
        distance_m = distance_m / magnification if magnification else 0.0
    sampled = all(
        distance_m > 0 and far_field_pixel_m(energy_eV, distance_m, pixels, size) <= size
        for pixels, size in zip(shape, pixel_m, strict=True)
    )
    if not sampled:
        raise UnknownOpticsError("the near field is not sampled finely enough")
    return replace(optics, to_detector=transfer_function(shape, pixel_m, wave_m, distance_m))
