"""The console in a real browser: what a support person sees and does, on a screen and on a phone, in light and dark."""

import asyncio
import itertools
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from playwright.async_api import expect

from bellhop.sandbox.stream_webhooks import SampleCall
from tests.webhook.console.played_calls import NASTY, NASTY_CALL, PASSWORD, TOKENS, log_in, window

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALL = "/console/call?id=default:call-"
EVERY_PAGE = {
    "calls": "/console/",
    "nothing found": "/console/?q=nobody",
    "filtered": "/console/?show=failed",
    "a dead token": CALL + "dead-token",
    "two rounds": CALL + "again",
    "late": CALL + "late",
    "unknown call": CALL + "unknown",
    "person": "/console/person?id=jane-morel",
    "nobody": "/console/person?id=nobody",
    "users": "/console/person",
    "audit": "/console/audit?user=jane-morel",
    "service": "/console/service",
    "failed": "/console/failed",
}


async def headings(page):
    return [text.strip() for text in await page.locator("ol.calls h3").all_inner_texts()]


async def listed(page):
    return [text.removeprefix("default:call-") for text in await page.locator("ol.calls .cid").all_inner_texts()]


async def listed_to_the_end(page):
    """List the calls of all pages. On a busy machine, a search by a flag may stop before its page is full."""
    names, further = await listed(page), page.get_by_role("link", name="older calls")
    while await further.count():
        url = page.url
        await further.click()
        await page.wait_for_url(lambda now, before=url: now != before)
        names += await listed(page)
    return names


def item(page, name):
    return page.locator("ol.calls > li", has=page.get_by_text(f"default:call-{name}", exact=True))


async def test_logging_in_and_out(logged_out_page):
    await logged_out_page.goto("/console/")
    assert await logged_out_page.title() == "Log in · Bellhop"
    await log_in(logged_out_page)
    await logged_out_page.wait_for_url("**/console/")
    assert await logged_out_page.get_by_role("heading", level=1).inner_text() == "Calls"
    await logged_out_page.get_by_role("button", name="Log out").click()
    await logged_out_page.wait_for_url("**/console/login")
    await logged_out_page.goto("/console/")
    assert await logged_out_page.title() == "Log in · Bellhop"


async def test_a_wrong_password_is_reported(logged_out_page):
    await log_in(logged_out_page, "guessed")
    assert "Wrong password." in await logged_out_page.get_by_role("alert").inner_text()


async def test_the_login_leads_back_to_the_call_that_was_asked_for(logged_out_page):
    await logged_out_page.goto(CALL + "late")
    await logged_out_page.get_by_label("Password").fill(PASSWORD)
    await logged_out_page.keyboard.press("Enter")
    await logged_out_page.wait_for_url("**/console/call?id=default:call-late")


async def test_a_mistyped_address_is_a_page_of_the_console(page, logged_out_page):
    answer = await page.goto("/console/xyz/abc")
    assert answer.status == 404
    assert "The console has no such page." in await page.locator("main").inner_text()
    await page.get_by_role("link", name="Back to the calls").click()
    await page.wait_for_url("**/console/")


async def test_a_command_in_advice_is_shown_as_code(page):
    await page.goto(CALL + "unknown")
    assert "`" not in await page.locator("main").inner_text()
    assert "bellhop check" in await page.locator(".next code").all_inner_texts()


async def test_on_a_phone_a_value_stands_beside_its_label(page):
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.goto(EVERY_PAGE["person"])
    lefts = await page.locator("table.stack td").evaluate_all(
        """cells => cells.flatMap(cell => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            const left = cell.getBoundingClientRect().left;
            return [...range.getClientRects()].filter(rect => rect.width).map(rect => rect.left - left);
        })"""
    )
    assert lefts
    assert min(lefts) > 100, "nothing drops below the column of labels"


