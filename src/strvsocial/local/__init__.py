"""Everything that `make up` needs on one machine: installing, the embedded PostgreSQL and Valkey, the supervisor."""
