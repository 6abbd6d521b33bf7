// A module imported `with { type: "file" }` is its path.
declare module "idiomorph/dist/idiomorph.min.js" {
  const path: string;
  export default path;
}
declare module "*/board-client.js" {
  const path: string;
  export default path;
}
declare module "*/board-live.js" {
  const path: string;
  export default path;
}
declare module "*/sign-in-client.js" {
  const path: string;
  export default path;
}
declare module "*/board.css" {
  const path: string;
  export default path;
}