async def test_the_list_shows_the_latest_calls_with_what_they_came_to(page):
    assert (await listed(page))[:1] == ["unfinished"]
    assert {"answered", "missed", "cancelled", "declined", "dead-token", "no-phone", "late"} <= set(await listed(page))
    assert "sara-lind (Sara Lind) called ben-osei (Ben Osei) and jane-morel (Jane Morel)" in await headings(page)
    assert "sara-lind (Sara Lind) notified ben-osei (Ben Osei) and jane-morel (Jane Morel)" in await headings(page)
    says = {
        "answered": ["Reached"],
        "dead-token": ["Not reached", "Failed"],
        "no-phone": ["Not reached"],
        "late": ["Late"],
        "declined": ["Reached"],
    }
    for name, words in says.items():
        badges = await item(page, name).locator(".badge").all_inner_texts()
        assert [badge[1:].strip() for badge in badges] == words, name


@pytest.mark.parametrize(
    ("name", "some", "others"),
    [
        ("Not reached", {"dead-token", "no-phone"}, {"answered", "declined", "late"}),
        ("Late", {"late"}, {"answered", "dead-token", "no-phone"}),
        ("Failed", {"dead-token"}, {"answered", "no-phone", "late"}),
    ],
)
async def test_a_filter_leaves_the_calls_it_names(page, name, some, others):
    filters = page.get_by_role("navigation", name="Filters")
    await filters.get_by_role("link", name=name).click()
    await page.wait_for_url("**show=*")
    assert await filters.locator("[aria-current]").inner_text() == name
    found = set(await listed_to_the_end(page))
    assert some <= found
    assert not others & found


async def test_searching_for_a_call_opens_it(page):
    await page.get_by_label("Call, user, name or time").fill("default:call-late")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/call?id=default:call-late")


async def test_searching_for_a_part_of_an_id_finds_the_call(page):
    await page.get_by_label("Call, user, name or time").fill("dead-tok")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url("**q=dead-tok*")
    assert await listed(page) == ["dead-token"]


async def test_searching_for_a_user_finds_calls_and_phones(page):
    await page.get_by_label("Call, user, name or time").fill("gus-gone")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url("**q=gus-gone*")
    assert await listed(page) == ["dead-token"]
    await page.get_by_role("link", name="Phones and preferences of gus-gone").click()
    await page.wait_for_url("**/console/person?id=gus-gone")
    assert "No phone is registered." in await page.locator("main").inner_text()


async def test_a_search_that_finds_nothing_says_what_to_search_for(page):
    await page.goto("/console/?q=default:nothing")
    assert "Search for a call by its type and id" in await page.locator("main").inner_text()


async def test_the_list_shows_a_new_call_by_itself_unless_it_is_paused(page, installation):
    assert await page.locator("#live-state").inner_text() == "Live"
    async with page.expect_request(lambda request: "x-bellhop-refresh" in request.headers, timeout=20_000):
        pass  # without https, nothing else tells the server that a script asks
    first, second = (
        SampleCall(members=("ben-osei",), id="call-new-1"),
        SampleCall(members=("ben-osei",), id="call-new-2"),
    )
    await installation.stream.post(first.ring())
    await item(page, "new-1").wait_for(timeout=20_000)
    await page.get_by_role("button", name="Pause").click()
    assert await page.locator("#live-state").inner_text() == "Paused"
    await installation.stream.post(second.ring())
    await asyncio.sleep(4)  # longer than the list takes to look again
    assert await item(page, "new-2").count() == 0
    await page.get_by_role("button", name="Resume").click()
    await item(page, "new-2").wait_for(timeout=20_000)


async def test_the_live_list_tells_a_logged_out_user_to_log_in(page, installation):
    for key in await installation.store.call("KEYS", "bellhop:console:login:*"):
        await installation.store.call("DEL", key)
    await page.get_by_text("Connection lost").wait_for(timeout=20_000)


async def test_older_calls_are_pages_away(page, installation):
    names = [f"call-many-{number}" for number in range(30)]
    for name in names:
        await installation.stream.post(SampleCall(members=("page-turner",), id=name).ring())
    await page.goto("/console/?q=page-turner")
    first = await listed(page)
    await page.get_by_role("link", name="Older calls").click()
    await page.wait_for_url("**before=*")
    assert [f"call-{name}" for name in first + await listed(page)] == names[::-1]
    assert await page.get_by_role("link", name="Older calls").count() == 0


