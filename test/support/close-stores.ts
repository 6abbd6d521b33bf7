import { afterEach } from "bun:test";
import { closeTestStores } from "./store.ts";

// Preloaded when tests run on PostgreSQL: an afterEach in a test file would only apply to that
// file.

afterEach(closeTestStores);
