"""What MkDocs does not do by itself: the pages of the top folder, and the reference that other tools make."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "build/docs"


def python_reference() -> str:
    """A section for each module of deisa_bridge."""
    folder = ROOT / "python/deisa_bridge"
    paths = [path.relative_to(folder) for path in folder.rglob("*.py") if not path.stem.startswith("_")]
    modules = sorted(".".join(path.with_suffix("").parts) for path in paths)
    text = (Path(__file__).parent / "python.md").read_text()
    return text + "".join(f"\n::: deisa_bridge.{module}\n" for module in modules)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        # As if they were in docs/.
        content = re.sub(r"\]\(docs/", "](", (ROOT / name).read_text())
        content = re.sub(r"\[(`?LICENSE`?)\]\(LICENSE\)", r"\1", content)
        files.append(File.generated(config, name, content=content))
    files.append(
        File.generated(
            config, "reference/index.md", content=(Path(__file__).parent / "reference.md").read_text()
        )
    )
    files.append(File.generated(config, "reference/python.md", content=python_reference()))
    for path in sorted((REFERENCE / "reference").rglob("*")):
        if path.is_file():
            name = path.relative_to(REFERENCE).as_posix()
            files.append(File(name, str(REFERENCE), config.site_dir, use_directory_urls=False))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Pages of docs/ are beside those of the top folder here."""
    return markdown if "/" in page.file.src_uri else re.sub(r"\]\(\.\./(?=\w+\.md)", "](", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    # Its links are right only where the site is the top of a server.
    (Path(config.site_dir) / "404.html").unlink(missing_ok=True)
