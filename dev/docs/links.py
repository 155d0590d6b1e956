"""Whether links lead somewhere: in the Markdown files of this repository, and in a built site.

    links.py            checks the repository's Markdown files
    links.py FOLDER     checks every HTML file below FOLDER

Prints each broken link, and exits with 1 if there is one. What is elsewhere (http:, mailto:) is not looked
at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """The links of an HTML page, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[int, str]] = []
        self.anchors: set[str] = {"", "top"}
        self.feed(path.read_text(encoding="utf-8", errors="replace"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.anchors.add(value)
            elif name in ("href", "src") and tag != "base":
                self.links.append((self.getpos()[0], value))

    handle_startendtag = handle_starttag


class Document:
    """The same of a Markdown file, with the anchors that its headings get."""

    def __init__(self, path: Path) -> None:
        text = re.sub(
            r"^( *```).*?^\1", lambda block: "\n" * block[0].count("\n"), path.read_text(), flags=re.M | re.S
        )
        self.anchors = {""}
        for heading in re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE):
            words = re.sub(r"[^\w\- ]", "", heading.lower())
            self.anchors.add(words.replace(" ", "-"))
        text = re.sub(r"`[^`\n]*`", "``", text)
        self.links = [
            (text.count("\n", 0, match.start()) + 1, match[1])
            for match in re.finditer(r"\]\(([^()\s]+)(?: \"[^\"]*\")?\)", text)
        ]


def broken(files: list[Path], read: type[Page] | type[Document]) -> list[str]:
    """A line for each link that leads nowhere."""
    pages: dict[Path, Page | Document] = {}

    def page(path: Path) -> Page | Document:
        if path not in pages:
            pages[path] = read(path)
        return pages[path]

    found = []
    for path in files:
        for line, link in page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir() and read is Page:
                target /= "index.html"
            if not target.exists():
                found.append(f"{path}:{line}: {link}: there is no {target}")
            elif target.suffix == path.suffix and target.is_file():
                fragment = unquote(parts.fragment)
                if fragment not in page(target).anchors:
                    found.append(f"{path}:{line}: {link}: {target.name} has no anchor {fragment!r}")
    return found


def main() -> int:
    if len(sys.argv) > 1:
        files = sorted(path.resolve() for path in Path(sys.argv[1]).rglob("*.html"))
        found = broken(files, Page)
    else:
        command = [
            "git",
            "-C",
            str(ROOT),
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
            ":!dev/docs",
        ]
        names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        files = [ROOT / name for name in names if name and (ROOT / name).exists()]
        found = broken(files, Document)
    print("\n".join([*found, f"{len(files)} files, {len(found)} broken links"]))
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
