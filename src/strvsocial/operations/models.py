"""Tables of running the site: which processes are alive, and what was measured minute by minute."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from strvsocial.db import Base, Timestamp


class Process(Base):
    """A web, worker or embedder process. One that stops in order takes its row along; one that dies leaves it."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(String(64))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    started_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now(), index=True)


class Sample(Base):
    """What was measured at a full minute: figures by dotted name, see `samples.take`."""

    __tablename__ = "samples"

    at: Mapped[datetime] = mapped_column(Timestamp, primary_key=True)
    figures: Mapped[dict[str, float]] = mapped_column(JSONB)
