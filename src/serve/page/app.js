// The page: conversations, dials, and what the server does meanwhile.
import * as api from "./api.js";
import * as past from "./history.js";
import { AnswerView, newAnswer } from "./answer.js";
import { element } from "./markdown.js";
import { loopCards, paintDepth, visible } from "./loops.js";

const $ = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

let models = [];
let model = null;    // of them, the one that is asked next
let conversation = null;
let running = null;  // AbortController of the answers under way
let views = [];      // of the last turn

// ---- The server -----------------------------------------------------------------------------

async function watchServer() {
  let state = "";
  for (;;) {
    let now = "connected";
    try {
      await api.health();
      if (state !== "connected") await meetModels();
    } catch (error) {
      now = error.status === 503 ? "loading" : error.status === 401 ? "locked" : "lost";
    }
    if (now !== state) {
      const words = { connected: "connected", loading: "the model is loading …", locked: "this server needs an API key",
        lost: "no connection, trying again …" };
      $("state").textContent = words[now];
      $("state").dataset.state = now;
      $("key-field").hidden = now !== "locked" && $("key").value === "";
      if (now === "locked") $("dials").open = true;
    }
    state = now;
    if (state === "connected") await showServer();
    await pause(state === "connected" ? (running ? 700 : 4000) : 1000);
  }
}

async function showServer() {
  if (document.hidden) return;
  try {
    const values = await api.metrics();
    const bytes = values.get("looplm_kv_bytes");
    $("kv").textContent = bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    $("running").textContent = values.get("looplm_requests_running");
    $("passes").textContent = values.get("looplm_passes_total").toLocaleString("en");
  } catch {
    // The next look at /health says what is wrong.
  }
}

async function meetModels() {
  models = await api.describeModels();
  $("model").hidden = models.length > 1;
  $("models").hidden = models.length === 1;
  document.body.classList.toggle("one-model", models.length === 1);
  $("compare-what").textContent = models.length === 1 ? "Compare two depths" : "Compare two depths or models";
  for (const id of ["models", "other-model"]) {
    $(id).replaceChildren(...models.map(({ name, parent }) =>
      element("option", { value: name }, parent ? `${name} (adapter of ${parent})` : name)));
  }
  const kept = model ? model.name : past.setting("model");
  choose(models.find((one) => one.name === kept) || models[0]);
}

// The one whose answer stands beside it.
const otherModel = () => models.find((one) => one.name === $("other-model").value) || model;

// The model of a record; where it is gone, the one that is asked next.
const modelOf = ({ settings }) => models.find((one) => one.name === settings.model) || model;

function choose(next) {
  const other = next.name !== model?.name;
  model = next;
  const size = model.parameters >= 1e9 ? `${(model.parameters / 1e9).toFixed(1)}B` : `${(model.parameters / 1e6).toFixed(1)}M`;
  $("model").textContent = `${model.name} · ${size}`;
  $("models").value = model.name;
  document.title = `${model.name} – looplm`;
  document.body.classList.toggle("plain-model", model.loops === 1);
  document.body.classList.toggle("no-gate", !model.gate);
  for (const node of document.querySelectorAll(".layers")) node.textContent = `${model.layers} layers`;
  for (const node of document.querySelectorAll(".count")) node.textContent = model.loops;
  $("what").textContent = model.loops === 1 ? `Talk to ${model.name}` : "A model that thinks in loops";
  $("drawn-layers").textContent = `${model.layers} layers`;
  $("drawn-loop").textContent = `read up to ${model.loops} times`;
  if (other) {
    $("other-model").value = model.name;
    setDials();
  }
  showDials();
  drawLegend();
  $("question").placeholder = model.converses ? "Ask something" : "Begin a text";
  $("question-label").textContent = model.converses ? "Your question" : "Text to continue";
  $("hint").textContent = (model.converses ? "Enter asks, Shift+Enter starts a line, Escape stops." :
    "This model has not learnt to converse: it continues the text that you give it.") +
    (model.loops > 1 ? " A click on an answer's word shows what each loop would have said." : "");
  drawExamples();
  if (conversation === null) open(fresh());
  if (!other) return;
  if (isBundled() && !$("intro").hidden) watchDemo();
  else clearDemo();
}

