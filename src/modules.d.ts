// Types of imports `with { type: "file" }`: each is the file's path.

declare module "*.js" {
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