async def test_everything_can_be_read_without_scripts(chromium, installation):
    async with window(chromium, installation, java_script_enabled=False) as page:
        await log_in(page)
        await page.wait_for_url("**/console/")
        await page.goto("/console/?q=lee-late")
        assert await listed(page) == ["late"]
        assert await page.get_by_role("button", name="Pause").count() == 0
        assert re.fullmatch(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC", await page.locator("ol.calls time").inner_text())
        assert await page.locator("footer").inner_text() == "Times are in UTC."
        await page.goto(CALL + "dead-token")
        assert await page.get_by_role("img", name="The ring over time").is_visible()


async def test_times_are_in_the_readers_zone_and_so_is_the_search(chromium, installation):
    async with window(chromium, installation, timezone_id="Asia/Kathmandu") as page:
        await log_in(page)
        await page.get_by_role("heading", name="Latest calls").wait_for()
        await page.goto("/console/?q=call-answered")
        time = item(page, "answered").locator("time")
        at = datetime.fromisoformat(await time.get_attribute("datetime")).astimezone(ZoneInfo("Asia/Kathmandu"))
        shown = await time.inner_text()
        assert shown in (f"{at:%H:%M:%S}", f"{at:%Y-%m-%d %H:%M:%S}")
        assert "your time zone, Asia/Kat" in await page.locator("footer").inner_text()
        await page.get_by_label("Call, user, name or time").fill(f"call-answered {at:%Y-%m-%d %H:%M}")
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url("**zone=Asia*")
        assert await item(page, "answered").locator("time").inner_text() == shown


async def test_a_calls_page_says_first_what_it_came_to_for_each_person(page):
    await page.goto(CALL + "dead-token")
    gus, jane = await page.get_by_role("article").all()
    said = await gus.inner_text()
    assert "Not reached" in said
    assert "Failed" in said
    assert "Gus's old iPhone was not rung: Apple says that the app was removed" in said
    assert "Ask gus-gone to open the app once" in said
    assert "Jane's Pixel was rung" in await jane.inner_text()
    rows = await page.get_by_role("table").get_by_role("row").all_inner_texts()
    assert re.search(r"An attempt to send the ring for Gus's old iPhone failed", " ".join(rows))


async def test_a_calls_picture_has_a_row_for_each_phone(page):
    await page.goto(CALL + "dead-token")
    rows = await page.locator("svg .phone-row .name").all_text_contents()
    assert rows[:2] == ["Stream", "Queue"]
    assert {"Gus's old iPhone", "Jane's Pixel", "Jane's iPad"} <= set(rows)
    crosses = page.locator("svg .phone-row", has_text="Gus's old iPhone").locator(".cross")
    assert await crosses.count() == 1
    box, picture = await crosses.first.bounding_box(), await page.locator("figure svg").first.bounding_box()
    assert picture["x"] < box["x"] < picture["x"] + picture["width"]


async def test_a_late_call_says_who_was_rung_late_and_why(page):
    await page.goto(CALL + "late")
    assert "Late" in await page.get_by_role("article").locator(".badge").all_inner_texts() or "Late" in (
        await page.get_by_role("article").inner_text()
    )
    took = re.search(r"Stream's webhook took (\d+)", await page.locator("main").inner_text())
    assert int(took[1]) >= 7


async def test_an_unknown_call_says_what_to_check(page):
    await page.goto(CALL + "unknown")
    text = await page.locator("main").inner_text()
    assert "Bellhop has no record of the call default:call-unknown" in text
    assert "Check the id" in text


async def test_a_persons_page_shows_their_phones_and_no_token(page):
    await page.goto("/console/person?id=jane-morel")
    table = await page.get_by_role("table").inner_text()
    assert "Jane's Pixel" in table
    assert "calls, by Apple" in table
    for path in EVERY_PAGE.values():
        await page.goto(path)
        content = await page.content()
        assert not [token for token in TOKENS.values() if token in content], path


async def test_the_service_page_shows_queues_workers_and_providers(page):
    await page.goto("/console/service")
    text = await page.locator("main").inner_text()
    assert "Redis answers, every queue has a worker, and the providers accept the credentials." in text
    await expect(page.locator("dd", has=page.locator("time")).first).to_contain_text("call.", timeout=20_000)
    processes = await page.get_by_role("table").last.inner_text()
    assert processes.count("worker ") >= 1
    assert processes.count("web ") >= 1
    assert {"bellhop-rings", "bellhop-notices", "bellhop-mail"} <= set(
        await page.get_by_role("rowheader").all_inner_texts()
    )
    assert {"com.example.calls", "example-calls"} <= set(await page.get_by_role("rowheader").all_inner_texts())


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        f"/console/?q={NASTY}",
        f"/console/call?id=default:{NASTY_CALL}",
        f"/console/call?id={NASTY}&user={NASTY}",
        f"/console/person?id={NASTY}",
        f"/console/person?id={NASTY}2",
        f"/console/?tenant={NASTY}",
        f"/console/login?next={NASTY}",
    ],
)
async def test_names_from_outside_are_text_wherever_they_are_shown(page, path):
    title = None
    await page.goto(path)
    title = await page.title()
    await page.wait_for_load_state("networkidle") if "?" in path else None
    assert await page.locator("main img, main script, main b b").count() == 0
    assert title.endswith("· Bellhop")
    assert await page.evaluate("document.title") == title


