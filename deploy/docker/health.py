"""Whether the process of this container is well: python deploy/docker/health.py web|worker|embedder

The web process must be ready to take requests; the worker and the embedder must have said within 15 seconds, in Redis,
that they are at work.
"""

from __future__ import annotations

import os
import sys
import urllib.request

BELLS = {"worker": "strv:worker:health-check", "embedder": "strv:embedder:health-check"}


def main(process: str) -> int:
    if process == "web":
        address = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/readyz"
        with urllib.request.urlopen(address, timeout=4) as answer:  # noqa: S310
            return 0 if answer.status == 200 else 1
    # Not for the web process, which is asked often: importing these takes longer than asking.
    from redis import Redis

    from strvsocial.settings import get_settings

    with Redis.from_url(get_settings().redis_url, socket_timeout=4, socket_connect_timeout=4) as redis:
        return 0 if redis.exists(BELLS[process]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
