import { swagger } from "@elysiajs/swagger";
import { Elysia } from "elysia";
// As files, so that a single executable would carry them too.
import bundlePath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import cssPath from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import { version } from "../../package.json";
import { type Additions, tidyDocument } from "./openapi-document.ts";
import { CLIENT_KEY, OWNER_KEY, routeOptions } from "./access.ts";
import { createStaticFile } from "./static-file.ts";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width" />
    <title>NMservis</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="/swagger/swagger-ui.css" />
    <link rel="stylesheet" href="/swagger/page.css" />
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/swagger/swagger-ui-bundle.js"></script>
    <script src="/swagger/page.js"></script>
  </body>
</html>
`;

const PAGE_SCRIPT = `SwaggerUIBundle({
  url: "/swagger/json",
  dom_id: "#swagger-ui",
  tryItOutEnabled: true,
    persistAuthorization: true,
  defaultModelsExpandDepth: 0,

  validatorUrl: null,
});
`;

// The descriptions say what may go wrong: an example under each would be many screens of the same.
const PAGE_STYLE = `.response:is([data-code^="4"], [data-code^="5"]) :is(.response-controls, .model-example) {
  display: none;
}
`;

/** The page may load what is ours, and nobody may frame it: a click in a foreign frame could be an order. */
const PAGE_HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "x-frame-options": "DENY",
};

const DOCUMENTATION = {
  info: {
    title: "NMservis",
    version,
    description: `Takes orders for a specialist at home, charges the customer and notifies the dispatcher.

**Send an \`Idempotency-Key\` with every order, or with none.** The same order once with a key and once without is two
orders and two charges.

Every answer of the service has \`X-Request-Id\`, by which the log names the request. Errors are problem details
(RFC 9457): map their \`code\` to a text for the customer. Bun answers malformed HTTP and bodies over 1 MiB itself,
with an empty 4xx.

With \`WEBHOOK_URL\` set, the service sends events to the bot: see the webhooks.`,
  },
  servers: [{ url: "/", description: "The service that shows this page." }],
  tags: [
    { name: "Users", description: "The customers." },
    { name: "Orders", description: "Orders and their payments." },
    { name: "Tariffs", description: "The services on offer and their prices." },
    { name: "Service", description: "Health and metrics." },
  ],
  components: {
    securitySchemes: {
      [CLIENT_KEY]: apiKey(
        "A client's key (one of API_KEY) or the owner's. Without this header, the key is also read from `Authorization: Bearer`.",
      ),
      [OWNER_KEY]: apiKey(
        "The owner's key (one of ADMIN_API_KEY). Without this header, it is also read from `Authorization: Bearer`.",
      ),
    },
  },
};

function apiKey(description: string) {
  return { type: "apiKey" as const, in: "header" as const, name: "X-API-Key", description };
}

const hidden = routeOptions({ access: "open", detail: { hide: true } });

/**
 * `GET /swagger` and all that it loads, from our own files. The plugin's page loads its scripts from
 * another host, so the page is ours; the document is the plugin's, tidied, with these additions.
 */
export function swaggerUi(additions: Additions) {
  const page = createStaticFile("text/html", text(PAGE), PAGE_HEADERS);
  let document: ReturnType<typeof createStaticFile> | undefined;
  const ui = new Elysia({ normalize: false })
    .mapResponse(({ route, request, responseValue }) => {
      if (route === "/swagger") return page(request);
      if (route !== "/swagger/json") return;
      // `as`: the plugin builds an OpenAPI document here, and types it as anything.
      const raw = responseValue as Parameters<typeof tidyDocument>[0];
      document ??= createStaticFile(
        "application/json",
        text(JSON.stringify(tidyDocument(raw, additions))),
      );
      return document(request);
    })
    .use(swagger({ provider: "swagger-ui", documentation: DOCUMENTATION }));
  const files = {
    "/swagger/page.js": createStaticFile("text/javascript", text(PAGE_SCRIPT)),
    "/swagger/page.css": createStaticFile("text/css", text(PAGE_STYLE)),
    "/swagger/swagger-ui-bundle.js": createStaticFile("text/javascript", file(bundlePath)),
    "/swagger/swagger-ui.css": createStaticFile("text/css", file(cssPath)),
  };
  for (const [path, answer] of Object.entries(files)) {
    ui.get(path, ({ request }) => answer(request), hidden);
  }
  // The plugin's own routes can't say who may use them.
  for (const { hooks } of ui.routes) Object.assign(hooks, hidden);
  return ui;
}

function text(content: string) {
  return async () => new TextEncoder().encode(content);
}

function file(path: string) {
  return () => Bun.file(path).bytes();
}
