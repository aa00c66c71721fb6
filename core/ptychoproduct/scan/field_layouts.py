"""Where the programs of the field keep a scan in HDF5 files, as data: a new program is a new entry of `LAYOUTS`."""

from __future__ import annotations

from ptychoproduct.model.metadata import ExportMeta
from ptychoproduct.model.units import field_unit
from ptychoproduct.scan.layout import Layout, MetadataPlace, PositionLayout, StepLayout

# In ptychodus's files of patterns, and beside them.
PATTERNS, FRAME_NUMBERS, BAD_PIXELS = "/patterns", "indexes", "bad_pixels"
# In the group of a detector; not zero where a pixel is bad.
MASK_NAMES = (BAD_PIXELS, "pixel_mask", "mask")

# Texts and choices have no unit, and `field_unit` calls what it does not know a count.
_NUMBERS = tuple(name for name in vars(ExportMeta()) if field_unit(name) != "count" or name == "probe_photon_count")
_ENERGY, _DISTANCE = "probe_energy_eV", "detector_distance_m"
_DETECTOR_PIXEL = ("detector_pixel_width_m", "detector_pixel_height_m")
_OBJECT_PIXEL = ("object_pixel_width_m", "object_pixel_height_m")
_PROBE_PIXEL = ("probe_pixel_width_m", "probe_pixel_height_m")
_CXI = "/entry_1/instrument_1"
_CXI_PTYCHODUS = "/entry_1/ptychodus"
_CXI_NUMBERS = f"{_CXI_PTYCHODUS}/probe_position_indexes"
_NEXUS = "/entry/instrument"
_EIGER = f"{_NEXUS}/detector/detectorSpecific"
_ATTRIBUTES = f"{_NEXUS}/NDAttributes"  # areaDetector's


def detector_places(group: str) -> tuple[MetadataPlace, ...]:
    """Return what CXI and NeXus keep in the group of a detector."""
    return (
        MetadataPlace(_DISTANCE, f"{group}/detector_distance", "m"),
        MetadataPlace(_DISTANCE, f"{group}/distance", "m"),
        MetadataPlace("detector_pixel_width_m", f"{group}/x_pixel_size", "m"),
        MetadataPlace("detector_pixel_height_m", f"{group}/y_pixel_size", "m"),
        MetadataPlace("exposure_time_s", f"{group}/count_time", "s"),
        MetadataPlace(_ENERGY, f"{group}/photon_energy", "J/eV"),
    )


def _beam(group: str) -> tuple[MetadataPlace, ...]:
    energies = ("incident_energy", "incident_beam_energy", "energy")
    wavelengths = ("incident_wavelength", "wavelength")
    return (
        *(MetadataPlace(_ENERGY, f"{group}/{name}", "J/eV") for name in energies),
        *(MetadataPlace(_ENERGY, f"{group}/{name}", "m/Å") for name in wavelengths),
    )


def _masks(group: str) -> tuple[str, ...]:
    return tuple(f"{group}/{name}" for name in MASK_NAMES)


def _reciprocal(height: str, width: str, unit: str) -> tuple[MetadataPlace, ...]:
    """Return the detector's pixels in reciprocal space, from which those of the object follow."""
    return tuple(
        MetadataPlace(f"{of}_pixel_{side}_m", path, unit)
        for of in ("object", "probe")
        for side, path in (("height", height), ("width", width))
    )


