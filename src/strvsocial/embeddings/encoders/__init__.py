"""The only package that imports model libraries.

The environment is set before any of them is imported: nothing here ever reaches for the network (`strvsocial models fetch`
does, with checked files), and idle OpenMP threads sleep instead of spinning, because the cores are shared with the web tier
and PostgreSQL.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
for name, value in {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}.items():
    os.environ.setdefault(name, value)
