// One answer on the page: its text, each token coloured by its loops, proposals that may still be taken back, and its figures.
import { blocksOf, element } from "./markdown.js";
import { loopCards, paintDepth, visible } from "./loops.js";

// What is kept of an answer, in the browser's history too.
export function newAnswer(settings) {
  return { settings, text: "", reasoning: "", tokens: [], state: "waiting", message: "", usage: null, seconds: 0, revised: 0 };
}

const round = (value, digits) => (value === null ? null : Number(value.toFixed(digits)));

function keptToken(token, end, taken) {
  return {
    end,
    name: token.token,
    loop: token.loop,
    exits: token.exit_probabilities.map((p) => round(p, 4)),
    loops: token.loops.map((r) => ({ name: r.token, share: r.logprob === null ? 0 : round(Math.exp(r.logprob), 4) })),
    taken,
  };
}

export class AnswerView {
  // `model`: what api.js describes. `prompt`: the words that are continued, where the model only completes texts.
  constructor(record, model, prompt, heading) {
    this.record = record;
    this.model = model;
    this.pending = [];  // proposals after the final tokens, each with what it replaced
    this.shown = [];    // blocks on the page
    this.settled = 0;   // characters that will not change
    this.chosen = -1;   // token whose loops are shown
    this.times = { first: 0, last: 0 };

    this.thinking = element("details", { class: "thinking", hidden: true }, element("summary", {}, "Thinking"), element("p", { dir: "auto" }));
    this.prompt = element("span", { class: "continued" }, prompt || "");
    this.body = element("div", { class: `text${model.converses ? "" : " plain"}` });
    this.figures = element("p", { class: "figures" });
    this.inside = element("section", { class: "inside", "aria-live": "polite", hidden: true });
    this.look = element("button", { type: "button", class: "quiet", hidden: true, "aria-expanded": "false" }, "Look inside");
    this.note = element("p", { class: "problem", role: "alert", hidden: true });
    this.root = element("article", { class: "answer", "aria-label": heading },
      heading ? element("h3", { class: "setting" }, heading) : "",
      this.thinking, this.body, this.note, this.inside,
      element("footer", {}, this.figures, this.look));

    this.body.addEventListener("click", (event) => {
      const node = event.target.closest("[data-token]");
      if (node && getSelection().isCollapsed) this.inspect(Number(node.dataset.token));
    });
    this.root.addEventListener("keydown", (event) => this.walk(event));
    this.look.addEventListener("click", () => (this.chosen < 0 ? this.inspect(0) : this.inspect(-1)));
    this.draw();
  }

  // An event of the stream.
  take({ at, data }) {
    const { record } = this;
    record.state = "writing";
    if (data.usage) record.usage = data.usage.loop;
    const proposal = data.loop && data.loop.provisional;
    if (proposal) this.propose(proposal);
    for (const choice of data.choices) {
      const delta = choice.delta || {};
      const before = record.text.length;
      record.text += choice.text || delta.content || "";
      record.reasoning += delta.reasoning_content || "";
      const tokens = (choice.loop && choice.loop.tokens) || [];
      for (const token of tokens) {
        const replaced = this.pending.shift();
        record.tokens.push(keptToken(token, record.text.length, replaced ? replaced.taken : []));
        this.times.first ||= at;
        this.times.last = at;
      }
      // Words that were held back belong to the token before them.
      if (tokens.length === 0 && record.text.length > before && record.tokens.length > 0) {
        record.tokens.at(-1).end = record.text.length;
      }
    }
    record.seconds = (this.times.last - this.times.first) / 1000;
    this.redraw();
  }

  propose({ index, token, loop, revision, final }) {
    const place = index - this.record.tokens.length;
    if (place < 0 || place > this.pending.length) return;
    const old = this.pending[place];
    const taken = old ? [...old.taken] : [];
    if (revision && old) {
      taken.push({ loop: old.loop, name: old.name });
      ++this.record.revised;
    }
    // A revision drops what stood on the word that was taken back.
    if (revision || !old) this.pending.length = place;
    this.pending[place] = { name: token, loop, final, taken, fresh: revision || Boolean(old && old.fresh) };
  }

  end(state, message = "") {
    this.record.state = state;
    this.record.message = message;
    this.pending = [];
    this.settled = 0;
    this.draw();
  }

  redraw() {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.scheduled);
    this.scheduled = 0;
    const { record, model } = this;
    const busy = record.state === "waiting" || record.state === "writing";
    this.root.setAttribute("aria-busy", String(busy));
    this.root.classList.toggle("busy", busy);
    this.thinking.hidden = record.reasoning === "";
    if (record.reasoning) this.thinking.lastChild.textContent = record.reasoning;

