import { faultOf } from "./contract.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body, which every client reads as JSON; a text is its one member. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a client of the service says to it, over `send`. */
export function createClient(send: (request: Request) => Promise<Response>, origin: string) {
  async function request(path: string, init: RequestInit = {}): Promise<Answer> {
    const request = new Request(origin + path, init);
    // A request that goes over no socket has no Host unless it is given one.
    if (!request.headers.has("host")) request.headers.set("host", new URL(origin).host);
    const response = await send(request);
    const { status, headers } = response;
    const isText = headers.get("content-type")?.startsWith("text/plain");
    const content: unknown = isText ? await response.text() : await response.json();
    // Every answer of the whole suite is held against the service's own document.
    if (!path.startsWith("/swagger")) {
      const fault = await faultOf(request.method, path, status, headers, content);
      if (fault !== undefined) throw new Error(`Against the document: ${fault}`);
    }
    // `as`: a test says itself what it expects of the body.
    const body = (isText ? { text: content } : content) as Answer["body"];
    return { status, headers, body };
  }

  function sendBody(method: string, path: string, body: unknown, headers: Record<string, string>) {
    return request(path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    sendBody("POST", path, body, headers);

  return {
    request,
    post,
    put: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      sendBody("PUT", path, body, headers),
    get: (path: string) => request(path),
    register: (phoneNumber: unknown, more: object = {}) =>
      post("/register", { phone_number: phoneNumber, ...more }),
    /** Registers a user and returns his number. */
    async userId(phoneNumber = "+998901234567"): Promise<number> {
      const { body } = await post("/register", { phone_number: phoneNumber });
      return Number(body["user_id"]);
    },
    order: (userId: unknown, headers: Record<string, string> = {}, tariffCode = "standard_300") =>
      post("/create_order", { user_id: userId, tariff_code: tariffCode }, headers),
  };
}

export type Client = ReturnType<typeof createClient>;
