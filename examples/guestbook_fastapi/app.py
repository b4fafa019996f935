"""A guest book on FastAPI and Pony: an ordinary application. The lines with fly_orm make it run in several regions."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pony import orm
from pydantic import BaseModel, Field, StringConstraints

import fly_orm
from fly_orm.web import ASGIMiddleware

db = fly_orm.wrap(orm.Database())


class Guest(db.Entity):  # type: ignore[misc]  # Pony has no types
    """Somebody who has written something."""

    name = orm.Required(str, unique=True)
    entries = orm.Set("Entry")


class Entry(db.Entity):  # type: ignore[misc]
    """What a guest has written."""

    guest = orm.Required(Guest)
    text = orm.Required(str)


db.bind("postgres", dsn=os.environ["DATABASE_URL"])
db.generate_mapping(create_tables=fly_orm.is_primary())  # elsewhere, the replica has them


#: What can be stored: some text, without NUL and other control characters.
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0e-\x1f]*$")
]


class Visit(BaseModel):
    """The body of a request that writes."""

    name: Text
    texts: list[Text] = Field(min_length=1, max_length=100)


app = FastAPI(title="A guest book")
app.add_middleware(ASGIMiddleware)  # each request is a session, which goes on from the client's last one


@fly_orm.on_primary
@orm.db_session(retry=3, retry_exceptions=[orm.TransactionIntegrityError])  # somebody else has just added the guest
def sign(name: str, texts: list[str]) -> int:
    """Write all entries of a guest next to the primary, in one round trip, and return how many the guest has."""
    guest = Guest.get(name=name) or Guest(name=name)
    for text in texts:
        Entry(guest=guest, text=text)
    number: int = guest.entries.count()
    return number


@app.get("/entries")
@orm.db_session
def entries() -> dict[str, Any]:
    """All entries, and where they were read."""
    found = [{"name": entry.guest.name, "text": entry.text} for entry in Entry.select().order_by(Entry.id)]
    return {"entries": found, "region": fly_orm.my_region(), "served": str(fly_orm.why())}


@app.post("/entries", status_code=201)
def write(visit: Visit) -> dict[str, Any]:
    """Write what a guest has to say, from whichever region."""
    return {"name": visit.name, "entries": sign(visit.name, visit.texts), "region": fly_orm.my_region()}


@app.delete("/entries/{name}", status_code=204)
@orm.db_session
def forget(name: Text) -> None:
    """Delete a guest with all entries: read on the replica, and written in one request when the db_session ends."""
    if guest := Guest.get(name=name):
        guest.delete()


@app.exception_handler(RequestValidationError)
def refused(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, but do not repeat it: not all that can be sent is JSON."""
    return JSONResponse({"detail": [{"loc": each["loc"], "msg": each["msg"]} for each in error.errors()]}, 422)


@app.exception_handler(fly_orm.FlyOrmError)
@app.exception_handler(orm.OperationalError)
@app.exception_handler(orm.CommitException)
def unavailable(request: Request, error: Exception) -> JSONResponse:
    """Say what became of a write when the primary, or the local server, could not be reached."""
    nothing = isinstance(error, (fly_orm.NotDelivered, fly_orm.Refused, fly_orm.TransactionLost))
    saved = "nothing was saved" if nothing or request.method == "GET" else "it is not known whether this was saved"
    return JSONResponse({"detail": f"the database cannot be reached; {saved}"}, 503)


@app.get("/healthz")
def healthz(response: Response) -> dict[str, str]:
    """Whether a load balancer should send requests here."""
    health = fly_orm.check(db)
    response.status_code = 200 if health.ready else 503
    return {"status": health.status}
