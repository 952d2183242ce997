"""A real nginx in front of web processes, with the configuration that we ship (deploy/nginx/strv).

    with serving(settings) as (one, _), serving(settings) as (two, _), running_nginx(tmp_path, one, two) as nginx:
        httpx.get(f"{nginx.address}/livez")
        nginx.lead_to(two)      # as an operator changes the upstream: reloads, without dropping anybody

It runs in the foreground as our child, as root or as anybody, with everything it writes below the given folder.
Web processes believe its X-Forwarded-For when they are started with STRV_TRUSTED_PROXIES=127.0.0.1.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from strvsocial.local.ports import free_port, is_taken
from strvsocial.local.system_packages import NGINX
from strvsocial.settings import ROOT, Settings

SHIPPED = ROOT / "deploy" / "nginx"
MAIN = """
{user}
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    include strv/http.conf;
    include upstream.conf;
    access_log {folder}/access.log strv;
    server {{
        listen 127.0.0.1:{port}{listen};
        server_name _;
        set $strv_static {static};
        include strv/site.conf;
        {more}
    }}
}}
"""


@dataclass
class Nginx:
    """A running nginx: where it listens, and the folder with its access.log (JSON lines) and error.log."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes]

    def lead_to(self, *upstreams: str) -> None:
        """Sends new requests to other web processes; those under way end where they are."""
        before = self._workers_started()
        _write_upstream(self.folder, upstreams)
        self.process.send_signal(signal.SIGHUP)
        _wait(self, lambda: self._workers_started() > before)

    def errors(self) -> list[str]:
        """What nginx complained of: warnings and worse."""
        lines = (self.folder / "error.log").read_text().splitlines()
        return [line for line in lines if any(f"[{level}]" in line for level in ("warn", "error", "crit", "emerg"))]

    def find_logged(self, request_id: str) -> dict[str, Any]:
        """The line of access.log about one request, which is written just after its answer."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            lines = [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]
            found[:] = [line for line in lines if line["request_id"] == request_id]
            return bool(found)

        _wait(self, look)
        return found[0]

    def _workers_started(self) -> int:
        return (self.folder / "error.log").read_text().count("start worker process ")


@contextmanager
def running_nginx(
    folder: Path, *upstreams: str, more: str = "", tls: bool = False, static: Path = ROOT / "static", workers: int = 1
) -> Iterator[Nginx]:
    """nginx on a free port of loopback, leading to web processes by their addresses (http://127.0.0.1:8001).

    `more` is written into the server block (`media_of(settings)`, say); with `tls` it speaks https.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    if not (folder / "strv").exists():
        (folder / "strv").symlink_to(SHIPPED / "strv")
    _write_upstream(folder, upstreams)
    main = MAIN.format(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        workers=workers,
        port=port,
        listen=" ssl http2" if tls else "",
        static=static,
        more=f"{more}\n{make_certificate(folder)} include strv/tls.conf;" if tls else more,
    )
    (folder / "nginx.conf").write_text(main)
    process = subprocess.Popen([*_command(folder), "-g", "master_process on;"], cwd=folder)
    nginx = Nginx(f"http{'s' if tls else ''}://127.0.0.1:{port}", folder, process)
    try:
        _wait(nginx, lambda: is_taken(port))
        yield nginx
    finally:
        process.terminate()
        process.wait(20)


def media_of(settings: Settings) -> str:
    """What lets nginx send the media of a site with `media_accel="nginx"`, from its files or its bucket."""
    if settings.s3_bucket:
        return f"set $strv_bucket {settings.s3_endpoint_url}/{settings.s3_bucket}; include strv/media-bucket.conf;"
    return f"set $strv_media {settings.data_dir}/media/objects; include strv/media-files.conf;"


def check_configuration(folder: Path) -> subprocess.CompletedProcess[str]:
    """`nginx -t` of the nginx.conf in a folder."""
    return subprocess.run([*_command(folder), "-t"], capture_output=True, text=True, check=False)


def make_certificate(folder: Path, name: str = "localhost") -> str:
    """Makes a certificate that nobody trusts, and returns the two lines that name it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-days", "2"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", certificate], capture_output=True, check=True)
    return f"ssl_certificate {certificate}; ssl_certificate_key {key};"


def _command(folder: Path) -> list[str]:
    return [str(NGINX.get()), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _write_upstream(folder: Path, upstreams: Sequence[str]) -> None:
    servers = "".join(f"    server {urlsplit(address).netloc};\n" for address in upstreams)
    (folder / "upstream.conf").write_text(
        f"upstream strv_web {{\n    zone strv_web 64k;\n    least_conn;\n{servers}}}\n"
    )


def _wait(nginx: Nginx, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        log = (nginx.folder / "error.log").read_text() if (nginx.folder / "error.log").exists() else ""
        assert nginx.process.poll() is None, f"nginx ended:\n{log[-3000:]}"
        assert time.monotonic() < deadline, f"nginx does not come up:\n{log[-3000:]}"
        time.sleep(0.02)
