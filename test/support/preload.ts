import { afterAll } from "bun:test";
import { SETTINGS } from "../../src/settings.ts";
import { removeTemporaryFolders } from "./temporary-folder.ts";

// Preloaded before each test file, so that it cleans up even if the file fails to load.

afterAll(removeTemporaryFolders);

// Empty means the default. Otherwise the services that tests start would read a developer's .env,
// and could delete its backups or post to its Telegram chat.
for (const { variable } of Object.values(SETTINGS)) process.env[variable] = "";
