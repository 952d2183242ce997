"""what rows still name is deleted by no release

Revision: 0009
Follows: 0008

A release from before equal bytes were stored once deletes what the rows of a deleted post name, and asks for no other
rows. It may run beside this one, or again after it. So the database takes out of the job what other rows name.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create function keep_named_objects() returns trigger language plpgsql as $$
        begin
          new.payload := jsonb_set(new.payload, '{keys}', coalesce((
            select jsonb_agg(wanted.key order by wanted.position)
            from jsonb_array_elements_text(new.payload -> 'keys') with ordinality as wanted (key, position)
            where not exists (select from attachments where source_key = wanted.key)
              and not exists (select from renditions where renditions.key = wanted.key)
          ), '[]'));
          return new;
        end
        $$
        """
    )
    op.execute(
        """
        create trigger keep_named_objects before insert on jobs for each row
        when (new.kind = 'media.delete_objects' and new.payload ? 'keys') execute function keep_named_objects()
        """
    )


def downgrade() -> None:
    op.execute("drop trigger keep_named_objects on jobs")
    op.execute("drop function keep_named_objects")
