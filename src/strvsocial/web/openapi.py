"""The OpenAPI document at /schema/openapi.json: Litestar's, completed with what our handlers do themselves.

`read_input` reads bodies, so a handler names its schema with `@post("/posts", opt=takes(NewPost))`; the error answers of
the contract and the bearer token are the same everywhere and are added here.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from strvsocial import __version__

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
_REF = "#/components/schemas/{name}"


def takes(schema: type[msgspec.Struct] | dict[str, Any], *media_types: str) -> dict[str, Any]:
    """`opt` of a handler whose body is `schema`: a Struct, or a JSON schema where a Struct cannot say it."""
    return {"body": schema, "body_types": media_types or (JSON, FORM)}


class ErrorBody(msgspec.Struct, rename={"request_id": "request_id"}):
    """What went wrong. `fields` names every bad field at once."""

    status: int
    code: str
    message: str
    fields: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class ErrorAnswer(msgspec.Struct):
    """The answer to a request that failed."""

    error: ErrorBody


_EVERYWHERE = {
    "401": "No or a wrong token.",
    "422": "Bad input; every bad field is named.",
    "429": "Too many requests; Retry-After says when to come back.",
    "503": "A part of the site is down; Retry-After says when to come back.",
}
_WITH_PATH = {"403": "Not allowed.", "404": "Not there, or not yours to see."}
_WITH_BODY = {
    "403": "Not allowed, or sent from another site.",
    "409": "In conflict with what is there.",
    "413": "Too large.",
    "415": "Not a media type we take.",
}


class CompleteJson(JsonRenderPlugin):
    """Serves the completed document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if not hasattr(request.app.state, "openapi"):
            request.app.state.openapi = complete(request.app, openapi_schema)
        return self.render_json(request, request.app.state.openapi)


def create_openapi_config() -> OpenAPIConfig:
    """The document without a user interface around it."""
    return OpenAPIConfig(
        title="STRV.social",
        version=__version__,
        description="A self-hosted social network that understands what is posted.",
        path="/schema",
        render_plugins=[CompleteJson()],
        use_handler_docstrings=True,
    )


def complete(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """Adds request bodies, error answers and the bearer token to Litestar's document."""
    document = deepcopy(document)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token from `POST /api/v1/tokens`."}
    }
    _register(schemas, ErrorAnswer)
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        operations = document["paths"].get(route.path_format or "/", {})
        for handler in route.route_handlers:
            for method in handler.http_methods:
                if operation := operations.get(str(method).lower()):
                    _complete_operation(operation, dict(handler.opt), schemas, route.path_format)
    return document


def _complete_operation(operation: dict[str, Any], opt: dict[str, Any], schemas: dict[str, Any], path: str) -> None:
    if body := opt.get("body"):
        schema = body if isinstance(body, dict) else _register(schemas, body)
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in opt["body_types"]},
        }
    if not path.startswith("/api/"):
        return
    operation["security"] = [{"token": []}, {}]
    answers = operation.setdefault("responses", {})
    answers.pop("400", None)
    reading = "requestBody" not in operation
    for status, description in {
        **_EVERYWHERE,
        **(_WITH_PATH if "{" in path else {}),
        **({} if reading else _WITH_BODY),
    }.items():
        answers.setdefault(
            status,
            {
                "description": description,
                "content": {JSON: {"schema": {"$ref": _REF.format(name="ErrorAnswer")}}},
            },
        )


def _register(schemas: dict[str, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components((struct,), ref_template=_REF)
    for name, component in components.items():
        schemas.setdefault(name, component)
    return schema
