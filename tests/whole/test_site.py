"""The site: every public name has its place in the API reference, and the notebook runs."""

import re
from pathlib import Path

import pytest

import ptychoproduct

DOCS = Path(__file__).parents[2] / "docs"


def test_every_public_name_is_in_the_api_reference_once():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    assert sorted(re.findall(r"^::: ptychoproduct\.(\w+)$", text, re.MULTILINE)) == sorted(ptychoproduct.__all__)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebook = nbformat.read(DOCS / "first_steps.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    assert notebook.cells[-2].outputs[0]["data"]["text/plain"] == "True"
