import { afterAll } from "bun:test";
import { removeTemporaryFolders } from "./temporary-folder.ts";

// Loaded before each test file, so that it cleans up even if the file itself fails to load.

afterAll(removeTemporaryFolders);
