import { swagger } from "@elysiajs/swagger";
import { Elysia } from "elysia";
// As files, so that a single executable would carry them too.
import bundlePath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import cssPath from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import { version } from "../../package.json";
import { tidyDocument } from "./openapi-document.ts";
import { CLIENT_KEY, OWNER_KEY, routeOptions } from "./access.ts";

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>NMservis</title>
    <link rel="icon" href="data:," />
    <link rel="stylesheet" href="/swagger/swagger-ui.css" />
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/swagger/swagger-ui-bundle.js"></script>
    <script>
      SwaggerUIBundle({
        url: "/swagger/json",
        dom_id: "#swagger-ui",
        tryItOutEnabled: true,
        validatorUrl: null,
      });
    </script>
  </body>
</html>
`;

const DOCUMENTATION = {
  info: {
    title: "NMservis",
    version,
    description: "Takes orders for a specialist at home, takes the payment, tells the dispatcher.",
  },
  servers: [{ url: "/", description: "The service that shows this page." }],
  tags: [
    { name: "Users", description: "Who orders." },
    { name: "Orders", description: "What is ordered and paid." },
    { name: "Tariffs", description: "What can be ordered, and for how much." },
    { name: "Service", description: "Is it there, and can it work?" },
  ],
  components: {
    securitySchemes: {
      [CLIENT_KEY]: apiKey("A client's key: one of API_KEY."),
      [OWNER_KEY]: apiKey("The owner's key: one of ADMIN_API_KEY."),
    },
  },
};

function apiKey(description: string) {
  return { type: "apiKey" as const, in: "header" as const, name: "X-API-Key", description };
}

const hidden = routeOptions({ access: "open", detail: { hide: true } });

/**
 * `GET /swagger` and all that it loads, from our own files. The plugin's page loads its scripts from
 * another host, so the page is ours; the document is the plugin's, tidied.
 */
export function swaggerUi() {
  let document: string | undefined;
  const ui = new Elysia({ normalize: false })
    .mapResponse(({ route, responseValue }) => {
      if (route === "/swagger") return answer("text/html", PAGE);
      if (route !== "/swagger/json") return;
      // `as`: the plugin builds an OpenAPI document here, and types it as anything.
      document ??= JSON.stringify(
        tidyDocument(responseValue as Parameters<typeof tidyDocument>[0]),
      );
      return answer("application/json", document);
    })
    .use(swagger({ provider: "swagger-ui", documentation: DOCUMENTATION }))
    .get("/swagger/swagger-ui.css", () => answer("text/css", Bun.file(cssPath)), hidden)
    .get(
      "/swagger/swagger-ui-bundle.js",
      () => answer("text/javascript", Bun.file(bundlePath)),
      hidden,
    );
  // The plugin's own routes can't say who may use them.
  for (const { hooks } of ui.routes) Object.assign(hooks, hidden);
  return ui;
}

function answer(mediaType: string, body: string | Blob): Response {
  return new Response(body, { headers: { "content-type": `${mediaType};charset=utf-8` } });
}
