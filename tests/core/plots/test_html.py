from dataclasses import replace

from ptychoproduct import export_product_from_npz, open_product


def html_of(save_scan, tmp_path, meta):
    export_product_from_npz(save_scan(), tmp_path / "product.h5", meta)
    with open_product(tmp_path / "product.h5") as product:
        return product._repr_html_()


def test_a_notebook_shows_metadata_with_units_and_arrays(save_scan, tmp_path, centered_meta):
    html = html_of(save_scan, tmp_path, replace(centered_meta, probe_energy_eV=8000.0))
    assert ">photon_energy_eV</th>" in html
    assert ">8000 eV</td>" in html
    assert ">12 x 16 x 16, float32</td>" in html


def test_text_from_a_file_does_not_become_markup(save_scan, tmp_path, centered_meta):
    html = html_of(save_scan, tmp_path, replace(centered_meta, name="<script>alert(1)</script>"))
    assert "<script>" not in html
