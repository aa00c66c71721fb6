"""A product in two dozen lines: what people look for first, and what is not known as "not given"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ptychoproduct.aliases import Array
from ptychoproduct.errors import counted
from ptychoproduct.hdf5.contract_fields import read_attribute
from ptychoproduct.model import contract
from ptychoproduct.model.plausibility import stands_for_unknown
from ptychoproduct.model.wavelength import wavelength_m
from ptychoproduct.product.inspection import DatasetEntry, GroupEntry, Inspection
from ptychoproduct.product.provenance import SourceFile, read_provenance
from ptychoproduct.product.reader import Product
from ptychoproduct.system.sizes import decimal_size

NOT_GIVEN = "not given"
_LONGEST_TEXT = 200
_DIGEST_DIGITS = 16
_PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M"}
# Fields with a line of their own, whether they are given or not.
_ALWAYS = {"probe_energy_eV": "energy", "detector_distance_m": "distance"}
_IF_GIVEN = {
    "exposure_time_s": "exposure",
    "probe_photon_count": "photons",
    "mass_attenuation_m2_kg": "attenuation",
    "focus_object_distance_m": "focus distance",
    "tomography_angle_deg": "tomography",
    "tilt_angle_deg": "tilt",
    "polarization": "polarization",
    "particle": "particle",
}
_UNITS = {attribute.field: attribute.unit for attribute in contract.ROOT_ATTRIBUTES if attribute.field}


def describe_product(product: Product, inspection: Inspection) -> dict[str, str]:
    """Return what is in a product as names and values, each of them one line that cannot steer a terminal.

    Parameters
    ----------
    product : Product
        Open; no frame is read.
    inspection : Inspection
        Of the same file.
    """
    size = decimal_size(inspection.file_bytes)
    rows = {"product": f"{inspection.product}  ({', '.join(text for text in (size, _format(product)) if text)})"}
    rows |= {name: getattr(product.meta, name) or "" for name in ("name", "comments")}
    rows |= _frames(product, inspection)
    rows["positions"] = f"{len(product.x_m):,}{_span(product.x_m, product.y_m)}"
    rows |= _arrays(product)
    rows |= _metadata(product)
    rows |= _origin(product, inspection)
    return {name: printable(value, _LONGEST_TEXT) for name, value in rows.items() if value}


def printable(text: str, longest: int) -> str:
    """Return text from a file so that it cannot steer a terminal, in one line that is not too long."""
    safe = "".join(c if c.isprintable() else " " for c in text)
    return safe if len(safe) <= longest else f"{safe[:longest]}..."


def with_prefix(value: float, unit: str) -> str:
    """Write a number with three digits, and with a prefix of its unit: 155 pm, 75 µm, 2 m."""
    power = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12) if value else 0
    power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    return f"{value / 10.0**power:.4g} {_PREFIXES[power]}{unit}"


def _format(product: Product) -> str:
    texts = (read_attribute(product.file, attribute) for attribute in contract.ROOT_ATTRIBUTES[:2])
    return " ".join(text for text in texts if isinstance(text, str))


def _frames(product: Product, inspection: Inspection) -> dict[str, str]:
    frames = product.frames
    if frames is None:
        return {"frames": "none"}
    rows = {"frames": f"{frames.shape[0]:,} of {_shape(frames.shape[1:])}, {frames.dtype}"}
    if frames.recipe is not None:
        recipe = frames.recipe
        rows["stored as"] = f"exact counts, {recipe.count_dtype} ({recipe.operation_order})"
    entry = next((e for e in datasets_of(inspection.root) if e.path == f"/{contract.DIFFRACTION.name}"), None)
    if entry is not None:
        chunks = f", chunks of {_shape(entry.chunk_shape)}" if entry.chunk_shape else ""
        rows["codec"] = f"{entry.codec}{chunks}"
        if entry.stored_bytes:
            sizes = f"{decimal_size(frames.nbytes)} to {decimal_size(entry.stored_bytes)}"
            rows["ratio"] = f"{frames.nbytes / entry.stored_bytes:.2f}  ({sizes})"
    return rows


def datasets_of(group: GroupEntry) -> Iterator[DatasetEntry]:
    """Give all datasets in a group and in the groups inside it."""
    for member in group.members:
        if isinstance(member, GroupEntry):
            yield from datasets_of(member)
        elif isinstance(member, DatasetEntry):
            yield member


def _arrays(product: Product) -> dict[str, str]:
    meta, probe, object_ = product.meta, product.probe, product.object
    modes = probe.shape[:-2]
    kinds = ("incoherent mode", "coherent mode")
    parts = [counted(number, kind) for number, kind in zip(reversed(modes), kinds, strict=False)]
    sized = (meta.probe_pixel_width_m, meta.probe_pixel_height_m)
    rows = {"probe": "; ".join([f"{_shape(probe.shape[-2:])}, {probe.dtype}", *parts, *_pixels(*sized)])}
    parts = [counted(len(object_), "layer")] if object_.ndim == 3 else []
    width, height = meta.object_pixel_width_m, meta.object_pixel_height_m
    if width and height:
        parts.append(_sides(object_.shape[-1] * width, object_.shape[-2] * height))
    parts += ["a stand-in of ones"] if product.is_object_synthetic else []
    rows["object"] = "; ".join([f"{_shape(object_.shape[-2:])}, {object_.dtype}", *parts, *_pixels(width, height)])
    if product.opr_weights is not None:
        rows["OPR weights"] = _shape(np.shape(product.opr_weights))
    losses = product.loss_values
    rows["losses"] = f"{len(losses):,}, from {losses[0]:.4g} to {losses[-1]:.4g}" if len(losses) else "none"
    return rows


def _metadata(product: Product) -> dict[str, str]:
    meta = product.meta
    rows, missing = {}, []
    for field, title in (_ALWAYS | _IF_GIVEN).items():
        value = getattr(meta, field)
        if _is_known(field, value):
            rows[title] = value if isinstance(value, str) else _quantity(field, value)
        elif field in _ALWAYS:
            rows[title] = NOT_GIVEN
        elif stands_for_unknown(field, 0.0):
            missing.append(title)
    if _is_known("probe_energy_eV", meta.probe_energy_eV):
        length_m = wavelength_m(float(meta.probe_energy_eV or 0), meta.particle)
        rows["energy"] += f"  (wavelength {with_prefix(length_m, 'm')})"
    width, height = meta.detector_pixel_width_m, meta.detector_pixel_height_m
    rows["detector pixel"] = _sides(width, height) if width and height else NOT_GIVEN
    rows["far field"] = "no" if meta.far_field is False else ""
    rows[NOT_GIVEN] = ", ".join(missing)
    return rows


def _is_known(field: str, value: Any) -> bool:
    return value is not None and value != "" and not stands_for_unknown(field, value) and value != 0


def _quantity(field: str, value: float) -> str:
    unit = _UNITS[field]
    if unit in ("m", "s"):
        return with_prefix(value, unit)
    return f"{value:.10g} {unit}" if unit not in ("", "1") else f"{value:.10g}"


def _origin(product: Product, inspection: Inspection) -> dict[str, str]:
    file, rows = product.file, {}
    verdict, correlation = (read_attribute(file, a) for a in (contract.PHYSICS_VERDICT, contract.PHYSICS_CORRELATION))
    if verdict is not None:
        rows["physics"] = str(verdict) + ("" if correlation is None else f", correlation {correlation:.2f}")
    steps = (("positions", product.positions_transform), ("probe", ",".join(product.probe_transform)))
    rows["transformed"] = "; ".join(f"{what} by {step}" for what, step in steps if step)
    provenance = read_provenance(file)
    options = ", ".join(f"{name} {value}" for name, value in (provenance.options or {}).items())
    parts = (provenance.program, options, provenance.created)
    rows["made by"] = "; ".join(part for part in parts if part) or NOT_GIVEN
    rows["made from"] = "; ".join(map(_source, provenance.sources)) or NOT_GIVEN
    entries = list(datasets_of(inspection.root))
    digests = sum(any(a.name == contract.CONTENT_DIGEST.name for a in e.attributes) for e in entries)
    checked = any(a.name == contract.ROW_CHECKSUMS for e in entries for a in e.attributes)
    rows["checksums"] = f"SHA-256 of {digests} of {counted(len(entries), 'dataset')}" if digests else "none"
    rows["checksums"] += ", a CRC-32 of each frame" if checked else ""
    return rows


def _source(file: SourceFile) -> str:
    what, digest = ("SHA-256", file.sha256) if file.sha256 else ("SHA-256 of the first MiB", file.head_sha256)
    digits = f", {what} {digest[:_DIGEST_DIGITS]}..." if isinstance(digest, str) else ""
    return f"{file.name}, {decimal_size(file.bytes)}{digits}"


def _span(x_m: Array, y_m: Array) -> str:
    finite = np.isfinite(x_m) & np.isfinite(y_m)
    if not finite.any():
        return ""
    width_m, height_m = np.ptp(x_m[finite]), np.ptp(y_m[finite])
    return f", over {_sides(float(width_m), float(height_m))}" if width_m or height_m else ""


def _pixels(width_m: float | None, height_m: float | None) -> list[str]:
    if not width_m or not height_m:
        return [f"pixel size {NOT_GIVEN}"]
    return [f"pixels of {with_prefix(width_m, 'm') if width_m == height_m else _sides(width_m, height_m)}"]


def _sides(width_m: float, height_m: float) -> str:
    """Write two lengths in the unit of the larger one."""
    number, unit = with_prefix(max(width_m, height_m), "m").split()
    factor = max(width_m, height_m) / float(number)
    return f"{width_m / factor:.4g} x {height_m / factor:.4g} {unit}"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
