"""Health: is this process up, and can a ring get through?"""

from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify
from redis.exceptions import RedisError

from webhook.door import Door
from worker.contract import WORKERS

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Say whether Redis answers and a worker is alive; 503 with what is missing."""
    door = cast(Door, current_app.extensions["door"])
    try:
        names: Any = door.redis.smembers(WORKERS)
        alive = bool(names) and bool(door.redis.exists(*(f"bellhop:worker:{name.decode()}" for name in names)))
    except RedisError:
        return jsonify(status="not ready", missing="Redis does not answer"), 503
    return (jsonify(status="ready"), 200) if alive else (jsonify(status="not ready", missing="no worker is alive"), 503)