// ---- What a looped model is --------------------------------------------------------------------

// One of the bundled models knows sums and a dictionary, the other small word problems.
const isBundled = () => !model.parent && model.parameters < 1e6 && ["small", "chat"].includes(model.name);
const kStory = "Tom has 9 apples. He eats 4 apples, buys 6 more and gives away 3. Then he finds 5. How many apples does Tom have?";

// What the loops are shown at work on, and whether it is a question or the beginning of a text.
function demoTask() {
  if (isBundled() && model.converses) return { text: kStory, asks: true };
  if (isBundled()) return { text: "7-2*3+8=", asks: false };
  return model.converses ? { text: "What is 8 - 3 + 4?", asks: true } : { text: "The capital of France is", asks: false };
}

function examples() {
  if (isBundled() && model.converses) {
    return ["Ann has 3 boxes with 4 pens each. She gives away 5 pens. How many are left?",
      "Ann has 5 pens. Tom has 3 more pens than Ann. How many do they have together?",
      "Take 4. Double it. Subtract 3. Add 6. What comes out?", "8 - 5 + 9 - 4 + 3 =", "Who are you?"];
  }
  if (isBundled()) return ["7-2*3+8=", "4+8-3*7-6+2=", "9*0+5=", "oak tree: a tree", "entity: that which"];
  if (model.converses) return ["Why is the sky blue?", "Write a function that tests for primes.", "What is 17 * 23?"];
  return ["The capital of France is", "Once upon a time", "def fibonacci(n):"];
}

function drawExamples() {
  const nodes = examples().map((text) => {
    const button = element("button", { type: "button", class: "example" }, text);
    button.addEventListener("click", () => {
      $("question").value = text;
      submit();
    });
    return button;
  });
  const learnt = model.converses ? "word problems about one or two people, and sums, with numbers up to 20. It can be wrong." :
    "two things: sums, worked from left to right and answered by the last digit, and dictionary prose.";
  const told = isBundled() ? `It is tiny and has learnt ${learnt} Try:` :
    model.parent ? `An adapter of ${model.parent}: it answers as its examples taught it. Try:` : "Try:";
  $("examples").replaceChildren(element("p", {}, told), ...nodes);
  $("demo").hidden = model.loops === 1;
  const { text, asks } = demoTask();
  $("demo-task").replaceChildren(...(asks ? [element("q", {}, text)] : ["What comes after ", element("code", {}, text), "?"]));
}

let demoRuns = 0;
function clearDemo() {
  demoRuns++;
  delete $("intro").dataset.turning;
  $("demo-again").textContent = "Watch it";
  $("demo-says").textContent = "";
  $("demo-loops").replaceChildren();
}

