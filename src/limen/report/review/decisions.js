/* decisions.csv: file, person, decision, new_person, reviewer, time, model, pair_with. Names are bytes, so cells are encoded as Python's
   "surrogateescape" does, and guarded against spreadsheets as limen.tables does. */
const COLUMNS = ["file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with"];
const KINDS = { right: "✓", wrong: "✕", unsure: "?", move: "→", same: "=", different: "≠" };
const FORMULA = /^'*[=+\-@\t\r\n＝＋－＠]/, NUMBER = /^([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan))$/i;
const UTF8 = /[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;

function bytesOf(text) {
  const encoder = new TextEncoder(), parts = [];
  for (const letter of text) {
    const code = letter.codePointAt(0);
    parts.push(code >= 0xdc80 && code <= 0xdcff ? Uint8Array.of(code - 0xdc00) : encoder.encode(letter));
  }
  return parts;
}

function textOf(bytes) {
  let binary = "";
  for (let start = 0; start < bytes.length; start += 8192) binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  const decoder = new TextDecoder();
  return binary.replace(/^\xef\xbb\xbf/, "").replace(UTF8, (found) => {
    if (found.length === 1) return found < "\x80" ? found : String.fromCharCode(0xdc00 + found.charCodeAt(0));
    return decoder.decode(Uint8Array.from(found, (letter) => letter.charCodeAt(0)));
  });
}

function cell(value) {
  const guarded = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

function toCsv(rows) {
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((column) => row[column] ?? ""))].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/* The rows of a CSV text, by the columns of its first line. */
function fromCsv(text) {
  const rows = [[]];
  let value = "", quoted = false;
  for (let k = 0; k < text.length; k++) {
    const letter = text[k];
    if (quoted && letter === '"' && text[k + 1] === '"') { value += '"'; k++; }
    else if (letter === '"' && (quoted || value === "")) quoted = !quoted;
    else if (!quoted && (letter === "," || letter === "\n")) {
      rows.at(-1).push(value);
      value = "";
      if (letter === "\n") rows.push([]);
    } else if (quoted || letter !== "\r") value += letter;
  }
  if (value || rows.at(-1).length) rows.at(-1).push(value);
  const bare = (text) => (text.startsWith("'") && FORMULA.test(text) ? text.slice(1) : text);
  const [header, ...body] = rows.filter((row) => row.length).map((row) => row.map(bare));
  const missing = COLUMNS.slice(0, 7).filter((column) => !(header ?? []).includes(column));
  if (missing.length) throw new Error(`it lacks the column ${missing[0]}`);
  return body.map((row) => Object.fromEntries(header.map((column, k) => [column, row[k] ?? ""])));
}
