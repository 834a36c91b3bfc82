/* Faces from the worst to the best, and a slider that refuses those below it. */
const faces = DATA.faces, total = DATA.total;
const slider = make("input", { type: "range", min: 0, max: faces.length, value: 0, id: "slider", "aria-label": "refuse faces below" });
const figures = make("dl", { role: "status" });
const grid = make("div", { className: "grid" }, ...faces.map((face, k) => make(
  "figure", { onclick: () => { slider.value = k + 1; tell(); } }, picture(face.image, face.shown),
  make("figcaption", {}, `${face.quality.toPrecision(4)} ${face.shown}`))));

function figure(name, value, remark) { return make("div", {}, make("dt", {}, name), make("dd", {}, value, make("small", {}, remark))); }

function percent(rate) { return rate === null ? "unknown" : `${(100 * rate).toPrecision(3)} %`; }

function tell() {
  const at = Number(slider.value), first = faces[at], refused = first ? first.rank : total;
  [...grid.children].forEach((face, k) => { face.className = k < at ? "refused" : ""; });
  const parts = [figure("refused", `${refused.toLocaleString("en")} of ${total.toLocaleString("en")}`, `${(100 * refused / total).toFixed(1)} %`)];
  if (first) {
    parts.push(figure("least quality that passes", first.quality.toPrecision(6), first.shown));
    if (DATA.calibrated) {
      parts.push(figure("its percentile", first.percentile.toFixed(1), "among the reference images of the calibration"));
      parts.push(figure("its expected FNMR", percent(first.fnmr), `95 % interval ${percent(first.low)} to ${percent(first.high)}`));
    }
  } else parts.push(figure("least quality that passes", "none passes", "every face is refused"));
  figures.replaceChildren(...parts);
  slider.setAttribute("aria-valuetext", `${refused} of ${total} refused`);
}

slider.oninput = tell;
main.append(slider, figures, grid);
tell();
