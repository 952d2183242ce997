"""Backups: everything that a site is, in one place, readable without us.

    backups/20261122T232259Z/manifest.json     what it is, when, of which version, how many rows; written last
    backups/20261122T232259Z/database.dump     pg_dump's custom format
    backups/20261122T232259Z/media.ndjson      one line for each object: key, size, where it lies below, its sha256
    backups/20261122T232259Z/SHA256SUMS        for `sha256sum -c`
    objects/originals/ab12….1f2e3d4c5b6a       the objects of all backups; equal ones lie here once
    identity.age                               the key of encrypted backups, locked by the passphrase

Encrypted, `database.dump` and the objects end in `.age` and are files of the age format (https://age-encryption.org).
"""
