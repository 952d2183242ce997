"""${message}

Revision: ${up_revision}
Follows: ${down_revision | comma,n}
"""

# The version before this one goes on running while and after this migrates, and must not notice (a test reads this file):
# - Expand: new tables, new columns that are nullable or have a server default, indexes by
#   `strvsocial.schema_changes.create_index` (built while people write; in a migration of its own).
# - A constraint on a table that exists: add it `not valid`, then `validate constraint` in a migration of its own.
# - Contract (drop, rename, change a type, NOT NULL) only in a later release, when no running version needs the old shape.
#   Then say so, with the reason: contract = "posts.mood was last read by 1.4"
# A lock is waited for 2 s, then all is undone and tried again; a statement may take 60 s:
#   op.execute("set local statement_timeout = '10min'")  for one that needs longer and holds no lock that people want.
# Rows are filled in small steps by a job or a command, not here.

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
