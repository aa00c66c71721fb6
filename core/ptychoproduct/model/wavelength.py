"""Energy and wavelength of a beam: photons, or electrons by the relativistic relation.

Imports the standard library only, as `units` does.
"""

from __future__ import annotations

import math

# Exact in the SI since 2019; CODATA 2022, https://physics.nist.gov/constants
PLANCK_J_S = 6.62607015e-34
LIGHT_SPEED_M_S = 299792458.0
ELEMENTARY_CHARGE_C = 1.602176634e-19
ELECTRON_REST_ENERGY_EV = 510998.95069
HC_EV_M = PLANCK_J_S * LIGHT_SPEED_M_S / ELEMENTARY_CHARGE_C


class EnergyOfWavelength(float):
    """The energy in eV of a photon that has the wavelength which was given; `of` has it for another particle."""

    def of(self, particle: str | None) -> float:
        """Return the energy for a beam of photons, or the kinetic energy for one of electrons.

        The inverse of `wavelength_m`: with p c = hc / λ, an electron has √((p c)² + (m c²)²) - m c².
        """
        photon_eV = float(self)
        if particle != "electron":
            return photon_eV
        return photon_eV * (photon_eV / (math.hypot(photon_eV, ELECTRON_REST_ENERGY_EV) + ELECTRON_REST_ENERGY_EV))


def wavelength_m(energy_eV: float, particle: str | None = None) -> float:
    """Return the wavelength of photons, hc / E, or of electrons of that kinetic energy, hc / √(E (E + 2 m c²))."""
    if particle == "electron":
        return HC_EV_M / math.sqrt(energy_eV) / math.sqrt(energy_eV + 2 * ELECTRON_REST_ENERGY_EV)
    return HC_EV_M / energy_eV
