declare module '*/package.json' {
  const manifest: { version: string };
  export default manifest;
}
