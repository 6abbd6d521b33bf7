/** Interval between syncs. */
const INTERVAL_MS = 20;

/**
 * Syncs a growing file to disk from another thread, until disposed. A single sync at the end would
 * delay the syncs of other processes by half a second.
 */
export async function syncInBackground(path: string) {
  const script = `
    const { openSync, fdatasyncSync, closeSync } = require("node:fs");
    setInterval(() => {
      try {
        const file = openSync(${JSON.stringify(path)}, "r");
        fdatasyncSync(file);
        closeSync(file);
      } catch {
        // The file does not exist yet, or was deleted.
      }
    }, ${INTERVAL_MS});
    postMessage("ready");
  `;
  // Not a separate file, which the executable would have to embed.
  const url = URL.createObjectURL(new Blob([script], { type: "application/javascript" }));
  const worker = new Worker(url);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
  return { [Symbol.dispose]: () => worker.terminate() };
}
