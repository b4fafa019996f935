"""The guest book in a secondary region."""

import pytest
from app import app, db


@pytest.fixture(scope="session", autouse=True)
def tables(fly_orm_regions):
    with app.app_context():
        db.create_all()


@pytest.fixture
def client():
    return app.test_client()


def test_a_page_is_read_here_and_shows_what_was_written(client, fly_orm_regions):
    with fly_orm_regions.assert_round_trips(2):
        client.post("/", data={"text": "Hello from Los Angeles"})
    with fly_orm_regions.assert_local():
        page = client.get("/").text
    assert page.startswith("Hello from Los Angeles\n-- in lax: ")


def test_many_entries_are_one_round_trip(client, fly_orm_regions):
    with fly_orm_regions.assert_round_trips(1):
        said = client.post("/many", data={"text": "one\ntwo\nthree"}).text
    assert said == "the last one is 'three', read here: True\n"


def test_the_book_can_be_read_while_the_primary_region_cannot_be_reached(client, fly_orm_regions):
    with fly_orm_regions.cut():
        assert client.get("/").status_code == 200
        for path in ("/", "/many"):
            refused = client.post(path, data={"text": "lost"})
            assert (refused.status_code, refused.text) == (503, "the database cannot be reached; nothing was saved\n")
    assert "lost" not in client.get("/").text


@pytest.mark.parametrize("path", ["/", "/many"])
@pytest.mark.parametrize("form", [{}, {"text": ""}, {"text": " \n "}, {"text": "a\0b"}])
def test_a_text_that_cannot_be_stored_is_refused(client, path, form):
    assert client.post(path, data=form).status_code == 400
