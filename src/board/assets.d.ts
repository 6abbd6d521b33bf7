// A module imported `with { type: "file" }` is its path.
declare module "idiomorph/dist/idiomorph.min.js" {
  const path: string;
  export default path;
}
declare module "*/client/alerts.js" {
  const path: string;
  export default path;
}
declare module "*/client/live.js" {
  const path: string;
  export default path;
}
declare module "*/client/pages.js" {
  const path: string;
  export default path;
}
declare module "*/client/sign-in.js" {
  const path: string;
  export default path;
}
declare module "*.css" {
  const path: string;
  export default path;
}
declare module "*.png" {
  const path: string;
  export default path;
}
