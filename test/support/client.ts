export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body, which every client reads as JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a client of the service says to it, over `send`. */
export function createClient(send: (request: Request) => Promise<Response>, origin: string) {
  async function request(path: string, init: RequestInit = {}): Promise<Answer> {
    const request = new Request(origin + path, init);
    // A request that goes over no socket has no Host unless it is given one.
    if (!request.headers.has("host")) request.headers.set("host", new URL(origin).host);
    const response = await send(request);
    // `as`: a test says itself what it expects of the body.
    const body = (await response.json()) as Answer["body"];
    return { status: response.status, headers: response.headers, body };
  }

  function post(path: string, body: unknown, headers: Record<string, string> = {}) {
    return request(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  return {
    request,
    post,
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
