# The images of every process: docker compose build. Any platform that the base images have (amd64, arm64).
#
#   web       pages, API, streams; no decoders, no models
#   worker    web, and what decodes pictures, sound and film
#   embedder  worker, and the model libraries with the packaged weights
#   tools     worker, and PostgreSQL's programs for backups
#   nginx     the front, with the browser's files in it

FROM node:22.19.0-slim AS assets
WORKDIR /app
COPY package.json package-lock.json build.mjs ./
RUN npm ci --no-audit --no-fund
COPY static static
RUN npm run build

FROM python:3.13.14-slim AS python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
# Where else packages may come from: a mirror, or an index with builds of torch for machines without a GPU, which are
# gigabytes smaller.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The package is an empty one here, so that its own changes do not install everything anew; it is found in /app/src.
RUN mkdir -p src/strvsocial && touch src/strvsocial/__init__.py \
    && pip install -c constraints.txt -e ".[tracing,sentry]"

FROM python AS python-worker
RUN pip install -c constraints.txt -e ".[media]"

FROM python-worker AS python-tools
RUN pip install -c constraints.txt -e ".[media,backup]"

FROM python-worker AS python-embedder
RUN pip install -c constraints.txt -e ".[media,models,weights]"

FROM python:3.13.14-slim AS site
# hadolint ignore=DL3064
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MALLOC_ARENA_MAX=2 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    OMP_NUM_THREADS=1 \
    TOKENIZERS_PARALLELISM=false \
    TQDM_DISABLE=1 \
    STRV_DATA_DIR=/data \
    STRV_LOG_FORMAT=json \
    PORT=8000
RUN install -d -o 10001 -g 10001 -m 0750 /data /backups
WORKDIR /app
COPY pyproject.toml alembic.ini ./
COPY migrations migrations
COPY templates templates
COPY deploy/docker deploy/docker
COPY static static
COPY --from=assets /app/static/dist static/dist
COPY src src
USER 10001:10001
STOPSIGNAL SIGTERM

FROM site AS web
COPY --from=python /opt/venv /opt/venv
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "deploy/docker/health.py", "web"]
CMD ["sh", "-c", "exec uvicorn --factory strvsocial.app:create_app --host ${HOST:-0.0.0.0} --port ${PORT:-8000} --workers 1 --no-server-header --no-proxy-headers --no-access-log --http strvsocial.web.connections:Connection --timeout-graceful-shutdown 6"]

FROM site AS worker
COPY --from=python-worker /opt/venv /opt/venv
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "deploy/docker/health.py", "worker"]
CMD ["python", "-m", "strvsocial.worker", "worker"]

FROM site AS embedder
COPY --from=python-embedder /opt/venv /opt/venv
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "deploy/docker/health.py", "embedder"]
CMD ["python", "-m", "strvsocial.worker", "embedder"]

FROM site AS tools
COPY --from=python-tools /opt/venv /opt/venv
CMD ["strvsocial", "--help"]

FROM nginx:1.28.0-alpine AS nginx
COPY deploy/nginx /etc/nginx/strv.d
COPY static /usr/share/strv/static
COPY --from=assets /app/static/dist /usr/share/strv/static/dist
USER 101:101
EXPOSE 8080 8443
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["wget", "-q", "--spider", "http://127.0.0.1:8080/static/avatar.svg"]
ENTRYPOINT ["nginx", "-e", "stderr", "-c"]
CMD ["/etc/nginx/strv.d/compose.conf"]
