"""Health: is this process up, and can a ring get through?"""

from typing import cast

from flask import Blueprint, Response, current_app, jsonify
from redis.exceptions import RedisError

from webhook.door import Door
from worker.lease import LEASE_PREFIX

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
        alive = next(door.redis.scan_iter(match=LEASE_PREFIX + "*", count=1000), None) is not None
    except RedisError:
        return jsonify(status="not ready", missing="Redis does not answer"), 503
    return (jsonify(status="ready"), 200) if alive else (jsonify(status="not ready", missing="no worker is alive"), 503)
