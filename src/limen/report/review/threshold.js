/* A threshold over the scores of mated and non-mated pairs, with the errors it makes. */
const select = make("select", { "aria-label": "result" }, ...DATA.results.map((result, k) => make("option", { value: k }, result.shown)));
const slider = make("input", { type: "range", min: 0, id: "slider", "aria-label": "threshold" });
const figures = make("dl", { role: "status" }), picture_ = make("div", { className: "card" });
const WIDE = 900, HIGH = 260, SVG = "http://www.w3.org/2000/svg";

function draw(tag, values, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function outline(counts, edges, across) {
  const sum = counts.reduce((a, b) => a + b, 0) || 1, heights = counts.map((count, k) => count / sum / (edges[k + 1] - edges[k]));
  return heights.map((height, k) => [across(edges[k]), across(edges[k + 1]), height]);
}

function percent(rate) { return `${(100 * rate).toPrecision(3)} %`; }

function rate(name, value, count, of, low, high) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, percent(value),
    make("small", {}, `${count.toLocaleString("en")} of ${of.toLocaleString("en")} pairs`), make("small", {}, `95 % interval ${percent(low)} to ${percent(high)}`)));
}

let mark = null, across = null, result = null;

function choose() {
  result = DATA.results[Number(select.value)];
  const low = result.edges[0], high = result.edges.at(-1);
  across = (score) => 30 + (WIDE - 60) * (score - low) / (high - low);
  const kinds = { "non-mated": ["non_mated", "var(--wrong)", "6 3"], mated: ["mated", "var(--move)", ""] };
  const shapes = Object.fromEntries(Object.entries(kinds).map(([name, [key]]) => [name, outline(result[key], result.edges, across)]));
  const top = Math.max(...Object.values(shapes).flat().map((bar) => bar[2])) || 1, up = (height) => HIGH - 30 - (HIGH - 60) * height / top;
  mark = draw("line", { y1: 12, y2: HIGH - 30, stroke: "currentColor", "stroke-width": 2 });
  const svg = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": "scores of mated and non-mated pairs" });
  Object.entries(kinds).forEach(([name, [, colour, dashes]], k) => {
    const path = shapes[name].map(([a, b, height]) => `L${a.toFixed(1)} ${up(height).toFixed(1)}L${b.toFixed(1)} ${up(height).toFixed(1)}`).join("");
    svg.append(draw("path", { d: `M30 ${HIGH - 30}${path}L${WIDE - 30} ${HIGH - 30}`, fill: colour, "fill-opacity": 0.15, stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes }));
    svg.append(draw("text", { x: 40, y: 24 + 28 * k }, `${name}${dashes ? " (dashed)" : ""}`));
  });
  for (let k = 0; k <= 4; k++) svg.append(draw("text", { x: across(low + (high - low) * k / 4) - 14, y: HIGH - 10 }, (low + (high - low) * k / 4).toFixed(2)));
  svg.append(mark);
  picture_.replaceChildren(svg);
  slider.max = result.points.length - 1;
  slider.value = result.start;
  tell();
}

function tell() {
  const [threshold, fmr, matches, fmrLow, fmrHigh, fnmr, misses, fnmrLow, fnmrHigh] = result.points[Number(slider.value)];
  mark.setAttribute("x1", across(threshold));
  mark.setAttribute("x2", across(threshold));
  figures.replaceChildren(
    make("div", {}, make("dt", {}, "threshold"), make("dd", {}, threshold.toFixed(4), make("small", {}, "a pair is accepted from this score on"))),
    rate("false match rate (FMR)", fmr, matches, result.non_mated_pairs, fmrLow, fmrHigh),
    rate("false non-match rate (FNMR)", fnmr, misses, result.mated_pairs, fnmrLow, fnmrHigh));
  slider.setAttribute("aria-valuetext", `threshold ${threshold.toFixed(4)}, FMR ${percent(fmr)}, FNMR ${percent(fnmr)}`);
}

slider.oninput = tell;
select.onchange = choose;
main.append(...(DATA.results.length > 1 ? [select] : []), picture_, slider, figures);
choose();
