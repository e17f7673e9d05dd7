// Calls a URL and prints or returns what came of it. As a program it is a release command or a job that needs another app.
import { get } from 'node:http'
import { argv } from 'node:process'

/** `{ status, body }` of the answer, or `{ error }` with the system's code. */
export function call(url) {
  return new Promise((resolve) => {
    const request = get(url, { timeout: 5000, agent: false }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString().trim() }),
      )
    })
    request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })))
    request.on('error', (error) => resolve({ error: error.code ?? error.message }))
  })
}

if (argv[1] === import.meta.filename) {
  for (const url of argv.slice(2)) {
    const answer = await call(url)
    console.log(`${url}: ${JSON.stringify(answer)}`)
    if (answer.status !== 200) process.exitCode = 4
  }
}
