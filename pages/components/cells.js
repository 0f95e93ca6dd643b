// What is told of single cells: their types and measures, the differential count, and what a person changed in them.
// Stands before viewer.js in one module.

const TYPES = [
  ["neutrophil", "Neutrophil", "Neut", "1"], ["ig", "Immature granulocyte", "Imm gr", "2"], ["eosinophil", "Eosinophil", "Eos", "3"],
  ["basophil", "Basophil", "Baso", "4"], ["lymphocyte", "Lymphocyte", "Lymph", "5"], ["monocyte", "Monocyte", "Mono", "6"],
  ["blast", "Blast", "Blast", "7"], ["erythroblast", "Erythroblast", "Eryth", "8"], ["platelet", "Platelet", "Plt", "9"],
  ["unidentified", "Unidentified", "Unid", "U"], ["artefact", "Smudge or artefact", "Smudge", "X"],
].map(([key, title, short, press]) => ({ key, title, short, press }));
const TYPE = Object.fromEntries(TYPES.map((type) => [type.key, type]));
const NOT_COUNTED = ["erythroblast", "platelet", "artefact"];
// Of these no probability is told.
const UNLIKELY = ["unidentified", "artefact"];
// As leuk.report.LEAST_COUNT.
const LEAST_COUNT = 5;
// As leuk.cells.USUAL_COUNT.
const USUAL_COUNT = 200;
const UNSURE = 0.8;
const RED_CELL = 7.5; // micrometres, as leuk.segmentation.scale.RED_CELL

// Title, digits, and what the number means; lengths are shown in micrometres where the scale is known.
const MEASURES = [
  ["diameter", "Cell diameter", 1, "of the disk of the cell’s area", "length"],
  ["nucleus_diameter", "Nucleus diameter", 1, "of the disk of the nucleus’s area", "length"],
  ["nc_ratio", "N:C ratio", 2, "nucleus area over cell area"],
  ["circularity", "Circularity", 2, "4π·area over perimeter², 1 for a circle"],
  ["eccentricity", "Eccentricity", 2, "0 circle, 1 line"],
  ["solidity", "Solidity", 2, "area over area of the convex hull"],
  ["indentation", "Nuclear indentation", 2, "deepest cleft over the nucleus’s diameter"],
  ["lobes", "Nuclear lobes", 0, "parts of the nucleus that lie apart"],
  ["chromatin_texture", "Chromatin texture", 2, "spread of the nucleus’s density over its mean; even chromatin is low"],
  ["basophilia", "Basophilia", 2, "cytoplasm: density in red less that in blue; blue is above 0, pink below"],
  ["nucleus_offset", "Nucleus off centre", 2, "0 central, 1 at the edge"],
].map(([key, title, digits, note, kind]) => ({ key, title, digits, note, kind }));
const MEASURE = Object.fromEntries(MEASURES.map((measure) => [measure.key, measure]));

// What a person changed: types by file and way of finding cells, since another finds others; the scale by file alone. It
// outlives a change of file, and a viewer that leaves the page and comes back.
// It hangs on the window for the strip, which forgets that of a file removed, and for the frame, which asks before all
// of it is left.
const reviews = (window.leukReviews ??= new Map());
// Of what was taken over from an earlier visit, `given` is the number and `before` what it said: it is in a file of the
// user's own, and lost only where it was changed since.
function reviewOf(key) {
  if (!reviews.has(key)) {
    reviews.set(key, {
      types: {}, done: [], given: 0, before: {},
      get changes() { return Object.keys({ ...this.before, ...this.types }).filter((label) => this.types[label] !== this.before[label]).length; },
    });
  }
  return reviews.get(key);
}
function scaleOf(key) {
  if (!reviews.has(key)) reviews.set(key, { um: null, shared: false, given: 0, before: null, get changes() { return this.um !== this.before && !this.shared ? 1 : 0; } });
  return reviews.get(key);
}
// Take over what earlier visits said, where this one has said nothing: what was taken over before gives way to what a
// later visit said. Tell whether there was anything new.
function takeOver(given, review, scale) {
  if (!given) return false;
  const news = [review, scale].filter((one) => one.given < given.number);
  if (news.includes(review)) {
    const own = Object.entries(review.types).filter(([label, type]) => type !== review.before[label]);
    Object.assign(review, { before: given.types, types: { ...given.types, ...Object.fromEntries(own) } });
  }
  if (news.includes(scale)) Object.assign(scale, { before: given.um, um: scale.um === null || scale.um === scale.before ? given.um : scale.um });
  for (const one of news) one.given = given.number;
  return news.length > 0;
}
function reviewsToKeep() {
  const out = {};
  for (const [key, { changes, types, um, given }] of reviews) if (changes || um || given) out[key] = { ...(types ? { types } : { um }), given };
  return out;
}

