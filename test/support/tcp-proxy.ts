import type { Socket } from "bun";

/**
 * What becomes of data that the server has sent: it goes on, the connection is cut before it does, or it never
 * arrives.
 */
export type Fate = "pass" | "cut" | "hold";

interface Way {
  other: Socket<Way> | undefined;
  /** What came before the way was open. */
  early: Uint8Array[];
}

/**
 * A TCP proxy to a port of this machine, gone at the end of the block. `judge` sees all that the server
 * sends; `delayMs` is what each way takes longer. A function returns the port for the next connection.
 */
export function startProxy(
  port: number | (() => number),
  { judge = () => "pass", delayMs = 0 }: { judge?: (data: string) => Fate; delayMs?: number } = {},
) {
  const open = new Set<Socket<Way>>();

  function send(socket: Socket<Way>, data: Uint8Array) {
    if (delayMs === 0) socket.write(data);
    else setTimeout(() => socket.write(data), delayMs);
  }

  function close(socket: Socket<Way> | undefined) {
    if (socket === undefined) return;
    open.delete(socket);
    socket.end();
  }

  const listener = Bun.listen<Way>({
    hostname: "127.0.0.1",
    port: 0,
    data: { other: undefined, early: [] },
    socket: {
      async open(client) {
        client.data = { other: undefined, early: [] };
        open.add(client);
        try {
          await Bun.connect<Way>({
            hostname: "127.0.0.1",
            port: typeof port === "number" ? port : port(),
            data: { other: client, early: [] },
            socket: {
              open(server) {
                open.add(server);
                client.data.other = server;
                for (const data of client.data.early) send(server, data);
              },
              data(server, data) {
                const fate = judge(Buffer.from(data).toString("latin1"));
                if (fate === "cut") {
                  close(server);
                  close(client);
                } else if (fate === "pass") send(client, Buffer.from(data));
              },
              close: () => close(client),
            },
          });
        } catch {
          close(client);
        }
      },
      data(client, data) {
        const copy = Buffer.from(data);
        if (client.data.other === undefined) client.data.early.push(copy);
        else send(client.data.other, copy);
      },
      close: (client) => close(client.data.other),
    },
  });

  return {
    port: listener.port,
    [Symbol.dispose]() {
      listener.stop(true);
      for (const socket of open) close(socket);
    },
  };
}
