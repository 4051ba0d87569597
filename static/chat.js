"use strict";

// The page of the chat. Whatever comes from a person or a worker is shown as text, never as HTML.

const IN_FLIGHT = 3; // messages of one page that may wait for their answers at once
const LOOK_EVERY = 1000; // milliseconds between two looks at who listens
const KEPT = 200; // turns of the conversation that a reload brings back

const find = (id) => document.getElementById(id);
const [log, scroller, welcome, ideas] = ["log", "scroller", "welcome", "ideas"].map(find);
const [composer, field, button, hint] = ["composer", "text", "send", "hint"].map(find);
const presence = find("presence");
const chat = document.querySelector(".chat");
const limit = Number(chat.dataset.limit);
const patience = (Number(chat.dataset.timeout) + 15) * 1000;

const language = (navigator.languages || [navigator.language])
  .map((tag) => tag.slice(0, 2).toLowerCase())
  .find((tag) => tag in TEXTS) || "en";
const t = TEXTS[language];

let inFlight = 0;
let listeners = null; // how many workers listen; null while that is unknown

// ---- building elements ----

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Code in lines of its own, code, links, and the names of commands.
const PIECES = /(```[^`]+```|`[^`\n]+`|https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}»”]|\B\/[a-zé]{2,12}\b)/g;

function write(element, text, commands = true) {
  for (const [i, piece] of text.split(PIECES).entries()) {
    if (i % 2 === 0 || (piece.startsWith("/") && !commands)) {
      element.append(piece);
    } else if (piece.startsWith("http")) {
      const link = make("a", "", piece);
      link.href = piece;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      element.append(link);
    } else if (piece.startsWith("```")) {
      element.append(make("code", "block", piece.slice(3, -3).replace(/^\w*\n/, "").trimEnd()));
    } else {
      element.append(make("code", "", piece.replaceAll("`", "")));
    }
  }
  return element;
}

function meta(...parts) {
  const line = make("p", "meta");
  parts.filter(Boolean).forEach((part, i) => {
    if (i) line.append(" · ");
    line.append(part);
  });
  return line;
}

const clock = (at) =>
  new Date(at).toLocaleTimeString(language, { hour: "numeric", minute: "2-digit" });

// Not AbortSignal.timeout, which phones of 2021 do not have.
function within(milliseconds) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), milliseconds);
  return controller.signal;
}