// Logarithms of factorials, longer as needed.
const factorials = [0];
function below(k, n, p) {
  while (factorials.length <= n) factorials.push(factorials.at(-1) + Math.log(factorials.length));
  const a = Math.log(p), b = Math.log1p(-p);
  let sum = 0;
  for (let i = 0; i <= k; i += 1) sum += Math.exp(factorials[n] - factorials[i] - factorials[n - i] + i * a + (n - i) * b);
  return Math.min(1, sum);
}

// Clopper and Pearson's exact 95 % interval, as leuk.cells.interval.
function interval(count, total) {
  if (!total) return [0, 1];
  const solve = (f) => {
    let low = 0, high = 1;
    for (let i = 0; i < 40; i += 1) {
      const middle = (low + high) / 2;
      if (f(middle)) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return [
    count ? solve((p) => 1 - below(count - 1, total, p) < 0.025) : 0,
    count < total ? solve((p) => below(count, total, p) > 0.025) : 1,
  ];
}

// The differential count of a list of types, as leuk.report.count_types.
function countTypes(types) {
  const counts = Object.fromEntries(TYPES.map(({ key }) => [key, 0]));
  for (const key of types) counts[key] += 1;
  const round = (x) => Math.round(x * 1e4) / 1e4;
  const total = types.length - NOT_COUNTED.reduce((sum, key) => sum + counts[key], 0);
  const out = { total, types: {}, beside: {} };
  for (const { key } of TYPES) {
    if (!counts[key]) continue;
    if (NOT_COUNTED.includes(key)) out.beside[key] = counts[key];
    else {
      const [low, high] = interval(counts[key], total);
      out.types[key] = { count: counts[key], share: round(counts[key] / total), low: round(low), high: round(high) };
    }
  }
  return out;
}

// Probabilities of a blast of the white cells of which something is known; a type that a person told is certain.
function blastsOf(cells) {
  // A person's "unidentified" says only that nobody knows.
  const told = (cell) => cell.type_source !== "suggested" && cell.type !== "unidentified";
  return cells.filter((cell) => cell.type && !NOT_COUNTED.includes(cell.type) && (told(cell) || cell.type_probabilities))
    .map((cell) => (told(cell) ? Number(cell.type === "blast") : cell.type_probabilities.blast));
}

// The share of blasts to expect; as leuk.cells.expected_blasts.
function expectedBlasts(cells, known = 0, blasts = 0) {
  const mine = blastsOf(cells), total = known + mine.length;
  return total ? Math.round((mine.reduce((sum, p) => sum + p, blasts) / total) * 1e4) / 1e4 : null;
}

const NO_OTHERS = { files: 0, repeated: 0, outside: 0, cut_out: 0, known: 0, blasts: 0, types: {}, repeats: false, told: 0, apart: 0, unread: 0 };

// The cells of a file put to those of others, unless it repeats one of them, and the count of all; as
// leuk.report.pooled and pooled_count.
function pooledCount(record, others) {
  const cells = others.repeats ? [] : record.cells.filter((cell) => cell.type), mine = Number(cells.length > 0);
  const types = [...cells.map((cell) => cell.type), ...Object.entries(others.types).flatMap(([key, n]) => new Array(n).fill(key))];
  const told = others.told + cells.filter((cell) => cell.type_source !== "suggested").length;
  const pool = { files: others.files + mine, repeated: others.repeated, outside: others.outside + mine * record.outside, cut_out: others.cut_out + mine * record.cut_out, told, cells: types.length };
  return { pool, count: { ...countTypes(types), expected_blasts: expectedBlasts(cells, others.known, others.blasts) } };
}

// What must be known of a count over several photographs, or ""; as leuk.report.from_pool.
function fromPool(pool, { total, types, expected_blasts: expected }) {
  if (pool.cut_out) return "Cells that were cut out had been chosen by someone: their shares are not those of the smear.";
  if (expected === null || total < LEAST_COUNT) return "";
  if (pool.outside) return `Weighing how sure each call is, expect ${rounded(expected)} to be blasts; acute leukaemia begins at 20 % as a rule.`;
  const { low, high } = types.blast ?? { low: 1, high: 0 };
  return low < 0.2 && high > 0.2 ? "The 20 % at which acute leukaemia begins as a rule lie within the range of blasts: count more cells." : "";
}

// A share as a whole percentage: one of few cells is not none, nor one of nearly all all.
function rounded(share) {
  if (share > 0 && share < 0.005) return "< 1 %";
  if (share >= 0.995 && share < 1) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

// A model is never certain, whatever the digits of its record round a probability to.
const uncertain = (p) => Math.min(Math.max(p, 1e-6), 1 - 1e-6);
const likely = (p) => rounded(uncertain(p));

// How a cell came by the type that a person gave it; as leuk.report.corrected.
const sourceOf = (type, suggested) => (type === suggested ? "confirmed" : "corrected");

// How many of a type, in words.
const several = (key, n) => `${n} ${n > 1 && key === "artefact" ? "smudges or artefact" : TYPE[key].title.toLowerCase()}${n > 1 ? "s" : ""}`;

// Red cells, by which its scale is known, make a picture a smear, and so does cutting cells out of one.
const isSmear = (record) => record.cut_out || record.scale?.source === "estimated";

// What its cells add to a field's reading, or null; as leuk.report.from_cells.
function fromCells(record) {
  const { suggestion, cells, differential: count } = record;
  if (!record.outside) return suggestion in record.probabilities ? atOdds(suggestion, count) : null;
  if (cells.length === 1 && cells[0].type_source !== "suggested") {
    return `${cells[0].type_source === "confirmed" ? "Confirmed by you as" : "Changed by you to"} ${TYPE[cells[0].type].title.toLowerCase()}.`;
  }
  if (count.expected_blasts === null) return null;
  const smear = isSmear(record);
  if (cells.length === 1) return `${smear ? "By its look alone, the cell" : "If it is a white cell, it"} is a blast with a probability of ${likely(count.expected_blasts)}.`;
  const share = rounded(count.expected_blasts), called = rounded(count.types.blast?.share ?? 0);
  const lead = record.cut_out ? "Of the cells cut out" : smear ? "Of its single cells" : "If these are white cells";
  const few = count.total < LEAST_COUNT;
  const end = record.cut_out ? "." : few ? "; so few cells say little of a smear." : "; acute leukaemia begins at 20 % as a rule.";
  const of = smear ? "" : " of them";
  if (share === called) return `${lead}, expect ${share}${of} to be blasts${end}`;
  return `${lead}, ${called === "0 %" ? "none" : called}${of} are called blasts; weighing how sure each call is, expect ${share}${end}`;
}

function atOdds(suggestion, { total, types }) {
  const blasts = types.blast?.count ?? 0;
  const many = blasts >= 0.2 * total;
  if (!total || many === (suggestion !== "benign") || (many && total < LEAST_COUNT)) return null;
  const shown = total === 1
    ? "its one white cell does not look like a blast"
    : `${blasts || "none"} of ${total} white cells ${blasts > 1 ? "look like blasts" : "looks like a blast"}`;
  return many
    ? `The field is read as benign, and yet ${shown}: so do hematogones. Looks alone do not tell them from lymphoblasts; immunophenotyping does.`
    : `The field is read as leukaemic, and yet ${shown}: check the cells before you rely on either.`;
}

// A row of the table, as leuk.report.to_csv writes it.
const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
const decimal = (x) => (Number.isInteger(x) ? x.toFixed(1) : String(x));

// A strip of where cells lie in a measure, and where this one does, which need not be of them; `amount` writes a value
// with its unit, `without` says what was left out.
function spread(values, value, title, amount, without) {
  const known = values.filter((v) => v !== null && v !== undefined);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 18");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spread");
  svg.setAttribute("role", "img");
  if (known.length < 2) {
    svg.setAttribute("aria-hidden", "true");
    return svg;
  }
  const sorted = [...known].sort((a, b) => a - b), half = sorted.length >> 1;
  const least = sorted[0], most = sorted.at(-1);
  const low = Math.min(least, value ?? least), range = Math.max(most, value ?? most) - low || 1;
  const bins = new Array(20).fill(0);
  for (const v of known) bins[Math.min(19, Math.floor(((v - low) / range) * 20))] += 1;
  const tallest = Math.max(...bins);
  const add = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, v] of Object.entries(attributes)) node.setAttribute(key, v);
    svg.append(node);
  };
  bins.forEach((n, i) => n && add("rect", { x: i * 5 + 0.4, width: 4.2, y: 18 - 15 * (n / tallest), height: 15 * (n / tallest), class: "bin" }));
  add("rect", { x: 0, y: 17, width: 100, height: 1, class: "base" });
  if (value !== null && value !== undefined) add("rect", { x: Math.min(98, Math.max(0, ((value - low) / range) * 100 - 1)), y: 0, width: 2, height: 18, class: "here" });
  const under = known.filter((v) => v < value).length + known.filter((v) => v === value).length / 2;
  const rank = value === null ? "not measured" : `above ${Math.round((under / known.length) * 100)} % of ${known.length} cells`;
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  const label = `${title}: ${rank}; median ${amount(median)}, from ${amount(least)} to ${amount(most)}${without ? `; without ${without}` : ""}`;
  svg.setAttribute("aria-label", label);
  // For the pointer.
  const tip = document.createElementNS("http://www.w3.org/2000/svg", "title");
  tip.textContent = label;
  svg.prepend(tip);
  return svg;
}

