"""Uses the server's page in a headless Chromium, as a visitor would.

    tools/clients python tests/page/page_test.py LOOPLM [--pictures FOLDER]

Needs Python's playwright and Debian's Chromium (or $CHROMIUM); tools/clients installs both. Exits with 77, "skipped", where one
is missing.
"""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)
chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
if not chromium:
    print("skipped: no Chromium")
    sys.exit(77)
PATIENCE = 60000  # milliseconds; far above what anything takes
expect.set_options(timeout=PATIENCE)
looplm = sys.argv[1]
pictures = sys.argv[sys.argv.index("--pictures") + 1] if "--pictures" in sys.argv else None


class Server:
    def __init__(self, port=0, model="models/small", more=()):
        self.process = subprocess.Popen([looplm, "serve", model, "--port", str(port), "--log", "off", *more],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def new_page(browser, **options):
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE)
    return page


def ask(page, text):
    page.fill("#question", text)
    page.press("#question", "Enter")


def answered(page, number=1):
    """The last turn's answers, once they are whole."""
    expect(page.locator(".turn")).to_have_count(number)
    answers = page.locator(".turn").last.locator(".answer")
    expect(page.locator(".answer.busy")).to_have_count(0)
    return answers


def words(answer):
    """The text that the model wrote."""
    return "".join(answer.locator(".text .t:not(.end)").all_inner_texts())


def slide(page, dial, value):
    page.evaluate("""([id, value]) => { const dial = document.getElementById(id); dial.value = value;
                     dial.dispatchEvent(new Event("input", { bubbles: true })); }""", [dial, str(value)])


def says_what_a_loop_is(page, server):
    expect(page.locator("#what")).to_be_visible()
    expect(page.locator("#demo-loops .card:not(.hidden)")).to_have_count(4)
    expect(page.locator("#demo-says")).to_contain_text("get it right: 3")
    expect(page.locator("#state")).to_have_text("connected")


def answers_a_sum(page, server):
    page.click("text=4+8-3*7-6+2=")
    answer = answered(page).first
    assert words(answer) == "9", words(answer)
    assert "loops per token" in answer.locator(".figures").inner_text()
    answer.locator(".t").first.click()
    expect(answer.locator(".inside .card")).to_have_count(4)
    expect(answer.locator(".inside .card.chosen")).to_contain_text("Loop 4")
    page.keyboard.press("Escape")
    expect(answer.locator(".inside")).to_be_hidden()


def dials_change_the_depth(page, server):
    slide(page, "depth", 1)
    ask(page, "4+8-3*7-6+2=")
    answer = answered(page).first
    expect(answer.locator(".figures")).to_contain_text("1.00 loops per token")
    expect(answer.locator(".setting")).to_have_text("1 loop")
    slide(page, "depth", 4)
    slide(page, "threshold", 0.3)
    ask(page, "9*0+5=")
    answer = answered(page, 2).first
    depth = float(re.search(r"([\d.]+) loops per token", answer.locator(".figures").inner_text()).group(1))
    assert 1 <= depth < 4, depth


def compares_two_depths(page, server):
    page.check("#compare")
    slide(page, "other-depth", 1)
    ask(page, "4+8-3*7-6+2=")
    answers = answered(page)
    expect(answers).to_have_count(2)
    assert words(answers.nth(0)) == "9"
    assert words(answers.nth(1)) != "9", "one loop cannot know"


def shows_what_is_taken_back(page, server):
    page.check("#early")
    page.select_option("#pace", "450")
    # What stood on the page for a moment, however slow this machine is.
    page.evaluate("""() => { window.seen = { proposed: [], revised: [] };
        new MutationObserver(() => { for (const kind of ["proposed", "revised"])
            for (const node of document.querySelectorAll(`.t.${kind}`)) seen[kind].push(node.lastChild.textContent);
        }).observe(document.getElementById("talk"), { childList: true, subtree: true }); }""")
    ask(page, "7-2*3+8=")
    answer = answered(page).first
    assert words(answer) == "3"
    seen = page.evaluate("seen")
    assert "5" in seen["proposed"] and "3" in seen["revised"], seen
    expect(answer.locator(".t.was-taken")).to_have_text("3")
    answer.locator(".t.was-taken").click()
    expect(answer.locator(".inside")).to_contain_text("Loop 1 had proposed 5 and was overruled")