@pytest_asyncio.fixture(params=["light", "dark"], loop_scope="session")
async def phone(request, chromium, installation):
    """A small phone in someone's hand, logged in."""
    async with window(
        chromium, installation, viewport={"width": 360, "height": 740}, color_scheme=request.param, has_touch=True
    ) as page:
        page.scheme = request.param
        await log_in(page)
        await page.get_by_role("heading", name="Latest calls").wait_for()
        yield page


async def test_nothing_is_wider_than_a_phone(phone, installation):
    nasty = [f"/console/call?id=default:{NASTY_CALL}", f"/console/person?id={NASTY}2", "/console/?q=" + "x" * 300]
    for path in [*EVERY_PAGE.values(), *nasty]:
        await phone.goto(path)
        assert await phone.evaluate("document.documentElement.scrollWidth") <= 360, path


CONTRAST = """
() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const back = (element) => {
    for (; element; element = element.parentElement) {
      const color = rgb(getComputedStyle(element).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length || element.closest('.skip, title, desc')) continue;
    const style = getComputedStyle(element);
    const front = rgb(element instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(front), light(back(element instanceof SVGElement ? element.closest('figure') : element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(1)}: ${element.outerHTML.slice(0, 120)}`);
  }
  return found;
}
"""


async def test_text_stands_out_in_light_and_in_dark(phone):
    for path in EVERY_PAGE.values():
        await phone.goto(path)
        assert await phone.evaluate(CONTRAST) == [], path


async def test_dark_mode_is_dark(phone):
    await phone.goto("/console/")
    background = await phone.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert brightness < 150 if phone.scheme == "dark" else brightness > 600


async def test_without_motion_nothing_moves(chromium, installation):
    async with window(chromium, installation, reduced_motion="reduce") as page:
        await page.goto("/console/login")
        durations = "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).transitionDuration)"
        assert set(await page.evaluate(durations)) == {"0s"}


