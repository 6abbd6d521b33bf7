import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { openLiveBoard } from "../support/live-board.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const board = await openLiveBoard("the board as an app");

afterAll(() => board[Symbol.asyncDispose]());

describe.skipIf(!board.hasBrowser)("the board", () => {
  test("can be installed, by Chromium's criteria", async () => {
    await using profile = await board.openProfile();
    const page = await profile.open();
    const devTools = await profile.context.newCDPSession(page);
    const { errors, data = "" } = await devTools.send("Page.getAppManifest");
    expect(errors).toEqual([]);
    expect(JSON.parse(data)).toMatchObject({ name: "NoMus", start_url: "/board" });
    const { installabilityErrors } = await devTools.send("Page.getInstallabilityErrors");
    expect(installabilityErrors).toEqual([]);
  });
});
