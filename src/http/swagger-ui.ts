import { Elysia, type InternalRoute } from "elysia";
// Imported as files, so that the executable includes them.
import bundlePath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import cssPath from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import { version } from "../../package.json";
import { type Additions, type Document, tidyDocument } from "./openapi-document.ts";
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

// Hides the examples of errors: their descriptions are enough, and the examples fill many screens.
const PAGE_STYLE = `.response:is([data-code^="4"], [data-code^="5"]) :is(.response-controls, .model-example) {
  display: none;
}
`;

/**
 * Allows only our own resources and no framing: a page that frames Swagger UI could trick the user
 * into creating an order.
 */
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
    description: `Creates orders for home visits, charges the customer and notifies the dispatcher.

**Send an \`Idempotency-Key\` with every order, or with none.** Sending an order once with a key and once without
creates two orders and two charges.

Every response has an \`X-Request-Id\`, which is also in the log. Errors are problem details (RFC 9457): map their
\`code\` to a message for the customer. Malformed HTTP and bodies over 1 MiB are an exception: Bun itself rejects them
with an empty 4xx or 505 and no id.

If \`WEBHOOK_URL\` is set, the service sends events to the bot: see the webhooks.`,
  },
  servers: [{ url: "/", description: "This service." }],
  tags: [
    { name: "Customers", description: "Register and find customers." },
    { name: "Orders and payments", description: "Create, charge and look up orders." },
    { name: "Tariffs", description: "Services and their prices." },
    { name: "Health and metrics", description: "Monitor the service." },
  ],
  components: {
    securitySchemes: {
      [CLIENT_KEY]: apiKey(
        "A client key (from API_KEY) or the owner's key. Alternatively, send it as `Authorization: Bearer`.",
      ),
      [OWNER_KEY]: apiKey(
        "The owner's key (from ADMIN_API_KEY). Alternatively, send it as `Authorization: Bearer`.",
      ),
    },
  },
};

function apiKey(description: string) {
  return { type: "apiKey" as const, in: "header" as const, name: "X-API-Key", description };
}

const hidden = routeOptions({ access: "open", detail: { hide: true } });

/**
 * Serves `GET /swagger`, its assets and the OpenAPI document. Uses our own page, because the
 * plugin's loads scripts from another host. The plugin generates the document from the app's
 * `routes`; `tidyDocument` completes it with `additions`.
 */
export function swaggerUi(additions: Additions, routes: () => readonly InternalRoute[]) {
  const ui = new Elysia({ normalize: false });
  const files = {
    "/swagger": createStaticFile("text/html", PAGE, PAGE_HEADERS),
    "/swagger/json": createStaticFile("application/json", async () =>
      JSON.stringify(tidyDocument(await generateDocument(routes()), additions)),
    ),
    "/swagger/page.js": createStaticFile("text/javascript", PAGE_SCRIPT),
    "/swagger/page.css": createStaticFile("text/css", PAGE_STYLE),
    "/swagger/swagger-ui-bundle.js": createStaticFile("text/javascript", Bun.file(bundlePath)),
    "/swagger/swagger-ui.css": createStaticFile("text/css", Bun.file(cssPath)),
  };
  for (const [path, answer] of Object.entries(files)) {
    ui.get(path, ({ request }) => answer(request), hidden);
  }
  return ui;
}

/** Returns the OpenAPI document that the plugin generates for the routes. */
async function generateDocument(routes: readonly InternalRoute[]): Promise<Document> {
  // Loaded on the first request: it would add 15 ms to each start.
  const { swagger } = await import("@elysiajs/swagger");
  const plugin = swagger({ documentation: DOCUMENTATION });
  // Elysia does this when an app uses a plugin.
  Object.assign(plugin, { getGlobalRoutes: () => routes });
  const response = await plugin.handle(new Request("http://localhost/swagger/json"));
  // `as`: the plugin returns an OpenAPI document here.
  return (await response.json()) as Document;
}
