"""Energy and wavelength: electrons' against the tables of electron microscopy, on every road by which one is given."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptychoproduct.model.units import parse_number
from ptychoproduct.model.wavelength import EnergyOfWavelength, wavelength_m

# D. B. Williams and C. B. Carter, Transmission Electron Microscopy, table 1.2.
MICROSCOPES = [(80e3, "4.1757pm"), (200e3, "2.5079pm"), (300e3, "1.9687pm")]


@pytest.mark.parametrize(("energy_eV", "text"), MICROSCOPES)
def test_electrons_of_microscopes(energy_eV, text):
    assert wavelength_m(energy_eV, "electron") == pytest.approx(parse_number(text, "m"), rel=3e-5)
    assert parse_number(text, "eV").of("electron") == pytest.approx(energy_eV, rel=5e-5)
    assert (
        parse_number(text, "eV").of(None)
        == parse_number(text, "eV")
        == pytest.approx(1.2398e-6 / float(text[:-2]) * 1e12, rel=1e-4)
    )


@given(st.floats(1e-3, 1e9), st.sampled_from(["photon", "electron", None]))
def test_a_wavelength_gives_its_energy_again(energy_eV, particle):
    photon_eV = EnergyOfWavelength(wavelength_m(1.0) / wavelength_m(energy_eV, particle))
    assert photon_eV.of(particle) == pytest.approx(energy_eV, rel=1e-12)


def nexus(path, particle):
    """A file of frames that says its wavelength, as NeXus files do."""
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.ones((12, 16, 16), np.uint16)
        file["entry/instrument/beam/incident_wavelength"] = 1.9687
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "pm"
    np.savez(
        path.with_suffix(".npz"), xcoords=np.arange(12.0), ycoords=np.arange(12.0) % 5, probeGuess=np.ones((16, 16))
    )
    beside = str(path.with_suffix(".npz"))
    return [str(path), "p.h5", "--positions", beside, "--probe", beside, *particle]


@pytest.mark.parametrize("road", ["option", "metadata file", "hdf5", "npz"])
@pytest.mark.parametrize(("particle", "energy_eV"), [((), 629.78e3), (("--particle", "electron"), 300e3)])
def test_whatever_says_the_wavelength_the_energy_is_that_of_the_particle(
    save_scan, tmp_path, run_command, road, particle, energy_eV
):
    if road == "hdf5":
        words = nexus(tmp_path / "scan.h5", particle)
    elif road == "npz":
        words = [save_scan(wavelength_m=np.float64(1.9687e-12)), "p.h5", *particle]
    elif road == "option":
        words = [save_scan(), "p.h5", "--probe-energy-eV", "1.9687pm", *particle]
    else:
        lines = ['probe_energy_eV = "1.9687pm"', *(f'particle = "{word}"' for word in particle[1:])]
        (tmp_path / "meta.toml").write_text("\n".join(lines))
        words = [save_scan(), "p.h5", "--metadata", "meta.toml"]
    done = run_command("ptychoproduct", "convert", *words)
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "p.h5") as product:
        assert product.attrs["photon_energy_eV"] == pytest.approx(energy_eV, rel=5e-5)
        assert product.attrs["probe_energy_eV"] == product.attrs["photon_energy_eV"]
