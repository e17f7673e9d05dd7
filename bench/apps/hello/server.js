import { createServer } from 'node:http'
import { version } from './version.js'

createServer((request, response) => response.end(version)).listen(process.env.PORT ?? 8080)