function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(1, Math.round(milliseconds))} ms`;
  return `${(milliseconds / 1000).toLocaleString(language, { maximumFractionDigits: 1 })} s`;
}

function badge(worker) {
  let hash = 0;
  for (const letter of worker) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  const name = make("span", "worker");
  name.append(make("span", `dot tint-${hash % 6}`), worker);
  return name;
}

// Stay at the newest message, unless one has scrolled up to read.
let following = true;
let seenTop = 0;
scroller.addEventListener("scroll", () => {
  // A gap alone proves nothing: an answer that has just grown the page makes one too.
  const top = scroller.scrollTop;
  if (scroller.scrollHeight - top - scroller.clientHeight < 80) following = true;
  else if (top < seenTop) following = false;
  seenTop = top;
});
const follow = new ResizeObserver(() => {
  if (following) scroller.scrollTop = scroller.scrollHeight;
});
follow.observe(scroller);
follow.observe(log);

// ---- one message and its answer ----

// Not crypto.randomUUID: a phone opens this page over plain HTTP, where that is missing.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Turn {
  constructor({ text, id = newId(), at = Date.now(), outcome = null }) {
    this.text = text;
    this.id = id; // kept for "send again": it is the same message
    this.at = at;
    this.outcome = outcome; // an answer or a problem; null while neither is there
    this.element = make("div", "turn");
    const own = make("div", "bubble own");
    own.append(make("span", "unseen", `${t.you}: `), write(make("p", "said"), text, false));
    this.element.append(own, meta(clock(at)));
    this.element.lastChild.classList.add("mine");
    this.reply = make("div");
    this.element.append(this.reply);
  }

  end(outcome) {
    this.note = null;
    this.outcome = { at: Date.now(), ...outcome };
    this.showOutcome();
  }

  showOutcome() {
    if (this.outcome.problem) this.showProblem(this.outcome);
    else this.showAnswer(this.outcome);
  }

  show(bubble, ...after) {
    const next = make("div", "reply");
    next.append(bubble, ...after);
    this.reply.replaceWith(next);
    this.reply = next;
  }

  showWaiting() {
    const bubble = make("div", "bubble waiting");
    const dots = make("span", "dots");
    dots.append(make("i"), make("i"), make("i"));
    dots.setAttribute("role", "img");
    dots.setAttribute("aria-label", t.waiting);
    bubble.append(dots);
    this.note = make("p", "note");
    this.show(bubble, this.note);
    this.noteListeners();
  }

  noteListeners() {
    if (!this.note) return;
    const text = listeners === 0 ? t.nobodyYet : "";
    if (this.note.dataset.text === text) return;
    this.note.dataset.text = text;
    this.note.replaceChildren();
    write(this.note, text);
  }

  showAnswer({ answer, worker, milliseconds, at }) {
    const bubble = make("div", "bubble answer");
    const text = typeof answer === "string" ? answer : JSON.stringify(answer, null, 1);
    bubble.append(write(make("p", "said"), text));
    this.show(bubble, meta(worker && badge(worker), duration(milliseconds), clock(at)));
  }

  showProblem({ problem, at }) {
    const name = String(problem.type || "").split(":").pop();
    const [title, todo] = t.problems[name] || [problem.title, problem.advice];
    const bubble = make("div", "bubble error");
    bubble.append(make("p", "title", title || "?"));
    if (problem.detail && (name === "remote-error" || !(name in t.problems))) {
      bubble.append(make("p", "detail", problem.detail));
    }
    if (todo) bubble.append(write(make("p", "todo"), todo));
    if (problem.ran in t.ran) bubble.append(make("p", "ran", t.ran[problem.ran]));
    const again = make("button", "again", t.again);
    again.type = "button";
    again.addEventListener("click", () => {
      if (inFlight >= IN_FLIGHT) return;
      field.focus({ preventScroll: true });
      this.send();
    });
    bubble.append(again);
    this.show(bubble, meta(clock(at)));
  }

  async send() {
    inFlight += 1;
    waiting.add(this);
    this.outcome = null;
    keep();
    refresh();
    this.showWaiting();
    try {
      const response = await fetch("api/messages", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ text: this.text, id: this.id }),
        signal: within(patience),
      });
      const body = await response.json();
      this.end(response.ok ? body : { problem: named(body) });
    } catch {
      // A page that is being left has its requests broken off, and does not come back from here.
      await new Promise((resolve) => setTimeout(resolve, 100));
      this.end({ problem: { type: "network", ran: "maybe" } });
    } finally {
      inFlight -= 1;
      waiting.delete(this);
      keep();
      refresh();
      look();
    }
  }
}

// Where nobody listens, that is why no answer came.
function named(problem) {
  const late = String(problem.type).endsWith(":call-timeout");
  return late && listeners === 0 ? { ...problem, type: "no-worker" } : problem;
}

const turns = [];
const waiting = new Set();

// ---- writing ----

function refresh() {
  const text = field.value;
  const length = [...text.trim()].length;
  button.disabled = !length || length > limit || inFlight >= IN_FLIGHT;
  const says =
    length > limit ? t.tooLong(length, limit) : inFlight >= IN_FLIGHT ? t.full : t.hint;
  if (hint.textContent !== says) hint.textContent = says;
  hint.classList.toggle("loud", says !== t.hint);
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function add(turn) {
  welcome.hidden = true;
  turns.push(turn);
  log.append(turn.element);
}

function send(text) {
  const turn = new Turn({ text });
  following = true;
  add(turn);
  turn.send();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  if (button.disabled) return;
  const text = field.value.trim();
  field.value = "";
  send(text);
  field.focus();
});

field.addEventListener("input", refresh);
field.addEventListener("keydown", (event) => {
  // An Enter that ends the composition of a character is not one that sends.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

// ---- who listens ----

let looking = false;

function showPresence(state, text) {
  presence.dataset.state = state;
  if (presence.textContent !== text) presence.textContent = text;
}

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    const response = await fetch("api/presence", { signal: within(10000) });
    const { broker, workers } = await response.json();
    listeners = broker ? workers : null;
    if (!broker) showPresence("away", t.broker);
    else if (!workers) showPresence("nobody", t.nobody);
    else showPresence("listening", t.listening(workers));
  } catch {
    listeners = null;
    showPresence("away", t.server);
  } finally {
    looking = false;
  }
  for (const turn of waiting) turn.noteListeners();
}

document.addEventListener("visibilitychange", look);
setInterval(look, LOOK_EVERY);

// ---- what a reload brings back ----

// This tab's own storage, which ends with the tab: the next person at this machine finds nothing.
function keep() {
  let kept = turns.slice(-KEPT).map(({ text, id, at, outcome }) => ({ text, id, at, outcome }));
  while (kept.length) {
    try {
      sessionStorage.setItem("chatrpc", JSON.stringify(kept));
      return;
    } catch {
      kept = kept.slice(Math.ceil(kept.length / 2)); // there is no room for all
    }
  }
}

function recall() {
  try {
    for (const kept of JSON.parse(sessionStorage.getItem("chatrpc")) || []) {
      const turn = new Turn(kept);
      add(turn);
      if (turn.outcome) turn.showOutcome();
      else turn.end({ problem: { type: "reloaded", ran: "maybe" } });
    }
  } catch {
    // What cannot be read is not shown.
  }
  setTimeout(() => log.setAttribute("aria-live", "polite")); // from now on news are read out
}

// ---- the way in, for the room ----

const [room, invite, leave] = ["room", "invite", "leave"].map(find);

function showRoom(open) {
  room.classList.toggle("open", open);
  invite.setAttribute("aria-expanded", String(open));
  chat.inert = open;
  (open ? leave : invite).focus();
}

if (room) {
  invite.addEventListener("click", () => showRoom(true));
  leave.addEventListener("click", () => showRoom(false));
  room.addEventListener("keydown", (event) => {
    if (event.key === "Escape") showRoom(false);
  });
}

// ---- the beginning ----

document.documentElement.lang = language;
for (const element of document.querySelectorAll("[data-text]")) {
  element.textContent = t[element.dataset.text];
}
for (const element of document.querySelectorAll("[data-label]")) {
  element.setAttribute("aria-label", t[element.dataset.label]);
}
field.placeholder = t.message;
for (const idea of t.ideas) {
  const chip = make("button", "chip", idea);
  chip.type = "button";
  chip.addEventListener("click", () => {
    field.focus({ preventScroll: true });
    send(idea);
  });
  ideas.append(chip);
}
recall();
refresh();
look();
if (window === window.top) field.focus(); // in a notebook, one is about to go on to the next cell
