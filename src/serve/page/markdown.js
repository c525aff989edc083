// Markdown as elements. Text goes into text nodes and nowhere else, so that whatever a model writes stays text: HTML is shown as it
// was written, links lead to http, https and mailto only, and pictures become links.
//
// Every character knows its place in the source, and `paint(parent, text, places)` puts text into an element: the caller can mark
// who wrote what.

const kDeepest = 8;       // nested quotes, lists and emphasis; beyond: plain text
const kFarthest = 4000;   // characters that an opening mark looks ahead for its end

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// The blocks of a text: where each stands in it, and what builds its element.
export function blocksOf(source, paint) {
  const lines = [];
  let at = 0;
  for (const text of source.split("\n")) {
    lines.push({ text, at });
    at += text.length + 1;
  }
  return parseBlocks(lines, paint, 0);
}

const kFence = /^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$/;
const kHeading = /^ {0,3}(#{1,6})[ \t]+/;
const kRule = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const kQuote = /^ {0,3}> ?/;
const kItem = /^( {0,8})([-*+]|\d{1,9}[.)])(?:[ \t]+|$)/;
const kTableRule = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;

const isBlank = (line) => line.text.trim() === "";
const cut = (line, count) => ({ text: line.text.slice(count), at: line.at + count });
const startsBlock = (text) =>
  kFence.test(text) || kHeading.test(text) || kRule.test(text) || kQuote.test(text) || kItem.test(text);

