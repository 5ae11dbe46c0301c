/**
 * `npm run build`: one file that needs no package beside it, dist/ory-login.mjs, with the licence
 * texts of what it contains.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const licences = ['undici', 'dotenv'].map((name) => {
  const text = readFileSync(new URL(`../node_modules/${name}/LICENSE`, import.meta.url), 'utf8')
  return `This file contains ${name}:\n\n${text.trim()}\n`
})

/** What the program uses of undici, and an empty node:http2: most of the start-up time goes. */
const modules = {
  undici: `
    Object.assign(require('undici/lib/dispatcher/dispatcher').prototype, require('undici/lib/api'))
    exports.Client = require('undici/lib/dispatcher/client')
    exports.ProxyAgent = require('undici/lib/dispatcher/proxy-agent')
    exports.fetch = require('undici/lib/web/fetch').fetch
    exports.Headers = require('undici/lib/web/fetch/headers').Headers`,
  'node:http2': 'exports.constants = {}',
}
const parts = {
  name: 'parts of undici',
  setup({ onResolve, onLoad }) {
    const filter = RegExp(`^(${Object.keys(modules).join('|')})$`)
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'parts' }))
    onLoad({ filter: /^/, namespace: 'parts' }, ({ path }) => {
      return { contents: modules[path], resolveDir: ROOT }
    })
  },
}

await build({
  absWorkingDir: ROOT,
  entryPoints: ['src/ory-login.ts'],
  outfile: 'dist/ory-login.mjs',
  bundle: true,
  minify: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.18',
  plugins: [parts],
  // undici is CommonJS, and asks for Node's modules by require.
  banner: {
    js: `/*\n${licences.join('\n')}*/
import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`,
  },
})