async function watchDemo() {
  clearDemo();
  const run = demoRuns;
  const slow = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  $("demo-again").textContent = "Again";
  let token = null;
  const { text, asks } = demoTask();
  const request = { model: model.name, temperature: 0, loop: { per_token: true, speculate: false },
    ...(asks ? { messages: [{ role: "user", content: text }], max_tokens: 16 } : { prompt: text, max_tokens: 1 }) };
  try {
    const view = new AnswerView(newAnswer({ threshold: 1 }), model);
    for await (const event of api.stream(asks ? "/v1/chat/completions" : "/v1/completions", request)) view.take(event);
    // Of an answer, the word about which the loops disagree longest.
    const turns = ({ loops, name }) => loops.findLastIndex((reading) => reading.name !== name);
    token = view.record.tokens.reduce((most, next) => (turns(next) > turns(most) ? next : most));
  } catch {
    return;
  }
  if (run !== demoRuns) return;
  // A blank in front says nothing to a visitor.
  const bare = (name) => name.trim() || name;
  token = { ...token, name: bare(token.name), loops: token.loops.map((reading) => ({ ...reading, name: bare(reading.name) })) };
  const cards = loopCards(token, model);
  const items = [...cards.children];
  $("demo-loops").replaceChildren(cards);
  if (slow) for (const card of items) card.classList.add("hidden");
  for (const [i, card] of items.entries()) {
    if (run !== demoRuns) return;
    $("intro").dataset.turning = "yes";
    $("drawn-loop").textContent = `loop ${i + 1} of ${items.length}`;
    if (slow) await pause(750);
    card.classList.remove("hidden");
    $("demo-says").textContent = `Loop ${i + 1} says ${visible(token.loops[i].name)}.`;
  }
  if (slow) await pause(700);
  if (run !== demoRuns) return;
  delete $("intro").dataset.turning;
  $("drawn-loop").textContent = `read up to ${model.loops} times`;
  const changed = token.loops.findLastIndex((reading) => reading.name !== token.name) + 1;
  $("demo-says").textContent = changed > 0 ?
    `One loop would have said ${visible(token.loops[0].name)}. ` +
      `${changed + 1} loops ${isBundled() ? "get it right:" : "settle on"} ${visible(token.name)}.` :
    `All loops agree on ${visible(token.name)}: the gate could have stopped at once.`;
}

function drawLegend() {
  $("legend").replaceChildren(...Array.from({ length: model.loops }, (_, i) => {
    const node = element("li", {}, element("span", { class: "t" }, String(i + 1)));
    paintDepth(node.firstChild, i + 1, model.loops);
    return node;
  }));
}

// ---- Dials --------------------------------------------------------------------------------------

const kDials = ["depth", "threshold", "other-depth", "temperature", "longest", "pace"];
const kSwitches = ["compare", "early"];

function showDials() {
  const loops = (value) => `${value} ${Number(value) === 1 ? "loop" : "loops"}`;
  const threshold = Number($("threshold").value);
  $("depth-is").textContent = loops($("depth").value);
  $("other-depth-is").textContent = loops($("other-depth").value);
  $("threshold-is").textContent = threshold >= 1 ? "never" : `at ${Math.round(threshold * 100)}%`;
  $("temperature-is").textContent = Number($("temperature").value) === 0 ? "0, always the likeliest" : $("temperature").value;
  for (const node of document.querySelectorAll(".compare-only")) node.hidden = !$("compare").checked;
}

// Each model has its own: what is right for one is not for another.
const dialsKey = () => `dials.${model.name}`;

function keepDials() {
  const values = {};
  for (const id of kDials) values[id] = $(id).value;
  for (const id of kSwitches) values[id] = $(id).checked;
  past.setting(dialsKey(), values);
}

function setDials() {
  for (const id of ["depth", "other-depth"]) $(id).max = model.loops;
  $("longest").max = model.context;
  const values = {
    depth: model.loops,
    threshold: isBundled() && model.converses && model.gate ? 0.5 : 1,  // its README: 1.2 points at most
    "other-depth": 1,
    temperature: model.converses && !isBundled() ? 0.7 : 0,
    longest: Math.min(model.converses ? 512 : 48, model.context),
    pace: 0,
    ...past.setting(dialsKey()),
  };
  for (const id of kDials) $(id).value = values[id];
  for (const id of kSwitches) $(id).checked = Boolean(values[id]);
}

function settings(depth, { name, loops, gate } = model) {
  return {
    model: name,
    depth,
    threshold: gate ? Number($("threshold").value) : 1,
    temperature: Number($("temperature").value),
    longest: Math.max(1, Math.floor(Number($("longest").value)) || 1),
    early: loops > 1 && $("early").checked && depth > 1,
    seed: Math.floor(Math.random() * 2 ** 50),
  };
}

