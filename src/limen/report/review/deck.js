/* One doubtful image or pair at a time. Every decision is kept at once in the browser, and saved as decisions.csv when asked. */
const STORE = `limen-review:${DATA.key}`, WHO = "limen-reviewer";
const items = DATA.items, people = new Map(DATA.people.map((person) => [person.shown, person.name]));
let at = 0, unsaved = false, decided = {}, keeps = true; // decided: number of the item -> row of decisions.csv
try { decided = JSON.parse(localStorage.getItem(STORE) ?? "{}"); } catch { keeps = false; }

const say = make("p", { role: "status" }), where = make("span", { className: "muted" });
const who = make("input", { id: "who", autocomplete: "off", placeholder: "your name", "aria-label": "reviewer", size: 14 });
try { who.value = localStorage.getItem(WHO) ?? ""; } catch { keeps = false; }
who.onchange = () => { try { localStorage.setItem(WHO, who.value); } catch { keeps = false; } };
const card = make("section", { className: "card", "aria-live": "polite" }), strip = make("nav", { className: "strip", "aria-label": "all" });
const file = make("input", { type: "file", accept: ".csv", hidden: true, id: "file" });
const target = make("input", { id: "target", list: "people", autocomplete: "off", placeholder: "who is it? Enter", "aria-label": "move to person" });
const options = make("datalist", { id: "people" }, ...DATA.people.map((person) => make("option", { value: person.shown })));
const TEXTS = { right: "label is right", wrong: "label is wrong", unsure: "unsure", move: "move to…", same: "one person", different: "two people" };
const LETTERS = { right: "r", wrong: "w", unsure: "u", move: "m", same: "y", different: "d" };
const buttons = Object.fromEntries(DATA.choices.map((kind) => [kind, make(
  "button", { className: kind, "aria-pressed": "false", onclick: () => choose(kind) },
  `${KINDS[kind]} ${TEXTS[kind]}`, make("kbd", {}, LETTERS[kind]))]));

function keyed(text, key, does) { return make("button", { onclick: does }, text, make("kbd", {}, key)); }

function choose(kind) {
  if (kind !== "move") return decide(kind, "");
  target.value = items[at].likely ?? "";
  target.focus();
  target.select();
  say.textContent = items[at].likely ? "Enter moves it to this person; or type another name." : "Type the name of the person, then Enter.";
}

target.onkeydown = (event) => {
  if (event.key === "Escape") { target.blur(); say.textContent = ""; }
  if (event.key !== "Enter") return;
  const name = people.get(target.value);
  if (name === undefined) { say.textContent = `There is no person ${target.value || "without a name"} in these data; choose from the list.`; return; }
  target.blur();
  if (name === items[at].person) decide("right", "");
  else decide("move", name);
};

function decide(decision, newPerson) {
  const item = items[at];
  decided[at] = {
    file: item.file, person: item.person, decision, new_person: newPerson, reviewer: who.value,
    time: new Date().toISOString().slice(0, 19) + "Z", model: DATA.model, pair_with: item.pair_with ?? "",
  };
  keep();
  const next = items.findIndex((_, k) => k > at && !decided[k]);
  if (next >= 0) show(next);
  else { show(at); say.textContent = left() ? `${left()} before this one are undecided (n goes there).` : "All are decided: save them (s)."; }
}

function keep() {
  unsaved = true;
  try { localStorage.setItem(STORE, JSON.stringify(decided)); } catch { keeps = false; }
}

function left() { return items.length - Object.keys(decided).length; }

function undo() { delete decided[at]; keep(); show(at); say.textContent = "This one is undecided again."; }

function nextUndecided() {
  const places = items.map((_, k) => (at + 1 + k) % items.length), next = places.find((k) => !decided[k]);
  if (next === undefined) say.textContent = "All are decided: save them (s).";
  else show(next);
}

