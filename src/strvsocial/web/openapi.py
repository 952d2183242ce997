"""The OpenAPI document at /schema/openapi.json: Litestar's, completed with what our handlers do themselves.

`read_input` reads bodies, so a handler names its schema with `@post("/posts", opt=takes(NewPost))`; the error answers of
the contract and the bearer token are the same everywhere and are added here.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.routes import HTTPRoute

from strvsocial import __version__

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
_REF = "#/components/schemas/{name}"


def takes(schema: type[msgspec.Struct] | dict[str, Any], *media_types: str) -> dict[str, Any]:
    """`opt` of a handler whose body is `schema`: a Struct, or a JSON schema where a Struct cannot say it."""
    return {"body": schema, "body_types": media_types or (JSON, FORM)}


def says(
    answers: dict[str, str] | None = None,
    *,
    headers: dict[str, dict[str, Any]] | None = None,
    sends: dict[str, str] | None = None,
) -> dict[str, Any]:
    """`opt` of a handler that answers, wants or sends more than all do.

    `answers` are descriptions of further errors by status, `headers` schemas of the request's headers (with `required`
    in them where one is), `sends` descriptions of the headers of a good answer, which then has no body.
    """
    return {"answers": answers or {}, "request_headers": headers or {}, "response_headers": sends}


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
_WITH_PATH = {"404": "Not there, or not yours to see."}
_CHANGING = {"403": "Not allowed, or sent from another site.", "409": "In conflict with what is there."}
_WITH_BODY = {"413": "Too large.", "415": "Not a media type we take."}
_SIGNED_IN: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
_SAFE = frozenset({"get", "head", "options"})

MOST_IN_PATH = 200
"""Characters of one part of a path: whatever is longer names nothing."""


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
    """Adds request bodies, error answers and who may ask to Litestar's document."""
    document = deepcopy(document)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token from `POST /api/v1/tokens`."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "strv",
            "description": "A browser's session; where the site has HTTPS the cookie is called `__Host-strv`.",
        },
    }
    _register(schemas, ErrorAnswer)
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        operations = document["paths"].get(route.path_format or "/", {})
        for handler in route.route_handlers:
            for method in handler.http_methods:
                if operation := operations.get(str(method).lower()):
                    _complete_operation(operation, handler, str(method).lower(), schemas, route.path_format)
    return document


def _complete_operation(
    operation: dict[str, Any], handler: HTTPRouteHandler, method: str, schemas: dict[str, Any], path: str
) -> None:
    opt = handler.opt
    if body := opt.get("body"):
        schema = body if isinstance(body, dict) else _register(schemas, body)
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in opt["body_types"]},
        }
    asked = handler.parsed_fn_signature.parameters
    known = {"me", "viewer", "admin"} & set(asked)
    if known:
        operation["security"] = _SIGNED_IN if known & {"me", "admin"} else [{}, *_SIGNED_IN]
    else:
        operation["security"] = []
    if not path.startswith(("/api/", "/events")):
        return
    _complete_parameters(operation, opt.get("request_headers", {}))
    answers = operation.setdefault("responses", {})
    answers.pop("400", None)
    _describe_success(answers, opt.get("response_headers"))
    for status, description in {
        **_EVERYWHERE,
        **(_WITH_PATH if "{" in path else {}),
        **({} if method in _SAFE else _CHANGING),
        **(_WITH_BODY if "requestBody" in operation else {}),
        **opt.get("answers", {}),
    }.items():
        answer: dict[str, Any] = {"description": description}
        if method != "head":
            answer["content"] = {JSON: {"schema": {"$ref": _REF.format(name="ErrorAnswer")}}}
        answers.setdefault(status, answer)


def _complete_parameters(operation: dict[str, Any], headers: dict[str, dict[str, Any]]) -> None:
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        schema = parameter["schema"]
        # Litestar leaves the bounds of optional text beside its type; validators only look within.
        for kind in schema.get("oneOf", ()):
            for bound, of in (("maxLength", "string"), ("maxItems", "array"), ("pattern", "string")):
                if bound in schema and kind.get("type") == of:
                    kind[bound] = schema[bound]
        if parameter["in"] == "path" and schema.get("type") == "string":
            schema.setdefault("maxLength", MOST_IN_PATH)
    for name, schema in headers.items():
        inner = {key: value for key, value in schema.items() if key != "required"}
        parameters.append({"name": name, "in": "header", "required": schema.get("required", False), "schema": inner})


def _describe_success(answers: dict[str, Any], sends: dict[str, str] | None) -> None:
    for status, answer in answers.items():
        if not status.startswith("2"):
            continue
        if status == "204" or sends is not None:
            answer.pop("content", None)
        if sends:
            answer["headers"] = {
                name: {"description": description, "required": True, "schema": {"type": "string", "maxLength": 500}}
                for name, description in sends.items()
            }


def _register(schemas: dict[str, Any], struct: type[msgspec.Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components((struct,), ref_template=_REF)
    for name, component in components.items():
        schemas.setdefault(name, component)
    return schema
