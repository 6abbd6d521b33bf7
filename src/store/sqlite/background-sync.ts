/** How often what has been written is sent to the disk. */
const EVERY_MS = 20;

/**
 * Has a file that is being written go to the disk bit by bit, by a thread of its own, until the block ends:
 * all at once in the end it would hold up the syncs of others for half a second.
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
        // It is not there yet, or no more.
      }
    }, ${EVERY_MS});
    postMessage("ready");
  `;
  // Not a file of its own, which the executable would have to be told of.
  const url = URL.createObjectURL(new Blob([script], { type: "application/javascript" }));
  const worker = new Worker(url);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
  return { [Symbol.dispose]: () => worker.terminate() };
}
