"""The default of every option of a class or function of this package, read from its source.

Nothing is imported: a table of rows must not wait for torch, and a row may name anything.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from msda_train.core.paths import CONFIGS, HERE

PACKAGE = "msda_train."
GROUPS = ("dataset", "model", "regulariser", "method", "recipe")  # of configs/, with classes of their own


@cache
def defaults(target: str) -> dict[str, Any]:
    """Option to default of the class or function `target`, base classes included; options without a default
    are left out. Empty for what is not of this package or not there.

    A module may have moved since a row was written: then the class of the same name that the shipped configs
    name is meant.
    """
    module, _, name = target.rpartition(".")
    if not target.startswith(PACKAGE):
        return {}
    found = _Module.at(module)
    if found is None or name not in found.definitions:
        moved = next((shipped(group)[name] for group in GROUPS if name in shipped(group)), None)
        return defaults(moved) if moved and moved != target else {}
    return _of(found, name)


def sources() -> Iterator[Path]:
    """The files that defaults are read from."""
    for folder in ("methods", "models", "data", "training"):
        yield from sorted((HERE / folder).rglob("*.py"))


@cache
def shipped(group: str) -> dict[str, str]:
    """By its last component, the full name of every class that the files of configs/`group` are of."""
    texts = (file.read_text(encoding="utf-8") for file in sorted((CONFIGS / group).rglob("*.yaml")))
    named = (name for text in texts for name in re.findall(r"^_target_: (msda_train\.[\w.]+)", text, re.M))
    return {name.rpartition(".")[2]: name for name in named}


class _Module:
    """One parsed source file: its definitions, its constants and where its other names come from."""

    def __init__(self, path: Path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kinds = ast.ClassDef | ast.FunctionDef
        self.definitions = {node.name: node for node in tree.body if isinstance(node, kinds)}
        self.imported = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        self.constants = {
            node.targets[0].id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }

    @staticmethod
    @cache
    def at(module: str) -> "_Module | None":
        path = HERE.joinpath(*module.removeprefix(PACKAGE).split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return _Module(file)
        return None

    def value(self, node: ast.expr) -> Any:
        """The literal that an expression is, or that the constant holds which it names."""
        if isinstance(node, ast.Name) and node.id in self.constants:
            return self.value(self.constants[node.id])
        if isinstance(node, ast.Name) and node.id in self.imported:
            module, name = self.imported[node.id]
            there = _Module.at(module)
            if there is not None and name in there.constants:
                return there.value(there.constants[name])
        return ast.literal_eval(node)


def _of(module: _Module, name: str) -> dict[str, Any]:
    node = module.definitions[name]
    if isinstance(node, ast.FunctionDef):
        return _arguments(module, node)
    found: dict[str, Any] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name) and base.id in module.definitions:
            found |= _of(module, base.id)
        elif isinstance(base, ast.Name) and base.id in module.imported:
            there, original = module.imported[base.id]
            found |= defaults(f"{there}.{original}")
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _arguments(module, part)
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and _is_option(part):
            assert part.value is not None
            found[part.target.id] = module.value(part.value)
    return found


def _is_option(field: ast.AnnAssign) -> bool:
    return field.value is not None and "ClassVar" not in ast.unparse(field.annotation)


def _arguments(module: _Module, function: ast.FunctionDef) -> dict[str, Any]:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(named[len(named) - len(arguments.defaults) :], arguments.defaults, strict=True))
    by_name = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    pairs += [(argument, default) for argument, default in by_name if default is not None]
    return {argument.arg: module.value(default) for argument, default in pairs}
