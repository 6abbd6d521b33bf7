/** Whether the proxy forwards a request, never answers it, or sends this response. */
export type Verdict = "pass" | "stall" | Response;

/**
 * Starts an HTTP reverse proxy to a service, closed at the end of the block. `judge` decides what
 * happens to each request and may be replaced at any time.
 */
export function startHttpProxy(target: string) {
  const pipes = new Set<{ isStalled: boolean; cut(): void }>();
  const seen: string[] = [];
  const proxy = {
    judge: (_request: Request): Verdict | Promise<Verdict> => "pass",
    /** Method and path of each request, in order. */
    seen,
    /** The number of open event streams. */
    streams: () => pipes.size,
    /** Drops further data of the open streams, like a dead connection. */
    stallStreams: () => pipes.forEach((pipe) => (pipe.isStalled = true)),
    /** Ends the open streams. */
    cutStreams: () => pipes.forEach((pipe) => pipe.cut()),
    port: 0,
    [Symbol.dispose]: () => void server.stop(true),
  };

  async function answer(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    seen.push(`${request.method} ${pathname}`);
    const verdict = await proxy.judge(request);
    if (verdict === "stall") return new Promise(() => {});
    if (verdict !== "pass") return verdict;
    const { method, headers, signal } = request;
    const body = method === "POST" ? await request.text() : undefined;
    const upstream = await fetch(target + pathname + search, {
      ...{ method, headers, signal, body, redirect: "manual", decompress: false },
    });
    if (pathname !== "/board/changes" || !upstream.ok) return upstream;
    return new Response(pipe(upstream, signal), upstream);
  }

  function pipe(upstream: Response, signal: AbortSignal): ReadableStream | null {
    const state = { isStalled: false, cut() {} };
    const end = () => void pipes.delete(state);
    pipes.add(state);
    signal.addEventListener("abort", end);
    const filter = new TransformStream<Uint8Array, Uint8Array>({
      start(controller) {
        state.cut = () => {
          end();
          controller.terminate();
        };
      },
      transform(chunk, controller) {
        if (!state.isStalled) controller.enqueue(chunk);
      },
      flush: end,
    });
    return upstream.body?.pipeThrough(filter) ?? null;
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) =>
      answer(request).catch(() => new Response("<h1>502 Bad Gateway</h1>", { status: 502 })),
  });
  return Object.assign(proxy, { port: server.port });
}
