"""Makes a site of files of the repository, each under the path that it has there.

So a relative link works on a page of the repository and in the site, and the strict build finds one
that leads nowhere. What rustdoc wrote becomes part of the tree too, below ``rust/``.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RUSTDOC = ROOT / "target" / "rustdoc" / "doc"
TAKEN = ("*.md", "LICENSE-*", "docs/**/*.md", "docs/*.svg", "examples/*.py", "examples/*/src/*.rs")


def on_files(files: Files, *, config: MkDocsConfig) -> None:
    """Add the files that are not below ``pages/``."""
    for pattern in TAKEN:
        for path in sorted(ROOT.glob(pattern)):
            add(files, config, path.relative_to(ROOT).as_posix(), path)
    for path in sorted(RUSTDOC.rglob("*")):
        if path.is_file():
            add(files, config, f"rust/{path.relative_to(RUSTDOC).as_posix()}", path)


def add(files: Files, config: MkDocsConfig, name: str, path: Path) -> None:
    """Add one file under a name."""
    files.append(File.generated(config, name, abs_src_path=str(path)))
