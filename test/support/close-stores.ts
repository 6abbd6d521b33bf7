import { afterEach } from "bun:test";
import { closeTestStores } from "./store.ts";

// Loaded before the tests, where they run on a server: an afterEach of a file holds for that file alone.

afterEach(closeTestStores);
