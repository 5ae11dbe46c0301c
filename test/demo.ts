/** `npm run demo`: the real program, with the demo defaults, against the stand-in. Needs no network and no settings. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { replay, standIn } from './stand-in.ts'

const { url, close } = await standIn(replay('success', 'logout'))
console.error(`demo: this is not a live Ory: a stand-in at ${url} replays exchanges recorded from Ory Kratos v26.2.0`)

const { IDENT: _, PASS: __, ...env } = process.env
const program = fileURLToPath(new URL('../src/ory-login.ts', import.meta.url))
const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), program, ...process.argv.slice(2)], {
  env: { ...env, BASE_URL: url, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1' },
  cwd: fileURLToPath(new URL('recordings', import.meta.url)), // where no .env is
  stdio: 'inherit',
})
process.exitCode = await new Promise<number>((resolve) => child.on('exit', (code) => resolve(code ?? 1)))
await close()
console.error(`demo: ory-login ended with exit code ${process.exitCode}`)
