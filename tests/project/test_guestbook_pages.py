"""The guest book in three regions, in a browser: what its pages show while regions fail, and how they look."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.browser import DESK, PHONE, browser
from tests.support.guestbook import Guest, guest_book
from tests.support.waiting import until

pytestmark = pytest.mark.slow

#: Where the pictures of the documentation go, if they are to be taken anew (``make screenshots``).
PICTURES = os.environ.get("SCREENSHOTS")
MOST_BYTES = 150_000
#: Bytes per second with which the fonts come after the first paint, and with which a page comes in parts.
LATE_FONTS, LATE_PAGE = 200_000, 20_000
#: The key, as the protocol of browser drivers writes it.
LEFT = "\ue012"
#: By which the servers' processes are known: their ports, in the order in which the stage starts them.
SERVER_PORTS = {"syd": "5432", "lax": "5433", "ams": "5434"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def window():
    with browser() as window:
        yield window


@pytest.fixture(scope="module")
def running(window):
    with guest_book() as book:
        yield book


@pytest.fixture
def book(running):
    running.calm()
    return running


@pytest.fixture
def guest(window, book):
    """Somebody who has signed the book in lax."""
    window.show(DESK)
    guest = Guest(window, book)
    guest.go("lax")
    window.driver.delete_all_cookies()
    window.complaints()
    guest.go("lax")
    guest.sign(f"Guest {next(_numbers)}")
    until(lambda: guest.reads("lax") == {"lax"}, "the replica in lax does not show the guest")
    return guest


def new_text():
    return f"Text number {next(_numbers)}"


def test_a_post_made_in_lax_is_on_the_next_page_there(guest):
    text = new_text()
    guest.post(text)
    assert guest.posts()[0] == text
    assert guest.writes() == {"syd"}
    until(lambda: guest.reads("lax") == {"lax"}, "the pages of lax are not read there")
    assert guest.posts()[0] == text


def test_a_post_made_in_lax_is_on_the_next_page_in_ams_by_its_token(guest, book):
    book.act("ams", "pause")
    text = new_text()
    guest.post(text)
    guest.go("ams")
    assert guest.posts()[0] == text
    assert guest.reads() == {"syd"}
    for cookie in guest.browser.driver.get_cookies():
        if cookie["name"].startswith("fly_orm_token"):
            guest.browser.driver.delete_cookie(cookie["name"])
    guest.go("ams")
    assert text not in guest.posts()
    assert guest.reads() == {"ams"}


def test_without_waiting_a_page_of_a_paused_replica_lacks_the_post(guest):
    guest.push("pause", "lax")
    assert "paused replica" in guest.browser.text("[data-region=lax]")
    guest.go("lax")
    guest.choose("none")
    text = new_text()
    guest.post(text)
    assert guest.reads() == {"lax"}
    assert text not in guest.posts()
    guest.push("resume", "lax")
    until(lambda: guest.reads("lax") and text in guest.posts(), "the post does not appear")


@pytest.mark.parametrize("way", ["eager", "lazy"])
def test_with_waiting_a_page_of_a_paused_replica_has_the_post(guest, book, way):
    book.act("lax", "pause")
    guest.choose(way)
    text = new_text()
    guest.post(text)
    assert guest.posts()[0] == text
    assert "syd" in guest.reads()


def test_without_fly_orm_each_statement_runs_on_the_primary(guest):
    guest.choose("far")
    text = new_text()
    guest.post(text)
    assert guest.posts()[0] == text
    assert guest.writes() == guest.reads() == {"syd"}
    assert "150 ms away" in guest.browser.text(".about")
    guest.choose("eager")
    until(lambda: guest.reads("lax") == {"lax"})


def test_a_region_that_is_cut_off_reads_and_says_that_nothing_was_saved(guest):
    guest.push("cut", "lax")
    guest.go("lax")
    text = new_text()
    guest.browser.fill("#text", text)
    guest.browser.press(".write button")
    assert "Nothing was saved" in guest.browser.text(".problem")
    assert "1 statement: 1 nowhere" in guest.browser.text(".sums")
    assert guest.reads("lax") == {"lax"}
    assert text not in guest.posts()
    guest.push("heal", "lax")
    guest.go("lax")
    guest.post(text)
    assert guest.posts().count(text) == 1


def test_a_node_that_is_killed_can_be_started_again(guest):
    guest.push("kill", "syd")
    assert guest.state("syd")["Node"] == "down"
    guest.push("start", "syd")
    assert guest.state("syd")["Node"] == "serving"
    guest.go("lax")
    text = new_text()
    guest.post(text)
    assert guest.posts()[0] == text


@pytest.mark.parametrize(
    ("what", "crash", "press"),
    [
        ("Server", ("-p", SERVER_PORTS["lax"]), "start_server"),
        ("Node", ("examples.guestbook.stage.node", "FLY_REGION=lax"), "start"),
        ("Web server", ("examples.guestbook.stage.web", "lax"), "start_web"),
    ],
    ids=["server", "node", "web"],
)
def test_what_crashes_is_shown_as_down_and_can_be_started_again(guest, book, what, crash, press):
    book.visit("eager")
    guest.go("room")
    usual = guest.state("lax")[what]
    book.crash(*crash)
    guest.go("room")
    assert guest.state("lax")[what] == "down"
    guest.push("pause", "ams")
    guest.push("resume", "ams")
    guest.push(press, "lax")
    assert guest.state("lax")[what] == usual
    assert guest.browser.text(".notice") == ""
    guest.go("lax")
    text = new_text()
    guest.post(text)
    assert guest.posts()[0] == text


def test_a_page_looks_as_it_should_while_the_local_server_is_down(guest, book):
    book.crash("-p", SERVER_PORTS["lax"])
    for _ in range(3):  # until the pool has no connection left from before
        guest.browser.forget_what_was_loaded()
        guest.browser.open(book.addresses["lax"])
    assert "cannot be reached" in guest.browser.text(".problem")
    width = "return document.querySelector('.tag').getBoundingClientRect().width"
    assert guest.browser.driver.execute_script(width) >= 36


def test_a_primary_that_crashes_is_started_again_or_replaced(guest, book):
    for press, region in (("start_server", "syd"), ("promote", "lax")):
        book.act("lax", "cut")  # so that ams has more than lax, which is promoted
        guest.go("ams")
        guest.post(new_text())
        book.crash("-p", SERVER_PORTS["syd"])
        book.act("lax", "heal")
        guest.go("room")
        assert guest.state("syd")["Server"] == "down"
        guest.push(press, region)
        assert guest.browser.text(".notice") == ""
        assert guest.state(region)["Server"] == "primary"
        guest.go("ams")
        text = new_text()
        guest.post(text)
        until(lambda: guest.reads("ams") == {"ams"}, "the replica in ams does not follow")
        assert guest.posts()[0] == text


def test_a_replica_that_was_down_during_a_promotion_follows_once_it_is_started(guest, book):
    book.act("lax", "cut")  # so that ams has more than lax, which is promoted
    guest.go("ams")
    guest.post(new_text())
    for region in ("ams", "syd"):
        book.crash("-p", SERVER_PORTS[region])
    book.act("lax", "heal")
    guest.push("promote", "lax")
    guest.push("start_server", "ams")
    assert guest.browser.text(".notice") == ""
    assert guest.state("ams")["Server"] == "replica"
    guest.go("ams")
    text = new_text()
    guest.post(text)
    until(lambda: guest.reads("ams") == {"ams"}, "the replica in ams does not follow")
    assert guest.posts()[0] == text


def test_the_pages_go_on_after_a_promotion_of_lax(guest):
    guest.push("promote", "lax")
    assert "next to the primary" in guest.browser.text("[data-region=lax]")
    for region in ("lax", "ams", "syd"):
        guest.go(region)
        text = new_text()
        guest.post(text)
        assert guest.writes() == {"lax"}
        guest.go(region)
        assert guest.posts()[0] == text


def test_the_chart_moves_and_shifts_nothing(guest, book):
    book.visit("eager")
    guest.go("room")
    seen = set()
    until(lambda: seen.add(guest.browser.driver.execute_script("return chart.innerHTML")) or len(seen) > 3)
    until(lambda: "ms" in guest.browser.text(".charts figure:nth-child(2) .legend"), "no write is shown")
    until(lambda: "%" in guest.browser.text(".strip:nth-of-type(2) .share"), "no read is shown")
    assert guest.browser.shifts() == []
    assert guest.browser.complaints() == []


def test_the_values_of_the_chart_can_be_read_with_a_key_a_pointer_and_as_a_table(guest, book):
    book.visit("eager")
    window = guest.browser
    guest.go("room")
    until(lambda: "ms" in window.text(".charts figure:nth-child(2) .legend"), "no write is shown")
    slider = window.driver.find_element("id", "ago")
    slider.send_keys(LEFT * 3)
    until(lambda: window.text("#then") == "3 s ago")
    assert slider.get_attribute("aria-valuetext").startswith("3 seconds ago: lag ")
    window.point_at(".plot svg", 0.5)
    until(lambda: window.text("#then") in ("44 s ago", "45 s ago"))
    assert window.driver.find_elements("css selector", ".plot .at")
    window.press(".ago a")
    assert "ms" in window.text("tbody")
    assert window.complaints() == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("place", ["lax", "room"])
def test_nothing_shifts_when_fonts_or_the_page_itself_come_late(guest, place, size):
    guest.browser.show(size)
    guest.browser.forget_what_was_loaded()
    with guest.browser.slow_line(bytes_per_second=LATE_FONTS):
        guest.go(place)
        assert guest.browser.shifts() == []
    with guest.browser.slow_line(bytes_per_second=LATE_PAGE):
        guest.go(place)
        assert guest.browser.shifts() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_fits_and_can_be_read(guest, book, size, dark):
    guest.post(new_text() + " with-a-very-long-word" * 3 + "-and-one-without-any-place-to-break" * 8)
    book.act("ams", "pause")
    guest.browser.show(size, dark=dark)
    for place in ("lax", "room"):
        guest.go(place)
        assert guest.browser.hangs_over() <= 0
        assert guest.browser.faint_texts() == []
        assert guest.browser.shifts() == []
        paper = guest.browser.driver.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
        assert (paper == "rgb(22, 19, 15)") == dark
    assert guest.browser.complaints() == []


def test_everything_that_can_be_used_shows_the_focus(guest):
    for place in ("lax", "room"):
        guest.go(place)
        usable = guest.browser.driver.execute_script(
            "return [...document.querySelectorAll('a, button, input:not([type=hidden]), textarea, summary')]"
            ".filter(each => !each.disabled).map(each => { each.focus({focusVisible: true});"
            " return document.activeElement === each && getComputedStyle(each).outlineStyle; })"
        )
        assert len(usable) > 8
        assert set(usable) == {"solid"}


def test_it_works_without_javascript(book):
    with browser(javascript=False) as window:
        guest = Guest(window, book)
        guest.go("lax")
        guest.sign(f"Guest {next(_numbers)}")
        guest.choose("lazy")
        text = new_text()
        guest.post(text)
        assert guest.posts()[0] == text
        guest.comment("A comment")
        assert "A comment" in window.text(".comments")
        guest.push("cut", "ams")
        assert "cut off" in window.text("[data-region=ams]")
        assert window.texts(".charts figure h3") == ["Lag", "Writes", "Reads"]
        assert "with JavaScript, it moves" in window.text()


def test_the_pictures_of_the_documentation(guest, book, tmp_path):
    folder = ROOT / PICTURES if PICTURES else tmp_path
    book.visit("eager")
    guest.browser.press(".guest button")
    guest.sign("Ann")
    text = "Good morning from the coast. The fog lifted around ten."
    guest.post(text)
    if PICTURES:  # which should not tell of a busy machine
        until(lambda: quick(guest) or guest.browser.press(".post header button") or guest.post(text))
    guest.browser.show((1200, 760), sharp=2)
    keep(guest, folder / "guestbook.png")
    guest.browser.show(PHONE, dark=True, sharp=2)
    guest.go("lax")
    keep(guest, folder / "guestbook-phone.png")
    if PICTURES:  # something to see in the chart
        happen(book)
    guest.go("room")
    guest.browser.show((1200, 930), sharp=2)
    keep(guest, folder / "guestbook-room.png")
    assert {
        path.name: path.stat().st_size for path in folder.glob("guestbook*") if path.stat().st_size > MOST_BYTES
    } == {}


def quick(guest):
    return float(guest.browser.text(".sums strong").split()[0]) < 175


def happen(book):
    """Let time pass, and let something happen in it."""
    import time

    time.sleep(25)
    book.act("lax", "pause")
    time.sleep(12)
    book.act("lax", "resume")
    time.sleep(20)
    book.visit("far")
    time.sleep(18)
    book.visit("eager")
    time.sleep(12)


def keep(guest, path: Path):
    """Store a picture of the window, with the few colours that it has."""
    from PIL import Image

    with Image.open(BytesIO(guest.browser.driver.get_screenshot_as_png())) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


@pytest.mark.parametrize(
    ("port", "complaint"), [("65533", "65536 is not a port"), (None, "is in use by another process")]
)
def test_a_port_that_cannot_be_used_is_reported(running, port, complaint):
    taken = running.addresses["lax"].rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "examples.guestbook", "--port", port or taken]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("The example cannot run: ")
    assert complaint in ended.stderr