function parseBlocks(lines, paint, depth) {
  const blocks = [];
  let i = 0;
  const take = (count, build) => {
    const last = lines[i + count - 1];
    blocks.push({ start: lines[i].at, end: last.at + last.text.length, build });
    i += count;
  };
  while (i < lines.length) {
    const line = lines[i];
    if (isBlank(line)) {
      ++i;
      continue;
    }
    const fence = line.text.match(kFence);
    if (fence) {
      let end = i + 1;
      const closes = (text) => text.trim().startsWith(fence[1]) && /^[`~]+$/.test(text.trim());
      while (end < lines.length && !closes(lines[end].text)) ++end;
      const body = lines.slice(i + 1, end);
      take(Math.min(end, lines.length - 1) - i + 1, () => codeBlock(body, fence[2], paint));
      continue;
    }
    const heading = line.text.match(kHeading);
    if (heading) {
      const title = cut(line, heading[0].length);
      // The page has its own first two levels.
      take(1, () => filled(`h${Math.min(6, heading[1].length + 2)}`, [title], paint));
      continue;
    }
    if (kRule.test(line.text)) {
      take(1, () => element("hr"));
      continue;
    }
    if (kQuote.test(line.text) && depth < kDeepest) {
      let end = i;
      while (end < lines.length && kQuote.test(lines[end].text)) ++end;
      const inner = lines.slice(i, end).map((l) => cut(l, l.text.match(kQuote)[0].length));
      take(end - i, () => element("blockquote", {}, ...built(inner, paint, depth + 1)));
      continue;
    }
    if (kItem.test(line.text) && depth < kDeepest) {
      const items = listItems(lines, i);
      take(items.lines, () => list(items, paint, depth));
      continue;
    }
    if (line.text.includes("|") && i + 1 < lines.length && lines[i + 1].text.includes("|") &&
        kTableRule.test(lines[i + 1].text)) {
      let end = i + 2;
      while (end < lines.length && lines[end].text.includes("|")) ++end;
      const rows = [line, ...lines.slice(i + 2, end)];
      take(end - i, () => table(rows, paint));
      continue;
    }
    let end = i + 1;
    while (end < lines.length && !isBlank(lines[end]) && !startsBlock(lines[end].text)) ++end;
    const paragraph = lines.slice(i, end);
    take(end - i, () => filled("p", paragraph, paint));
  }
  return blocks;
}

const built = (lines, paint, depth) => parseBlocks(lines, paint, depth).map((block) => block.build());

function filled(name, lines, paint) {
  const node = element(name, { dir: "auto" });
  const places = [];
  for (const line of lines) {
    if (places.length > 0) places.push(line.at - 1);
    for (let i = 0; i < line.text.length; ++i) places.push(line.at + i);
  }
  inline(node, lines.map((line) => line.text).join("\n"), places, paint, 0);
  return node;
}

function codeBlock(lines, language, paint) {
  const code = element("code", { dir: "ltr" });
  lines.forEach((line, i) => {
    const text = line.text + (i + 1 < lines.length ? "\n" : "");
    paint(code, text, Array.from(text, (_, k) => line.at + k).slice(0, text.length));
  });
  const bar = element("div", { class: "code-bar" }, element("span", {}, language || "text"));
  if (navigator.clipboard) {
    const copy = element("button", { type: "button" }, "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(lines.map((line) => line.text).join("\n"));
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    bar.append(copy);
  }
  return element("div", { class: "code" }, bar, element("pre", { tabindex: "0" }, code));
}

function listItems(lines, first) {
  const indent = lines[first].text.match(kItem)[1].length;
  const ordered = /\d/.test(lines[first].text.match(kItem)[2]);
  const items = [];
  let i = first;
  while (i < lines.length) {
    const line = lines[i];
    const mark = line.text.match(kItem);
    const own = mark && mark[1].length <= indent + 1;
    if (own && /\d/.test(mark[2]) !== ordered) break;
    if (own) {
      items.push({ mark: mark[2], lines: [cut(line, mark[0].length)] });
    } else if (isBlank(line)) {
      const next = lines.slice(i).find((l) => !isBlank(l));
      if (!next || !(kItem.test(next.text) || /^ {2,}/.test(next.text))) break;
      items.at(-1).lines.push(line);
    } else if (/^ /.test(line.text)) {
      const spaces = line.text.match(/^ */)[0].length;
      items.at(-1).lines.push(cut(line, Math.min(spaces, indent + items.at(-1).mark.length + 1)));
    } else if (!startsBlock(line.text) && !isBlank(lines[i - 1])) {
      items.at(-1).lines.push(line);
    } else {
      break;
    }
    ++i;
  }
  return { items, ordered, lines: i - first };
}

function list({ items, ordered }, paint, depth) {
  const node = element(ordered ? "ol" : "ul");
  if (ordered) node.setAttribute("start", String(parseInt(items[0].mark, 10)));
  for (const item of items) node.append(element("li", { dir: "auto" }, ...built(item.lines, paint, depth + 1)));
  return node;
}

function table(rows, paint) {
  const cells = (row) => {
    const found = [];
    let from = 0;
    const add = (to) => found.push({ text: row.text.slice(from, to), at: row.at + from });
    for (let i = 0; i < row.text.length; ++i) {
      if (row.text[i] !== "|" || row.text[i - 1] === "\\") continue;
      if (i > 0 && row.text.slice(0, i).trim() !== "") add(i);
      from = i + 1;
    }
    if (row.text.slice(from).trim() !== "") add(row.text.length);
    return found.map((cell) => cut({ text: cell.text.trimEnd(), at: cell.at }, cell.text.match(/^\s*/)[0].length));
  };
  const line = (row, name) => element("tr", {}, ...cells(row).map((cell) => filled(name, [cell], paint)));
  return element("div", { class: "table", tabindex: "0" },
    element("table", {},
      element("thead", {}, line(rows[0], "th")),
      element("tbody", {}, ...rows.slice(1).map((row) => line(row, "td")))));
}

const kMarks = { "**": "strong", "__": "strong", "~~": "del", "*": "em", "_": "em" };
const isWord = (c) => c !== undefined && /[\p{L}\p{N}]/u.test(c);

function inline(parent, text, places, paint, depth) {
  let plain = 0;
  let i = 0;
  const missing = new Set();  // marks that have no end further on
  const flush = (to) => {
    if (to > plain) paint(parent, text.slice(plain, to), places.slice(plain, to));
  };
  const nest = (node, from, to, next) => {
    flush(i);
    inline(node, text.slice(from, to), places.slice(from, to), paint, depth + 1);
    parent.append(node);
    plain = i = next;
  };
  const find = (mark, from) => {
    if (missing.has(mark)) return -1;
    const found = text.indexOf(mark, from);
    if (found < 0) missing.add(mark);
    return found - from > kFarthest ? -1 : found;
  };
  while (i < text.length) {
    const c = text[i];
    if (c === "\\" && /[!-/:-@[-`{-~]/.test(text[i + 1] || "")) {
      flush(i);
      plain = i + 1;
      i += 2;
    } else if (c === "`") {
      const mark = text.slice(i).match(/^`+/)[0];
      const end = find(mark, i + mark.length);
      if (end < 0) {
        i += mark.length;
        continue;
      }
      flush(i);
      const code = element("code");
      paint(code, text.slice(i + mark.length, end), places.slice(i + mark.length, end));
      parent.append(code);
      plain = i = end + mark.length;
    } else if (c === "\n") {
      flush(i);
      parent.append(element("br"));
      plain = ++i;
    } else if ((c === "*" || c === "_" || c === "~") && depth < kDeepest) {
      const mark = kMarks[text.slice(i, i + 2)] ? text.slice(i, i + 2) : c;
      const from = i + mark.length;
      let end = kMarks[mark] && /\S/.test(text[from] || " ") && !(c === "_" && isWord(text[i - 1])) ? find(mark, from + 1) : -1;
      // "2*3*4" and "a * b" are no emphasis.
      if (end > 0 && (/\s/.test(text[end - 1]) || (mark.length === 1 && isWord(text[end + 1]) && isWord(text[i - 1])) ||
                      (c === "_" && isWord(text[end + mark.length])))) end = -1;
      if (end > 0 && mark.length === 1 && text[end + 1] === c) end = -1;
      if (end < 0) {
        i += mark.length;
      } else {
        nest(element(kMarks[mark]), from, end, end + mark.length);
      }
    } else if ((c === "[" || (c === "!" && text[i + 1] === "[")) && depth < kDeepest) {
      const from = i + (c === "!" ? 2 : 1);
      const middle = find("](", from);
      const end = middle < 0 ? -1 : find(")", middle + 2);
      const target = end < 0 ? "" : text.slice(middle + 2, end).trim().split(/\s/)[0];
      if (end < 0 || !/^(https?:\/\/|mailto:)/i.test(target) || text.slice(from, middle).includes("[")) {
        ++i;
      } else {
        nest(link(target), from, middle, end + 1);
      }
    } else if (c === "h" && !isWord(text[i - 1]) && depth < kDeepest) {
      const found = text.slice(i, i + 2000).match(/^https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]*_~]/);
      if (!found) {
        ++i;
        continue;
      }
      flush(i);
      const node = link(found[0]);
      paint(node, found[0], places.slice(i, i + found[0].length));
      parent.append(node);
      plain = i += found[0].length;
    } else {
      ++i;
    }
  }
  flush(text.length);
}

function link(target) {
  return element("a", { href: target, rel: "noopener noreferrer nofollow", target: "_blank" });
}
