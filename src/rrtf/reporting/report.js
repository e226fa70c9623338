"use strict";
// The browser of answers. Answers are hostile text: they are only ever set as text nodes, never as markup.
(() => {
  const PAGE = 20;
  const WORDS = { COMPILE_ERROR: "compile error", RUNTIME_ERROR: "runtime error", PARTIAL: "some tests failed", PASSED: "passed" };
  const SIGNS = { passed: "✓", wrong: "×", raised: "!", timeout: "T", memory: "M", crashed: "C", "not-run": "–" };
  const TOKENS = new RegExp(
    [
      /(#[^\n]*)/,
      /([rbfuRBFU]{0,2}(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))/,
      /(\b\d[\w.]*)/,
      /\b(and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield|None|True|False)\b/,
    ].map((part) => part.source).join("|"),
    "g",
  );
  // Characters that hide or reorder text are shown by their code.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu;

  const data = JSON.parse(document.getElementById("embedded").textContent);
  const form = document.getElementById("filters");
  const list = document.getElementById("list");
  const status = document.getElementById("status");
  const clear = document.getElementById("clear");
  const next = document.getElementById("next");
  let only = null;
  let matches = [];
  let shown = 0;

  const visible = (text) => text.replace(HIDDEN, (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

  function element(tag, kind, text) {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    if (text !== undefined) made.textContent = visible(text);
    return made;
  }

  function code(text) {
    const made = element("code");
    const clean = visible(text);
    let at = 0;
    for (const match of clean.matchAll(TOKENS)) {
      made.append(clean.slice(at, match.index));
      const kind = match[1] !== undefined ? "comment" : match[2] !== undefined ? "string" : match[3] !== undefined ? "number" : "keyword";
      const part = document.createElement("span");
      part.className = kind;
      part.textContent = match[0];
      made.append(part);
      at = match.index + match[0].length;
    }
    made.append(clean.slice(at));
    return made;
  }

  function block(title, content, open) {
    const made = element("details", "block");
    made.open = open;
    made.append(element("summary", "", title));
    const box = element("pre");
    box.tabIndex = 0;
    box.append(content);
    made.append(box);
    return made;
  }

  function vector(answer) {
    const counts = new Map();
    const row = element("div", "vector");
    answer.tests.forEach((state, place) => {
      const cell = element("span", `t t-${state}`, SIGNS[state] || "?");
      cell.title = `test ${place + 1}: ${state}`;
      row.append(cell);
      counts.set(state, (counts.get(state) || 0) + 1);
    });
    const words = [...counts].map(([state, count]) => `${count} ${state}`).join(", ");
    row.setAttribute("role", "img");
    row.setAttribute("aria-label", `Tests: ${words}`);
    const cut = answer.total > answer.tests.length ? `, the first ${answer.tests.length} of ${answer.total} shown` : "";
    const made = element("div", "tests");
    made.append(row, element("p", "fine", answer.total ? `${words}${cut}` : "no tests were run"));
    return made;
  }

  function body(answer) {
    const made = element("div", "body");
    if (answer.cause) made.append(element("p", "cause", answer.cause));
    made.append(vector(answer));
    if (answer.code === null) made.append(element("p", "fine", `No program was found in the answer (${answer.rule}).`));
    else made.append(block("Program", code(answer.code), true));
    if (answer.text !== null) made.append(block("Answer as the model gave it", document.createTextNode(visible(answer.text)), answer.code === null));
    const problem = data.problems[answer.id];
    if (problem) made.append(block("Task", code(problem.text), false));
    const ended = answer.stop === "length" ? "cut off at the token limit" : "ended by itself";
    const facts = [`extraction: ${answer.rule}`, answer.tokens ? `${answer.tokens} tokens` : "", answer.tokens ? ended : ""].filter(Boolean).join(" · ");
    made.append(element("p", "fine", facts));
    return made;
  }

  function row(answer) {
    const made = element("details", "answer");
    const head = element("summary");
    const place = answer.author.endsWith(answer.place) ? "" : answer.place;
    const who = [answer.author, place, answer.setting, answer.index ? `answer ${answer.index + 1}` : ""];
    head.append(
      element("span", `badge o-${answer.outcome}`, WORDS[answer.outcome]),
      element("span", "name", answer.problem),
      element("span", "who", who.filter(Boolean).join(" · ")),
      element("span", "passed", `${answer.passed}/${answer.total}`),
    );
    made.append(head);
    made.addEventListener("toggle", () => {
      if (made.open && made.childElementCount === 1) made.append(body(answer));
    });
    return made;
  }

  function more() {
    const upto = Math.min(matches.length, shown + PAGE);
    for (; shown < upto; shown += 1) list.append(row(matches[shown]));
    next.hidden = shown >= matches.length;
    const some = shown < matches.length ? `, the first ${shown} shown` : "";
    const which = only ? ` to ${only.problem} (${only.place})` : "";
    status.textContent = matches.length ? `${matches.length} ${matches.length === 1 ? "answer" : "answers"}${visible(which)}${some}.` : "No answer fits these filters.";
  }

  function refresh() {
    const asked = new FormData(form);
    const needle = asked.get("words").trim().toLowerCase();
    matches = data.answers.filter(
      (answer) =>
        (!only || (answer.problem === only.problem && answer.place === only.place)) &&
        ["place", "author", "outcome"].every((key) => !asked.get(key) || answer[key] === asked.get(key)) &&
        (!needle || [answer.problem, answer.cause, answer.code || "", answer.text || ""].some((text) => text.toLowerCase().includes(needle))),
    );
    clear.hidden = !only && !needle && !["place", "author", "outcome"].some((key) => asked.get(key));
    shown = 0;
    list.replaceChildren();
    more();
  }

  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  next.addEventListener("click", () => {
    const place = shown;
    more();
    const first = list.children[place];
    if (first) first.querySelector("summary").focus();
  });
  clear.addEventListener("click", () => {
    only = null;
    form.reset();
    refresh();
    form.elements.words.focus();
  });
  for (const chip of document.querySelectorAll("button.chip")) {
    chip.addEventListener("click", () => {
      only = { place: chip.dataset.place, problem: chip.dataset.problem };
      form.reset();
      refresh();
      document.getElementById("answers").scrollIntoView();
      const first = list.querySelector("summary");
      if (first) first.focus({ preventScroll: true });
    });
  }
  form.hidden = false;
  refresh();
})();
