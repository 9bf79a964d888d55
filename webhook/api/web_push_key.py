"""GET /v1/web-push/key: the public key with which a browser subscribes. It is public, so it needs no token."""

from flask import Blueprint, Response, request
from pydantic import TypeAdapter

from bellhop.field_docs import DocumentedModel
from webhook.api_errors import ApiError, ApiErrorKind
from webhook.context import web_context
from webhook.openapi import JSON, Operation

blueprint = Blueprint("web_push_key", __name__, url_prefix="/v1")


class WebPushKey(DocumentedModel):
    """The key pair's public half."""

    app: str
    """The name of the web app: register devices with it."""
    public_key: str
    """The applicationServerKey for pushManager.subscribe(), in base64url."""


ANSWER: TypeAdapter[WebPushKey] = TypeAdapter(WebPushKey)
OPERATION = Operation(
    "GET",
    "/v1/web-push/key",
    "Web Push",
    "read_web_push_key",
    "Read the public key with which a browser subscribes to Web Push.",
    None,
    ANSWER,
    (ApiErrorKind.NOT_FOUND,),
    ("app",),
    token=False,
)


@blueprint.get("/web-push/key")
def read_web_push_key() -> Response:
    """Return the key of the web app that `app` names, by default of the first one."""
    apps = {app.app: app for app in web_context().settings.web_push_apps}
    app = apps.get(request.args.get("app") or next(iter(apps), ""))
    if app is None:
        raise ApiError(ApiErrorKind.NOT_FOUND)
    key = WebPushKey(app=app.app, public_key=app.public_key)
    return Response(ANSWER.dump_json(key) + b"\n", content_type=JSON)
