"""Imports only go down: the architecture, checked."""

import ast
from pathlib import Path

import msda_train

ROOT = Path(msda_train.__file__).parent
FLOORS = {
    7: {"cli", "__init__"},
    6: {"evaluation", "reporting", "launch", "selfcheck"},
    5: {"training", "comparison", "library"},
    4: {"methods"},
    3: {"models", "data"},
    2: {"records"},
    1: {"config", "functional"},
    0: {"core"},
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("msda_train"):
            parts = node.module.split(".")
            yield from (
                [parts[1]] if len(parts) > 1 else [a.name for a in node.names if not a.name.startswith("_")]
            )
        elif isinstance(node, ast.Import):
            yield from [a.name.split(".")[1] for a in node.names if a.name.startswith("msda_train.")]


def test_every_module_stands_on_a_floor():
    found = {
        p.stem if p.suffix else p.name
        for p in ROOT.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert found - {"configs", "published"} == set(FLOOR_OF)


def test_imports_only_go_down():
    wrong = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for name in _imports(path):
            if own != name and FLOOR_OF[name] >= FLOOR_OF[own]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_house_budgets():
    for path in ROOT.rglob("*.py"):
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, path
        assert max(map(len, lines), default=0) <= 110, path
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"
        if path.parent.name == "methods" and not path.name.startswith("_"):  # helpers are no methods
            assert _code_lines(path.read_text()) <= 65, path


def test_every_public_definition_has_a_docstring():
    bare = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        bare += [f"{path}: the module"] if tree.body and not ast.get_docstring(tree) else []
        bare += [
            f"{path}:{node.lineno}: {node.name}" for node in _public(tree) if not ast.get_docstring(node)
        ]
    assert not bare


def _public(node):
    """The classes, functions and methods without an underscore in front, but for what functions hide."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_"):
                continue
            yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _public(child)


def _code_lines(text):
    """Lines that hold code: neither empty nor comment nor docstring."""
    tree = ast.parse(text)
    prose = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.end_lineno:
            prose |= set(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and number not in prose for number, line in lines)