function show(number) {
  at = Math.min(Math.max(number, 0), items.length - 1);
  const item = items[at], row = decided[at];
  target.value = "";
  const groups = item.groups.map((group) => make(
    "div", {}, make("h2", {}, make("span", {}, `${group.role}: `), group.shown),
    group.images.length ? make("div", { className: "row" }, ...group.images.map((k) => picture(k, group.shown)))
      : make("p", { className: "muted" }, group.none)));
  card.replaceChildren(make("div", { className: "sides" },
    make("div", {}, make("h2", {}, make("span", {}, `${item.title}: `), item.shown),
      make("div", { className: "doubt" }, ...item.images.map((k) => picture(k, item.shown)))),
    make("div", { className: "groups" }, ...groups)), make("p", { className: "muted" }, item.text));
  for (const [kind, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(row?.decision === kind));
  const said = row && `${KINDS[row.decision]} ${row.decision}${row.new_person ? ` to ${shownOf(row.new_person)}` : ""}`;
  say.textContent = keeps ? said ?? "" : "This browser keeps nothing: save (s) before you close the page.";
  say.className = row?.decision ?? "";
  where.textContent = `${at + 1} of ${items.length}, ${left()} undecided`;
  [...strip.children].forEach((button, k) => {
    const of = decided[k]?.decision;
    button.textContent = of ? KINDS[of] : "·";
    button.className = of ?? "";
    button.setAttribute("aria-current", String(k === at));
    button.setAttribute("aria-label", `${k + 1}: ${of ?? "undecided"}`);
  });
  const mark = strip.children[at];
  strip.scrollTop = mark.offsetTop - strip.offsetTop - strip.clientHeight / 2;
}

function shownOf(name) { return DATA.people.find((person) => person.name === name)?.shown ?? name; }

function save() {
  const rows = Object.keys(decided).map(Number).sort((a, b) => a - b).map((k) => decided[k]);
  const link = make("a", { href: URL.createObjectURL(new Blob(bytesOf(toCsv(rows)), { type: "text/csv" })), download: "decisions.csv" });
  link.click();
  unsaved = false;
  say.textContent = `${rows.length} decisions saved as decisions.csv. ${DATA.next}`;
}

file.onchange = async () => {
  try { load(fromCsv(textOf(new Uint8Array(await file.files[0].arrayBuffer())))); }
  catch (error) { say.textContent = `${file.files[0].name}: ${error.message}; load a decisions.csv of this page.`; }
  file.value = "";
};

/* Takes all rows over, or none; where both know an item, the later decision stands. */
function load(rows) {
  const places = new Map(items.map((item, k) => [`${item.file}\0${item.pair_with ?? ""}`, k])), found = {};
  let passed = 0;
  for (const row of rows) {
    const place = places.get(`${row.file}\0${row.pair_with ?? ""}`);
    if (row.model !== DATA.model) throw new Error(`${row.file} was decided for another model (${row.model.slice(0, 12)})`);
    if (!DATA.choices.includes(row.decision)) throw new Error(`${row.file} has the decision ${row.decision || "(empty)"}, which is not known here`);
    if (place === undefined || items[place].person !== row.person) { passed++; continue; }
    if (found[place] && (found[place].decision !== row.decision || found[place].new_person !== row.new_person)) throw new Error(`${row.file} has two decisions that differ`);
    found[place] = row;
  }
  for (const [place, row] of Object.entries(found)) if (!decided[place] || decided[place].time <= row.time) decided[place] = row;
  keep();
  show(at);
  say.textContent = `${Object.keys(found).length} decisions loaded${passed ? `, ${passed} of images that are not on this page passed over` : ""}.`;
}

const KEYS = {
  ...Object.fromEntries(DATA.choices.map((kind) => [LETTERS[kind], () => choose(kind)])),
  z: undo, n: nextUndecided, s: save, l: () => file.click(),
  ArrowRight: () => show(at + 1), ArrowLeft: () => show(at - 1), j: () => show(at + 1), k: () => show(at - 1), Home: () => show(0), End: () => show(items.length - 1),
};
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
window.addEventListener("beforeunload", (event) => { if (unsaved && !keeps) event.preventDefault(); });

strip.append(...items.map((_, k) => make("button", { onclick: () => show(k), tabIndex: -1 })));
main.append(
  make("div", { className: "bar" }, keyed("‹ back", "←", () => show(at - 1)), keyed("on ›", "→", () => show(at + 1)), where, make("span", { className: "space" }),
    who, keyed("load", "l", () => file.click()), keyed("save", "s", save)),
  card,
  make("div", { className: "bar decide" }, ...Object.values(buttons), ...(buttons.move ? [target] : []), keyed("undo", "z", undo), keyed("next undecided", "n", nextUndecided)),
  say, strip, options, file);
show(Math.max(items.findIndex((_, k) => !decided[k]), 0));
