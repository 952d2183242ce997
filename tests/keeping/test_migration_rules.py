"""Every migration fits the version that is still running, and the rules find those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.keeping.migration_rules import find_problems

from strvsocial.settings import ROOT

VERSIONS = sorted((ROOT / "migrations" / "versions").glob("*.py"))
WRONG = {
    "op.drop_column('posts', 'title')": "drop_column",
    "op.drop_table('posts')": "drop_table",
    "op.rename_table('posts', 'entries')": "rename_table",
    "op.alter_column('posts', 'title', new_column_name='name')": "renames",
    "op.alter_column('posts', 'title', type_=sa.Text())": "changes a type",
    "op.alter_column('posts', 'title', nullable=False)": "NOT NULL",
    "op.add_column('posts', sa.Column('mood', sa.Text(), nullable=False))": "without a server default",
    "op.create_index('ix', 'posts', ['title'])": "schema_changes.create_index",
    "op.create_foreign_key('fk', 'posts', 'users', ['a'], ['id'])": "not valid",
    "op.execute('alter table posts drop column title')": "drops",
    "op.execute(sa.text('ALTER TABLE posts RENAME TO entries'))": "renames",
    "op.execute('alter table posts alter column title type text')": "changes a type",
    "op.execute('alter table posts alter title set not null')": "NOT NULL",
    "op.execute(f'create unique index {name} on posts (title)')": "under a lock",
}
RIGHT = [
    "op.add_column('posts', sa.Column('mood', sa.Text(), nullable=True))",
    "op.add_column('posts', sa.Column('mood', sa.Text(), server_default='', nullable=False))",
    "create_index('ix', 'posts', ['title'])",
    "op.create_table('moods', sa.Column('id', sa.Integer()))\n    op.create_index('ix', 'moods', ['id'])",
    "op.create_foreign_key('fk', 'posts', 'users', ['a'], ['id'], postgresql_not_valid=True)",
    "op.execute('alter table posts validate constraint fk')",
    "op.execute('create index concurrently ix on posts (title)')",
]


@pytest.mark.parametrize("path", VERSIONS[1:], ids=lambda path: path.stem)
def test_migrations_fit_the_running_version(path: Path) -> None:
    assert find_problems(path) == []


@pytest.mark.parametrize("line", WRONG)
def test_what_does_not_fit_is_found(tmp_path: Path, line: str) -> None:
    assert WRONG[line] in " ".join(find_problems(_migration(tmp_path, line)))
    assert find_problems(_migration(tmp_path, line, 'contract = "posts.title was last read by 1.4"')) == []
    assert find_problems(_migration(tmp_path, line, 'contract = ""')) != []


@pytest.mark.parametrize("line", RIGHT)
def test_what_fits_is_let_through(tmp_path: Path, line: str) -> None:
    assert find_problems(_migration(tmp_path, line)) == []


def _migration(folder: Path, line: str, mark: str = "") -> Path:
    path = folder / "9999_try.py"
    path.write_text(f"{mark}\n\ndef upgrade():\n    {line}\n")
    return path
