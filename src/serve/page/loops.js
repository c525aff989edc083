// What each loop would have said: a row of cards, one per loop.
import { element } from "./markdown.js";

// How deep a token went, from 0 (one loop) to 1 (all of them): what colours are made of.
export const depthOf = (loop, loops) => (loops <= 1 ? 0 : Math.min(1, (loop - 1) / (loops - 1)));

export function paintDepth(node, loop, loops) {
  node.style.setProperty("--depth", `${Math.round(depthOf(loop, loops) * 100)}%`);
}

export const percent = (share) =>
  share > 0.995 && share < 1 ? ">99%" : share > 0 && share < 0.005 ? "<1%" : `${Math.round(share * 100)}%`;

// Blanks and line ends of a token as visible signs.
export const visible = (name) =>
  name.replace(/^bytes:/, "").replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "∅";

function meter(label, share, mark) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("i"));
  bar.firstChild.style.width = `${share * 100}%`;
  if (mark !== undefined) {
    const line = element("b");
    line.style.left = `${mark * 100}%`;
    bar.append(line);
  }
  return element("span", { class: "meter" }, element("span", {}, label), element("span", { class: "share" }, percent(share)), bar);
}

// token: as app.js keeps it. `gate`: whether the model has one; `threshold`: of this answer's exit rule, 1 where there is none.
export function loopCards(token, { loops, gate, threshold = 1 }) {
  const cards = element("ol", { class: "loops" });
  let stopped = 0;
  const deepest = Math.max(loops, token.loops.length);
  token.loops.forEach((reading, i) => {
    const loop = i + 1;
    stopped = Math.min(1, stopped + (token.exits[i] || 0));
    const right = reading.name === token.name;
    const card = element("li", { class: `card${right ? " agrees" : ""}${loop === token.loop ? " chosen" : ""}${loop > token.loop ? " after" : ""}` },
      element("span", { class: "which" }, `Loop ${loop}`),
      element("span", { class: "says" }, element("span", { class: "sr" }, "says "), element("code", {}, visible(reading.name))),
      meter(`sure of ${visible(token.name)}`, reading.share));
    if (gate) card.append(meter("gate: stop", stopped, threshold < 1 ? threshold : undefined));
    card.append(element("span", { class: "note" },
      loop === token.loop ? "chosen" : loop > token.loop ? "after the exit" : right ? "agrees" : "disagrees"));
    paintDepth(card, loop, deepest);
    cards.append(card);
  });
  return cards;
}
