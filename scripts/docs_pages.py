"""The pages of the documentation site that are not in docs/: run by `mkdocs build`, see mkdocs.yml.

README, CONTRIBUTING, CHANGELOG and results/NOTES.md become pages as they are. Every module of the package
gets a page from its docstrings, every group of configs one from its yaml files. Nothing is imported or
trained, and no module is named here: what moves, moves in the site too.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "src" / "msda_train"
CONFIGS = REPO / "configs"
PROSE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "results/NOTES.md": "results/notes.md",
    "results/tables/uci_protocols.md": "results/uci_protocols.md",
}
LINK = re.compile(r"\]\(([^)#\s]+)")

Pages = dict[str, str | bytes]  # by path below the site's root


def prose_pages() -> Pages:
    """PROSE, and every file of the repository that it links to and that docs/ does not have."""
    pages: Pages = {}
    for source, target in PROSE.items():
        text = (REPO / source).read_text(encoding="utf-8")
        for word in sorted(set(LINK.findall(text))):
            path = ((REPO / source).parent / word).resolve()
            if ":" in word or not path.is_relative_to(REPO) or not path.exists():
                continue  # an address, or a mistake, which mkdocs will tell
            there = _in_site(path.relative_to(REPO).as_posix())
            if path.is_file() and there not in pages and path.suffix != ".md":
                pages[there] = path.read_bytes()
            up = "../" * target.count("/")
            text = text.replace(f"]({word}", f"]({up}{there}")
        pages[target] = text
    return pages


def _in_site(path: str) -> str:
    """Where a file or folder of the repository is in the site."""
    if path in PROSE:
        return PROSE[path]
    if path.startswith("results/tables/"):
        return f"results/{Path(path).name}"  # see `all_pages`
    path = path.removeprefix("docs/")
    return path if Path(path).suffix else f"{path}/index.md"


def method_index() -> str:
    """One line per method card: its heading, and its first sentence."""
    lines = ["# Methods", "", "One page each, written by `make cards` from the method's own file.", ""]
    for path in sorted((REPO / "docs" / "methods").glob("*.md")):
        title, _, about = path.read_text(encoding="utf-8").partition("\n")
        first = about.strip().splitlines()[0]
        lines.append(f"- [{title.removeprefix('# ')}]({path.name}): {first}")
    return "\n".join(lines) + "\n"


def api_pages() -> Pages:
    """A page for every module with a public name, in a folder for every room, and the room's own page."""
    pages: Pages = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            name = ".".join([PACKAGE.name, *parts[:-1]])
            heading, target = f"`{name}`", Path("api", *parts[:-1], "index.md")
        elif any(part.startswith("_") for part in parts) or not _has_public(path):
            continue
        else:
            name = ".".join([PACKAGE.name, *parts])
            heading, target = f"`{name}`", Path("api", *parts[:-1], f"{parts[-1]}.md")
        pages[target.as_posix()] = f"# {heading}\n\n::: {name}\n"
    return pages


def _has_public(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = (ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign)
    return any(isinstance(node, named) for node in tree.body)


def config_pages() -> Pages:
    """configs/train.yaml, and a page for every group: each file with its options, defaults and comments."""
    pages: Pages = {}
    groups = sorted(path for path in CONFIGS.iterdir() if path.is_dir())
    links = " ".join(f"[`{group.name}=`]({group.name}.md)" for group in groups)
    head = "# Options\n\nEvery word that can be typed, from the yaml files in `configs/`."
    top = "".join(config_section(path, "") for path in sorted(CONFIGS.glob("*.yaml")))
    pages["configs/index.md"] = f"{head} Groups: {links}.\n\n{top}"
    for group in groups:
        files = {path.relative_to(group).with_suffix("").as_posix(): path for path in group.rglob("*.yaml")}
        by_task = sorted(files, key=lambda word: ("/" in word, word))  # gan/ring after all without a folder
        sections = "".join(config_section(files[word], group.name, word) for word in by_task)
        pages[f"configs/{group.name}.md"] = f"# `{group.name}=`\n\n{sections}"
    return pages


def config_section(path: Path, group: str, word: str = "") -> str:
    """One yaml file in markdown, typed as `word` (its own name unless given): what stands at its head, what
    it builds, and a table of its options."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    prefix = f"{group}." if group and "@package _global_" not in text else ""
    found = list(_options(root, lines, prefix)) if isinstance(root, yaml.MappingNode) else []
    head = itertools.takewhile(lambda line: line.startswith("#"), lines)
    about = " ".join(line.lstrip("# ") for line in head if "@package" not in line)
    out = [f"## `{group}={word or path.stem}`" if group else f"## `{path.name}`", "", about, ""]
    built = f"{prefix}_target_"
    out += [f"Builds {_api_link(value)}.\n" for name, value, _ in found if name == built]
    rows = [
        f"| `{name}` | `{_cell(value)}` | {_cell(comment)} |"
        for name, value, comment in found
        if name != built
    ]
    out += ["| option | default | |", "| --- | --- | --- |", *rows] if rows else []
    return "\n".join(out) + "\n\n"


def _options(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Dotted name, value as written, comment: of every leaf; a list or a mapping in one line is a leaf;
    what the file takes from a group, `defaults`, is the group and the word."""
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        block = getattr(value, "flow_style", True) is False
        if key.value == "hydra":  # Hydra's own settings
            continue
        if key.value == "defaults":
            for item in value.value:
                for group, choice in item.value if isinstance(item, yaml.MappingNode) else ():
                    word = group.value.removeprefix("override ").lstrip("/")
                    if not word.startswith("hydra/"):
                        yield word, *_written(choice, lines)
        elif block and isinstance(value, yaml.MappingNode):
            yield from _options(value, lines, f"{name}.")
        elif block:
            items = [_written(item, lines) for item in value.value]
            yield name, ", ".join(text for text, _ in items), "; ".join(note for _, note in items if note)
        else:
            yield name, *_written(value, lines)


def _written(node: yaml.Node, lines: list[str]) -> tuple[str, str]:
    """The text of a node, and the comment behind it."""
    start, end = node.start_mark, node.end_mark
    if start.line != end.line:  # a text or a list of several lines
        first, *rest = lines[start.line : end.line + 1 if end.column else end.line]
        return " ".join([first[start.column :], *rest]), ""
    _, _, comment = lines[end.line][end.column :].partition("#") if end.line < len(lines) else ("", "", "")
    return lines[start.line][start.column : end.column] or "null", comment.strip()


def _api_link(target: str) -> str:
    """The class's name, a link where it has a page."""
    return f'<autoref identifier="{target}" optional>`{target}`</autoref>'


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def all_pages() -> Pages:
    """Every page of the site that is not in docs/, by path."""
    pages = prose_pages() | {"methods/index.md": method_index()} | api_pages() | config_pages()
    for path in sorted((REPO / "results" / "tables").glob("*.md")):
        pages[f"results/{path.name}"] = f"# Kept rows: {path.stem}\n\n{path.read_text(encoding='utf-8')}"
    return pages


if __name__ == "<run_path>":  # so mkdocs-gen-files runs it
    import mkdocs_gen_files

    for name, content in all_pages().items():
        with mkdocs_gen_files.open(name, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
