"""A headless Chromium, which the system has to provide along with its driver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.support.waiting import PATIENCE, until

#: Widths and heights of windows, in pixels.
DESK, PHONE = (1280, 900), (390, 844)

#: The texts on a page whose contrast to what is behind them is below the 4.5 of WCAG 2.1 (1.4.3).
_FAINT = """
const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (let each = element; each; each = each.parentElement) {
    const colour = parts(getComputedStyle(each).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join("");
  if (!text || element.disabled || !element.checkVisibility()) continue;
  const [one, other] = [parts(getComputedStyle(element).color), behind(element)].map(luminance);
  if ((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5) faint.push(text);
}
return faint;
"""
_SHIFTS = """
const done = arguments[0];
const shifts = [];
const name = node => !node ? "what is gone" : node.nodeType === 3 ? `a text in ${name(node.parentElement)}`
  : `${node.localName}.${node.getAttribute("class")}`;
const corner = box => `(${box.x}, ${box.y}) ${box.width} × ${box.height}`;
const told = each => `${name(each.node)} from ${corner(each.previousRect)} to ${corner(each.currentRect)}`;
new PerformanceObserver(list => list.getEntries().forEach(
  entry => shifts.push(`${entry.value.toFixed(6)}: ${entry.sources.map(told).join("; ")}`)
)).observe({ type: "layout-shift", buffered: true });
setTimeout(() => done(shifts), 50);
"""


def executables() -> tuple[str, str]:
    """The paths of Chromium and of its driver; without them the test is skipped, or fails where CI is set."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        problem = "there is no chromium with a chromedriver on the PATH (Debian: apt-get install chromium-driver)"
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    return str(found[0]), str(found[1])


class Browser:
    """A browser with one window."""

    def __init__(self, *, javascript: bool = True) -> None:
        chromium, driver = executables()
        webdriver = pytest.importorskip("selenium.webdriver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--hide-scrollbars", "--disable-gpu"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # which root cannot have
        if not javascript:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        self.driver.set_page_load_timeout(PATIENCE)
        self.show(DESK)

    def close(self) -> None:
        self.driver.quit()

    def show(self, size: tuple[int, int], *, dark: bool = False, sharp: int = 1) -> None:
        """Have a window of this size on a light or dark desktop, with ``sharp`` dots for each pixel."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": sharp, "mobile": width < 600}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, address: str) -> None:
        self.driver.get(address)

    def text(self, selector: str = "body") -> str:
        """The text of the first element; empty if there is none."""
        return self._found(selector, lambda found: found[0].text if found else "")

    def texts(self, selector: str) -> list[str]:
        return self._found(selector, lambda found: [element.text for element in found])

    def fill(self, selector: str, text: str) -> None:
        self.driver.find_element("css selector", selector).send_keys(text)

    def press(self, selector: str) -> None:
        """Press a button of a form, and wait for the page that comes of it."""
        page = self.driver.find_element("css selector", "html")
        self.driver.find_element("css selector", selector).click()
        until(lambda: self._is_gone(page), "the page has not changed")
        until(lambda: self.driver.execute_script("return document.readyState") == "complete")

    def point_at(self, selector: str, part: float) -> None:
        """Move the mouse to this part of an element's width, from its left."""
        box = self._found(selector, lambda found: found[0].rect)
        move = {"type": "mouseMoved", "x": box["x"] + part * box["width"], "y": box["y"] + box["height"] / 2}
        self.driver.execute_cdp_cmd("Input.dispatchMouseEvent", move)

    def complaints(self) -> list[str]:
        """What the console has said since it was asked last."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def faint_texts(self) -> list[str]:
        """Texts with too little contrast."""
        return list(self.driver.execute_script(_FAINT))

    def hangs_over(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(self.driver.execute_script("return document.documentElement.scrollWidth - innerWidth"))

    def shifts(self) -> list[str]:
        """Each shift of the page's layout that counts for Cumulative Layout Shift, and what has moved."""
        return list(self.driver.execute_async_script(_SHIFTS))

    @contextmanager
    def slow_line(self, *, bytes_per_second: int) -> Iterator[None]:
        """A block in which pages, and all that they load, arrive slowly."""
        self._line(bytes_per_second)
        try:
            yield
        finally:
            self._line(-1)

    def forget_what_was_loaded(self) -> None:
        """Let the next page load its fonts and style sheets again."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})

    def _line(self, bytes_per_second: int) -> None:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": bytes_per_second, "uploadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def _found(self, selector: str, look: Callable[[list[Any]], Any]) -> Any:
        """What ``look`` finds in the elements; again if the page has replaced one meanwhile, as that with the chart."""
        from selenium.common.exceptions import StaleElementReferenceException

        while True:
            with suppress(StaleElementReferenceException):
                return look(self.driver.find_elements("css selector", selector))

    def _is_gone(self, element: object) -> bool:
        from selenium.common.exceptions import WebDriverException

        try:
            element.is_enabled()  # type: ignore[attr-defined]
        except WebDriverException:
            return True
        return False


@contextmanager
def browser(**options: bool) -> Iterator[Browser]:
    """A browser as long as the block lasts."""
    made = Browser(**options)
    try:
        yield made
    finally:
        made.close()