    let source = record.text;
    this.pieces = record.tokens.map((token) => token.end);
    for (const proposal of this.pending) {
      if (!/^<\|.*\|>$/.test(proposal.name)) source += proposal.name.replace(/^bytes:.*/s, "�");
      this.pieces.push(source.length);
    }
    if (model.converses) {
      this.drawBlocks(blocksOf(source, (parent, text, places) => this.paint(parent, text, places)));
    } else {
      this.body.replaceChildren(this.prompt);
      this.paint(this.body, source, Array.from({ length: source.length }, (_, i) => i));
    }
    this.settled = record.text.length;
    this.ending?.remove();
    const last = record.tokens.at(-1);
    if (last && /^<\|.*\|>$/.test(last.name)) {
      this.ending = this.tokenNode(record.tokens.length - 1, "end");
      this.ending.classList.add("end");
      (this.body.lastElementChild?.matches("p") ? this.body.lastElementChild : this.body).append(this.ending);
    }
    this.note.hidden = record.message === "";
    this.note.textContent = record.message;
    this.look.hidden = busy || record.tokens.length === 0 || record.tokens[0].loops.length < 2;
    this.figures.replaceChildren(...this.figureNodes(busy));
    this.mark();
  }

  // Keeps the blocks in front that cannot have changed.
  drawBlocks(blocks) {
    let same = 0;
    while (same < blocks.length && same < this.shown.length && blocks[same].end < this.settled &&
           blocks[same].start === this.shown[same].start && blocks[same].end === this.shown[same].end) ++same;
    for (const old of this.shown.splice(same)) old.node.remove();
    for (const { start, end, build } of blocks.slice(same)) {
      const node = build();
      this.body.append(node);
      this.shown.push({ start, end, node });
    }
  }

  tokenAt(place) {
    let low = 0;
    let high = this.pieces.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.pieces[middle] > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  paint(parent, text, places) {
    if (this.pieces.length === 0) {
      parent.append(text);
      return;
    }
    for (let from = 0; from < text.length;) {
      const index = this.tokenAt(places[from]);
      let to = from + 1;
      while (to < text.length && places[to] < this.pieces[index]) ++to;
      parent.append(this.tokenNode(index, text.slice(from, to)));
      from = to;
    }
  }

  tokenNode(index, text) {
    const token = this.record.tokens[index];
    const node = element("span", { class: "t" }, text);
    if (token) {
      node.dataset.token = String(index);
      node.tabIndex = -1;
      paintDepth(node, token.loop, this.model.loops);
      if (token.taken.length > 0) node.classList.add("was-taken");
      return node;
    }
    const proposal = this.pending[index - this.record.tokens.length];
    node.classList.add("proposed");
    if (proposal) paintDepth(node, proposal.loop, this.model.loops);
    if (proposal && proposal.fresh) {
      node.classList.add("revised");
      node.prepend(element("del", { "aria-hidden": "true" }, proposal.taken.at(-1).name));
    }
    return node;
  }

  figureNodes(busy) {
    const { record, model } = this;
    const count = record.tokens.length;
    if (count === 0) return busy ? ["thinking …"] : [];
    const nodes = [];
    const add = (value, label, title) => nodes.push(element("span", title ? { title } : {}, element("b", {}, value), ` ${label}`));
    add(count, count === 1 ? "token" : "tokens");
    if (count > 1 && record.seconds > 0) add(((count - 1) / record.seconds).toFixed(count > 1 && record.seconds < 0.1 ? 0 : 1), "tokens/s");
    if (model.loops > 1) {
      const loops = record.tokens.reduce((sum, token) => sum + token.loop, 0);
      add((loops / count).toFixed(2), "loops per token");
      nodes.push(this.depthNode());
      if (record.usage) add((record.usage.passes / count).toFixed(2), "passes per token", "A pass is one trip of the model through its layers; several tokens can share one.");
      if (record.revised > 0) add(record.revised, record.revised === 1 ? "word taken back" : "words taken back");
    }
    return nodes;
  }

  // How many tokens took how many loops, in the colours of the text: its legend, too.
  depthNode() {
    const { record, model } = this;
    const counts = [];
    for (const { loop } of record.tokens) counts[loop] = (counts[loop] || 0) + 1;
    const node = element("span", { class: "depths" });
    counts.forEach((count, loop) => {
      const chip = element("span", { class: "chip" }, `${loop} ${loop === 1 ? "loop" : "loops"}: ${count}`);
      paintDepth(chip, loop, model.loops);
      node.append(chip, " ");
    });
    return node;
  }

  inspect(index) {
    this.chosen = index === this.chosen ? -1 : index;
    const token = this.record.tokens[this.chosen];
    this.inside.hidden = !token;
    this.look.setAttribute("aria-expanded", String(Boolean(token)));
    this.look.textContent = token ? "Close" : "Look inside";
    if (token) {
      const { loops, gate } = this.model;
      const told = [`Token ${this.chosen + 1} of ${this.record.tokens.length}: `, element("code", {}, visible(token.name)),
        `, chosen after ${token.loop} of ${Math.max(loops, token.loop)} loops.`];
      for (const { loop, name } of token.taken) told.push(` Loop ${loop} had proposed `, element("code", {}, visible(name)), " and was overruled.");
      const steps = [["Previous", this.chosen - 1], ["Next", this.chosen + 1]].map(([name, to]) => {
        const button = element("button", { type: "button", "aria-label": `${name} token`, disabled: to < 0 || to >= this.record.tokens.length }, name);
        button.addEventListener("click", () => this.inspect(to));
        return button;
      });
      this.inside.replaceChildren(
        element("div", {}, element("p", {}, ...told), element("span", {}, ...steps)),
        loopCards(token, { loops, gate, threshold: this.record.settings.threshold }),
        element("p", { class: "hint" }, "Arrow keys go to the next token, Escape closes."));
    }
    this.mark(Boolean(token));
    if (token) this.inside.scrollIntoView({ block: "nearest" });
  }

  mark(focus = false) {
    for (const node of this.body.querySelectorAll(".chosen")) node.classList.remove("chosen");
    if (this.chosen < 0) return;
    const nodes = this.body.querySelectorAll(`[data-token="${this.chosen}"]`);
    for (const node of nodes) node.classList.add("chosen");
    if (focus && nodes[0]) nodes[0].focus({ preventScroll: true });
  }

  walk(event) {
    if (this.chosen < 0) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      const next = this.chosen + step;
      if (next >= 0 && next < this.record.tokens.length) this.inspect(next);
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.inspect(-1);
      this.look.focus();
      event.preventDefault();
    }
  }
}