def stops(page, server):
    page.select_option("#pace", "120")
    slide(page, "longest", 300)
    ask(page, "entity: that which")
    expect(page.locator(".t").nth(3)).to_be_visible()
    assert page.locator("#stop").is_visible() and not page.locator("#send").is_visible()
    page.click("#stop")
    answer = answered(page).first
    count = answer.locator(".t").count()
    page.wait_for_timeout(400)
    assert answer.locator(".t").count() == count
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#question")).to_be_focused()


def keeps_history_and_edits(page, server):
    ask(page, "9*0+5=")
    answered(page)
    page.click("text=Edit")
    page.locator(".edit textarea").fill("3+4=")
    page.locator(".edit textarea").press("Enter")
    assert words(answered(page).first) == "7"
    page.click("text=Ask again")
    assert words(answered(page).first) == "7"
    page.reload()
    page.click("#history")
    page.click(".past")
    assert words(answered(page).first) == "7"
    expect(page.locator(".question > p")).to_have_text("3+4=")
    page.click("#history")
    page.click("#past >> text=Delete")
    expect(page.locator("#past-list")).to_have_text("Nothing yet.")
    page.keyboard.press("Escape")


def works_by_keyboard(page, server):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("7-2*3+8=")
    page.keyboard.press("Enter")
    answer = answered(page).first
    assert words(answer) == "3"
    for _ in range(30):
        if page.evaluate("document.activeElement.textContent") == "Look inside":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(answer.locator(".inside")).to_contain_text("Token 1 of 2")
    page.keyboard.press("ArrowRight")
    expect(answer.locator(".inside")).to_contain_text("Token 2 of 2")
    page.keyboard.press("Escape")
    expect(answer.locator(".inside")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Look inside"
    # A dial moves by arrow keys, and its label says what it does.
    dial = page.get_by_label(re.compile("^Depth"))
    dial.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#depth-is")).to_have_text("3 loops")
    nameless = page.evaluate("""[...document.querySelectorAll("button, input, select, textarea")].filter(
        (n) => !(n.labels?.length || n.ariaLabel || n.textContent.trim())).map((n) => n.outerHTML)""")
    assert nameless == [], nameless
    assert "Answer: 3" in page.locator("#said").inner_text()


HOSTILE = """# Title <img src=x onerror=alert(1)>

<script>document.title = "owned"</script> and **bold**, *slanted*, `code <b>`, 2*3*4, snake_case_name.

[good](https://example.org/a) [bad](javascript:alert(1)) ![picture](https://example.org/p.png) <a href="javascript:alert(2)">x</a>

- one
- two
  - deep

| a | b |
|---|---|
| 1 | <i>2</i> |

> quoted

```html
<script>alert("code")</script>
```
""" + "*" * 3000 + "[" * 3000 + "> " * 300 + "x"


def answer_with(page, text):
    """The model converses and answers with this text, in pieces as a server sends them."""
    def models(route):
        answer = route.fetch()
        listed = answer.json()
        listed["data"][0]["meta"]["converses"] = True
        route.fulfill(response=answer, json=listed)

    def chat(route):
        events = []
        for at in range(0, len(text), 7):
            token = {"id": 1, "token": text[at:at + 7], "loop": 1 + at % 4, "exit_probabilities": [.25] * 4,
                     "loops": [{"token": text[at:at + 7], "logprob": -.5}] * 4}
            events.append({"choices": [{"index": 0, "delta": {"content": text[at:at + 7]}, "loop": {"tokens": [token]}}]})
        route.fulfill(content_type="text/event-stream",
                      body="".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n")
    page.route("**/v1/models", models)
    page.route("**/v1/chat/completions", chat)
    page.reload()
    expect(page.locator("#question")).to_have_attribute("placeholder", "Ask something")


def shows_hostile_answers_as_text(page, server):
    answer_with(page, HOSTILE)
    page.on("dialog", lambda dialog: (_ for _ in ()).throw(AssertionError("a dialog: " + dialog.message)))
    ask(page, "<b>hello</b>")
    text = answered(page).first.locator(".text")
    expect(page.locator(".question > p")).to_have_text("<b>hello</b>")
    for name in ("script", "img", "i", "b", "iframe"):
        assert text.locator(name).count() == 0, name
    assert "small" in page.title()
    expect(text.locator("h3")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(text.locator("strong").first).to_have_text("bold")
    expect(text.locator("em").first).to_have_text("slanted")
    expect(text).to_contain_text("2*3*4, snake_case_name")
    expect(text.locator("ul ul li")).to_have_text("deep")
    expect(text.locator("td").nth(1)).to_have_text("<i>2</i>")
    expect(text.locator("pre").first).to_contain_text('<script>alert("code")</script>')
    links = text.locator("a").evaluate_all("nodes => nodes.map((n) => n.href)")
    assert links == ["https://example.org/a", "https://example.org/p.png"], links
    expect(text).to_contain_text("[bad](javascript:alert(1))")


def comes_back_after_a_restart(page, server):
    page.select_option("#pace", "0")
    server.stop()
    expect(page.locator("#state")).to_contain_text("no connection")
    ask(page, "3+4=")
    answer = answered(page).first
    expect(answer.locator(".problem")).to_contain_text("does not answer")
    again = Server(server.port)
    server.process = again.process
    expect(page.locator("#state")).to_have_text("connected")
    page.click("text=Ask again")
    assert words(answered(page).first) == "7"


def shows_the_chat_model_on_what_it_knows(browser):
    server = Server(model="models/chat")
    try:
        page = new_page(browser)
        page.goto(server.url)
        expect(page.locator("#demo-says")).to_contain_text("get it right: 13")
        page.locator("#examples button").first.click()
        answer = answered(page).first
        assert words(answer) == "There are 7 pens left.", words(answer)
        expect(answer.locator(".setting")).to_have_text("up to 4 loops, gate at 50%")
        chips = answer.locator(".chip").all_inner_texts()
        assert len(chips) > 1, f"the gate gives words different depths, and all have {chips}"
        page.close()
    finally:
        server.stop()


def write_adapter(folder, base):
    """Of the model's queries, with made-up numbers."""
    config = json.load(open(f"{base}/config.json"))
    hidden, rank = config["hidden_size"], 2
    width = config["num_attention_heads"] * config.get("head_dim", hidden // config["num_attention_heads"])
    numbers, header, data = random.Random(1), {}, b""
    for layer in range(config["num_hidden_layers"]):
        for part, shape in (("A", [rank, hidden]), ("B", [width, rank])):
            count = shape[0] * shape[1]
            header[f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{part}.weight"] = {
                "dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * count]}
            data += struct.pack(f"<{count}f", *(numbers.uniform(-1, 1) for _ in range(count)))
    os.makedirs(folder)
    json.dump({"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": ["q_proj"]}, open(f"{folder}/adapter_config.json", "w"))
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(f"{folder}/adapter_model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + data)


def lets_choose_a_model_or_an_adapter(browser):
    with tempfile.TemporaryDirectory() as folder:
        for name, base in (("shop", "models/chat"), ("sums", "models/small")):
            write_adapter(f"{folder}/{name}", base)
        server = Server(model="models/chat", more=["--model", "tiny=models/small", "--lora", f"{folder}/shop",
                                                   "--lora", f"sums@tiny={folder}/sums"])
        try:
            page = new_page(browser)
            page.goto(server.url)
            choice = page.get_by_label("Model", exact=True)
            expect(choice.locator("option")).to_have_text(["chat", "shop (adapter of chat)", "tiny", "sums (adapter of tiny)"])
            expect(page.locator("#model")).to_be_hidden()
            expect(choice).to_have_value("chat")
            expect(page.locator("#threshold-is")).to_have_text("at 50%")
            said = {}
            for number, name in enumerate(("tiny", "sums", "tiny"), 1):
                choice.select_option(name)
                expect(page).to_have_title(re.compile(f"^{name} "))
                expect(page.locator("#threshold-is")).to_have_text("never")
                ask(page, "oak tree: a tree")
                answer = answered(page, number).first
                expect(answer.locator(".setting")).to_have_text(name)
                assert said.setdefault(name, words(answer)) == words(answer), said
            assert said["tiny"] != said["sums"], said
            # By keyboard. Dials are the model's own, and what was said keeps its name.
            slide(page, "depth", 2)
            choice.focus()
            page.keyboard.press("ArrowUp")
            expect(choice).to_have_value("shop")
            expect(page.locator("#depth-is")).to_have_text("4 loops")
            expect(page.locator(".setting")).to_have_text(["tiny", "sums", "tiny"])
            ask(page, "Who are you?")
            expect(answered(page, 4).first.locator(".setting")).to_have_text("shop")
            page.reload()
            expect(choice).to_have_value("shop")
            choice.select_option("tiny")
            expect(page.locator("#depth-is")).to_have_text("2 loops")
            # Two of them side by side.
            page.check("#compare")
            page.select_option("#other-model", "chat")
            expect(page.locator("#other-depth-is")).to_have_text("4 loops")
            ask(page, "3 + 4 =")
            both = answered(page, 1)
            expect(both.locator(".setting")).to_have_text(["tiny, 2 loops", "chat, 4 loops"])
            assert words(both.nth(1)) == "That is 7.", words(both.nth(1))
            assert words(both.nth(0)) != words(both.nth(1))
            choice.select_option("chat")
            expect(page.locator("#other-model")).to_have_value("chat")
            page.close()
        finally:
            server.stop()


def asks_for_a_key(browser):
    server = Server(more=["--api-key", "secret"])
    try:
        page = new_page(browser)
        told = []
        page.on("console", lambda line: told.append(line.text) if "Failed to load resource" not in line.text else None)
        page.goto(server.url)
        expect(page.locator("#state")).to_have_text("this server needs an API key")
        page.get_by_label("API key").fill("wrong")
        page.get_by_label("API key").press("Enter")
        expect(page.locator("#state")).to_have_text("this server needs an API key")
        page.get_by_label("API key").fill("secret")
        page.get_by_label("API key").press("Enter")
        expect(page.locator("#state")).to_have_text("connected")
        assert page.url == server.url + "/", page.url
        ask(page, "3+4=")
        assert words(answered(page).first) == "7"
        assert told == [], told
        page.close()
    finally:
        server.stop()


# Texts with a contrast below WCAG's 4.5 to 1 for small letters, and what is cut off at the side of its box or of the window.
HARD_TO_READ = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = colour;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r / 255, g / 255, b / 255, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                         return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const wrong = [];
  for (const node of document.querySelectorAll("body *")) {
    const box = node.getBoundingClientRect();
    if (node.closest(".sr, .skip") || box.width === 0 || !node.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(node);
    const name = `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 40)}`;
    if (box.right > innerWidth + 1) wrong.push(`${name}: beyond the window`);
    if (!node.matches("pre, .table, .past") && style.overflowX !== "visible" && node.scrollWidth > node.clientWidth + 1) wrong.push(`${name}: cut off`);
    if (![...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim())) continue;
    const line = [];
    for (let at = node; at; at = at.parentElement) line.unshift(getComputedStyle(at));
    const paper = line.reduce((below, { backgroundColor }) => over(rgba(backgroundColor), below), [1, 1, 1]);
    const ink = rgba(node.tagName === "text" ? style.fill : style.color);
    ink[3] *= line.reduce((product, { opacity }) => product * opacity, 1);
    const [dark, bright] = [light(over(ink, paper)), light(paper)].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < 4.5) wrong.push(`${name}: contrast ${contrast.toFixed(2)}`);
  }
  return wrong;
}"""

LOOKS = (("light", 1280, 860, "light"), ("dark", 1280, 860, "dark"), ("phone", 390, 844, "light"), ("phone-dark", 390, 844, "dark"))


def is_legible_and_fits(browser):
    server = Server(model="models/chat")
    try:
        for name, width, height, scheme in LOOKS:
            page = new_page(browser, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")

            def look(what):
                wrong = page.evaluate(HARD_TO_READ)
                assert wrong == [], (name, what, wrong)
            page.goto(server.url)
            expect(page.locator("#demo-says")).to_contain_text("get it right")
            look("the first sight")
            page.evaluate("document.getElementById('dials').open = true")
            look("dials")
            page.locator("#examples button").first.click()
            answered(page).first.locator(".t").first.click()
            look("inside a token")
            page.get_by_role("button", name="Next token").click()
            expect(page.locator(".inside")).to_contain_text("Token 2 of")
            page.evaluate("document.getElementById('compare').click()")
            ask(page, "A question that is long and " * 3 + "endless" * 8 + "?")
            answered(page, 2).first.locator(".t").first.click()
            inside = page.locator(".inside:visible").last
            expect(inside).to_be_in_viewport()
            look("two answers")
            page.click("#history")
            expect(page.locator("#past-list button").last).to_be_in_viewport(ratio=1)
            look("history")
            page.close()
        page = new_page(browser, viewport={"width": 390, "height": 500})
        page.goto(server.url)
        expect(page.locator("#examples button").first).to_be_visible()
        for number in (1, 2):
            ask(page, "What is 3 + 4?")
            answered(page, number)
        server.stop()
        ask(page, "Who are you?")
        answered(page, 3)
        expect(page.locator(".problem").last).to_contain_text("does not answer")
        expect(page.locator(".problem").last).to_be_in_viewport(ratio=1)
        below = page.evaluate("document.querySelector('#ask').getBoundingClientRect().top")
        box = page.locator(".problem").last.bounding_box()
        assert box["y"] + box["height"] <= below, (box, below, "behind the question")
        page.close()
    finally:
        server.stop()


def take_pictures(browser, server):
    for name, width, height, scheme in LOOKS:
        page = new_page(browser, viewport={"width": width, "height": height}, color_scheme=scheme)
        page.goto(server.url)
        expect(page.locator("#demo-says")).to_contain_text("get it right")
        page.screenshot(path=f"{pictures}/first-{name}.png")
        slide(page, "threshold", 0.3)
        ask(page, "oak tree: a tree")
        answered(page)
        page.evaluate("document.getElementById('compare').click()")
        slide(page, "other-depth", 1)
        ask(page, "4+8-3*7-6+2=")
        answered(page, 2).first.locator(".t").first.click()
        page.screenshot(path=f"{pictures}/answers-{name}.png")
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"{name}: the page is wider than the window"
        answer_with(page, HOSTILE[:HOSTILE.index("***")])
        ask(page, "Show me Markdown")
        answered(page)
        page.screenshot(path=f"{pictures}/markdown-{name}.png", full_page=True)
        page.close()


def main():
    server = Server()
    try:
        use(server)
    finally:
        server.stop()


def use(server):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=3 * PATIENCE)
        if pictures:
            os.makedirs(pictures, exist_ok=True)
            take_pictures(browser, server)
        for check in (says_what_a_loop_is, answers_a_sum, dials_change_the_depth, compares_two_depths, shows_what_is_taken_back, stops,
                      keeps_history_and_edits, works_by_keyboard, shows_hostile_answers_as_text, comes_back_after_a_restart):
            began = time.time()
            page = new_page(browser)
            wrongs = []
            page.on("pageerror", lambda error: wrongs.append(str(error)))
            page.on("console", lambda line: wrongs.append(line.text)
                    if line.type == "error" and "Failed to load resource" not in line.text else None)
            elsewhere = []
            page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(server.url) else None)
            page.goto(server.url)
            expect(page.locator("#examples button").first).to_be_visible()
            check(page, server)
            assert wrongs == [] and elsewhere == [], (wrongs, elsewhere)
            page.close()
            print(f"ok {check.__name__} ({time.time() - began:.1f} s)", flush=True)
        for check in (shows_the_chat_model_on_what_it_knows, lets_choose_a_model_or_an_adapter, asks_for_a_key, is_legible_and_fits):
            began = time.time()
            check(browser)
            print(f"ok {check.__name__} ({time.time() - began:.1f} s)", flush=True)
        browser.close()


main()
