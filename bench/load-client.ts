// Used instead of wrk and load.lua if wrk is not installed. Prints the same RESULT line. Arguments:
// origin, connections, seconds, then the arguments of load.lua.

export {};

const [origin = "", connections = "1", seconds = "1", target = "", count = "1"] =
  process.argv.slice(2);
const [endpoint = "", isKeyed] = target.split(" ");
const until = performance.now() + Number(seconds) * 1000;
const latencies: number[] = [];
let sent = 0;
let failed = 0;

function body(): string {
  sent += 1;
  const number = String(Number(count) + sent).padStart(8, "0");
  return endpoint === "/register"
    ? `{"phone_number":"+9989${number}"}`
    : `{"user_id":${userId()},"tariff_code":"standard_300"}`;
}

function userId(): number {
  return isKeyed ? Math.ceil(Math.random() * Number(count)) : (sent % Number(count)) + 1;
}

async function connection() {
  while (performance.now() < until) {
    const startedAt = performance.now();
    const headers = {
      "content-type": "application/json",
      ...(isKeyed && { "idempotency-key": crypto.randomUUID() }),
    };
    const response = await fetch(origin + endpoint, { method: "POST", headers, body: body() });
    await response.arrayBuffer();
    if (!response.ok) failed += 1;
    latencies.push((performance.now() - startedAt) * 1000);
  }
}

const startedAt = performance.now();
await Promise.all(Array.from({ length: Number(connections) }, connection));
const micros = (performance.now() - startedAt) * 1000;
const sorted = Float64Array.from(latencies).toSorted();
const at = (share: number) => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
console.log(`RESULT ${sorted.length} ${Math.round(micros)} ${failed} ${at(0.5)} ${at(0.99)}`);
process.exit(0);
