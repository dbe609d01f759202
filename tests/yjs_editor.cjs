// A Yjs editor for tests: applies updates, makes random edits, tells what it wrote and shows.
// stdin: {"updates": [hex], "client": number, "seed": number, "edits": number}
const Y = require("yjs");
const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (data) => Buffer.from(data).toString("hex");
let state = asked.seed;
const random = (below) => {
  state = (state * 1103515245 + 12345) % 2147483648;
  return Math.floor((state / 2147483648) * below);
};
const doc = new Y.Doc();
doc.clientID = asked.client;
const text = doc.getText("text");
for (const each of asked.updates) Y.applyUpdate(doc, bytes(each));
const written = [];
doc.on("update", (update) => written.push(hex(update)));
for (let turn = 0; turn < asked.edits; turn++) {
  const length = text.length;
  const at = random(length + 1);
  const count = Math.min(length - at, 1 + random(4));
  const what = random(4);
  if (what < 2 || count === 0) text.insert(at, ["a", "bcd", "é ", "word"][random(4)]);
  else if (what === 2) text.delete(at, count);
  else text.format(at, count, { bold: random(2) ? true : null });
}
console.log(JSON.stringify({ written, text: text.toString(), delta: text.toDelta() }));
