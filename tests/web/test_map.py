"""The map in a real browser, before a server on the loopback. Most of it without WebGL, which is slow without a GPU:
what the page says must not hang on what it draws."""

import importlib.util
import io
import json
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, Route, expect, sync_playwright
from sqlalchemy import Engine, text

from lswarn.db.tokens import MARK
from lswarn.hazard.classes import Class
from lswarn.web.app import STATIC, create_app
from lswarn.web.deps import clock
from lswarn.web.relief import shade, to_png

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")

_spec = importlib.util.spec_from_file_location("small_web", Path(__file__).with_name("conftest.py"))
small_web = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small_web)
DAY, NOW = small_web.DAY, small_web.NOW
NAME = "testland"
PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def _map_database(_cluster: Engine, _migrated: str) -> Iterator[dict[str, Any]]:
    """A small world of our own, for here messages are decided about."""
    name = f"{_migrated}_map"
    with _cluster.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {name} TEMPLATE {_migrated}"))
    kept: dict[str, Any] = {"url": _cluster.url.set(database=name).render_as_string(hide_password=False)}
    yield kept
    for server, thread in kept.get("servers", []):
        server.should_exit = True
        thread.join(10)
    if "face" in kept:
        kept["face"].engine.dispose()
    with _cluster.connect() as conn:
        conn.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def face(world: Any, _map_database: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    if "face" not in _map_database:
        folder = tmp_path_factory.mktemp("map")
        found = small_web._fill(world, _map_database["url"], folder)
        _map_database["face"] = found
        _map_database["servers"] = [serve(found), serve(found, web_read="token")]
    return _map_database["face"]


def serve(face: Any, **overrides: Any) -> tuple[uvicorn.Server, threading.Thread]:
    app = create_app(face.settings.model_copy(update=overrides))
    app.dependency_overrides[clock] = lambda: NOW
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    return server, thread


@pytest.fixture
def base(face: Any, _map_database: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{_map_database['servers'][0][0].config.port}"


@pytest.fixture
def closed(face: Any, _map_database: dict[str, Any]) -> str:
    """The same, where reading asks for a token."""
    return f"http://127.0.0.1:{_map_database['servers'][1][0].config.port}"


@pytest.fixture(scope="module")
def _playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def browser(playwright: Playwright, *more: str) -> Iterator[Browser]:
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", *more)
    made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(quiet))
    yield made
    made.close()


@pytest.fixture(scope="module")
def _plain(_playwright: Playwright) -> Iterator[Browser]:
    with browser(_playwright, "--disable-3d-apis") as made:
        yield made


@pytest.fixture(scope="module")
def _drawing(_playwright: Playwright) -> Iterator[Browser]:
    with browser(_playwright, "--use-angle=swiftshader", "--enable-unsafe-swiftshader") as made:
        yield made


Open = Callable[..., Page]


@contextmanager
def opener(browser: Browser, base: str) -> Iterator[Open]:
    """Opens pages; in the end nothing was fetched from elsewhere, nothing broke, and no token was in an address."""
    contexts, asked, wrong = [], [], []

    def open_page(query: str = "", at: str = base, *, width: int = 1280, before: Callable = lambda page: None) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, locale="en-GB", timezone_id="UTC")
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: "Content Security" in said.text and wrong.append(said.text))
        before(page)
        page.goto(f"{at}/?region={NAME}&{query}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
    assert all(re.match(r"http://127\.0\.0\.1:\d+/|blob:|data:", url) for url in asked)
    assert not any(MARK in url for url in asked)


@pytest.fixture
def look(_plain: Browser, base: str) -> Iterator[Open]:
    """Pages of a browser that draws no map."""
    with opener(_plain, base) as made:
        yield made


@pytest.fixture
def draw(_drawing: Browser, base: str) -> Iterator[Open]:
    """Pages of a browser that draws."""
    with opener(_drawing, base) as made:
        yield made


@pytest.fixture(autouse=True)
def _patient() -> None:
    expect.set_options(timeout=PATIENCE_MS)


def enter(page: Page, token: str) -> None:
    page.click("#token")
    page.fill("#token-field", token)
    page.fill("#token-by", "Ada")
    page.click("#token-dialog .main")


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_says_which_areas_roads_and_towns_and_since_when_without_a_map(look: Open) -> None:
    page = look()
    now = page.locator("#now")
    expect(now.locator(".areas")).to_contain_text(re.compile(r"West.*since 2 Oct.*Red.*East", re.DOTALL))
    expect(now).to_contain_text(re.compile(r"Town.*500 people"))
    expect(now).to_contain_text(re.compile(r"Hamlet.*people unknown"))
    expect(now).to_contain_text(re.compile(r"I-1.*Long Road.*1 km"))
    expect(page.locator("#nomap")).to_contain_text("This browser cannot draw the map")
    assert page.locator("button:visible").evaluate_all("all => all.every(b => b.innerText.trim() || b.ariaLabel)")


@pytest.mark.parametrize("width", [1280, 360])
def test_grade_age_and_what_is_missing_are_always_in_sight(look: Open, width: int) -> None:
    page = look(f"day={DAY - timedelta(days=1)}", width=width)
    for words in ("Rain grade D", "Thu", "old"):
        expect(page.locator("#status")).to_contain_text(words)
    expect(page.locator(".grade").first).to_be_in_viewport(ratio=1)
    expect(page.locator("#now")).to_contain_text("None is known. Rain data is incomplete")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#newest")
    expect(page.locator(".grade").first).to_have_text("Rain grade A")


def test_a_missing_day_of_rain_is_named(look: Open) -> None:
    def missing(route: Route) -> None:
        told = route.fetch().json()
        for run in told["items"]:
            run["missing"] = ["2015-10-01"]
        route.fulfill(json=told)

    page = look(before=lambda page: page.route("**/api/runs*", missing))
    expect(page.locator("#banners")).to_contain_text("Rain data missing for 1 Oct. Totals are a lower bound.")


@pytest.mark.parametrize(
    ("back", "words"), [(5, "No run was published for"), (9, "has been deleted for its age. It was not nothing")]
)
def test_a_day_of_which_nothing_is_kept_is_unknown_not_empty(look: Open, back: int, words: str) -> None:
    page = look(f"day={DAY - timedelta(days=back)}")
    expect(page.locator("#banners")).to_contain_text(words)
    expect(page.locator("#now")).to_contain_text("Unknown on this day.")
    expect(page.locator("#now")).not_to_contain_text("None in a zone")


def test_a_day_ahead_says_that_it_is_one(look: Open) -> None:
    page = look(f"day={DAY + timedelta(days=1)}")
    expect(page.locator("#banners")).to_contain_text("made with forecast rain")
    expect(page.locator("#status")).to_contain_text("Outlook, 1 d ahead")
    expect(page.locator("#day")).to_have_attribute("aria-valuetext", re.compile("3 October 2015, outlook"))


def test_an_old_newest_day_is_said_to_be_old(look: Open) -> None:
    def real(route: Route) -> None:
        told = route.fetch().json()
        for region in told["items"]:
            region["made"] = ""
        route.fulfill(json=told)

    page = look(before=lambda page: page.route("**/api/regions", real))
    expect(page.locator("#banners")).to_contain_text(re.compile(r"The newest day is 2 October 2015, [\d,]+ days ago"))


def test_an_unknown_region_is_named_and_markup_stays_text(look: Open, base: str) -> None:
    page = look()
    page.goto(f"{base}/?region=%3Cimg%20src=x%20onerror=alert(1)%3E&day=%22%3E%3Cscript%3E&lang=xx")
    expect(page.locator("#banners")).to_contain_text("There is no region “<img src=x onerror=alert(1)>” here")
    page.select_option("#region", "otherland")
    expect(page.locator("#region")).to_contain_text("Other <b>Land</b>")
    expect(page.locator("#status")).to_contain_text("Nothing was published yet")
    assert page.locator("b:has-text('Land'):not(#region *), img[src=x]").count() == 0


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_days_tabs_and_search_by_keyboard_alone(look: Open) -> None:
    page = look("lang=en")
    expect(page.locator("#status")).to_contain_text("Rain grade A")
    page.focus("#day")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_contain_text("Rain grade D")
    assert f"day={DAY - timedelta(days=1)}" in page.url
    page.keyboard.press("ArrowRight")
    expect(page.locator("#status")).to_contain_text("Rain grade A")
    page.focus("#tab-now")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-alerts")).to_be_focused()
    expect(page.locator("#alerts")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("tow")
    expect(page.locator("#found li")).to_contain_text(["Town"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    details = page.locator("#details")
    expect(details).to_be_focused()
    expect(details).to_contain_text(re.compile(r"Susceptibility.*Rain of seven days.*120 mm.*West", re.DOTALL))
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()


def test_speaks_spanish_with_no_word_left_out(look: Open) -> None:
    page = look()
    page.select_option("#lang", "es")
    expect(page.locator("#tab-now")).to_have_text("Situación")
    expect(page.locator("#now")).to_contain_text("desde el 2 oct")
    assert page.evaluate("document.documentElement.lang") == "es"
    told = "import('/static/lang/{}.js').then(m => Object.entries(m.default).map(([k, v]) => [k, JSON.stringify(v)]))"
    english, spanish = (dict(page.evaluate(told.format(lang))) for lang in ("en", "es"))
    assert english.keys() == spanish.keys()
    holes = {key: [sorted(re.findall(r"\{\w+\}", words[key])) for words in (english, spanish)] for key in english}
    assert {key: both for key, both in holes.items() if both[0] != both[1]} == {}


def test_every_word_that_is_asked_for_is_there() -> None:
    there = set(re.findall(r'^  "?([\w.-]+)"?:', (STATIC / "lang/en.js").read_text(), re.MULTILINE))
    asked = set(re.findall(r'data-i18n[\w-]*="([^"]+)"', (STATIC / "index.html").read_text()))
    for file in (STATIC / "js").glob("*.js"):
        asked |= set(re.findall(r'\bt\("([^"]+)"', file.read_text()))
    assert asked - there == set()


def test_all_of_the_page_is_asked_for_at_once() -> None:
    named = set(re.findall(r'modulepreload" href="/static/([^"]+)"', (STATIC / "index.html").read_text()))
    assert named == {
        f"{file.parent.name}/{file.name}" for file in STATIC.glob("[jlv]*/*.*js") if "worker" not in file.name
    }


def test_light_and_dark_as_the_device_has_it_or_as_it_is_chosen(look: Open) -> None:
    page = look()
    paper = "getComputedStyle(document.querySelector('.panel')).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    page.click("#theme")
    assert (light, page.evaluate(paper)) == ("rgb(255, 255, 255)", light) != (dark, light)
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(paper) == dark


def test_layers_are_switched_and_their_units_told(look: Open) -> None:
    page = look()
    page.click("#tab-layers")
    page.check("#surface-rain")
    expect(page.locator("#legend-body")).to_contain_text(re.compile(r"mm.*unknown: no data, not safe", re.DOTALL))
    expect(page.locator("#legend-body")).to_contain_text("rain above its critical value")
    page.uncheck("#overlay-exposed_roads")
    expect(page.locator("#legend-body")).not_to_contain_text("road in a very-high zone")


# ── alerts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_alert_with_its_history_and_no_draft_for_just_anybody(look: Open) -> None:
    page = look()
    page.click("#tab-alerts")
    page.click("#alerts .row:has-text('West')")
    story = page.locator("#alerts .story")
    expect(story).to_contain_text("Red in <West>, at length")
    expect(story).to_contain_text("sent without review")
    expect(story).not_to_contain_text("Still red")
    expect(page.locator("#alerts button:has-text('Approve')")).to_have_count(0)


def test_approve_reject_and_acknowledge_with_a_token(look: Open, face: Any) -> None:
    page = look()
    enter(page, f"{MARK}not-a-token")
    page.click("#tab-alerts")
    expect(page.locator("#alerts")).to_contain_text("could not be read")
    enter(page, face.tokens["review"])
    page.click("#alerts .row:has-text('Waits for a person')")
    draft = page.locator(".story li:has-text('Still red')")
    expect(draft).to_contain_text("Sent unreviewed at")
    draft.locator("button:has-text('Reject')").click()
    expect(page.locator("#decide-by")).to_have_value("Ada")
    page.click("#decide-yes")
    expect(page.locator("#decide-error")).to_contain_text("Say who you are, and why")
    page.fill("#decide-reason", "a leaking roof")
    page.route("**/reject", lambda route: route.fulfill(status=409, json={"detail": "decided this moment"}))
    page.click("#decide-yes")
    expect(page.locator("#decide-error")).to_have_text("decided this moment")
    page.unroute("**/reject")
    page.click("#decide-yes")
    expect(draft).to_contain_text("rejected (Ada: a leaking roof)")
    sent = page.locator(".story li:has-text('Red in <West>')")
    sent.locator("button:has-text('Acknowledge')").click()
    page.click("#decide-yes")
    expect(sent).to_contain_text("Acknowledged by Ada")
    assert page.evaluate("JSON.stringify(localStorage)").find(face.tokens["review"]) < 0


def test_where_reading_asks_for_a_token_the_page_does_too(look: Open, face: Any, closed: str) -> None:
    page = look(at=closed)
    expect(page.locator("#banners")).to_contain_text("Reading asks for a token here")
    page.click("#banners button")
    page.fill("#token-field", face.tokens["read"])
    page.keyboard.press("Enter")
    expect(page.locator("#now")).to_contain_text("West")
    expect(page.locator("#banners")).not_to_contain_text("token")


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_says_that_the_database_is_away_and_recovers_by_itself(look: Open) -> None:
    def down(route: Route) -> None:
        route.fulfill(status=503, body=json.dumps({"detail": "the database does not answer"}))

    page = look(before=lambda page: page.route("**/api/**", down))
    expect(page.locator("#banners")).to_contain_text("(the database does not answer). Nothing shown is not nothing")
    page.unroute("**/api/**")
    expect(page.locator("#now")).to_contain_text("West")
    expect(page.locator("#banners")).not_to_contain_text("database")
    page.route("**/api/**", lambda route: route.abort())
    page.click("#earlier")
    expect(page.locator("#banners")).to_contain_text("no connection")
    expect(page.locator("#now")).to_contain_text("Unknown on this day.")


# ── the map itself ───────────────────────────────────────────────────────────────────────────────────────────────────


def picture(page: Page) -> np.ndarray:
    page.wait_for_selector("#map[data-drawn]", timeout=3 * PATIENCE_MS)
    page.wait_for_timeout(300)
    return np.asarray(Image.open(io.BytesIO(page.locator("#map").screenshot())).convert("RGB")).reshape(-1, 3)


def share(pixels: np.ndarray, colour: str, within: int = 8) -> float:
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return float((np.abs(pixels.astype(int) - wanted).max(axis=1) <= within).mean())


def test_draws_areas_and_hatches_what_is_not_known_and_answers_a_click(draw: Open) -> None:
    page = draw(f"lon={small_web.LON}&lat={small_web.LAT}&z=11.5")
    seen = picture(page)
    # The map that was published of that day is not the file that is there: all of it is unknown.
    assert share(seen, Class.UNKNOWN.colour) > 0.05, "unknown ground is hatched"
    assert share(seen, "#c00026") > 0.0005, "the outline of an area with a red alert"
    assert share(seen, "#0b57d0") > 0.0005, "roads and settlements in zones"
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#details")).to_contain_text("120 mm")
    page.keyboard.press("Escape")
    page.focus("#map canvas")
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_contain_text("Warning area")
    assert "lon=-84.25" in page.url


def test_a_tile_that_does_not_come_leaves_hatching_and_says_so(draw: Open) -> None:
    page = draw(before=lambda page: page.route("**/classes/**", lambda route: route.abort()))
    expect(page.locator("#banners")).to_contain_text("What is not drawn is unknown, not safe")
    assert share(picture(page), "#8b919b", 16) > 0.05


# ── colours and hills ────────────────────────────────────────────────────────────────────────────────────────────────


def test_colours_are_those_of_the_class_maps() -> None:
    palette, css = (STATIC / "js/palette.js").read_text(), (STATIC / "app.css").read_text()
    assert f"CLASS = {json.dumps([each.colour for each in Class])}" in palette
    assert all(f".class-{each} {{ background: {each.colour};" in css for each in Class if each)


def test_hills_are_lit_from_the_north_west_and_flat_or_unknown_ground_is_left_as_it_is() -> None:
    down, right = np.mgrid[0:20, 0:20].astype(np.float32)
    assert np.all(shade(right * 20 + down * 20, 30) > 0.1)  # it rises to the south-east: the sun is on it
    assert np.all(shade(-right * 20 - down * 20, 30) < -0.1)
    heights = np.full((20, 20), 300, np.float32)
    heights[5:, 5:] = np.nan
    pixels = np.asarray(Image.open(io.BytesIO(to_png(shade(heights, 30)))))
    assert not pixels[..., 1].any()
