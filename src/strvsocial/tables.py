"""Imports every module that defines tables, so that migrations and tests see them all."""

from __future__ import annotations

from strvsocial import jobs
from strvsocial.content import models as content_models
from strvsocial.embeddings import models as embedding_models
from strvsocial.media import models as media_models
from strvsocial.operations import models as operation_models
from strvsocial.users import models as user_models

__all__ = ["content_models", "embedding_models", "jobs", "media_models", "operation_models", "user_models"]