function body(turns, record) {
  const { model: name, depth, threshold, temperature, longest, early, seed } = record.settings;
  const { converses, loops } = modelOf(record);
  const question = turns.at(-1).question;
  const messages = turns.flatMap((turn, i) => [{ role: "user", content: turn.question },
    ...(i + 1 < turns.length ? [{ role: "assistant", content: turn.answers[0].text }] : [])]);
  return {
    model: name,
    ...(converses ? { messages } : { prompt: question }),
    temperature, seed, max_tokens: longest,
    loop: {
      per_token: true,
      ...(loops > 1 && { max_loops: depth }),
      ...(threshold < 1 && { exit: "q", threshold }),
      ...(early && { provisional: true, speculate: "loop:1" }),
    },
  };
}

// ---- Conversations --------------------------------------------------------------------------------

const fresh = () => ({ id: `${Date.now()}-${Math.random()}`, title: "", turns: [] });

function open(chosen) {
  stop();
  conversation = chosen;
  $("talk").replaceChildren();
  views = [];
  $("intro").hidden = conversation.turns.length > 0;
  conversation.turns.forEach((turn, i) => drawTurn(turn, i));
}

function titleOf(record, compared) {
  const s = record.settings;
  const name = models.length > 1 && s.model ? [s.model] : [];
  if (!compared && s.depth === modelOf(record).loops && s.threshold === 1) return name.join();
  const gated = s.threshold < 1 && s.depth > 1;
  const depth = `${gated ? "up to " : ""}${s.depth} ${s.depth === 1 ? "loop" : "loops"}`;
  return [...name, depth, ...(gated ? [`gate at ${Math.round(s.threshold * 100)}%`] : [])].join(", ");
}

function drawTurn(turn, index) {
  const question = element("div", { class: "question" },
    element("p", { dir: "auto" }, turn.question));
  const edit = element("button", { type: "button", class: "quiet" }, "Edit");
  const again = element("button", { type: "button", class: "quiet" }, "Ask again");
  edit.addEventListener("click", () => editTurn(question, index));
  again.addEventListener("click", () => ask(turn.question, index));
  question.append(element("div", { class: "tools" }, edit, again));
  views = turn.answers.map((record) => {
    const said = modelOf(record);
    return new AnswerView(record, said, said.converses ? "" : turn.question, titleOf(record, turn.answers.length > 1));
  });
  const node = element("section", { class: "turn", "aria-label": `Question ${index + 1}` }, question,
    element("div", { class: `answers${views.length > 1 ? " two" : ""}` }, ...views.map((view) => view.root)));
  $("talk").append(node);
}

function editTurn(question, index) {
  const area = element("textarea", { rows: "2", "aria-label": "Edit the question", dir: "auto" });
  area.value = conversation.turns[index].question;
  const form = element("form", { class: "edit" }, area,
    element("button", { type: "submit" }, "Ask"), element("button", { type: "button", class: "quiet" }, "Cancel"));
  const close = () => {
    form.replaceWith(question);
    question.querySelector("button").focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (area.value.trim()) ask(area.value, index);
  });
  form.lastChild.addEventListener("click", close);
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  question.replaceWith(form);
  area.focus();
}

// Asks in place `index`; what followed it is dropped.
async function ask(question, index = conversation.turns.length) {
  stop();
  demoRuns++;
  const asked = conversation;
  asked.turns.length = index;
  while ($("talk").children.length > index) $("talk").lastChild.remove();
  $("intro").hidden = true;
  const depth = Number($("depth").value);
  const first = settings(depth);
  const all = [first];
  if ($("compare").checked && model.loops > 1) all.push({ ...settings(Number($("other-depth").value), otherModel()), seed: first.seed });
  const turn = { question, answers: all.map(newAnswer) };
  asked.turns.push(turn);
  asked.title = asked.turns[0].question.slice(0, 80);
  drawTurn(turn, index);
  scrollTo(0, document.documentElement.scrollHeight);
  const mine = views;
  const controller = new AbortController();
  running = controller;
  showRunning();
  await Promise.all(mine.map((view) => run(view, asked.turns, controller)));
  past.save(asked);
  if (running === controller) {
    running = null;
    showRunning();
    announce(mine);
  }
}

