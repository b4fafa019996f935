"""Django's ``ValidationError`` between nodes. It refers to itself, so that it has to be taken apart."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

import fly_orm


def register() -> None:
    """Let it travel from now on."""
    fly_orm.register_type(ValidationError, name="django.ValidationError", encode=_encode, decode=_decode)


def _encode(error: Any) -> Any:
    if hasattr(error, "error_dict"):
        return {field: [_encode(each) for each in errors] for field, errors in error.error_dict.items()}
    if hasattr(error, "message"):
        return str(error.message), error.code, error.params
    return [_encode(each) for each in error.error_list]


def _decode(state: Any) -> Any:
    if isinstance(state, dict):
        return ValidationError({field: [_decode(each) for each in errors] for field, errors in state.items()})
    if isinstance(state, list):
        return ValidationError([_decode(each) for each in state])
    message, code, params = state
    return ValidationError(message, code, params)