LAYOUTS = (
    Layout(
        "ptychoproduct and ptychodus, products",
        frames=("/raw_data/diffraction",),
        positions=(
            PositionLayout("/raw_data/xcoords", "/raw_data/ycoords", "px", scan_index="/raw_data/scan_index"),
            PositionLayout("/probe_position_x_m", "/probe_position_y_m", "m", "/probe_position_indexes"),
        ),
        probe=("/raw_data/probeGuess", "/probe"),
        object=("/raw_data/objectGuess",),
        mask=("/raw_data/bad_pixels",),
        names=(
            *((name, (name,), field_unit(name)) for name in _NUMBERS),
            ("photon_energy_eV", (_ENERGY,), "eV"),
            ("detector_object_distance_m", (_DISTANCE,), "m"),
            ("mass_attenuation_m2_per_kg", ("mass_attenuation_m2_kg",), "m2/kg"),
        ),
    ),
    Layout(
        "ptychodus, patterns and training data",
        frames=(PATTERNS,),
        positions=(PositionLayout("/probe_position_x_px", "/probe_position_y_px", "px"),),
        probe=("/probe",),
    ),
    Layout(
        "fold_slice, PtychoShelves",
        frames=("/dp",),
        positions=(PositionLayout("/ppX", "/ppY", "m"),),
        probe=("/probe",),
        names=(
            ("lambda", (_ENERGY,), "m/Å"),
            ("dx", (*_OBJECT_PIXEL, *_PROBE_PIXEL), "m"),
            ("angle", ("tomography_angle_deg",), "deg"),
        ),
        beside=("_dp", "_para"),
    ),
    Layout(
        "CXI (ptychodus, PyNX, cdtools, SHARP, ptypy)",
        frames=("/entry_1/data_1/data", f"{_CXI}/detector_1/data"),
        positions=tuple(
            PositionLayout(translation, translation, "m", _CXI_NUMBERS)
            for translation in (
                "/entry_1/sample_1/geometry_1/translation",
                "/entry_1/sample_1/geometry/translation",
                "/entry_1/data_1/translation",
            )
        ),
        # Where there is an illumination, image_1 may be the object; without one it is the probe.
        probe=(f"{_CXI}/source_1/illumination", "/entry_1/image_1/data"),
        mask=_masks(f"{_CXI}/detector_1"),
        metadata=(
            *_beam(f"{_CXI}/source_1"),
            *_beam(f"{_CXI}/beam_1"),
            *detector_places(f"{_CXI}/detector_1"),
            *(MetadataPlace(name, f"{_CXI_PTYCHODUS}/{name}", field_unit(name)) for name in _NUMBERS),
            MetadataPlace("mass_attenuation_m2_kg", f"{_CXI_PTYCHODUS}/mass_attenuation_m2_per_kg", "m2/kg"),
        ),
        # CXI's translation is that of the sample, as cdtools reads it; ptychodus writes that of the probe.
        positions_transform="flip-x,flip-y",
    ),
    Layout(
        "SLS cSAXS",
        mark=f"{_NEXUS}/eiger_4",
        metadata=(
            MetadataPlace(_ENERGY, f"{_NEXUS}/monochromator/energy", "keV"),
            MetadataPlace(_DISTANCE, f"{_NEXUS}/monochromator/distance", "mm"),
            MetadataPlace("detector_pixel_width_m", f"{_NEXUS}/eiger_4/x_pixel_size", "um"),
            MetadataPlace("detector_pixel_height_m", f"{_NEXUS}/eiger_4/y_pixel_size", "um"),
        ),
    ),
    Layout(
        "NeXus (NXmx, NXdata)",
        frames=("/entry/data/data", f"{_NEXUS}/detector/data"),
        mask=_masks(f"{_NEXUS}/detector"),
        metadata=(
            *(
                place
                for group in (f"{_NEXUS}/beam", "/entry/sample/beam", f"{_NEXUS}/monochromator")
                for place in _beam(group)
            ),
            *detector_places(f"{_NEXUS}/detector"),
        ),
    ),
    Layout(
        "Dectris Eiger, master file (APS 33-ID velociprobe)",
        frames=("/entry/data/data_#", "/entry/data_#"),
        mask=_masks(_EIGER),
        metadata=detector_places(_EIGER),
    ),
    Layout(
        "APS 19-ID ISN",
        frames=("/entry/data/data",),
        positions=(PositionLayout("/entry/data/X_Position", "/entry/data/Y_Position", "um"),),
        metadata=(
            MetadataPlace(_ENERGY, f"{_ATTRIBUTES}/Wavelength", "Å", 0),
            MetadataPlace("exposure_time_s", f"{_ATTRIBUTES}/CountTime", "s", 0),
        ),
    ),
    Layout(
        "APS 4-ID Polar",
        frames=("/entry/externals/eiger",),
        mark="/entry/externals/eiger",
        metadata=(
            MetadataPlace(_ENERGY, f"{_NEXUS}/bluesky/streams/baseline/mono_energy/value_start", "keV"),
            MetadataPlace(_DISTANCE, f"{_ATTRIBUTES}/DetectorDistance", "mm", 0),
        ),
        # ptychodus's reader of the stage's positions negates both.
        positions_transform="flip-x,flip-y",
    ),
    Layout(
        "MAX IV NanoMAX",
        frames=("/entry/measurement/eiger1m/frames", f"{_NEXUS}/Eiger/data", "/entry/measurement/Eiger/data"),
        positions=(PositionLayout("/entry/measurement/pseudo/x", "/entry/measurement/pseudo/y", "um"),),
    ),
    Layout(
        "Data Exchange, of the APS (9-ID CSSI)",
        frames=("/exchange/data",),
        positions=(PositionLayout("/exchange/motor_pos", "/exchange/motor_pos", "mm"),),
    ),
    Layout(
        "APS 12-ID Ptycho-SAXS",
        metadata=(
            MetadataPlace(_ENERGY, f"{_ATTRIBUTES}/monoE", "eV", 0),
            MetadataPlace("exposure_time_s", f"{_ATTRIBUTES}/ExposureTime", "s", 0),
        ),
    ),
    Layout("APS 31-ID LamNI", frames=("/entry/data/eiger_4",)),
    Layout(
        "LCLS XPP",
        frames=("/jungfrau1M/image_img",),
        positions=(PositionLayout("/lmc/ch03", "/lmc/ch05", "um"),),
        positions_transform="flip-x,flip-y",
    ),
    Layout(
        "NSLS-II HXN",
        frames=("/diff_data/merlin1/det_images",),
        positions=(PositionLayout("/scan/scan_positions", "/scan/scan_positions", "um", is_transposed=True),),
        metadata=(
            MetadataPlace(_ENERGY, "/scan/energy", "eV"),
            MetadataPlace("exposure_time_s", "/scan/exposure_time", "s"),
        ),
    ),
    Layout(
        "NSLS-II HXN, prepared",
        mark="/diffamp",
        frames=("/diffamp",),
        positions=(PositionLayout("/points", "/points", "um", is_transposed=True),),
        probe=("/prb",),
        object=("/obj",),
        names=(
            ("lambda_nm", (_ENERGY,), "nm"),
            ("z_m", (_DISTANCE,), "m"),
            ("ccd_pixel_um", _DETECTOR_PIXEL, "um"),
            ("angle", ("tomography_angle_deg",), "deg"),
        ),
    ),
    Layout(
        "PtyLab",
        mark="/ptychogram",
        frames=("/ptychogram",),
        positions=(PositionLayout("/encoder", "/encoder", "m", order="y, x"),),
        names=(
            ("wavelength", (_ENERGY,), "m/Å"),
            ("zo", (_DISTANCE,), "m"),
            ("dxd", _DETECTOR_PIXEL, "m"),
        ),
    ),
    Layout(
        "ptypy, prepared data (.ptyd)",
        frames=("/chunks/#/data",),
        positions=(
            PositionLayout(
                "/chunks/#/positions", "/chunks/#/positions", "m", scan_index="/chunks/#/indices", order="y, x"
            ),
        ),
        metadata=(
            MetadataPlace(_ENERGY, "/meta/energy", "keV"),
            MetadataPlace(_DISTANCE, "/meta/distance", "m"),
            MetadataPlace("detector_pixel_height_m", "/meta/psize", "m", 0),
            MetadataPlace("detector_pixel_width_m", "/meta/psize", "m", -1),
        ),
    ),
    Layout(
        "ptypy, reconstructions (.ptyr)",
        positions=(PositionLayout("/content/positions/*", "/content/positions/*", "m", order="y, x"),),
        probe=("/content/probe/*/data",),
        object=("/content/obj/*/data",),
        metadata=(
            *(
                MetadataPlace(f"{of}_pixel_{side}_m", f"/content/{group}/*/_psize", "m", axis)
                for of, group in (("object", "obj"), ("probe", "probe"))
                for side, axis in (("height", 0), ("width", -1))
            ),
            MetadataPlace(_ENERGY, "/content/pars/scans/*/data/energy", "keV"),
            MetadataPlace(_DISTANCE, "/content/pars/scans/*/data/distance", "m"),
        ),
    ),
    Layout(
        "py4DSTEM (EMD 1.0)",
        frames=("/datacube_root/datacube/data", "/*/datacube/data"),
        steps=(
            StepLayout(
                "/*/metadatabundle/calibration/R_pixel_size",
                "/*/metadatabundle/calibration/R_pixel_size",
                "/*/metadatabundle/calibration/R_pixel_units",
            ),
            StepLayout("/*/datacube/dim0", "/*/datacube/dim1", "/*/datacube/dim1@units"),
        ),
        metadata=_reciprocal(
            "/*/metadatabundle/calibration/Q_pixel_size",
            "/*/metadatabundle/calibration/Q_pixel_size",
            "/*/metadatabundle/calibration/Q_pixel_units",
        ),
        particle="electron",
    ),
    Layout(
        "py4DSTEM before 0.14 (EMD)",
        frames=("/4DSTEM_experiment/data/datacubes/*/data",),
        steps=(
            StepLayout(
                "/4DSTEM_experiment/data/datacubes/*/dim1",
                "/4DSTEM_experiment/data/datacubes/*/dim2",
                "/4DSTEM_experiment/data/datacubes/*/dim2@units",
            ),
        ),
        particle="electron",
    ),
    Layout(
        "HyperSpy",
        frames=("/Experiments/*/data",),
        steps=(
            StepLayout("/Experiments/*/axis-0@scale", "/Experiments/*/axis-1@scale", "/Experiments/*/axis-1@units"),
        ),
        metadata=(
            *_reciprocal("/Experiments/*/axis-2@scale", "/Experiments/*/axis-3@scale", "/Experiments/*/axis-3@units"),
            MetadataPlace(_ENERGY, "/Experiments/*/metadata/Acquisition_instrument/TEM@beam_energy", "keV"),
        ),
        particle="electron",
    ),
    Layout(
        "PtychoPINN",
        frames=("/diff3d", "/diffraction"),
        positions=(PositionLayout("/xcoords", "/ycoords", None, scan_index="/scan_index"),),
        probe=("/probeGuess",),
        object=("/objectGuess",),
        mask=("/mask",),
        names=(
            ("energy_eV", (_ENERGY,), "eV"),
            ("probe_energy_ev", (_ENERGY,), "eV"),
            ("energy_keV", (_ENERGY,), "keV"),
            ("wavelength_m", (_ENERGY,), "m"),
            ("wavelength_nm", (_ENERGY,), "nm"),
            ("distance_m", (_DISTANCE,), "m"),
            ("detector_pixel_size_m", _DETECTOR_PIXEL, "m"),
            ("object_pixel_size_m", _OBJECT_PIXEL, "m"),
            ("probe_pixel_size_m", _PROBE_PIXEL, "m"),
        ),
    ),
)
