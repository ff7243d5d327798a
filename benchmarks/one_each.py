"""What a team writes without a queue: Flask on gunicorn, Marshmallow, one durable `insert_one` for each request.

It stores what our door stores, into a collection with the same indexes, and answers as our door answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bson import json_util
from flask import Flask, Response, jsonify, request
from marshmallow import Schema, ValidationError, fields
from pymongo import MongoClient

from benchmarks.backlog import Template

app = Flask(__name__)
client = MongoClient(os.environ["BENCH_URI"], w="majority", journal=True)
q = client[os.environ["BENCH_DATABASE"]]["Q"]
template = Template(json_util.loads(Path(os.environ["BENCH_TEMPLATE"]).read_text()))


class Body(Schema):
    """The classic body."""

    username = fields.String(required=True)
    value = fields.Float(required=True)


BODY = Body()


@app.post("/api/data/")
def accept() -> tuple[Response, int] | Response:
    try:
        data = BODY.load(json.loads(request.get_data()))
    except (ValueError, ValidationError):
        return jsonify(status="error"), 400
    document = template.make(data["username"])
    q.insert_one(document)
    message = f"Data received for user {data['username']}"
    return jsonify(status="success", message=message, data=data | {"transaction_id": document["_id"]})
