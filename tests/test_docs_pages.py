"""The generated pages of the documentation site, and links of the written ones."""

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
WRITTEN = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/NOTES.md", "docs/architecture.md"]
WRITTEN += ["docs/other_fields.md", "docs/imagenet.md"]

YAML = """\
# A method.
# Of two lines.
defaults:
  - _self_
  - override /dataset: cifar10   # where
  - override hydra/job_logging: none
_target_: package.Class
alpha: 1.0                       # a | b
name: "a # b"  # after a sign
empty:
sizes: [1, 2]
inner:
  deep: {x: 1}                   # in one line
  several:
    - one                        # first
    - two
hydra: {run: x}
"""


@pytest.fixture
def pages(load_script):
    return load_script("docs_pages")


def test_a_config_page_has_every_option_with_its_comment(pages, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(YAML)
    heading, about, built, *rows = [
        line for line in pages.config_section(path, "method").splitlines() if line
    ]
    assert heading == "## `method=mine`"
    assert about == "A method. Of two lines."
    assert "package.Class" in built
    assert rows[2:] == [
        "| `dataset` | `cifar10` | where |",
        r"| `method.alpha` | `1.0` | a \| b |",
        '| `method.name` | `"a # b"` | after a sign |',
        "| `method.empty` | `null` |  |",
        "| `method.sizes` | `[1, 2]` |  |",
        "| `method.inner.deep` | `{x: 1}` | in one line |",
        "| `method.inner.several` | `one, two` | first |",
    ]


def test_an_experiment_s_options_are_typed_as_they_stand(pages, tmp_path):
    path = tmp_path / "column.yaml"
    path.write_text("# @package _global_\n# A column.\nrecipe:\n  lr: 0.2\n")
    section = pages.config_section(path, "experiment")
    assert "| `recipe.lr` | `0.2` |  |" in section
    assert "@package" not in section


def test_every_config_and_every_public_module_has_its_place(pages):
    made = pages.config_pages()
    for path in (REPO / "configs").rglob("*.yaml"):
        group, *rest = path.relative_to(REPO / "configs").with_suffix("").parts
        named = f"## `{group}={'/'.join(rest)}`" if rest else f"## `{path.name}`"
        assert named in made[f"configs/{group if rest else 'index'}.md"]
    api = pages.api_pages()
    named = {line for page in api.values() for line in page.splitlines() if line.startswith(":::")}
    assert "::: msda_train" in named
    assert any(name.endswith(".mixup") for name in named)
    assert len(named) == len(api)


def test_links_lead_into_the_site(pages):
    made = pages.prose_pages()
    assert "](docs/" not in made["index.md"]
    assert "](methods/index.md)" in made["index.md"]
    for word in re.findall(r"!\[[^]]*\]\(([^)]+)\)", made["index.md"]):
        assert isinstance(made[word], bytes)


def test_every_link_of_the_first_page_is_a_page(pages):
    made = pages.all_pages()
    own = {path.relative_to(REPO / "docs").as_posix() for path in (REPO / "docs").rglob("*")}
    for word in re.findall(r"\]\(([^)#\s]+)", made["index.md"]):
        assert ":" in word or word in made or word in own, word


@pytest.mark.parametrize("name", WRITTEN)
def test_written_links_lead_somewhere(name):
    path = REPO / name
    for word in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert ":" in word or (path.parent / word).exists(), f"{name}: {word}"


PATH = re.compile(r"\b(?:configs|docs|results|scripts|src|tests)/[\w/.-]+\.(?:csv|ipynb|md|py|sh|svg|yaml)\b")
TEXTS = [
    *(REPO / name for name in WRITTEN if name != "CHANGELOG.md"),  # that one tells of files that are gone
    *sorted((REPO / "docs").glob("*.md")),
    *sorted(path for top in ("src", "scripts") for path in (REPO / top).rglob("*.py")),
    *sorted((REPO / "configs").rglob("*.yaml")),
]


def test_files_that_are_named_exist():
    """Moved files are named by their new place; NAME, TABLE and the like stand for any."""
    lost = []
    for text in TEXTS:
        if text.name != "docs_pages.py":  # it names pages of the site
            named = set(PATH.findall(text.read_text(encoding="utf-8")))
            lost += [f"{text.relative_to(REPO)}: {name}" for name in named if not (REPO / name).exists()]
    assert [line for line in lost if not re.search(r"/[A-Z]+\.|_[A-Z]+\.", line)] == []