async function run(view, turns, controller) {
  const { signal } = controller;
  const pace = Number($("pace").value);
  const path = modelOf(view.record).converses ? "/v1/chat/completions" : "/v1/completions";
  // Who looks at the end of the conversation goes on seeing it.
  const follow = (change) => {
    const end = document.documentElement.scrollHeight - innerHeight - scrollY < 80;
    change();
    if (end) requestAnimationFrame(() => scrollTo(0, document.documentElement.scrollHeight));
  };
  try {
    const events = api.stream(path, body(turns, view.record), signal);
    for await (const event of pace > 0 ? api.slowly(events, pace, signal) : events) {
      follow(() => view.take(event));
    }
    follow(() => view.end("done"));
  } catch (error) {
    if (error.name === "AbortError") view.end("stopped");
    else follow(() => view.end("broken", `${error.message}${error.status === 0 ? " Ask again once it is back." : ""}`));
  }
}

function stop() {
  running?.abort();
  running = null;
  showRunning();
}

function showRunning() {
  $("stop").hidden = running === null;
  $("send").hidden = running !== null;
}

// What a screen reader says once instead of every token.
function announce(mine) {
  const told = mine.map((view) => `${view.record.state === "done" ? "Answer" : "Answer, not complete"}: ${view.record.text || view.record.message}`);
  $("said").textContent = told.join(" ");
}

function drawPast() {
  const items = past.all().map((one) => {
    const choose = element("button", { type: "button", class: "past" }, one.title || "without a question");
    choose.addEventListener("click", () => {
      $("past").close();
      if (model !== null) open(one);
    });
    const drop = element("button", { type: "button", class: "quiet", "aria-label": `Delete: ${one.title}` }, "Delete");
    drop.addEventListener("click", () => {
      past.remove(one.id);
      drawPast();
    });
    return element("li", {}, choose, drop);
  });
  $("past-list").replaceChildren(...(items.length ? items : [element("li", {}, "Nothing yet.")]));
}

// ---- The page's own controls -------------------------------------------------------------------

function submit() {
  const text = $("question").value;
  if (model === null || text.trim() === "") return;
  $("question").value = "";
  grow();
  ask(model.converses ? text.trim() : text);
}

function grow() {
  const area = $("question");
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight, 200)}px`;
}

const kThemes = ["auto", "light", "dark"];
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme];
  $("theme").setAttribute("aria-label", `Colours: ${theme}`);
  past.setting("theme", theme);
}

document.body.append(element("p", { id: "said", class: "sr", role: "status" }));
setTheme(past.setting("theme") || "auto");
if (innerWidth < 900) $("dials").open = false;
$("theme").addEventListener("click", () =>
  setTheme(kThemes[(kThemes.indexOf(document.documentElement.dataset.theme) + 1) % kThemes.length]));
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
$("question").addEventListener("input", grow);
$("stop").addEventListener("click", () => {
  stop();
  $("question").focus();
});
$("new").addEventListener("click", () => {
  open(fresh());
  $("question").focus();
});
$("history").addEventListener("click", () => {
  drawPast();
  $("past").showModal();
});
$("demo-again").addEventListener("click", watchDemo);
$("models").addEventListener("change", () => {
  past.setting("model", $("models").value);
  choose(models.find((one) => one.name === $("models").value));
});
$("other-model").addEventListener("input", () => {
  $("other-depth").max = otherModel().loops;
  $("other-depth").value = otherModel() === model ? 1 : otherModel().loops;
});
$("key-field").addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", () => api.setKey($("key").value.trim()));
$("dials").addEventListener("input", () => {
  showDials();
  keepDials();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !$("past").open) stop();
});
watchServer();
