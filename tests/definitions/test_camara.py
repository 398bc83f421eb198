"""The check of the CAMARA exchanges finds what is planted: a small definition of our own, and one mistake at a time."""

from typing import Any

import pytest

from tests.definitions.openapi import Definition, Exchange

AMOUNT = {"type": "number", "format": "float", "multipleOf": 0.001, "minimum": 0.001}
SMALL: dict[str, Any] = {
    "paths": {
        "/payments": {
            "get": {
                "parameters": [{"name": "page", "in": "query", "schema": {"type": "integer"}}],
                "responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}},
            },
            "post": {
                "parameters": [
                    {"name": "x-correlator", "in": "header", "schema": {"type": "string", "pattern": "^[a-z_0-9]*$"}}
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Create"}}}},
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Create"}}}}
                },
                "callbacks": {
                    "notifications": {
                        "{$request.body#/sink}": {
                            "post": {
                                "requestBody": {
                                    "content": {
                                        "application/cloudevents+json": {
                                            "schema": {"$ref": "#/components/schemas/Event"}
                                        }
                                    }
                                },
                                "responses": {"204": {}},
                            }
                        }
                    }
                },
            },
        }
    },
    "components": {
        "schemas": {
            "Create": {
                "type": "object",
                "required": ["amount"],
                "properties": {"amount": AMOUNT, "sink": {"type": "string", "pattern": r"^https:\/\/.+$"}},
            },
            "Event": {
                "type": "object",
                "required": ["type"],
                "discriminator": {"propertyName": "type", "mapping": {"done": "#/components/schemas/Done"}},
            },
            "Done": {"type": "object", "required": ["paymentDate"]},
        }
    },
}
BODY = b'{"amount":100.05,"sink":"https://a.example"}'
CREATE = Exchange("POST", "/payments", {"X-Correlator": "att_1"}, BODY, 201, BODY)
LIST = Exchange("GET", "/payments?page=2", {}, b"", 200, b"[]")
CALLED = Exchange("POST", "/sink", {}, b'{"type":"done","paymentDate":"2026-11-25"}', 204, b"")


def test_what_is_right_is_no_mistake() -> None:
    definition = Definition(SMALL)
    assert list(definition.mistakes(CREATE)) == []
    assert list(definition.mistakes(LIST)) == []
    assert list(definition.callback_mistakes(CREATE, CALLED, event="notifications")) == []


@pytest.mark.parametrize("amount", ["0.001", "1.001", "100.05", "1250", "999999999.999"])
def test_every_thousandth_is_a_multiple_of_a_thousandth(amount: str) -> None:
    body = f'{{"amount":{amount}}}'.encode()
    assert list(Definition(SMALL).mistakes(CREATE._replace(body=body))) == []


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(CREATE._replace(path="/payment"), id="path"),
        pytest.param(CREATE._replace(method="PUT"), id="method"),
        pytest.param(CREATE._replace(status=200), id="status"),
        pytest.param(CREATE._replace(headers={"x-correlator": "ATT 1"}), id="header"),
        pytest.param(CREATE._replace(body=b"{}"), id="missing amount"),
        pytest.param(CREATE._replace(body=b'{"amount":"100.05"}'), id="amount in a text"),
        pytest.param(CREATE._replace(body=b'{"amount":1.0005}'), id="amount too fine"),
        pytest.param(CREATE._replace(answer=b'{"amount":1,"sink":"http://a.example"}'), id="sink in an answer"),
        pytest.param(CREATE._replace(answer=b"<html>"), id="no JSON"),
        pytest.param(LIST._replace(path="/payments?clientCorrelator=att_1"), id="query nobody knows"),
        pytest.param(LIST._replace(path="/payments?page=two"), id="query of another type"),
    ],
)
def test_a_planted_mistake_is_found(planted: Exchange) -> None:
    assert len(list(Definition(SMALL).mistakes(planted))) == 1


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(CALLED._replace(body=b'{"type":"done"}'), id="missing for its type"),
        pytest.param(CALLED._replace(body=b'{"type":"undone"}'), id="type nobody knows"),
        pytest.param(CALLED._replace(status=200), id="our status"),
    ],
)
def test_a_planted_mistake_of_a_callback_is_found(planted: Exchange) -> None:
    assert len(list(Definition(SMALL).callback_mistakes(CREATE, planted, event="notifications"))) == 1
