"""A hook of mkdocs: the pages that lie outside docs/ are pages of the site, and links lead to them there."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Each page of the site that lies elsewhere in the repository, and where.
PAGES = {
    "index.md": "README.md",
    "measuring.md": "benchmarks/README.md",
    "data_contracts.md": "specs/data_contracts.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
_LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for page, path in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    site = {path: name for name, path in PAGES.items()}
    here = page.file.src_uri
    folder = PurePosixPath(PAGES.get(here, f"docs/{here}")).parent

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(str(folder / match[1]))
        target = site.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(here) or '.')}"

    return _LINK.sub(link, markdown)
