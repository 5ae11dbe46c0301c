/** Runs the program: as a function for whole runs over real sockets, as a child for what only a process can show. */
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { main } from '../src/ory-login.ts'

export const PROGRAM = fileURLToPath(new URL('../src/ory-login.ts', import.meta.url))
export const TSX = import.meta.resolve('tsx')

/** The identifier, password and token of the recordings. */
export const IDENT = 'demo@example.com'
export const PASS = 'demo-only-password'
export const TOKEN = 'ory_st_4zWKh7TUgnoCa657qku8dquN5THasM2R'
export const IDENTITY = 'ffa60abd-2019-440f-8909-c58fdefc88a7'
export const TWO_LINES = `token: ory_st_4zWKh7TUgnoCa657q…\nidentity_id: ${IDENTITY}\n`

/** An empty folder, where no .env is. */
export const emptyFolder = (): string => mkdtempSync(join(tmpdir(), 'ory-login test '))

// No .env and no proxy of the person who runs the tests must change what they see.
process.chdir(emptyFolder())
for (const name of Object.keys(process.env)) {
  if (/^(https?_proxy|no_proxy|DOTENV_.*|BASE_URL|IDENT|PASS)$/i.test(name)) delete process.env[name]
}

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
  /** How long it took, in ms. */
  ms: number
}

export const credentials = (url: string): Record<string, string> => ({ BASE_URL: url, IDENT, PASS })

/** One whole run of main. */
export async function run(env: Record<string, string>, ...args: string[]): Promise<Outcome> {
  let stdout = ''
  let stderr = ''
  const began = performance.now()
  const print = (text: string) => {
    stdout += text
  }
  const say = (line: string) => {
    stderr += `ory-login: ${line}\n`
  }
  const code = await main(args, env, print, say)
  return { code, stdout, stderr, ms: performance.now() - began }
}

export interface ChildOptions {
  cwd?: string
  /** What comes after `node`: tsx and the program, unless told otherwise. */
  command?: string[]
  signal?: { name: NodeJS.Signals; afterMs: number }
}

/** The real program as a child process. The environment is the given one and PATH, nothing else. */
export async function program(env: Record<string, string>, args: string[], options: ChildOptions = {}) {
  const { cwd = emptyFolder(), command = ['--import', TSX, PROGRAM], signal } = options
  const { PATH = '', SystemRoot = '', TEMP = tmpdir() } = process.env
  const began = performance.now()
  const child = spawn(process.execPath, [...command, ...args], {
    cwd,
    env: { PATH, SystemRoot, TEMP, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const timer = signal && setTimeout(() => child.kill(signal.name), signal.afterMs)
  const exit = new Promise<{ code: number | null; killedBy: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, killedBy) => {
      clearTimeout(timer)
      resolve({ code, killedBy })
    })
  })
  const [{ code, killedBy }, out, err] = await Promise.all([exit, text(child.stdout), text(child.stderr)])
  return { code, killedBy, stdout: out, stderr: err, ms: performance.now() - began }
}