async def test_a_keyboard_is_enough(logged_out_page):
    await logged_out_page.goto("/console/")
    await logged_out_page.locator("[type=password]:focus").wait_for()
    await logged_out_page.keyboard.type(PASSWORD)
    await logged_out_page.keyboard.press("Enter")
    await logged_out_page.get_by_role("heading", name="Latest calls").wait_for()
    await logged_out_page.keyboard.press("Tab")
    assert await logged_out_page.evaluate("document.activeElement.textContent") == "Skip to the content"
    box = await logged_out_page.locator(".skip").bounding_box()
    assert box["x"] >= 0
    await logged_out_page.keyboard.press("Enter")
    await logged_out_page.keyboard.press("Tab")
    assert await logged_out_page.evaluate("document.activeElement.id") == "q"
    outline = await logged_out_page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for _ in range(30):
        await logged_out_page.keyboard.press("Tab")
        if await logged_out_page.evaluate("Boolean(document.activeElement.closest('ol.calls'))"):
            break
    await logged_out_page.keyboard.press("Enter")
    await logged_out_page.wait_for_url("**/console/call?id=*")


async def test_the_live_list_does_not_take_the_focus_away(page, installation):
    asked, focused = asyncio.Event(), asyncio.Event()

    async def answer_late(route):
        asked.set()
        await focused.wait()
        await route.continue_()

    await page.goto("/console/?q=default:call-lat")
    await page.route("**/console/?q=*", answer_late, times=1)
    await asked.wait()
    await installation.stream.post(SampleCall(members=("ben-osei",), id="call-later").ring())
    link = item(page, "late").get_by_role("link")
    await link.focus()
    async with page.expect_response("**/console/?q=*"):
        focused.set()
    await asyncio.sleep(4)  # longer than the list takes to look again
    assert await link.evaluate("(one) => one === document.activeElement")
    await link.blur()
    await item(page, "later").wait_for(timeout=20_000)


OUTLINE = """
() => [...document.querySelectorAll('h1, h2, h3, h4')].filter((one) => one.getClientRects().length)
  .map((one) => Number(one.tagName[1]))
"""
UNNAMED = """
() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, svg[role=img], table, nav, section')]
  .filter((one) => one.getClientRects().length).filter((one) => {
    const by = (one.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean);
    const label = by.map((id) => document.getElementById(id)?.textContent ?? '').join('')
      || one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.caption?.textContent
      || (['A', 'BUTTON'].includes(one.tagName) ? one.textContent : '');
    return !label.trim() || by.some((id) => !document.getElementById(id));
  }).map((one) => one.outerHTML.slice(0, 120))
"""


@pytest.mark.parametrize("name", EVERY_PAGE)
async def test_a_screen_reader_finds_its_way(page, name):
    await page.goto(EVERY_PAGE[name])
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.get_by_role("main").count() == await page.get_by_role("banner").count() == 1
    levels = await page.evaluate(OUTLINE)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    assert await page.evaluate(UNNAMED) == []
    ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    assert await page.locator("th:not([scope])").count() == 0


async def test_what_is_told_in_colour_is_told_in_words(page):
    for path in EVERY_PAGE.values():
        await page.goto(path)
        assert all(len(text.strip()) > 4 for text in await page.locator(".badge").all_inner_texts())
    await page.goto(CALL + "dead-token")
    picture = page.get_by_role("img", name="The ring over time")
    description = await picture.evaluate("(one) => one.querySelector('desc').textContent")
    assert "Gus's old iPhone: token dead" in description


async def test_a_phone_keeps_its_tables_tables(phone):
    await phone.goto("/console/person?id=jane-morel")
    table = phone.get_by_role("table")
    assert await table.get_by_role("row").count() == 3
    assert await table.get_by_role("columnheader").count() == 6
    assert await table.get_by_role("rowheader", name="Jane's Pixel").count() == 1


async def test_a_nasty_phone_name_turns_nothing_around(page):
    await page.goto(f"/console/person?id={NASTY}2")
    assert "<b>Eve's</b>" in await page.get_by_role("rowheader").inner_text()


async def test_no_page_loads_from_elsewhere_or_breaks_its_own_policy(page):
    # `window` fails on both; this one goes everywhere.
    for path in EVERY_PAGE.values():
        answer = await page.goto(path)
        assert answer.status in (200, 404)
        assert "unsafe" not in answer.headers["content-security-policy"]
