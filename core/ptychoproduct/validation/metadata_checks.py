"""Checks of the experiment's numbers: whether they are possible, and in the contract's unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ptychoproduct.model import contract
from ptychoproduct.model.plausibility import NOT_NEGATIVE, implausible, stands_for_unknown, wrong_signs
from ptychoproduct.validation.checks import Problem, Subject, check


@check
def numbers_not_negative(subject: Subject) -> Iterator[Problem]:
    """Energies, distances, times and numbers of photons are not negative."""
    values, places = _fields(subject)
    for field, expected in wrong_signs({field: values.get(field) for field in NOT_NEGATIVE}).items():
        yield Problem("error", places[field], f"found {values[field]}, expected {expected}")


@check
def units_plausible(subject: Subject) -> Iterator[Problem]:
    """No number makes sense in another unit only."""
    values, places = _fields(subject)
    for field, sentence in implausible(values).items():
        yield Problem("warning", places[field], sentence)


@check
def pixel_sizes_positive(subject: Subject) -> Iterator[Problem]:
    """Pixels have a size."""
    for expected in (contract.PROBE, contract.OBJECT):
        for attribute in expected.attributes:
            size = subject.attribute(expected, attribute) if attribute.name.startswith("pixel_") else None
            if size is not None and size <= 0:
                severity: Literal["error", "warning"] = "error" if size < 0 else "warning"
                where = f"/{expected.name}@{attribute.name}"
                yield Problem(severity, where, f"found {size}, expected a positive size")


def not_given(subject: Subject) -> tuple[str, ...]:
    """Return where the product has the zero that stands for a value that was not given; of those that it must have."""
    values = {attribute: subject.attribute(None, attribute) for attribute in contract.ROOT_ATTRIBUTES}
    return tuple(
        f"/@{attribute.name}"
        for attribute, value in values.items()
        if attribute.presence == "required" and stands_for_unknown(attribute.field, value)
    )


def _fields(subject: Subject) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of `ExportMeta` that the product has, and where they are; by their fields."""
    values, places = {}, {}
    owners: list[tuple[contract.Dataset | None, str, tuple[contract.Attribute, ...]]]
    owners = [(None, "/", contract.ROOT_ATTRIBUTES)]
    owners += [(dataset, f"/{dataset.name}", dataset.attributes) for dataset in contract.DATASETS]
    for owner, where, attributes in owners:
        for attribute in attributes:
            value = subject.attribute(owner, attribute) if attribute.field else None
            if attribute.field and value is not None:
                values[attribute.field], places[attribute.field] = value, f"{where}@{attribute.name}"
    return values, places
