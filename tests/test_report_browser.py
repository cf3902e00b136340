"""The report in a real browser: it scrolls and switches without an error or a request, in the right place."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from fake_stores import CENTRE, Scene, write_store
from playwright.sync_api import Browser, Page, sync_playwright

from planner.report.collect import collect, grid_of
from planner.report.page import write_report
from planner.report.slices import LEAST_DOSE

pytestmark = pytest.mark.browser
CHROMIUM = Path("/usr/bin/chromium")
PLANES = {"Axial": 2, "Coronal": 1, "Sagittal": 0}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("chromium is missing. Install it with: sudo apt-get install -y chromium", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_store(tmp_path_factory.mktemp("study") / "timing", patients=2, spacing_mm=3.0))


@pytest.fixture(scope="module")
def plain_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "timing"
    return write_report(write_store(folder, patients=1, strategies=1, spacing_mm=3.0, plain=True))


class Watched:
    """A page, and everything that it should not do."""

    def __init__(self, browser: Browser, file: Path) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.faults: list[str] = []
        self.page.on("console", lambda m: self.faults.append(f"console: {m.text}"))
        self.page.on("pageerror", lambda e: self.faults.append(f"error: {e}"))
        self.page.on("dialog", lambda d: (self.faults.append(f"dialog: {d.message}"), d.dismiss()))
        self.page.on("request", lambda r: self._requested(r.url, file))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("#viewer[data-ready]")

    def _requested(self, url: str, file: Path) -> None:
        if url.split("#", maxsplit=1)[0] != file.as_uri():
            self.faults.append(f"request: {url[:100]}")

    def pane(self, title: str):  # type: ignore[no-untyped-def]
        return self.page.locator("figure.pane", has=self.page.get_by_text(title, exact=True))

    def position(self, title: str) -> float:
        return float(self.pane(title).locator("canvas").get_attribute("data-position"))

    def picture(self, number: int = 0) -> str:
        return self.page.evaluate("n => document.querySelectorAll('.pane canvas')[n].toDataURL()", number)

    def choose(self, name: str, value: str) -> None:
        before = self.page.get_attribute("#viewer", "data-ready")
        self.page.select_option(f"#viewer [name={name}]", value)
        if name in ("patient", "arm", "layout"):
            self.page.wait_for_function(
                "was => document.getElementById('viewer').dataset.ready !== was && "
                "[...document.querySelectorAll('.pane canvas')].every(c => c.dataset.position)",
                arg=before,
            )


@pytest.fixture
def watched(browser: Browser, report: Path) -> Iterator[Watched]:
    seen = Watched(browser, report)
    yield seen
    seen.page.close()
    assert seen.faults == []


def test_slices_scroll_in_all_planes(watched: Watched) -> None:
    for title, axis in PLANES.items():
        canvas = watched.pane(title).locator("canvas")
        canvas.scroll_into_view_if_needed()
        start, drawn = watched.position(title), watched.picture(list(PLANES).index(title))
        canvas.hover()
        watched.page.mouse.wheel(0, 120)
        assert watched.position(title) == pytest.approx(start + 3.0, abs=1e-3)
        assert watched.picture(list(PLANES).index(title)) != drawn
        canvas.focus()
        watched.page.keyboard.press("ArrowDown")
        watched.page.keyboard.press("PageUp")
        assert watched.position(title) == pytest.approx(start + 15.0, abs=1e-3)
        watched.pane(title).locator("input").fill(str(CENTRE[axis]))
        assert watched.position(title) == pytest.approx(CENTRE[axis], abs=1e-3)


def test_everything_can_be_switched(watched: Watched) -> None:
    page = watched.page
    seen = {watched.picture()}

    def changed() -> None:
        picture = watched.picture()
        assert picture not in seen
        seen.add(picture)

    page.locator("#slices").scroll_into_view_if_needed()
    watched.choose("patient", "p02")
    changed()
    watched.choose("arm", "delayed")
    changed()
    for phase in ("planned", "difference"):
        watched.choose("phase", phase)
        changed()
    watched.choose("phase", "delivered")
    watched.choose("image", "belief_image")
    changed()
    for toggle in ("wash", "lines", "cross"):
        page.uncheck(f"#viewer [name={toggle}]")
        changed()
    page.fill("#viewer [name=zoom]", "3")
    changed()
    for check in page.locator(".structures input").all()[:2]:
        check.uncheck()
        changed()
    watched.choose("layout", "coronal")
    assert page.locator("figure.pane").count() == 3
    watched.choose("layout", "planes")
    page.select_option("[name=dvh-patient]", "p01")
    assert page.locator("#dvh .curve.followed").count() > 0
    page.click("button.theme")
    assert page.get_attribute("html", "data-theme") == "dark"


def test_a_click_moves_the_other_planes_to_that_point(watched: Watched) -> None:
    page = watched.page
    page.locator("#slices").scroll_into_view_if_needed()
    box = watched.pane("Axial").locator("canvas").bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    # The patient's right is on the left of the picture, anterior is on top: x and y are negative there.
    assert watched.position("Sagittal") < -20
    assert watched.position("Coronal") < -20
    text = watched.pane("Axial").locator("output").inner_text()
    assert text.startswith("R ")
    assert " A " in text
    assert "Gy" in text


def test_the_image_lies_where_the_grid_says(browser: Browser, plain_report: Path) -> None:
    seen = Watched(browser, plain_report)
    page = seen.page
    for toggle in ("wash", "lines", "cross"):
        page.uncheck(f"#viewer [name={toggle}]")
    for check in page.locator(".structures input").all():
        check.uncheck()
    for title, axis in PLANES.items():
        seen.pane(title).locator("input").fill(str(CENTRE[axis]))
    found = page.evaluate(
        """async () => (await lacuna.running).panes().map((p) => {
          const r = p.view.ratio, {width, height} = p.canvas;
          const data = p.canvas.getContext("2d").getImageData(0, 0, width, height).data;
          let n = 0, u = 0, v = 0;
          for (let y = 40; y < height - 40; y++) for (let x = 40; x < width - 40; x++) {
            const w = data[4 * (y * width + x)];
            if (w < 40) continue;
            n += w; u += w * p.view.u((x + 0.5) / r); v += w * p.view.v((y + 0.5) / r);
          }
          return [u / n, v / n, Math.sqrt(n / 255 / (p.view.scale * r) ** 2 / Math.PI)];
        })"""
    )
    expected = [(CENTRE[0], CENTRE[1]), (CENTRE[0], CENTRE[2]), (CENTRE[1], CENTRE[2])]
    for (u, v, radius), (across, down) in zip(found, expected, strict=True):
        assert (u, v) == pytest.approx((across, down), abs=0.15)  # of voxels of 3 mm: a shift by half of one is 1.5
        assert radius == pytest.approx(Scene(1, "direct_postop", 3.0).true_mm, abs=0.35)
    seen.page.close()
    assert seen.faults == []


def test_a_contour_is_drawn_on_the_edge_of_its_ball(browser: Browser, plain_report: Path) -> None:
    seen = Watched(browser, plain_report)
    page = seen.page
    for toggle in ("wash", "lines", "cross"):
        page.uncheck(f"#viewer [name={toggle}]")
    for label in page.locator(".structures label").all():
        label.locator("input").set_checked(label.inner_text().startswith("Cavity, on"))
    seen.pane("Axial").locator("input").fill(str(CENTRE[2]))
    green = page.evaluate(
        """async () => {
          const p = (await lacuna.running).panes()[0], {width, height} = p.canvas;
          const data = p.canvas.getContext("2d").getImageData(0, 0, width, height).data, out = [];
          for (let n = 0; n < width * height; n++) {
            const [r, g, b] = data.slice(4 * n, 4 * n + 3);
            const x = (n % width + 0.5) / p.view.ratio, y = (Math.floor(n / width) + 0.5) / p.view.ratio;
            if (g > 150 && g - r > 80) out.push([p.view.u(x), p.view.v(y)]);
          }
          return out;
        }"""
    )
    distances = np.hypot(*(np.array(green) - CENTRE[:2]).T)
    true = Scene(1, "direct_postop", 3.0).true_mm
    assert len(green) > 100
    assert distances.mean() == pytest.approx(true, abs=0.2)
    assert np.abs(distances - true).max() < 0.7  # half the line's width, and a tenth of a voxel
    seen.page.close()


def test_doses_shown_are_those_of_the_store(browser: Browser, report: Path) -> None:
    seen = Watched(browser, report)
    case = collect(report.parent).cases[0]
    views, rng = case.views(), np.random.default_rng(8)
    grid = grid_of(views)
    least = LEAST_DOSE * (case.prescription_gy or 0.0)
    hot = np.argwhere(np.minimum(views["dose_gy"], views["planned_gy"]) > least)
    index = hot[rng.integers(0, len(hot), 40)]
    told = seen.page.evaluate(
        """async (points) => { const {delivered, planned} = (await lacuna.running).panes()[0].case;
          const at = (field, [x, y, z]) => lacuna.valueAt(lacuna.plane(field, "axial", z), x, y);
          return points.map((p) => [at(delivered, p), at(planned, p)]); }""",
        grid.point_of(index).tolist(),
    )
    stored = np.array([[views[name][tuple(i)] for name in ("dose_gy", "planned_gy")] for i in index], float)
    assert np.abs(np.array(told) - stored).max() < 0.0101 + 1e-4
    seen.page.close()
    assert seen.faults == []


@pytest.fixture(scope="module")
def fields(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_content("<p>fields</p>")
    page.add_script_tag(content=files("planner.report").joinpath("assets", "fields.js").read_text())
    yield page
    page.close()


def _field(values: np.ndarray, origin: tuple[float, ...], spacing: tuple[float, ...], step: float) -> dict[str, object]:
    counts = np.rint(values / step).astype(int)
    return {
        "shape": values.shape,
        "origin": origin,
        "spacing": spacing,
        "step": step,
        "counts": counts.transpose(2, 1, 0).ravel().tolist(),
    }


def test_contour_of_a_ball_is_right_to_a_hundredth_of_a_millimetre(fields: Page) -> None:
    # Unequal spacing and an odd origin: a swapped axis, a sign or half a voxel would show.
    origin, spacing, shape = (-12.3, -11.1, -13.7), (0.5, 0.6, 0.7), (54, 48, 41)
    centre, radius = np.array([1.2, 3.1, 0.4]), 11.0
    x, y, z = np.meshgrid(
        *[o + s * np.arange(n) for o, s, n in zip(origin, spacing, shape, strict=True)], indexing="ij"
    )
    values = 60 - np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    positions = [origin[axis] + spacing[axis] * 21 for axis in (2, 1, 0)]
    found = fields.evaluate(
        """([field, positions, level]) => ["axial", "coronal", "sagittal"].map(
          (name, n) => lacuna.contours(lacuna.plane(field, name, positions[n]), level))""",
        [_field(values, origin, spacing, 0.001), positions, 60 - radius],
    )
    for lines, position, normal in zip(found, positions, (2, 1, 0), strict=True):
        assert len(lines) == 1
        others = [a for a in range(3) if a != normal]
        u, v = (np.array(lines[0]) - centre[others]).T
        cut = np.sqrt(radius**2 - (position - centre[normal]) ** 2)
        assert np.abs(np.hypot(u, v) - cut).max() < 0.01
        area = 0.5 * abs(np.dot(u, np.roll(v, 1)) - np.dot(v, np.roll(u, 1)))
        assert area == pytest.approx(np.pi * cut**2, rel=2e-3)


def test_contours_close_at_the_border_and_join_saddles(fields: Page) -> None:
    full = _field(np.ones((4, 3, 2)), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0)
    run = "([field, level]) => lacuna.contours(lacuna.plane(field, 'axial', 0), level)"
    (line,) = fields.evaluate(run, [full, 0.5])
    assert np.array(line).min(axis=0) == pytest.approx([-0.5, -0.5])  # the faces of the outermost voxels
    assert np.array(line).max(axis=0) == pytest.approx([3.5, 2.5])
    saddle = np.zeros((4, 4, 1))
    saddle[1, 1], saddle[2, 2] = 1.0, 1.0
    assert len(fields.evaluate(run, [_field(saddle, (0.0,) * 3, (1.0,) * 3, 0.01), 0.6])) == 2
    assert len(fields.evaluate(run, [_field(saddle, (0.0,) * 3, (1.0,) * 3, 0.01), 0.4])) == 1
    assert fields.evaluate("([f]) => lacuna.plane(f, 'axial', 1.6)", [full]) is None
    assert fields.evaluate("([f]) => lacuna.valueAt(lacuna.plane(f, 'axial', 1.4), 3.4, 2.4)", [full]) == 1
    assert fields.evaluate("([f]) => lacuna.valueAt(lacuna.plane(f, 'axial', 1.4), 3.6, 2.4)", [full]) == 0


def test_hostile_names_do_nothing(browser: Browser, tmp_path: Path) -> None:
    title = "</script></style></title><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7*7 }}\"' &amp;"
    seen = Watched(browser, write_report(write_store(tmp_path / "s", patients=1, strategies=1, title=title)))
    assert title in seen.page.locator("h1").inner_text()
    assert title in seen.page.title()
    assert seen.page.locator("main img").count() == 0
    seen.page.close()
    assert seen.faults == []
