"""Every setting, read once from the environment. `.env.example` documents each; a test keeps the two equal.

Order of precedence: environment variables, then files in the folder that STRV_SECRETS_DIR names, then `<data dir>/run.json` (written by `strvsocial.local` while `make up`
runs, so that the console script finds the services by itself), then the defaults below.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

MB = 1_000_000
GB = 1_000 * MB
ROOT = Path(__file__).resolve().parents[2]
"""The clone: templates/, static/, migrations/ and alembic.ini lie here."""


class RunningServices(PydanticBaseSettingsSource):
    """What `make up` wrote about the services that it runs."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        path = Path(os.environ.get("STRV_DATA_DIR") or ROOT / ".data") / "run.json"
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return {name: value for name, value in found.items() if name in self.settings_cls.model_fields}


class SecretFiles(PydanticBaseSettingsSource):
    """Settings out of files named like them, as containers and systemd hand over secrets."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        folder = os.environ.get("STRV_SECRETS_DIR")
        if not folder:
            return {}
        files = {
            name: Path(folder, str(field.validation_alias)) for name, field in self.settings_cls.model_fields.items()
        }
        found = {name: path.read_text().strip() for name, path in files.items() if path.is_file()}
        return {name: value for name, value in found.items() if value}


class Settings(BaseSettings):
    """Settings of one process. Sizes are bytes, times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    database_url: str = Field("postgresql://strv@127.0.0.1/strv", validation_alias="DATABASE_URL")
    database_direct_url: str | None = Field(None, validation_alias="DATABASE_DIRECT_URL")
    redis_url: str = Field("redis://127.0.0.1:6379/0", validation_alias="REDIS_URL")
    port: int = Field(8000, validation_alias="PORT")

    public_url: str | None = Field(None, validation_alias="STRV_PUBLIC_URL")
    data_dir: Path = Field(ROOT / ".data", validation_alias="STRV_DATA_DIR")
    secrets_dir: Path | None = Field(None, validation_alias="STRV_SECRETS_DIR")
    demo: bool = Field(True, validation_alias="STRV_DEMO")
    models: str = Field("packaged", validation_alias="STRV_MODELS")
    rate_limits: bool = Field(True, validation_alias="STRV_RATE_LIMITS")
    trusted_proxies: str = Field("", validation_alias="STRV_TRUSTED_PROXIES")
    log_format: Literal["text", "json"] = Field("text", validation_alias="STRV_LOG_FORMAT")
    log_level: str = Field("INFO", validation_alias="STRV_LOG_LEVEL")

    metrics_port: int = Field(0, validation_alias="STRV_METRICS_PORT")
    metrics_host: str = Field("127.0.0.1", validation_alias="STRV_METRICS_HOST")
    metrics_token: SecretStr | None = Field(None, validation_alias="STRV_METRICS_TOKEN")
    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    sentry_dsn: SecretStr | None = Field(None, validation_alias="SENTRY_DSN")

    media_accel: Literal["off", "nginx"] = Field("off", validation_alias="STRV_MEDIA_ACCEL")
    s3_bucket: str | None = Field(None, validation_alias="STRV_S3_BUCKET")
    s3_endpoint_url: str | None = Field(None, validation_alias="STRV_S3_ENDPOINT_URL")
    s3_region: str = Field("us-east-1", validation_alias="STRV_S3_REGION")
    aws_access_key_id: str | None = Field(None, validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, validation_alias="AWS_SECRET_ACCESS_KEY")

    max_image_bytes: int = Field(32 * MB, validation_alias="STRV_MAX_IMAGE_BYTES")
    max_image_pixels: int = Field(100_000_000, validation_alias="STRV_MAX_IMAGE_PIXELS")
    max_gif_bytes: int = Field(32 * MB, validation_alias="STRV_MAX_GIF_BYTES")
    max_audio_bytes: int = Field(200 * MB, validation_alias="STRV_MAX_AUDIO_BYTES")
    max_video_bytes: int = Field(4 * GB, validation_alias="STRV_MAX_VIDEO_BYTES")
    max_avatar_bytes: int = Field(8 * MB, validation_alias="STRV_MAX_AVATAR_BYTES")
    upload_part_bytes: int = Field(8 * 1024 * 1024, validation_alias="STRV_UPLOAD_PART_BYTES")
    upload_part_slots: int = Field(20, validation_alias="STRV_UPLOAD_PART_SLOTS")
    upload_ttl_seconds: int = Field(86_400, validation_alias="STRV_UPLOAD_TTL_SECONDS")
    quota_bytes: int = Field(0, validation_alias="STRV_QUOTA_BYTES")
    quota_daily_bytes: int = Field(0, validation_alias="STRV_QUOTA_DAILY_BYTES")

    backup_dir: str | None = Field(None, validation_alias="STRV_BACKUP_DIR")
    backup_passphrase: SecretStr | None = Field(None, validation_alias="STRV_BACKUP_PASSPHRASE")
    backup_recipients: str = Field("", validation_alias="STRV_BACKUP_RECIPIENTS")

    quick_jobs: int = Field(2, validation_alias="STRV_QUICK_JOBS")
    long_jobs: int = Field(1, validation_alias="STRV_LONG_JOBS")
    feature_jobs: int = Field(1, validation_alias="STRV_FEATURE_JOBS")
    ladder_jobs: int = Field(1, validation_alias="STRV_LADDER_JOBS")
    decoder_niceness: int = Field(10, ge=0, le=19, validation_alias="STRV_DECODER_NICENESS")
    ffmpeg_threads: int = Field(2, validation_alias="STRV_FFMPEG_THREADS")
    model_threads: int = Field(0, validation_alias="STRV_MODEL_THREADS")
    embed_batch: int = Field(32, validation_alias="STRV_EMBED_BATCH")
    max_requests: int = Field(32, validation_alias="STRV_MAX_REQUESTS")
    max_streams: int = Field(2_000, validation_alias="STRV_MAX_STREAMS")
    max_connections: int = Field(4_000, validation_alias="STRV_MAX_CONNECTIONS")
    drain_seconds: float = Field(2.0, validation_alias="STRV_DRAIN_SECONDS")
    database_pool_size: int = Field(10, validation_alias="STRV_DATABASE_POOL_SIZE")

    @field_validator("demo", "rate_limits", mode="before")
    @classmethod
    def _on_or_off(cls, value: object) -> object:
        return {"on": True, "off": False}.get(value.lower(), value) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFiles(settings_cls), RunningServices(settings_cls)

    @property
    def site_url(self) -> str:
        """Where people reach the site, without a trailing slash."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")

    @property
    def direct_url(self) -> str:
        """PostgreSQL past any pooler, for LISTEN and migrations."""
        return self.database_direct_url or self.database_url

    @property
    def has_pooler(self) -> bool:
        """Whether DATABASE_URL leads to PgBouncer or its like, which may give each transaction another connection."""
        return self.direct_url != self.database_url

    @property
    def secrets(self) -> list[SecretStr]:
        """Every setting that must be shown to nobody, where it is set; addresses with passwords are not among them."""
        return [value for _, value in self if isinstance(value, SecretStr)]

    def max_bytes(self, media_type: str) -> int:
        """The largest file of a media type (`image`, `gif`, `audio`, `video`)."""
        return int(getattr(self, f"max_{media_type}_bytes"))


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
