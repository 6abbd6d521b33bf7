import type { Socket } from "bun";

/** Whether data from the server is forwarded, dropped with its connection, or never delivered. */
export type Fate = "pass" | "cut" | "hold";

interface Link {
  other: Socket<Link> | undefined;
  /** Data received before the connection to the server was open. */
  early: Uint8Array[];
}

/**
 * Starts a TCP proxy to a local port, closed at the end of the block. `judge` decides what happens
 * to data from the server; `delayMs` delays both directions. If `port` is a function, each
 * connection calls it.
 */
export function startProxy(
  port: number | (() => number),
  { judge = () => "pass", delayMs = 0 }: { judge?: (data: string) => Fate; delayMs?: number } = {},
) {
  const open = new Set<Socket<Link>>();

  function send(socket: Socket<Link>, data: Uint8Array) {
    if (delayMs === 0) socket.write(data);
    else setTimeout(() => socket.write(data), delayMs);
  }

  function close(socket: Socket<Link> | undefined) {
    if (socket === undefined) return;
    open.delete(socket);
    socket.end();
  }

  const listener = Bun.listen<Link>({
    hostname: "127.0.0.1",
    port: 0,
    data: { other: undefined, early: [] },
    socket: {
      async open(client) {
        client.data = { other: undefined, early: [] };
        open.add(client);
        try {
          await Bun.connect<Link>({
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
