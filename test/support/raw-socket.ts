/**
 * Sends the bytes over a new connection. Returns the response, read until `isComplete` or until the
 * service closes the connection.
 */
export async function say(
  url: string,
  bytes: string | Uint8Array,
  isComplete: (received: string) => boolean = isOneResponse,
) {
  const { hostname, port } = new URL(url);
  const done = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let received = "";
  let closed = false;
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, chunk) {
        received += decoder.decode(chunk, { stream: true });
        if (isComplete(received)) done.resolve();
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
  return received;
}

/** Returns whether a complete response has arrived: its head and a body of the declared length. */
function isOneResponse(received: string): boolean {
  const end = received.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = Number(/content-length: (\d+)/i.exec(received)?.[1] ?? 0);
  return Buffer.byteLength(received.slice(end + 4)) >= length;
}
