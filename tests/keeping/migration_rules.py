"""What a migration must not do to tables that a running version uses, found by reading its source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_DANGEROUS_SQL = {
    r"\bdrop\s+(table|column|view|sequence|type)\b": "drops what the running version may use",
    r"\brename\b": "renames what the running version may use",
    r"\bset\s+not\s+null\b": "makes a column NOT NULL",
    r"\balter\s+column\s+\S+\s+(set\s+data\s+)?type\b": "changes a type, which rewrites the table under a lock",
    r"\bcreate\s+(unique\s+)?index\s+(?!concurrently)": "builds an index under a lock",
    r"\btruncate\b": "empties a table",
}
_DROPS = {"drop_column", "drop_table", "rename_table", "drop_table_comment"}
_CONSTRAINTS = {"create_foreign_key", "create_check_constraint", "create_unique_constraint", "create_primary_key"}


def find_problems(path: Path) -> list[str]:
    """What in `upgrade()` does not fit a running site; nothing for a migration that says `contract = "why"`."""
    tree = ast.parse(path.read_text())
    marks = [node for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["contract"]]
    if marks:
        value = marks[0].value
        has_reason = isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) >= 10
        return [] if has_reason else ["`contract` must be the reason, in words"]
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    calls = [node for node in ast.walk(upgrade) if isinstance(node, ast.Call)]
    made = {_text(call.args[0]) for call in calls if _called(call) == "create_table" and call.args}
    return [f"line {call.lineno}: {problem}" for call in calls if (problem := _judge(call, made))]


def _judge(call: ast.Call, made: set[str]) -> str | None:
    name = _called(call)
    options = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in _DROPS:
        return f"{name} takes away what the running version may use"
    if name == "execute" and call.args:
        sql = _text(call.args[0])
        return next((why for pattern, why in _DANGEROUS_SQL.items() if re.search(pattern, sql, re.IGNORECASE)), None)
    if name == "alter_column":
        risky = {"new_column_name", "type_"} & options.keys()
        if risky or (_is_false(options.get("nullable"))):
            return "alter_column renames, changes a type or sets NOT NULL"
    if name == "add_column":
        return _judge_column(call.args[1]) if len(call.args) > 1 else None
    table = _text(call.args[1]) if len(call.args) > 1 else ""
    if name == "create_index" and isinstance(call.func, ast.Attribute) and table not in made:
        return f"create_index on {table or 'a table'} that exists: use strvsocial.schema_changes.create_index"
    if name in _CONSTRAINTS and table not in made and "postgresql_not_valid" not in options:
        return f"{name} on {table or 'a table'} that exists: add it not valid, validate it in another migration"
    return None


def _judge_column(column: ast.expr) -> str | None:
    if not isinstance(column, ast.Call):
        return "add_column of something that cannot be read here"
    options = {keyword.arg: keyword.value for keyword in column.keywords}
    if _is_false(options.get("nullable")) and "server_default" not in options:
        return "add_column NOT NULL without a server default: the running version does not fill it"
    return None


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(node: ast.expr) -> str:
    """The constant text of an expression; of an f-string its constant parts, and of `op.f(…)` or `text(…)` its argument."""
    if isinstance(node, ast.Call) and node.args:
        return _text(node.args[0])
    parts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return " ".join(parts)


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
