import { afterAll } from "bun:test";
import { removeTemporaryFolders } from "./temporary-folder.ts";

// Preloaded before each test file, so that it cleans up even if the file fails to load.

afterAll(removeTemporaryFolders);
