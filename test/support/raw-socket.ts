/** Sends the bytes and hears until `enough`, or until the service closes the connection. */
export async function say(
  url: string,
  bytes: string | Uint8Array,
  enough: (heard: string) => boolean = isAnswered,
) {
  const { hostname, port } = new URL(url);
  const done = Promise.withResolvers<void>();
  let heard = "";
  let closed = false;
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, chunk) {
        heard += chunk.toString();
        if (enough(heard)) done.resolve();
      },
      close() {
        closed = true;
        done.resolve();
      },
    },
  });
  socket.write(bytes);
  socket.flush();
  await done.promise;
  if (!closed) socket.terminate();
  return heard;
}

/** One whole answer: its head, and as much body as it declares. */
function isAnswered(heard: string): boolean {
  const end = heard.indexOf("\r\n\r\n");
  const length = Number(/content-length: (\d+)/i.exec(heard)?.[1] ?? 0);
  return end !== -1 && heard.length >= end + 4 + length;
}
