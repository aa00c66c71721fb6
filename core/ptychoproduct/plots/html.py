"""What a notebook shows of a product."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ptychoproduct.model import contract
from ptychoproduct.model.plausibility import stands_for_unknown

if TYPE_CHECKING:
    from ptychoproduct.product.reader import Product

_LONGEST_TEXT = 200


def product_html(product: Product) -> str:
    """Return a table of a product's metadata and arrays as HTML; text of the file cannot become markup."""
    rows = [(attribute.name, _value(product, attribute)) for attribute in contract.ROOT_ATTRIBUTES if attribute.field]
    rows += [
        ("probe", _array(product.probe.shape, product.probe.dtype)),
        (
            "object",
            _array(product.object.shape, product.object.dtype) + (" (a stand-in)" * product.is_object_synthetic),
        ),
        ("positions", f"{len(product.x_m):,}"),
        ("losses", f"{len(product.loss_values):,}"),
        ("frames", "none" if product.frames is None else _array(product.frames.shape, product.frames.dtype)),
    ]
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows
        if value
    )
    return f"<table><caption>{escape(product.path.name)}</caption>{cells}</table>"


def _value(product: Product, attribute: contract.Attribute) -> str:
    value = getattr(product.meta, attribute.field)
    value = attribute.default if value is None else value
    if value is None:
        return "not given" if attribute.presence == "required" else ""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}…"
    if stands_for_unknown(attribute.field, value):
        return "not given" if attribute.presence == "required" else ""
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"{text} {attribute.unit}" if attribute.unit not in ("", "1") else text


def _array(shape: tuple[int, ...], dtype: object) -> str:
    return f"{' x '.join(map(str, shape))}, {dtype}"
